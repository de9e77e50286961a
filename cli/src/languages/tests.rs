use std::collections::BTreeMap;

use super::*;

/// A machine with these programs; each says its version.
#[derive(Default)]
struct Fake {
    says: BTreeMap<&'static str, &'static str>,
    refuses: Vec<&'static str>,
}

impl Machine for Fake {
    fn find(&self, program: &str) -> Option<PathBuf> {
        self.says.contains_key(program).then(|| Path::new("/bin").join(program))
    }

    fn ask(&self, program: &Path, arguments: &[&str]) -> Option<String> {
        if self.refuses.contains(&arguments.last().copied().unwrap_or_default()) {
            return None;
        }
        let name = program.file_name()?.to_str()?;
        self.says.get(name).map(|said| (*said).to_owned())
    }
}

struct Folder {
    code: tempfile::TempDir,
    cache: tempfile::TempDir,
}

impl Folder {
    fn with(files: &[&str]) -> Self {
        let code = tempfile::tempdir().unwrap();
        for file in files {
            let path = code.path().join(file);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, "").unwrap();
        }
        Self { code, cache: tempfile::tempdir().unwrap() }
    }

    fn plan(&self, runtime: &str, handler: &str, machine: &Fake) -> Result<Launch, Missing> {
        self.plan_debugged(runtime, handler, None, machine)
    }

    fn plan_debugged(
        &self,
        runtime: &str,
        handler: &str,
        debug: Option<u16>,
        machine: &Fake,
    ) -> Result<Launch, Missing> {
        let clients = Clients::install(Cache::at(self.cache.path())).unwrap();
        plan(&Wanted { name: "hello", folder: self.code.path(), runtime, handler, debug }, machine, &clients)
    }
}

fn machine(says: &[(&'static str, &'static str)]) -> Fake {
    Fake { says: says.iter().copied().collect(), refuses: Vec::new() }
}

#[test]
fn python_runs_our_client_and_the_client_is_there() {
    let launch = Folder::with(&["app.py"]).plan(
        "python3.11",
        "app.handler",
        &machine(&[("python3", "Python 3.11.7")]),
    );
    let launch = launch.unwrap();
    assert_eq!(launch.command[0], "/bin/python3");
    assert!(launch.command[1].ends_with("/python/client.py"));
    assert_eq!(launch.command[2], "{handler}");
    assert!(launch.notes.is_empty());
}

#[test]
fn the_clients_are_written_once() {
    let cache = tempfile::tempdir().unwrap();
    let first = Clients::install(Cache::at(cache.path())).unwrap();
    let second = Clients::install(Cache::at(cache.path())).unwrap();
    assert_eq!(first.path("node/index.mjs"), second.path("node/index.mjs"));
    assert!(Path::new(&first.path("node/index.mjs")).is_file());
    assert_eq!(std::fs::read_dir(cache.path().join("clients")).unwrap().count(), 1);
}

#[test]
fn another_python_than_the_clusters_is_told() {
    let launch = Folder::with(&["app.py"]).plan(
        "python3.11",
        "app.handler",
        &machine(&[("python3", "Python 3.13.1")]),
    );
    assert_eq!(launch.unwrap().notes, ["hello runs on Python 3.13 here, on 3.11 in the cluster"]);
}

#[test]
fn what_is_missing_comes_with_the_command_to_get_it() {
    let missing = Folder::with(&["app.py"]).plan("python3.11", "app.handler", &machine(&[("apt-get", "")]));
    let missing = missing.unwrap_err();
    assert_eq!(missing.what, "hello is written in Python, and there is no python3 on the PATH");
    assert_eq!(
        missing.remedy,
        "sudo apt-get install python3 python3-venv, or see https://www.python.org/downloads/"
    );
    let missing =
        Folder::with(&["main.go"]).plan("provided", "hello", &machine(&[("brew", "")])).unwrap_err();
    assert_eq!(missing.remedy, "brew install go, or see https://go.dev/dl/");
}

#[test]
fn what_is_too_old_is_named_with_its_version() {
    let old = Folder::with(&["index.js"]).plan("nodejs", "index.handler", &machine(&[("node", "v16.20.0")]));
    assert_eq!(old.unwrap_err().what, "/bin/node is Node.js 16.20; hello needs 18.0 or later");
}

#[test]
fn typescript_needs_a_node_that_reads_it_or_tsx() {
    let folder = Folder::with(&["index.ts"]);
    let at = |said| folder.plan("nodejs", "index.handler", &machine(&[("node", said)]));
    assert!(at("v20.20.2").unwrap_err().remedy.starts_with("npm install --save-dev tsx in "));
    assert!(at("v22.7.0").unwrap().command.contains(&"--experimental-strip-types".to_owned()));
    assert!(at("v23.1.0").unwrap().command.contains(&"--experimental-strip-types".to_owned()));
    for strips in ["v22.18.0", "v23.6.0", "v24.1.0"] {
        assert!(!at(strips).unwrap().command.iter().any(|word| word.contains("strip")), "{strips}");
    }
    let folder = Folder::with(&["index.ts", "node_modules/tsx/dist/loader.mjs"]);
    let launch = folder.plan("nodejs", "index.handler", &machine(&[("node", "v20.20.2")])).unwrap();
    assert!(launch.command.iter().any(|word| word.ends_with("tsx/dist/loader.mjs")));
}

#[test]
fn a_javascript_file_beside_a_typescript_one_is_what_runs() {
    let folder = Folder::with(&["index.ts", "index.js"]);
    assert!(folder.plan("nodejs", "index.handler", &machine(&[("node", "v20.20.2")])).is_ok());
}

#[test]
fn a_debugger_gets_its_port_and_python_needs_debugpy() {
    let folder = Folder::with(&["app.py", "index.js"]);
    let launch =
        folder.plan_debugged("nodejs", "index.handler", Some(9229), &machine(&[("node", "v20.1.0")]));
    let command = launch.unwrap().command;
    assert_eq!(command[command.len() - 2..], ["9229", "{handler}"]);
    let mut machine = machine(&[("python3", "Python 3.11.7")]);
    let launch = folder.plan_debugged("python3.11", "app.handler", Some(5678), &machine).unwrap();
    assert_eq!(launch.command.last().unwrap(), "5678");
    machine.refuses.push("import debugpy");
    let missing = folder.plan_debugged("python3.11", "app.handler", Some(5678), &machine).unwrap_err();
    assert_eq!(missing.remedy, "/bin/python3 -m pip install debugpy");
}

#[test]
fn go_and_rust_are_built_and_a_bootstrap_runs_as_it_is() {
    let machine = machine(&[("go", "go1.26"), ("cargo", "cargo 1.95")]);
    let go = Folder::with(&["go.mod", "main.go", "bootstrap"]).plan("provided", "x", &machine).unwrap();
    assert_eq!((go.language, go.build.is_some()), (Language::Go, true));
    let rust = Folder::with(&["Cargo.toml"]).plan("provided.al2023", "x", &machine).unwrap();
    assert_eq!((rust.language, rust.build.is_some()), (Language::Rust, true));
    let not_yet = Folder::with(&["bootstrap"]).plan("provided", "x", &machine).unwrap_err();
    assert!(not_yet.remedy.starts_with("chmod +x "));
}

#[test]
fn versions_are_read_as_programs_say_them() {
    for (said, version) in [
        ("Python 3.11.7", Version(3, 11)),
        ("v20.20.2\n", Version(20, 20)),
        ("go version go1.26.1 linux/amd64", Version(1, 26)),
        ("nodejs22.x 18.1", Version(18, 1)),
    ] {
        assert_eq!(Version::of(said), Some(version), "{said}");
    }
    assert_eq!(Version::of("no number"), None);
}
