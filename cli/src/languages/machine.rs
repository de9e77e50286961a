//! The programs of this machine, and their versions.

use std::{
    fmt,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

/// What is installed.
pub trait Machine {
    /// The program that a shell would run by this name.
    fn find(&self, program: &str) -> Option<PathBuf>;
    /// What a program prints, if it ends well.
    fn ask(&self, program: &Path, arguments: &[&str]) -> Option<String>;
}

/// This machine.
#[derive(Clone, Copy, Debug, Default)]
pub struct Here;

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
        let output = Command::new(program).args(arguments).stdin(Stdio::null()).output().ok()?;
        output.status.success().then(|| String::from_utf8_lossy(&output.stdout).into_owned())
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
