//! Python: the folder's own environment if it has one, otherwise the machine's `python3`, with a client of ours.

use std::path::PathBuf;

use super::{
    Clients, Language, Launch, Machine, Missing, Version, Wanted,
    machine::is_executable,
    packages::{Program, how_to_get},
};

/// What the client is written for.
const OLDEST: Version = Version(3, 8);

pub(super) fn plan(
    wanted: &Wanted<'_>,
    machine: &impl Machine,
    clients: &Clients,
) -> Result<Launch, Missing> {
    let python = interpreter(wanted, machine).ok_or_else(|| Missing {
        what: format!("{} is written in Python, and there is no python3 on the PATH", wanted.name),
        remedy: how_to_get(Program::Python, machine),
    })?;
    let python = machine.behind(&python, wanted.folder, &["-c", "import sys; print(sys.executable)"]);
    let version = machine.ask(&python, &["--version"]).and_then(|said| Version::of(&said));
    let program = python.to_string_lossy().into_owned();
    if let Some(version) = version.filter(|version| *version < OLDEST) {
        return Err(Missing {
            what: format!("{program} is Python {version}; {} needs {OLDEST} or later", wanted.name),
            remedy: how_to_get(Program::Python, machine),
        });
    }
    let client = clients.path("python/client.py");
    let mut launch = Launch::of(Language::Python, [&program, &client, "{handler}"]);
    // Each invocation has a process of its own, as in the cluster: a timeout ends that one alone.
    launch.env.push(("AWS_LAMBDA_MAX_CONCURRENCY".to_owned(), "1".to_owned()));
    // What was saved last is what runs: two saves within a second leave the same time on the bytecode.
    launch.env.push(("PYTHONDONTWRITEBYTECODE".to_owned(), "1".to_owned()));
    if let Some(port) = wanted.debug {
        if machine.ask(&python, &["-c", "import debugpy"]).is_none() {
            return Err(Missing {
                what: format!("{program} has no debugpy, which a debugger attaches to"),
                remedy: format!("{program} -m pip install debugpy"),
            });
        }
        launch.command.push(port.to_string());
        // Otherwise it warns of frozen modules, which no function has, at each start.
        launch.env.push(("PYDEVD_DISABLE_FILE_VALIDATION".to_owned(), "1".to_owned()));
    }
    if let Some(there) = Version::of(wanted.runtime) {
        launch.notes.extend(wanted.other_version("Python", version, there));
    }
    Ok(launch)
}

fn interpreter(wanted: &Wanted<'_>, machine: &impl Machine) -> Option<PathBuf> {
    [".venv", "venv"]
        .iter()
        .map(|environment| wanted.folder.join(environment).join("bin/python"))
        .find(|python| is_executable(python))
        .or_else(|| machine.find("python3"))
        .or_else(|| machine.find("python"))
}
