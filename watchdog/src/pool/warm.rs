//! The process that is loaded ahead: a language's runtime that has read what every function needs, and becomes the function's.
//!
//! It says `ready` in one line of its standard output when it has loaded, and reads one line of its standard input: what to
//! become (`argv`, `cwd`, `env`), as JSON. Then it *is* the child, with the process id, the group and the pipes that a child has.

use std::ffi::{OsStr, OsString};
use std::io::{self, PipeWriter, Write as _};
use std::os::fd::OwnedFd;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use serde_json::{Map, Value, json};
use tokio::io::AsyncReadExt as _;
use tokio::net::{TcpListener, unix::pipe};
use tokio::time::timeout;

use super::PoolConfig;
use crate::child::{Child, Program, Reaper, StartError};
use crate::config::Variables;
use crate::mode::defaults;
use crate::termination::Failure;

/// A process that waits to become the function's.
pub(crate) struct Warm {
    child: Child,
    orders: PipeWriter,
    /// Where its Runtime API will be: some clients read the address when they are loaded.
    api: Option<TcpListener>,
    /// Its standard output.
    pub(crate) stdout: pipe::Receiver,
    /// Its standard error.
    pub(crate) stderr: pipe::Receiver,
    environment: Variables,
}

/// A language's runtime takes a fraction of a second; a node that starts many pods some seconds.
const LONGEST_LOAD: Duration = Duration::from_secs(60);
/// Variables that a runtime or the loader reads once, at its start: with others than it was started with it is of no use.
const READ_AT_START: [&str; 13] = [
    "PYTHON",
    "NODE_",
    "UV_",
    "LD_",
    "MALLOC_",
    "GLIBC_",
    "OPENSSL_",
    "SSL_CERT_",
    "LC_",
    "LANG",
    "AWS_LAMBDA_LOG_FORMAT",
    "AWS_LAMBDA_LOG_LEVEL",
    RUNTIME_API,
];
/// The one of them that programs ask for themselves.
const READ_LATER: &str = "NODE_ENV";
/// Where a child finds its Runtime API.
const RUNTIME_API: &str = "AWS_LAMBDA_RUNTIME_API";
/// What it says when it has loaded.
const READY: &[u8] = b"ready\n";

// === impl Warm ===

impl Warm {
    /// Starts the pool's process, where the pool has one.
    ///
    /// # Errors
    /// When it cannot be started.
    pub(crate) async fn start(config: &PoolConfig, reaper: &Reaper) -> Result<Option<Self>, StartError> {
        if config.command.is_empty() {
            return Ok(None);
        }
        let mut environment = defaults(&config.task_root);
        environment.extend(config.environment.iter().cloned());
        let api = TcpListener::bind("127.0.0.1:0").await.map_err(StartError::Pipes)?;
        let address = api.local_addr().map_err(StartError::Pipes)?;
        environment.push((RUNTIME_API.into(), address.to_string().into()));
        let program = Program::find(&config.command, &config.task_root, environment.clone())?;
        let (stdin, orders) = io::pipe().map_err(StartError::Pipes)?;
        let (stdout, stdout_end) = io::pipe().map_err(StartError::Pipes)?;
        let (stderr, stderr_end) = io::pipe().map_err(StartError::Pipes)?;
        let streams = [Stdio::from(stdin), Stdio::from(stdout_end), Stdio::from(stderr_end)];
        let child = program.start(reaper, [], streams)?;
        let receiver = |end| pipe::Receiver::from_owned_fd(OwnedFd::from(end)).map_err(StartError::Pipes);
        Ok(Some(Self {
            child,
            orders,
            api: Some(api),
            stdout: receiver(stdout)?,
            stderr: receiver(stderr)?,
            environment,
        }))
    }

    /// Waits until it has loaded, and when it has for its unexpected end. Without a process there is nothing to load, and no end.
    ///
    /// # Errors
    /// When it ends, or says something else.
    pub(crate) async fn watch(warm: &mut Option<Self>, loaded: bool) -> Result<(), Failure> {
        let Some(warm) = warm else {
            if loaded {
                std::future::pending::<()>().await;
            }
            return Ok(());
        };
        if loaded {
            return Err(warm.failure().await);
        }
        let mut said = [0; READY.len()];
        match timeout(LONGEST_LOAD, warm.stdout.read_exact(&mut said)).await {
            Ok(Ok(_)) if said == *READY => Ok(()),
            Ok(Ok(_)) => {
                Err(Failure::new("Runtime.Pool", "the pool's process said something else than ready"))
            }
            Ok(Err(_)) => Err(warm.failure().await),
            Err(_) => Err(Failure::new("Runtime.Pool", "the pool's process did not load in time")),
        }
    }

    /// Ends it.
    pub(crate) fn end(&self) {
        self.child.handle().kill();
    }

    /// Where its Runtime API is to be served.
    pub(crate) fn take_api(&mut self) -> Option<TcpListener> {
        self.api.take()
    }

    /// Whether it can become a child with these variables.
    pub(crate) fn fits(&self, environment: &[(OsString, OsString)]) -> bool {
        let read_at_start = |name: &OsStr| {
            name != READ_LATER
                && READ_AT_START.iter().any(|prefix| name.as_encoded_bytes().starts_with(prefix.as_bytes()))
        };
        let same = |name: &OsStr| value(&self.environment, name) == value(environment, name);
        self.environment.iter().chain(environment).all(|(name, _)| !read_at_start(name) || same(name))
    }

    /// Has it become the child. What comes back is the child's.
    ///
    /// # Errors
    /// When it has ended; nothing was started then.
    pub(crate) fn become_child(
        self,
        command: &[String],
        folder: &Path,
        environment: &[(OsString, OsString)],
    ) -> io::Result<(Child, pipe::Receiver, pipe::Receiver)> {
        let Self { child, mut orders, stdout, stderr, .. } = self;
        let mut variables = Map::new();
        for (name, value) in environment {
            variables.insert(
                name.to_string_lossy().into_owned(),
                Value::from(value.to_string_lossy().into_owned()),
            );
        }
        let order = json!({"argv": command, "cwd": folder.to_string_lossy(), "env": variables});
        // Tickets are bounded, so that it fits into the pipe: this does not block.
        if let Err(error) = orders.write_all(format!("{order}\n").as_bytes()) {
            child.handle().kill();
            return Err(error);
        }
        Ok((child, stdout, stderr))
    }

    async fn failure(&mut self) -> Failure {
        let exit = self.child.exited().await;
        let mut said = Vec::new();
        let _ =
            timeout(Duration::from_millis(100), (&mut self.stderr).take(2048).read_to_end(&mut said)).await;
        let said = String::from_utf8_lossy(&said).trim().to_owned();
        Failure::new("Runtime.Pool", format!("the pool's process ended: {exit}: {said}"))
    }
}

/// The last of a name counts.
fn value<'a>(variables: &'a [(OsString, OsString)], name: &OsStr) -> Option<&'a OsString> {
    variables.iter().rev().find(|(key, _)| key == name).map(|(_, value)| value)
}
