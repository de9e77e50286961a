//! `flint new`: a new function from a template.

use std::{
    fs,
    io::Write as _,
    path::{Path, PathBuf},
};

use serde::Serialize;

use super::Context;
use crate::{
    error::Error,
    output::{DIM, Table},
    project::{closest, name_of},
    templates::{TEMPLATES, Template},
};

/// Its arguments.
#[derive(Debug, clap::Args)]
#[command(
    long_about = "A new function from a template: code, a test that runs, and a flint.yaml.\n\n\
    Nothing that is there is overwritten.",
    after_help = "Examples:\n  flint new hello\n  flint new nightly-report --template go-schedule\n  flint new --list"
)]
pub struct Args {
    /// The function's name, and the folder that is made for it; . for this folder
    #[arg(default_value = "hello")]
    name: PathBuf,
    /// The template: --list has them
    #[arg(short, long, default_value = "python")]
    template: String,
    /// List the templates, and do nothing
    #[arg(long)]
    list: bool,
}

/// What scripts read.
#[derive(Debug, Serialize)]
struct Made {
    name: String,
    folder: PathBuf,
    files: Vec<String>,
    next: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    deploy: Option<&'static str>,
}

/// # Errors
/// When there is no such template, or a file of it is there already.
pub(super) async fn run(args: Args, context: Context<'_>) -> Result<(), Error> {
    let Args { name: folder, template, list } = args;
    if list {
        let all: Vec<_> = TEMPLATES.iter().map(|template| [template.name, template.about]).collect();
        return context.output.result(&all, table);
    }
    let made = make(&folder, find(&template)?)?;
    context.output.result(&made, || text(&made))
}

fn find(name: &str) -> Result<&'static Template, Error> {
    TEMPLATES.iter().find(|template| template.name == name).ok_or_else(|| {
        let names: Vec<_> = TEMPLATES.iter().map(|template| template.name).collect();
        let error = Error::usage(format!("there is no template {name}"));
        match closest(name, &names) {
            Some(meant) => error.try_this(format!("flint new --template {meant}")),
            None => error.try_this("flint new --list"),
        }
    })
}

/// Makes the folder and its files; none of them, if one is there.
fn make(folder: &Path, template: &Template) -> Result<Made, Error> {
    let failed = |path: &Path, error: std::io::Error| {
        Error::platform(format!("{} cannot be written", path.display())).because(error)
    };
    // The folder of `.` has a name, too.
    let whole = std::path::absolute(folder).map_err(|error| failed(folder, error))?;
    let name = name_of(&whole.file_name().unwrap_or_default().to_string_lossy());
    if name.is_empty() || name.len() > 49 {
        return Err(Error::usage(format!("{} gives no name for a function", folder.display()))
            .try_this("flint new hello: up to 49 letters, digits and '-'"));
    }
    let files = template.files(&name);
    for (file, _) in &files {
        let path = folder.join(file);
        if path.symlink_metadata().is_ok() {
            return Err(Error::usage(format!("{} is there already, and is not overwritten", path.display()))
                .try_this("flint new with another name"));
        }
    }
    for (file, text) in &files {
        let path = folder.join(file);
        if let Some(parent) = path.parent() {
            fs::create_dir_all(parent).map_err(|error| failed(parent, error))?;
        }
        let mut options = fs::OpenOptions::new();
        options.write(true).create_new(true);
        if text.starts_with("#!") {
            std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o755);
        }
        let mut open = options.open(&path).map_err(|error| failed(&path, error))?;
        open.write_all(text.as_bytes()).map_err(|error| failed(&path, error))?;
    }
    let here = folder == Path::new(".");
    let enter = (!here).then(|| format!("cd {}", folder.display()));
    let next = enter.into_iter().chain([template.test.to_owned(), "flint dev".to_owned()]).collect();
    Ok(Made {
        name,
        folder: folder.to_owned(),
        files: files.into_iter().map(|(file, _)| file).collect(),
        next,
        deploy: template.deploy(),
    })
}

fn text(made: &Made) -> String {
    let mut text = format!("{}: {}\n", made.folder.display(), made.files.join(" "));
    for command in &made.next {
        text.push_str(&format!("\n  {command}"));
    }
    if let Some(deploy) = made.deploy {
        text.push_str(&format!("\n\n{DIM}and `{deploy}` brings it to a cluster{DIM:#}"));
    }
    text
}

fn table() -> String {
    let mut table = Table::new(["TEMPLATE", "WHAT IT IS"]);
    for template in TEMPLATES {
        table.row([template.name.to_owned(), template.about.to_owned()]);
    }
    table.to_string()
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;
    use crate::project::{Options, load};

    /// A folder with the template's files in it.
    fn made(template: &Template) -> (tempfile::TempDir, PathBuf) {
        let dir = tempfile::tempdir().unwrap();
        let folder = dir.path().join("hello");
        make(&folder, template).unwrap();
        (dir, folder)
    }

    #[test]
    fn a_template_has_five_files_at_most_and_its_project_is_right() {
        for template in TEMPLATES {
            let (_dir, folder) = made(template);
            assert!(template.files("hello").len() <= 5, "{}", template.name);
            if template.name.starts_with("typescript") {
                // Its handler is what the compiler makes.
                fs::create_dir(folder.join("dist")).unwrap();
                fs::write(folder.join("dist/app.js"), "").unwrap();
            }
            let project = load(&folder, &Options::default());
            let project = project.unwrap_or_else(|notes| panic!("{}: {notes:?}", template.name));
            assert_eq!(project.notes, vec![], "{}", template.name);
            assert_eq!(project.functions.len(), 1, "{}", template.name);
            assert_eq!(project.name, "hello");
        }
    }

    /// What tools say when they would have to load something and cannot.
    const ALONE: [&str; 8] = [
        "Cannot access central",
        "GOPROXY=off",
        "lookup disabled",
        "--offline",
        "ENOTCACHED",
        "EAI_AGAIN",
        "ENOTFOUND",
        "npm: not found",
    ];

    /// Runs a template's own test. A tool that this machine does not have, or that would have to load something first, is
    /// no failure of the template.
    fn tested(program: &str, args: &[&str], env: &[(&str, &str)], prefix: &str) {
        if Command::new(program).arg("--version").output().is_err() {
            eprintln!("{program} is not installed: nothing is shown of {prefix}");
            return;
        }
        for template in TEMPLATES.iter().filter(|template| template.name.split('-').next() == Some(prefix)) {
            let (_dir, folder) = made(template);
            let output = Command::new(program)
                .args(args)
                .envs(env.iter().copied())
                .current_dir(folder)
                .output()
                .unwrap();
            let said = String::from_utf8_lossy(&output.stderr) + String::from_utf8_lossy(&output.stdout);
            let alone = ALONE.iter().any(|word| said.contains(word));
            assert!(output.status.success() || alone, "{}: {said}", template.name);
            if !output.status.success() {
                eprintln!("{}: its packages are not on this machine: nothing is shown", template.name);
            }
        }
    }

    #[test]
    fn tests_in_python_pass() {
        tested("python3", &["-m", "unittest"], &[], "python");
        tested("python3", &["-m", "unittest"], &[], "container");
    }

    #[test]
    fn tests_in_node_pass() {
        tested("node", &["--test"], &[], "node");
    }

    #[test]
    fn tests_in_go_pass() {
        tested("go", &["test"], &[("GOPROXY", "off"), ("GOFLAGS", "-mod=readonly")], "go");
    }

    #[test]
    fn tests_in_rust_pass() {
        // One folder for all three: what they need is compiled once.
        let target = tempfile::tempdir().unwrap();
        let env = [
            ("CARGO_TARGET_DIR", target.path().to_str().unwrap()),
            ("CARGO_PROFILE_DEV_DEBUG", "0"),
            ("CARGO_INCREMENTAL", "0"),
        ];
        tested("cargo", &["test", "--quiet", "--offline"], &env, "rust");
    }

    #[test]
    fn tests_in_typescript_pass() {
        let test = "npm install --offline --no-audit --no-fund && npm test";
        tested("sh", &["-c", test], &[], "typescript");
    }

    #[test]
    fn tests_in_ruby_and_php_pass() {
        tested("ruby", &["test_app.rb"], &[], "ruby");
        tested("php", &["test.php"], &[], "php");
    }

    #[test]
    fn tests_in_java_pass() {
        tested("mvn", &["--batch-mode", "--quiet", "--offline", "test"], &[], "java");
    }

    #[test]
    fn tests_in_shell_pass() {
        tested("sh", &["test.sh"], &[], "shell");
    }

    #[test]
    fn nothing_is_overwritten() {
        let dir = tempfile::tempdir().unwrap();
        let folder = dir.path().join("hello");
        fs::create_dir(&folder).unwrap();
        fs::write(folder.join("test_app.py"), "mine").unwrap();
        let error = make(&folder, find("python").unwrap()).unwrap_err();
        assert_eq!(error.code(), 2);
        assert!(!folder.join("app.py").exists(), "none of the files is written");
        assert_eq!(fs::read_to_string(folder.join("test_app.py")).unwrap(), "mine");
    }

    #[test]
    fn a_template_that_is_none_says_which_may_be_meant() {
        assert_eq!(find("pyhton").unwrap_err().remedy(), Some("flint new --template python"));
        assert_eq!(find("cobol").unwrap_err().remedy(), Some("flint new --list"));
    }

    #[test]
    fn scripts_of_the_shell_may_be_run() {
        use std::os::unix::fs::PermissionsExt as _;
        let (_dir, folder) = made(find("shell").unwrap());
        let mode = fs::metadata(folder.join("handler.sh")).unwrap().permissions().mode();
        assert_eq!(mode & 0o111, 0o111);
    }
}
