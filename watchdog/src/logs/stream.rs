//! A child's standard output and standard error, read line by line into the log.

use std::io::{self, ErrorKind};
use std::os::fd::{AsFd as _, OwnedFd};
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use parking_lot::Mutex;
use tokio::net::unix::pipe;
use tokio::task::JoinHandle;

use super::{Attribution, Logger, Piece, Splitter};

/// One read; a pipe holds 64 KiB, and several turns for a busy child leave room for the others.
const CHUNK: usize = 16 * 1024;
/// What one `catch_up` reads at most: a pipe can be 1 MiB, and a child that never stops writing must not hold it up.
const CATCH_UP: usize = 1024 * 1024;

/// Which of the two.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// Standard output.
    Stdout,
    /// Standard error.
    Stderr,
}

/// The reading end of one stream.
pub struct ChildStream {
    pipe: pipe::Receiver,
    splitter: Mutex<Splitter>,
    origin: Origin,
    attribution: Arc<Attribution>,
    logger: Logger,
}

/// Both streams of one child.
#[derive(Clone)]
pub struct Pipes(Vec<Arc<ChildStream>>);

/// The tasks that read them.
pub struct Pump {
    pipes: Pipes,
    tasks: Vec<JoinHandle<()>>,
}

// === impl Pipes ===

impl Pipes {
    /// Pipes for a child's output, and the ends to give to it.
    ///
    /// # Errors
    /// When no more files can be opened.
    pub fn new(logger: &Logger, attribution: &Arc<Attribution>) -> io::Result<(Self, Stdio, Stdio)> {
        let (stdout, stdout_end) = ChildStream::new(Origin::Stdout, logger, attribution)?;
        let (stderr, stderr_end) = ChildStream::new(Origin::Stderr, logger, attribution)?;
        Ok((Self(vec![stdout, stderr]), stdout_end, stderr_end))
    }

    /// Of a container beside us, which has a log of its own.
    #[must_use]
    pub fn none() -> Self {
        Self(Vec::new())
    }

    /// Pipes of a child that had them before anybody knew whose log they are.
    #[must_use]
    pub fn of(
        stdout: pipe::Receiver,
        stderr: pipe::Receiver,
        logger: &Logger,
        attribution: &Arc<Attribution>,
    ) -> Self {
        let stream = |pipe, origin| Arc::new(ChildStream::of(pipe, origin, logger, attribution));
        Self(vec![stream(stdout, Origin::Stdout), stream(stderr, Origin::Stderr)])
    }

    /// A pipe for standard error alone.
    ///
    /// # Errors
    /// When no more files can be opened.
    pub fn stderr_only(logger: &Logger, attribution: &Arc<Attribution>) -> io::Result<(Self, Stdio)> {
        let (stderr, end) = ChildStream::new(Origin::Stderr, logger, attribution)?;
        Ok((Self(vec![stderr]), end))
    }

    /// Logs what the child has written so far, before it is said that its request is over.
    pub fn catch_up(&self) {
        if self.0.is_empty() {
            return;
        }
        // The pipes are asked, not the reactor, which may not have heard of the bytes yet; both at once, for mostly there is nothing.
        let mut asked: Vec<_> =
            self.0.iter().map(|stream| PollFd::new(stream.pipe.as_fd(), PollFlags::POLLIN)).collect();
        let answered = poll(&mut asked, PollTimeout::ZERO).is_ok();
        for (stream, asked) in self.0.iter().zip(asked) {
            if !answered || asked.any() != Some(false) {
                stream.catch_up();
            }
        }
    }

    /// Reads until the child and all who inherited its streams have closed them.
    #[must_use]
    pub fn pump(&self) -> Pump {
        let tasks = self.0.iter().map(|stream| tokio::spawn(stream.clone().pump())).collect();
        Pump { pipes: self.clone(), tasks }
    }
}

// === impl Pump ===

impl Pump {
    /// Reads what is left of a child that has ended. A process that it left behind may hold the streams open: no
    /// longer than a moment, then.
    pub async fn finish(self) {
        const MOMENT: Duration = Duration::from_millis(100);
        let until = tokio::time::Instant::now() + MOMENT;
        for task in self.tasks {
            let abort = task.abort_handle();
            if tokio::time::timeout_at(until, task).await.is_err() {
                abort.abort();
            }
        }
        for stream in &self.pipes.0 {
            stream.catch_up();
            stream.finish();
        }
    }
}

// === impl ChildStream ===

impl ChildStream {
    fn new(
        origin: Origin,
        logger: &Logger,
        attribution: &Arc<Attribution>,
    ) -> io::Result<(Arc<Self>, Stdio)> {
        let (ours, theirs) = io::pipe()?;
        let pipe = pipe::Receiver::from_owned_fd(OwnedFd::from(ours))?;
        Ok((Arc::new(Self::of(pipe, origin, logger, attribution)), Stdio::from(theirs)))
    }

    fn of(pipe: pipe::Receiver, origin: Origin, logger: &Logger, attribution: &Arc<Attribution>) -> Self {
        Self {
            pipe,
            splitter: Mutex::default(),
            origin,
            attribution: attribution.clone(),
            logger: logger.clone(),
        }
    }

    async fn pump(self: Arc<Self>) {
        loop {
            self.logger.room().await;
            if self.pipe.readable().await.is_err() {
                break;
            }
            match self.read(|chunk| self.pipe.try_read_buf(chunk)) {
                Ok(0) => break,
                Ok(_) => {}
                // Not ready after all: somebody has caught up.
                Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) => {}
                Err(_) => break,
            }
            // One busy child must not keep the loop to itself.
            tokio::task::yield_now().await;
        }
        self.finish();
    }

    fn catch_up(&self) {
        let mut total = 0;
        while let Ok(read) = self.read(|chunk| {
            chunk.resize(CHUNK, 0);
            Ok(nix::unistd::read(&self.pipe, chunk)?)
        }) {
            total += read;
            if read == 0 || total >= CATCH_UP {
                return;
            }
        }
    }

    fn finish(&self) {
        self.splitter.lock().finish(|line, piece| self.relay(line, piece));
    }

    fn read(&self, from: impl FnOnce(&mut Vec<u8>) -> io::Result<usize>) -> io::Result<usize> {
        let mut chunk = Vec::with_capacity(CHUNK);
        // The lock is held over the read too, so that bytes stay in order when both ways of reading meet.
        let mut splitter = self.splitter.lock();
        let read = from(&mut chunk)?;
        splitter.feed(&chunk[..read], |line, piece| self.relay(line, piece));
        Ok(read)
    }

    fn relay(&self, line: &[u8], piece: Option<Piece>) {
        let text = String::from_utf8_lossy(line);
        let text = text.strip_suffix('\r').unwrap_or(&text);
        // Python's client writes a record of several lines as one, with carriage returns inside.
        let text = if text.contains('\r') {
            text.replace('\r', "\n").into()
        } else {
            std::borrow::Cow::Borrowed(text)
        };
        if text.is_empty() && piece.is_none() {
            return;
        }
        if self.origin == Origin::Stderr {
            self.attribution.remember_error(&text);
        }
        let request = self.attribution.sole();
        let (id, tail) = request.map_or((None, None), |(id, tail)| (Some(id), tail));
        if let Some(tail) = tail {
            tail.push(&text);
        }
        self.logger.relay(self.origin, id.as_deref(), &text, piece);
    }
}
