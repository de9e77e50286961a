//! One process of a function: the watchdog, from its start to the last that is left of it.

use std::{
    io,
    path::{Path, PathBuf},
    process::{ExitStatus, Stdio},
    sync::Arc,
    time::Duration,
};

use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    process::{Child, ChildStderr, Command},
    sync::mpsc,
    task::JoinHandle,
    time::{Instant, sleep_until, timeout},
};
use tokio_util::sync::CancellationToken;

use crate::{Program, Reason, limits::Limits, log, strays, tell::Teller};

/// What to start.
pub(crate) struct Launch {
    /// Its name.
    pub(crate) name: String,
    /// Whose it is.
    pub(crate) function: crate::Key,
    /// The watchdog's environment, all of it.
    pub(crate) environment: Vec<(String, String)>,
    /// Where the watchdog writes why it cannot go on.
    pub(crate) last_word: PathBuf,
    /// The most memory, if there is a limit.
    pub(crate) memory: Option<u64>,
    /// How long it may take to end after it was told to.
    pub(crate) patience: Duration,
}

/// A process that was started. Dropped, it is told to end.
pub(crate) struct Handle {
    pub(crate) pid: u32,
    end: CancellationToken,
}

/// A process is gone.
pub(crate) struct Gone {
    pub(crate) name: String,
    pub(crate) function: crate::Key,
    /// What it said, or what its exit status says.
    pub(crate) reason: Reason,
}

/// Of what a process writes to standard error this is kept: the watchdog itself writes there only when it cannot start.
const LAST_ERROR: u64 = 2048;
/// What a process that has ended left in its pipes is read for so long; one that it left behind may hold them open.
const REST: Duration = Duration::from_millis(200);

/// Starts a process.
///
/// # Errors
/// The program is not there, or the system has no process to give.
pub(crate) fn start(
    program: &Program,
    limits: &Limits,
    launch: Launch,
    teller: Arc<Teller>,
    gone: mpsc::Sender<Gone>,
) -> io::Result<Handle> {
    let mut child = Command::new(&program.path)
        .args(&program.args)
        .env_clear()
        .envs(launch.environment.iter().map(|(name, value)| (name, value)))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()?;
    let pid = child.id().ok_or_else(|| io::Error::other("the process ended while it was started"))?;
    if let Some(bytes) = launch.memory {
        limits.apply(&launch.name, pid, bytes)?;
    }
    let end = CancellationToken::new();
    let told = end.clone();
    let errors = child.stderr.take().map(|stderr| tokio::spawn(read_errors(stderr)));
    let lines = child
        .stdout
        .take()
        .map(|stdout| tokio::spawn(log::read(stdout, launch.function.clone(), launch.name.clone(), teller)));
    let limits = limits.clone();
    tokio::spawn(async move {
        let status = live(&mut child, told, launch.patience).await;
        // It took its children with it; unless it was killed, and could not.
        if !status.as_ref().is_ok_and(|status| status.code().is_some()) {
            strays::kill(pid);
        }
        if let Some(lines) = lines {
            finish(lines).await;
        }
        let errors = match errors {
            Some(errors) => finish(errors).await.unwrap_or_default(),
            None => String::new(),
        };
        let reason = reason(&launch.last_word, status, &errors).await;
        limits.forget(&launch.name);
        let Launch { name, function, .. } = launch;
        let _ = gone.send(Gone { name, function, reason }).await;
    });
    Ok(Handle { pid, end })
}

/// Lets it begin, waits for its end, and hastens that where it takes too long.
async fn live(child: &mut Child, told: CancellationToken, patience: Duration) -> io::Result<ExitStatus> {
    // Open for as long as we live: its end is what the process goes by.
    let mut line = child.stdin.take();
    if let Some(line) = &mut line {
        // One that has ended already says so below.
        let _ = line.write_all(b"g").await;
    }
    let pid = child.id();
    let mut deadline = None;
    loop {
        let late = async {
            match deadline {
                Some(deadline) => sleep_until(deadline).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            status = child.wait() => return status,
            () = told.cancelled(), if deadline.is_none() => {
                signal(pid, Signal::SIGTERM);
                deadline = Some(Instant::now() + patience);
            }
            () = late => {
                let _ = child.start_kill();
                deadline = Some(Instant::now() + patience);
            }
        }
    }
}

fn signal(pid: Option<u32>, signal: Signal) {
    if let Some(pid) = pid.and_then(|pid| i32::try_from(pid).ok()) {
        let _ = kill(Pid::from_raw(pid), signal);
    }
}

async fn read_errors(stderr: ChildStderr) -> String {
    let mut kept = Vec::new();
    let mut stderr = stderr.take(LAST_ERROR);
    let _ = stderr.read_to_end(&mut kept).await;
    // The rest is read away, so that nobody is held up by a full pipe.
    let _ = tokio::io::copy(&mut stderr.into_inner(), &mut tokio::io::sink()).await;
    String::from_utf8_lossy(&kept).trim().to_owned()
}

async fn finish<T>(task: JoinHandle<T>) -> Option<T> {
    let abort = task.abort_handle();
    match timeout(REST, task).await {
        Ok(done) => done.ok(),
        Err(_) => {
            abort.abort();
            None
        }
    }
}

async fn reason(last_word: &Path, status: io::Result<ExitStatus>, errors: &str) -> Reason {
    let said = tokio::fs::read(last_word).await.unwrap_or_default();
    let _ = tokio::fs::remove_file(last_word).await;
    if let Ok(said) = serde_json::from_slice(&said) {
        return said;
    }
    let how = match status {
        Ok(status) => status.to_string(),
        Err(error) => format!("it cannot be waited for: {error}"),
    };
    let message = if errors.is_empty() { how } else { format!("{errors} ({how})") };
    Reason::new("Instance.Ended", message)
}

// === impl Handle ===

impl Handle {
    /// Tells it to end: it finishes what it has.
    pub(crate) fn end(&self) {
        self.end.cancel();
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        self.end();
    }
}
