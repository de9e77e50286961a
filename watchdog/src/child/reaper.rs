//! The reaper: waits for every child, also for the ones that others left behind.
//!
//! As PID 1 (or as a subreaper) this process inherits the orphans of its children and has to wait for them, or they stay as
//! zombies. So there is one place that calls `wait` for any child, and it tells those who started theirs. Starting takes the
//! same lock as reaping: a child that ends at once is known by the time it is found.

use std::collections::HashMap;
use std::fmt;
use std::io;
use std::process::Command;

use nix::errno::Errno;
use nix::sys::signal::Signal;
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::Pid;
use parking_lot::Mutex;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::oneshot;

use super::tree;

/// How a process ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// By itself, with a code.
    Code(i32),
    /// By a signal.
    Signal(Signal),
    /// Nobody knows: somebody else waited for it.
    Unknown,
}

/// Waits for children. One to a process.
#[derive(Debug, Default)]
pub struct Reaper {
    waiting: Mutex<HashMap<i32, oneshot::Sender<Exit>>>,
}

// === impl Reaper ===

impl Reaper {
    /// Makes this process the one that inherits orphans, if it is not PID 1 already.
    #[must_use]
    pub fn new() -> Self {
        // Kernels older than 3.4 have no subreapers; orphans are then somebody else's.
        let _ = nix::sys::prctl::set_child_subreaper(true);
        Self::default()
    }

    /// Starts a child and says how it ended.
    pub(super) fn spawn(&self, command: &mut Command) -> io::Result<(Pid, oneshot::Receiver<Exit>)> {
        let mut waiting = self.waiting.lock();
        let child = command.spawn()?;
        let pid = i32::try_from(child.id()).map_err(io::Error::other)?;
        let (sender, receiver) = oneshot::channel();
        waiting.insert(pid, sender);
        Ok((Pid::from_raw(pid), receiver))
    }

    /// Reaps at every SIGCHLD, for ever.
    ///
    /// # Errors
    /// When the signal cannot be listened to.
    pub async fn run(&self) -> io::Result<()> {
        let mut signals = signal(SignalKind::child())?;
        loop {
            self.reap();
            if signals.recv().await.is_none() {
                return Ok(());
            }
        }
    }

    /// Ends what children left behind, once none of them is alive: until then it may belong to one that is.
    pub fn kill_strays(&self) {
        if self.waiting.lock().is_empty() {
            tree::kill(&tree::children_of(std::process::id().cast_signed()));
        }
    }

    fn reap(&self) {
        loop {
            let mut waiting = self.waiting.lock();
            let (pid, exit) = match waitpid(Pid::from_raw(-1), Some(WaitPidFlag::WNOHANG)) {
                Ok(WaitStatus::Exited(pid, code)) => (pid, Exit::Code(code)),
                Ok(WaitStatus::Signaled(pid, signal, _)) => (pid, Exit::Signal(signal)),
                Ok(WaitStatus::StillAlive) | Err(Errno::ECHILD) => return,
                // Stopped or continued: nothing ended.
                Ok(_) | Err(Errno::EINTR) => continue,
                Err(_) => return,
            };
            if let Some(waiting) = waiting.remove(&pid.as_raw()) {
                let _ = waiting.send(exit);
            }
        }
    }
}

// === impl Exit ===

impl fmt::Display for Exit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Code(code) => write!(f, "exit status {code}"),
            Self::Signal(Signal::SIGKILL) => f.write_str("signal: killed"),
            Self::Signal(Signal::SIGTERM) => f.write_str("signal: terminated"),
            Self::Signal(Signal::SIGSEGV) => f.write_str("signal: segmentation fault"),
            Self::Signal(Signal::SIGABRT) => f.write_str("signal: aborted"),
            Self::Signal(signal) => write!(f, "signal: {signal}"),
            Self::Unknown => f.write_str("exit status unknown"),
        }
    }
}
