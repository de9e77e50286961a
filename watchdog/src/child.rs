//! Children: started in a process group of their own, waited for by the reaper, ended with everything they started.

mod reaper;
mod tree;

use std::ffi::{OsStr, OsString};
use std::io;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;
use tokio::sync::oneshot;

pub use self::reaper::{Exit, Reaper};

/// What to start, and how.
#[derive(Clone, Debug)]
pub struct Program {
    path: PathBuf,
    arguments: Vec<String>,
    folder: PathBuf,
    environment: Vec<(OsString, OsString)>,
}

/// A running child.
#[derive(Debug)]
pub struct Child {
    pid: Pid,
    exit: oneshot::Receiver<Exit>,
}

/// Ends a child from anywhere, also after the one who waits for it took it.
#[derive(Clone, Copy, Debug)]
pub struct Handle(Option<Pid>);

/// Why a program cannot be started.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The working directory is not there.
    #[error("the working directory {0} cannot be used: {1}")]
    WorkingDirectory(PathBuf, #[source] io::Error),
    /// No such program.
    #[error("{0} is not in {1}, nor on the PATH")]
    NotFound(String, PathBuf),
    /// It is there and may not be run.
    #[error("{0} is not executable (chmod +x)")]
    NotExecutable(PathBuf),
    /// The kernel says no.
    #[error("{0} cannot be started: {1}")]
    Spawn(PathBuf, #[source] io::Error),
    /// Its streams cannot be made.
    #[error("no pipes for the child: {0}")]
    Pipes(#[source] io::Error),
}

// === impl Program ===

impl Program {
    /// Finds the program as the child would: from its folder, or on its PATH.
    ///
    /// # Errors
    /// When there is no such folder or program, or it cannot be run.
    pub fn find(
        command: &[String],
        folder: &Path,
        environment: Vec<(OsString, OsString)>,
    ) -> Result<Self, StartError> {
        std::fs::read_dir(folder).map_err(|error| StartError::WorkingDirectory(folder.to_owned(), error))?;
        let (name, arguments) =
            command.split_first().map_or(("", command), |(name, rest)| (name.as_str(), rest));
        let path = if name.contains('/') {
            let path = folder.join(name);
            if !path.is_file() {
                return Err(StartError::NotFound(name.to_owned(), folder.to_owned()));
            }
            if !is_executable(&path) {
                return Err(StartError::NotExecutable(path));
            }
            path
        } else {
            let paths = environment.iter().find(|(key, _)| key == "PATH").map(|(_, value)| value.as_os_str());
            std::env::split_paths(paths.unwrap_or_else(|| OsStr::new("/usr/local/bin:/usr/bin:/bin")))
                .map(|folder| folder.join(name))
                .find(|path| is_executable(path))
                .ok_or_else(|| StartError::NotFound(name.to_owned(), folder.to_owned()))?
        };
        Ok(Self { path, arguments: arguments.to_vec(), folder: folder.to_owned(), environment })
    }

    /// Starts it with more variables, which win over the ones it has.
    ///
    /// # Errors
    /// When the kernel says no.
    pub fn start(
        &self,
        reaper: &Reaper,
        more: impl IntoIterator<Item = (OsString, OsString)>,
        streams: [Stdio; 3],
    ) -> Result<Child, StartError> {
        let [stdin, stdout, stderr] = streams;
        let mut command = Command::new(&self.path);
        command
            .args(&self.arguments)
            .current_dir(&self.folder)
            .env_clear()
            .envs(self.environment.iter().map(|(name, value)| (name, value)))
            .envs(more)
            .stdin(stdin)
            .stdout(stdout)
            .stderr(stderr)
            .process_group(0);
        let (pid, exit) =
            reaper.spawn(&mut command).map_err(|error| StartError::Spawn(self.path.clone(), error))?;
        Ok(Child { pid, exit })
    }
}

fn is_executable(path: &Path) -> bool {
    path.metadata().is_ok_and(|metadata| metadata.is_file() && metadata.permissions().mode() & 0o111 != 0)
}

// === impl Child ===

impl Child {
    /// Ends it from elsewhere.
    #[must_use]
    pub fn handle(&self) -> Handle {
        Handle(Some(self.pid))
    }

    /// How it ended. To be awaited as often as needed, until it has said so once.
    pub async fn exited(&mut self) -> Exit {
        (&mut self.exit).await.unwrap_or(Exit::Unknown)
    }
}

// === impl Handle ===

impl Handle {
    /// A handle for tests that end nobody.
    #[cfg(test)]
    pub(crate) fn of(pid: i32) -> Self {
        Self(Some(Pid::from_raw(pid)))
    }

    /// A handle of a process that is not ours to end.
    pub(crate) const fn nobody() -> Self {
        Self(None)
    }

    /// The process id; 0 is nobody's.
    #[must_use]
    pub fn pid(self) -> i32 {
        self.0.map_or(0, Pid::as_raw)
    }

    /// Asks it to end.
    pub fn terminate(self) {
        if let Some(pid) = self.0 {
            let _ = killpg(pid, Signal::SIGTERM);
        }
    }

    /// Ends it and everything that it started, wherever that moved to.
    pub fn kill(self) {
        let Some(pid) = self.0 else { return };
        let strays = tree::descendants(pid.as_raw());
        let _ = killpg(pid, Signal::SIGKILL);
        tree::kill(&strays);
    }
}

// === impl StartError ===

impl StartError {
    /// Lambda's name for it.
    #[must_use]
    pub fn error_type(&self) -> &'static str {
        match self {
            Self::WorkingDirectory(..) => "Runtime.InvalidWorkingDir",
            Self::NotFound(..) | Self::NotExecutable(..) | Self::Spawn(..) => "Runtime.InvalidEntrypoint",
            Self::Pipes(_) => "Runtime.Unknown",
        }
    }
}
