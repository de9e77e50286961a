//! What the program prints, byte for byte, where no cluster is needed: results, errors, and how it ends.
//!
//! What a cluster is needed for is looked at on a real one (e2e/tests/functions/golden.rs) and in the tests of what lays it out.
//! After a change: `INSTA_UPDATE=always cargo test --test output`, and a look at the difference.

#![allow(clippy::unwrap_used)]

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use insta::assert_snapshot;
use tempfile::TempDir;

/// A folder with a project, and the program in it.
struct Folder(TempDir);

// === impl Folder ===

impl Folder {
    fn empty() -> Self {
        let folder = Self(tempfile::tempdir().unwrap());
        fs::create_dir(folder.path()).unwrap();
        folder
    }

    /// Its own name is the project's.
    fn path(&self) -> PathBuf {
        self.0.path().join("project")
    }

    fn with(files: &[(&str, &str)]) -> Self {
        let folder = Self::empty();
        for (name, text) in files {
            let path = folder.path().join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        folder
    }

    /// The command as typed, what it prints, what it says beside, and its exit code.
    fn run(&self, args: &[&str]) -> String {
        let mut command = Command::new(env!("CARGO_BIN_EXE_flint"));
        for (name, _) in std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("FLINT_"))
        {
            command.env_remove(name);
        }
        let home = &self.path();
        command.args(args).current_dir(home).env("HOME", home).env("KUBECONFIG", home.join("kubeconfig"));
        let output = command.stdin(Stdio::null()).output().unwrap();
        let text =
            |bytes: &[u8]| String::from_utf8_lossy(bytes).replace(&home.display().to_string(), "FOLDER");
        let mut shown = format!("$ flint {}\n{}", args.join(" "), text(&output.stdout));
        let said = text(&output.stderr);
        if !said.is_empty() {
            shown.push_str(&format!("--- standard error\n{said}"));
        }
        shown.push_str(&format!("--- exit code {}\n", output.status.code().unwrap()));
        shown
    }

    /// Several, one below the other.
    fn all(&self, commands: &[&[&str]]) -> String {
        commands.iter().map(|args| self.run(args)).collect::<Vec<_>>().join("\n")
    }
}

const PYTHON: &str = "def handler(event, context):\n    return 'hello'\n";

/// A kubeconfig of a cluster where nobody listens.
const AWAY: &str = "\
apiVersion: v1
kind: Config
current-context: here
contexts: [{name: here, context: {cluster: here, user: me}}]
clusters: [{name: here, cluster: {server: 'https://127.0.0.1:1'}}]
users: [{name: me, user: {}}]
";

#[test]
fn new_says_what_it_has_made_and_what_comes_next() {
    let folder = Folder::empty();
    let commands: &[&[&str]] = &[
        &["new", "hello"],
        &["new", "hello"],
        &["new", "hello2", "--template", "go", "-o", "json"],
        &["new", "hello3", "--template", "pyhton"],
        &["new", "--list"],
    ];
    assert_snapshot!(folder.all(commands));
}

#[test]
fn validate_says_what_is_wrong_and_where() {
    let right = Folder::with(&[("app.py", PYTHON), ("flint.yaml", "name: hello\nroutes: GET /hello\n")]);
    let wrong =
        Folder::with(&[("app.py", PYTHON), ("flint.yaml", "name: hello\ntimout: 5s\nmemory: lots\n")]);
    let commands: &[&[&str]] = &[&["validate"], &["validate", "-o", "json"], &["validate", "nowhere"]];
    assert_snapshot!(format!("{}\n{}", right.all(commands), wrong.all(commands)));
}

#[test]
fn render_prints_what_kubectl_takes() {
    let folder = Folder::with(&[
        ("app.py", PYTHON),
        ("flint.yaml", "name: hello\nroutes: GET /hello\ntimeout: 5\nenv: {STAGE: dev}\n"),
    ]);
    assert_snapshot!(folder.all(&[&["render"], &["render", "-o", "json", "-q"]]));
}

#[test]
fn import_prints_functions_and_lists_what_was_not_translated() {
    let sample = concat!(env!("CARGO_MANIFEST_DIR"), "/src/import/samples/openfaas.yaml");
    let folder =
        Folder::with(&[("stack.yaml", &fs::read_to_string(sample).unwrap()), ("other.yaml", "a: 1\n")]);
    let commands: &[&[&str]] = &[
        &["import", "openfaas", "stack.yaml"],
        &["import", "openfaas", "other.yaml"],
        &["import", "fission", "nowhere.yaml"],
    ];
    assert_snapshot!(folder.all(commands));
}

#[test]
fn schedules_and_events_need_nothing_but_the_program() {
    let after = "2026-11-21T15:00:00Z";
    let commands: &[&[&str]] = &[
        &["schedule", "next", "0 2 * * *", "--time-zone", "Europe/Lisbon", "--after", after],
        &["schedule", "next", "rate(90 minutes)", "-c", "2", "--after", after, "-o", "yaml"],
        &["schedule", "next", "0 25 * * *"],
        &["event", "ls"],
        &["event", "gen", "s3-put", "--key", "cat.jpg"],
        &["event", "gen", "s3"],
        &["version", "--client"],
    ];
    assert_snapshot!(Folder::empty().all(commands));
}

#[test]
fn without_a_cluster_each_command_says_so() {
    let folder = Folder::with(&[("app.py", PYTHON)]);
    let commands: &[&[&str]] = &[&["ls"], &["deploy"], &["version"], &["ls", "--kubeconfig", "app.py"]];
    assert_snapshot!(folder.all(commands));
}

#[test]
fn a_cluster_that_does_not_answer_is_told_from_one_that_is_not_configured() {
    let folder = Folder::with(&[("app.py", PYTHON), ("kubeconfig", AWAY)]);
    let commands: &[&[&str]] = &[
        &["ls"],
        &["ls", "--context", "there"],
        &["describe", "hello"],
        &["deploy", "--timeout", "1s"],
        &["logs", "hello"],
        &["secret", "ls"],
        &["remove", "hello", "-y"],
        &["metrics", "hello"],
    ];
    assert_snapshot!(folder.all(commands));
}

#[test]
fn wrong_usage_ends_with_2_and_says_what_is_right() {
    let folder = Folder::empty();
    let commands: &[&[&str]] = &[
        &["lss"],
        &["invoke"],
        &["invoke", "hello", "-d", "{", "--url", "http://127.0.0.1:1"],
        &["invoke", "hello", "--url", "localhost:3000"],
        &["invoke", "hello", "--http", "GET", "hello", "--url", "http://127.0.0.1:1"],
        &["invoke", "hello", "--url", "http://127.0.0.1:1"],
        &["top", "--interval", "soon"],
        &["ls", "-o", "table"],
    ];
    assert_snapshot!(folder.all(commands));
}

#[test]
fn completions_are_what_shells_read() {
    let folder = Folder::empty();
    for shell in ["bash", "zsh", "fish"] {
        let shown = folder.run(&["completion", shell]);
        assert!(shown.contains("flint") && shown.ends_with("--- exit code 0\n"), "{shell}: {shown}");
    }
    let script = folder.path().join("flint.bash");
    let printed = Command::new(env!("CARGO_BIN_EXE_flint")).args(["completion", "bash"]).output().unwrap();
    fs::write(&script, printed.stdout).unwrap();
    let read = Command::new("bash").arg("-n").arg(&script).status().unwrap();
    assert!(read.success(), "bash does not read it");
}

#[test]
fn colour_is_for_terminals_and_for_who_forces_it() {
    let folder = Folder::with(&[("app.py", PYTHON), ("flint.yaml", "timout: 5s\n")]);
    let colours = |variable: &str, value: &str| {
        let program = Path::new(env!("CARGO_BIN_EXE_flint"));
        let mut command = Command::new(program);
        command.arg("validate").current_dir(folder.path()).env(variable, value);
        String::from_utf8_lossy(&command.output().unwrap().stdout).contains('\u{1b}')
    };
    assert!(!colours("UNUSED", "1"));
    assert!(colours("CLICOLOR_FORCE", "1"));
    assert!(!colours("NO_COLOR", "1"));
}

#[test]
fn a_call_without_a_cluster_runs_the_platform_for_it() {
    let folder = Folder::with(&[
        ("app.sh", "read name\necho \"Hello, $name\"\n"),
        ("flint.yaml", "name: hello\nruntime: process\nhandler: sh app.sh\n"),
    ]);
    // Nobody listens on port 1: not even a `flint dev` of the developer's own.
    let local = |more: &[&str]| folder.run(&[&["invoke", "--local", "--port", "1"], more].concat());
    let called = local(&["hello", "-d", "\"Ada\"", "--url", "http://127.0.0.1:1"]);
    assert!(called.contains("Hello, \"Ada\"") && called.ends_with("--- exit code 0\n"), "{called}");
    let none = local(&["moon"]);
    assert!(none.ends_with("--- exit code 3\n"), "{none}");
    fs::write(folder.path().join("flint.yaml"), "timout: 5s\n").unwrap();
    let wrong = local(&["hello"]);
    assert!(wrong.contains("timout") && wrong.ends_with("--- exit code 2\n"), "{wrong}");
}

#[test]
fn called_kubectl_flint_it_speaks_as_kubectls_plugin() {
    let folder = Folder::empty();
    let plugin = folder.path().join("kubectl-flint");
    std::os::unix::fs::symlink(env!("CARGO_BIN_EXE_flint"), &plugin).unwrap();
    let said = |args: &[&str]| {
        let output = Command::new(&plugin).args(args).output().unwrap();
        String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr)
    };
    assert!(said(&["logs"]).contains("Usage: kubectl flint logs <FUNCTION>"), "{}", said(&["logs"]));
    assert!(said(&["--help"]).contains("Usage: kubectl flint "), "{}", said(&["--help"]));
    assert_eq!(said(&["version", "--client"]), format!("flint   {}\n", env!("CARGO_PKG_VERSION")));
}
