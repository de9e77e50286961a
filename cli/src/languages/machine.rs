//! The programs of this machine, and their versions.

use std::{
    collections::HashMap,
    fmt,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use parking_lot::Mutex;

/// What is installed.
pub trait Machine {
    /// The program that a shell would run by this name.
    fn find(&self, program: &str) -> Option<PathBuf>;
    /// What a program prints, if it ends well.
    fn ask(&self, program: &Path, arguments: &[&str]) -> Option<String>;
    /// The interpreter that is run in the folder by this program, which prints its own path when it is given the arguments.
    /// Version managers put scripts in the place of interpreters, which look for the right one at each start.
    fn behind(&self, program: &Path, _folder: &Path, _arguments: &[&str]) -> PathBuf {
        program.to_owned()
    }
}

/// This machine. What a program said is remembered until [`Self::forget`]: to ask takes as long as a start.
#[derive(Debug, Default)]
pub struct Here {
    /// By folder, program and arguments.
    said: Mutex<HashMap<(PathBuf, PathBuf, String), String>>,
}

/// How the folder of a version manager's scripts is called: pyenv, nodenv, asdf, mise.
const SHIMS: &str = "shims";

/// A version, as far as it decides anything.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub struct Version(
    /// Major.
    pub u32,
    /// Minor.
    pub u32,
);

// === impl Here ===

impl Machine for Here {
    fn find(&self, program: &str) -> Option<PathBuf> {
        let paths = std::env::var_os("PATH")?;
        std::env::split_paths(&paths).map(|folder| folder.join(program)).find(|path| is_executable(path))
    }

    fn ask(&self, program: &Path, arguments: &[&str]) -> Option<String> {
        self.ask_in(Path::new("."), program, arguments)
    }

    fn behind(&self, program: &Path, folder: &Path, arguments: &[&str]) -> PathBuf {
        if !program.parent().is_some_and(|parent| parent.ends_with(SHIMS)) {
            return program.to_owned();
        }
        let said = self.ask_in(folder, program, arguments).map(|said| PathBuf::from(said.trim()));
        said.filter(|path| is_executable(path)).unwrap_or_else(|| program.to_owned())
    }
}

impl Here {
    /// Asks anew from here on: another version may have been chosen.
    pub fn forget(&self) {
        self.said.lock().clear();
    }

    fn ask_in(&self, folder: &Path, program: &Path, arguments: &[&str]) -> Option<String> {
        let question = (folder.to_owned(), program.to_owned(), arguments.join(" "));
        if let Some(said) = self.said.lock().get(&question) {
            return Some(said.clone());
        }
        let output =
            Command::new(program).args(arguments).current_dir(folder).stdin(Stdio::null()).output().ok()?;
        let said = output.status.success().then(|| String::from_utf8_lossy(&output.stdout).into_owned())?;
        // What failed is asked again: whatever was missing may have been installed.
        self.said.lock().insert(question, said.clone());
        Some(said)
    }
}

/// Whether it is a file that may be run.
pub(super) fn is_executable(path: &Path) -> bool {
    path.metadata().is_ok_and(|metadata| metadata.is_file() && metadata.permissions().mode() & 0o111 != 0)
}

// === impl Version ===

impl Version {
    /// The first `N.N` of what a program says of itself: `Python 3.11.7`, `v20.20.2`, `go version go1.26.1 linux/amd64`.
    pub(super) fn of(said: &str) -> Option<Self> {
        said.split(|c: char| !c.is_ascii_digit() && c != '.').find_map(|word| {
            let mut numbers = word.split('.').map(str::parse);
            match (numbers.next(), numbers.next()) {
                (Some(Ok(major)), Some(Ok(minor))) => Some(Self(major, minor)),
                _ => None,
            }
        })
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.0, self.1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn script(path: &Path, text: &str) -> PathBuf {
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, format!("#!/bin/sh\n{text}\n")).unwrap();
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o755)).unwrap();
        path.to_owned()
    }

    #[test]
    fn behind_a_version_managers_script_is_what_it_starts_in_the_folder() {
        let folder = tempfile::tempdir().unwrap();
        let real = script(&folder.path().join("versions/python3"), "");
        script(&folder.path().join("code/chosen"), "");
        let shim = script(
            &folder.path().join("shims/python3"),
            &format!("test -e chosen && echo {} || echo /nowhere", real.display()),
        );
        let here = Here::default();
        assert_eq!(here.behind(&shim, &folder.path().join("code"), &[]), real);
        assert_eq!(here.behind(&shim, folder.path(), &[]), shim);
        assert_eq!(here.behind(&real, folder.path(), &[]), real);
    }

    #[test]
    fn a_program_is_asked_once_and_again_after_forgetting_or_failing() {
        let folder = tempfile::tempdir().unwrap();
        let count = folder.path().join("count");
        let program =
            script(&folder.path().join("program"), &format!("echo x >> {0}; wc -l < {0}", count.display()));
        let here = Here::default();
        let ask = |here: &Here| here.ask(&program, &[]).map(|said| said.trim().to_owned());
        assert_eq!((ask(&here).as_deref(), ask(&here).as_deref()), (Some("1"), Some("1")));
        here.forget();
        assert_eq!(ask(&here).as_deref(), Some("2"));
        let missing = folder.path().join("later");
        assert_eq!(here.ask(&missing, &[]), None);
        script(&missing, "echo there");
        assert_eq!(here.ask(&missing, &[]).as_deref(), Some("there\n"));
    }
}
