//! What a folder without any description is: its runtime and handler, found by looking at the names of files.

use std::path::Path;

/// What was found.
#[derive(Debug, Eq, PartialEq)]
pub(crate) struct Found {
    pub(crate) runtime: &'static str,
    pub(crate) handler: Option<String>,
    /// The file that told.
    pub(crate) file: String,
}

/// Names of a program's main file that people use, the likeliest first.
const STEMS: &[&str] = &["app", "handler", "index", "main", "lambda_function", "function"];
/// Names of a handler, the likeliest first.
const HANDLERS: &[&str] = &["handler", "lambda_handler", "main", "handle"];
/// Enough of a file to see what it defines.
const MOST_BYTES: u64 = 256 * 1024;
/// What is looked for, for people.
pub(crate) const LOOKED_FOR: &str = "app.py, index.js, index.ts, app.rb, app.php, main.go, Cargo.toml, bootstrap or handler.sh, and no flint.yaml, serverless.yml, template.yaml or Function";

/// Looks at a folder.
pub(crate) fn look(folder: &Path) -> Option<Found> {
    let is_file = |name: &str| folder.join(name).is_file();
    let found = |runtime, handler, file: &str| Some(Found { runtime, handler, file: file.to_owned() });
    for (runtime, ends) in [
        ("python3.11", &["py"][..]),
        ("nodejs", &["mjs", "js", "cjs", "ts", "mts"][..]),
        ("ruby", &["rb"][..]),
        ("php", &["php"][..]),
    ] {
        for stem in STEMS {
            for end in ends {
                let file = format!("{stem}.{end}");
                if is_file(&file) {
                    let handler = defined(&read(&folder.join(&file)), runtime);
                    return found(runtime, Some(format!("{stem}.{}", handler.unwrap_or("handler"))), &file);
                }
            }
        }
    }
    for file in ["bootstrap", "main.go", "go.mod", "Cargo.toml"] {
        if is_file(file) {
            return found("provided", Some("bootstrap".to_owned()), file);
        }
    }
    for file in ["handler.sh", "function.sh", "main.sh", "app.sh"] {
        if is_file(file) {
            return found("process", Some(format!("./{file}")), file);
        }
    }
    None
}

/// The handler that a program defines.
fn defined(text: &str, runtime: &str) -> Option<&'static str> {
    HANDLERS.iter().copied().find(|name| {
        text.lines().any(|line| match runtime {
            "nodejs" => node_exports(line, name),
            "php" => php_defines(line, name),
            // Ruby begins a method as Python does a function.
            _ => python_defines(line, name),
        })
    })
}

fn python_defines(line: &str, name: &str) -> bool {
    let rest = line.strip_prefix("def ").or_else(|| line.strip_prefix("async def "));
    let assigned = line.strip_prefix(name).is_some_and(|rest| rest.trim_start().starts_with('='));
    assigned
        || rest
            .and_then(|rest| rest.trim_start().strip_prefix(name))
            .is_some_and(|rest| rest.trim_start().starts_with('('))
}

fn php_defines(line: &str, name: &str) -> bool {
    let rest = line.strip_prefix("function ").and_then(|rest| rest.trim_start().strip_prefix(name));
    rest.is_some_and(|rest| rest.trim_start().starts_with('('))
}

fn node_exports(line: &str, name: &str) -> bool {
    let word = |text: &str| {
        text.trim_start()
            .strip_prefix(name)
            .is_some_and(|rest| !rest.starts_with(|next: char| next.is_alphanumeric() || next == '_'))
    };
    let exported = line.strip_prefix("export ").is_some_and(|rest| {
        ["const ", "let ", "var ", "function ", "async function "]
            .iter()
            .any(|kind| rest.strip_prefix(kind).is_some_and(word))
    });
    let listed = ["export {", "module.exports = {"]
        .iter()
        .any(|start| line.strip_prefix(start).is_some_and(|rest| rest.split([',', '}']).any(word)));
    let assigned =
        ["exports.", "module.exports."].iter().any(|start| line.strip_prefix(start).is_some_and(word));
    exported || listed || assigned
}

fn read(path: &Path) -> String {
    use std::io::Read as _;
    let mut bytes = Vec::new();
    if let Ok(file) = std::fs::File::open(path) {
        // What cannot be read is found out when it is run; here it says nothing.
        let _ = file.take(MOST_BYTES).read_to_end(&mut bytes);
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use std::fs;

    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case(&[("app.py", "import os\n\ndef lambda_handler(event, context):\n")], "python3.11", "app.lambda_handler")]
    #[case(&[("lambda_function.py", "async def handler(event, context):\n")], "python3.11", "lambda_function.handler")]
    #[case(&[("main.py", "handler = Mangum(app)\n")], "python3.11", "main.handler")]
    #[case(&[("index.js", "exports.handler = async () => {}\n"), ("package.json", "{}")], "nodejs", "index.handler")]
    #[case(&[("index.mjs", "export const handle = () => {}\n")], "nodejs", "index.handle")]
    #[case(&[("app.js", "module.exports = { other, main }\n")], "nodejs", "app.main")]
    #[case(&[("app.ts", "export async function handler(event: unknown) {\n")], "nodejs", "app.handler")]
    #[case(&[("app.rb", "def lambda_handler(event:, context:)\nend\n")], "ruby", "app.lambda_handler")]
    #[case(&[("index.php", "<?php\nreturn fn ($event) => $event;\n")], "php", "index.handler")]
    #[case(&[("main.go", "package main\n")], "provided", "bootstrap")]
    #[case(&[("bootstrap", "#!/bin/sh\n")], "provided", "bootstrap")]
    #[case(&[("handler.sh", "")], "process", "./handler.sh")]
    fn a_folder_says_what_it_is(
        #[case] files: &[(&str, &str)],
        #[case] runtime: &str,
        #[case] handler: &str,
    ) {
        let folder = tempfile::tempdir().unwrap();
        for (name, text) in files {
            fs::write(folder.path().join(name), text).unwrap();
        }
        let found = look(folder.path()).unwrap();
        assert_eq!((found.runtime, found.handler.as_deref()), (runtime, Some(handler)));
    }

    #[test]
    fn a_folder_of_something_else_says_nothing() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("README.md"), "").unwrap();
        assert_eq!(look(folder.path()), None);
    }
}
