//! Names of runtimes, Flint's and AWS Lambda's, and what a handler is the name of.

use super::{Language, schema::closest};

/// What a name of a runtime comes to here.
#[derive(Debug, Eq, PartialEq)]
pub(crate) struct Known {
    /// Flint's Runtime.
    pub(crate) runtime: &'static str,
    /// What of the name is not honoured.
    pub(crate) remark: Option<String>,
}

const HERE: &[&str] = &["python3.11", "nodejs", "java17", "ruby", "php", "provided", "process"];

/// The Runtime for a name as it is written in Flint's, the Serverless Framework's or SAM's files.
pub(crate) fn known(name: &str) -> Result<Known, String> {
    if let Some(runtime) = HERE.iter().find(|here| **here == name) {
        return Ok(Known { runtime, remark: None });
    }
    let as_is = |runtime: &'static str| Ok(Known { runtime, remark: None });
    if let Some(minor) = name.strip_prefix("python3.").and_then(|minor| minor.parse::<u8>().ok())
        && minor >= 6
    {
        return Ok(Known { runtime: "python3.11", remark: Some(format!("{name} runs as python3.11 here")) });
    }
    let other = |runtime, name: &str| {
        Ok(Known { runtime, remark: Some(format!("{name} runs as {runtime} here, whatever its version")) })
    };
    match name {
        "python" | "python3" => as_is("python3.11"),
        "node" => as_is("nodejs"),
        "provided.al2" | "provided.al2023" => as_is("provided"),
        "go1.x" => Ok(Known {
            runtime: "provided",
            remark: Some(
                "go1.x runs as provided here: the program has to be built with the name bootstrap".to_owned(),
            ),
        }),
        "java" => as_is("java17"),
        "java8.al2" | "java11" | "java21" | "java25" => other("java17", name),
        _ if name.starts_with("nodejs") && name.ends_with(".x") => other("nodejs", name),
        _ if name.starts_with("ruby3.") => other("ruby", name),
        _ if name.starts_with("php-8") || name.starts_with("php8") => other("php", name),
        _ => {
            let there = HERE.join(", ");
            Err(match closest(name, HERE) {
                Some(meant) => format!("there is no runtime {name}: did you mean {meant}?"),
                None => format!(
                    "there is no runtime {name} here: there are {there}; anything else runs as a container, with image"
                ),
            })
        }
    }
}

/// The language that a runtime and its handler speak of.
pub(crate) fn language(runtime: &str, exists: impl Fn(&str) -> bool, handler: &str) -> Option<Language> {
    match runtime {
        "python3.11" => Some(Language::Python),
        "nodejs" => {
            let typed = [".ts", ".mts"].iter().any(|end| exists(&format!("{}{end}", module(handler))));
            Some(if typed { Language::TypeScript } else { Language::Node })
        }
        "java17" => Some(Language::Java),
        "ruby" => Some(Language::Ruby),
        "php" => Some(Language::Php),
        "process" if handler.contains(".sh") => Some(Language::Shell),
        _ if exists("bootstrap") => None,
        _ if exists("go.mod") || exists("main.go") => Some(Language::Go),
        _ if exists("Cargo.toml") => Some(Language::Rust),
        _ => None,
    }
}

/// What is wrong with a handler, by the files there are; nothing for runtimes that somebody else made.
pub(crate) fn handler_is_missing(
    runtime: &str,
    handler: &str,
    exists: impl Fn(&str) -> bool,
) -> Option<String> {
    let (files, kind): (Vec<String>, _) = match runtime {
        "python3.11" => {
            let parts = handler.rsplit_once('.');
            let Some((module, _)) =
                parts.filter(|(module, function)| !module.is_empty() && !function.is_empty())
            else {
                return Some(format!(
                    "handler {handler} names no function: write FILE.FUNCTION, such as app.handler"
                ));
            };
            let module = module.replace('.', "/");
            (vec![format!("{module}.py"), format!("{module}/__init__.py")], "handler")
        }
        "nodejs" => {
            let module = module(handler);
            if module == handler {
                return Some(format!(
                    "handler {handler} names no function: write FILE.FUNCTION, such as index.handler"
                ));
            }
            let ends = [".js", ".mjs", ".cjs", ".ts", ".mts", ""];
            (ends.iter().map(|end| format!("{module}{end}")).collect(), "handler")
        }
        // Lambda's form is FILE.METHOD and FILE.CLASS.METHOD.
        "ruby" | "php" => {
            let end = if runtime == "ruby" { "rb" } else { "php" };
            let module = module(handler);
            if module == handler {
                return Some(format!(
                    "handler {handler} names no function: write FILE.FUNCTION, such as app.handler"
                ));
            }
            (vec![format!("{module}.{end}")], "handler")
        }
        "provided" => {
            let files = ["bootstrap", "go.mod", "main.go", "Cargo.toml"].map(str::to_owned).to_vec();
            (files, "the program")
        }
        "process" => {
            let program = handler.split(' ').next().unwrap_or_default();
            match program.strip_prefix("./") {
                Some(program) => (vec![program.to_owned()], "handler"),
                None => return None,
            }
        }
        _ => return None,
    };
    if files.iter().any(|file| exists(file)) {
        return None;
    }
    let first = files.first().map(String::as_str).unwrap_or_default();
    Some(match kind {
        "handler" => format!("handler {handler} is in {first}, which is not there"),
        _ => "there is no bootstrap, and nothing it could be built from (go.mod, Cargo.toml)".to_owned(),
    })
}

/// The part of a handler before the first dot of its last name: `src/app.handler` is in `src/app`.
fn module(handler: &str) -> &str {
    let name = handler.rfind('/').map_or(0, |slash| slash + 1);
    handler[name..].find('.').map_or(handler, |dot| &handler[..name + dot])
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case("python3.11", "python3.11")]
    #[case("python3.8", "python3.11")]
    #[case("python3.13", "python3.11")]
    #[case("nodejs20.x", "nodejs")]
    #[case("provided.al2023", "provided")]
    #[case("go1.x", "provided")]
    #[case("java21", "java17")]
    #[case("ruby3.3", "ruby")]
    fn names_of_lambda_come_to_runtimes_here(#[case] name: &str, #[case] runtime: &str) {
        assert_eq!(known(name).unwrap().runtime, runtime);
    }

    #[rstest]
    #[case("dotnet8", "there is no runtime dotnet8 here: there are")]
    #[case("python2.7", "there is no runtime python2.7")]
    #[case("proces", "there is no runtime proces: did you mean process?")]
    fn others_are_refused_with_what_to_do(#[case] name: &str, #[case] said: &str) {
        let message = known(name).unwrap_err();
        assert!(message.starts_with(said), "{message}");
    }

    #[rstest]
    #[case("python3.11", "app.handler", "app.py")]
    #[case("python3.11", "src/app.handler", "src/app.py")]
    #[case("python3.11", "src.api.app.handler", "src/api/app.py")]
    #[case("python3.11", "api.handler", "api/__init__.py")]
    #[case("nodejs", "index.handler", "index.mjs")]
    #[case("nodejs", "src/users.api.get", "src/users.ts")]
    #[case("ruby", "src/app.Orders.list", "src/app.rb")]
    #[case("php", "app.handler", "app.php")]
    #[case("process", "./run.sh --fast", "run.sh")]
    #[case("provided", "any", "bootstrap")]
    #[case("provided", "any", "go.mod")]
    fn a_handler_is_found_in_its_file(#[case] runtime: &str, #[case] handler: &str, #[case] file: &str) {
        assert_eq!(handler_is_missing(runtime, handler, |name| name == file), None);
        assert!(handler_is_missing(runtime, handler, |_| false).is_some());
    }

    #[test]
    fn runtimes_of_others_and_programs_of_the_system_are_not_looked_for() {
        assert_eq!(handler_is_missing("elixir", "app.handler", |_| false), None);
        assert_eq!(handler_is_missing("java17", "com.example.Handler", |_| false), None);
        assert_eq!(handler_is_missing("process", "wc -c", |_| false), None);
    }
}
