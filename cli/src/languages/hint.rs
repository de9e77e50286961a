//! What to do about an error that a newcomer meets first.

use std::path::Path;

use super::Language;

/// What to type, if the error is one of those that have an answer.
#[must_use]
pub fn hint(language: Language, folder: &Path, error_type: &str, message: &str) -> Option<String> {
    let here = folder.display();
    match language {
        Language::Python if message.contains("No module named") => Some(python(folder, message)),
        Language::Node if error_type == "Runtime.ImportModuleError" && message.contains("Cannot find ") => {
            folder
                .join("package.json")
                .is_file()
                .then(|| format!("npm install in {here}"))
                .or_else(|| Some(format!("is the handler's file in {here}?")))
        }
        Language::Go
            if message.contains("missing go.sum entry") || message.contains("no required module") =>
        {
            Some(format!("go mod tidy in {here}"))
        }
        Language::Go if message.contains("go.mod file not found") => {
            Some(format!("go mod init example.com/function && go mod tidy in {here}"))
        }
        Language::Bootstrap | Language::Process if message.contains("not executable") => {
            Some(format!("chmod +x the program in {here}"))
        }
        _ => None,
    }
}

fn python(folder: &Path, message: &str) -> String {
    let here = folder.display();
    let install = if folder.join("requirements.txt").is_file() {
        "-r requirements.txt".to_owned()
    } else {
        let name = message.split("No module named ").nth(1).unwrap_or_default();
        name.trim_matches(|c: char| c == '\'' || c == '"')
            .split(['.', '\''])
            .next()
            .unwrap_or_default()
            .to_owned()
    };
    if folder.join(".venv").is_dir() {
        format!("in {here}: .venv/bin/pip install {install}")
    } else {
        format!("in {here}: python3 -m venv .venv && .venv/bin/pip install {install}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_module_that_is_not_installed_is_named() {
        let said = "Unable to import module 'app': No module named 'requests.auth'";
        let hint = hint(Language::Python, Path::new("/f"), "Runtime.ImportModuleError", said).unwrap();
        assert_eq!(hint, "in /f: python3 -m venv .venv && .venv/bin/pip install requests");
    }

    #[test]
    fn an_error_of_the_code_has_no_hint() {
        assert_eq!(hint(Language::Python, Path::new("/f"), "KeyError", "'name'"), None);
    }
}
