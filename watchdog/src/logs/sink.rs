//! Where lines go: a bounded buffer that one task writes out, so that nobody waits for whoever reads the log.
//!
//! Standard output in a pod is a pipe to the container runtime. When that stalls, a write blocks, and with it the one
//! thread that serves traffic. So the pipe is written without blocking; what does not fit waits in the buffer, children
//! are read no further while it is long, and when it is full lines are dropped and counted. Lines of one turn of the
//! event loop go out in one write.

use std::collections::VecDeque;
use std::fs::File;
use std::io::{self, ErrorKind, Write as _};
use std::os::fd::{AsFd as _, OwnedFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use nix::sys::stat::{SFlag, fstat};
use parking_lot::Mutex;
use tokio::net::unix::pipe;
use tokio::sync::Notify;

use super::text::Stamp;

/// Children are read no further above this: a few times the longest line.
const HIGH_WATER: usize = 1024 * 1024;
/// Room for a line that was longer is not kept.
const USUAL_LINE: usize = 4 * 1024;
/// Lines are dropped above this, so that a log nobody reads costs no more memory.
const LIMIT: usize = 2 * HIGH_WATER;

/// Takes lines; cheap to clone.
#[derive(Clone)]
pub struct Sink(Arc<Shared>);

/// What the lines are written to.
#[derive(Debug)]
pub enum Output {
    /// A pipe that is written without blocking.
    Pipe(pipe::Sender),
    /// A file or terminal, which does not stall.
    Plain(File),
}

struct Shared {
    output: Output,
    pending: Mutex<Pending>,
    arrived: Notify,
    written: Notify,
    dropped: AtomicU64,
}

#[derive(Default)]
struct Pending {
    bytes: VecDeque<u8>,
    /// Room for the line that is being made.
    line: Vec<u8>,
    stamp: Stamp,
}

// === impl Sink ===

impl Sink {
    /// A sink over standard output, with the task that writes it. Call it inside of a runtime.
    ///
    /// # Errors
    /// When standard output is closed.
    pub fn stdout() -> io::Result<Self> {
        Ok(Self::over(Output::of(io::stdout().as_fd().try_clone_to_owned()?)?))
    }

    /// A sink over anything.
    #[must_use]
    pub fn over(output: Output) -> Self {
        let sink = Self(Arc::new(Shared {
            output,
            pending: Mutex::default(),
            arrived: Notify::new(),
            written: Notify::new(),
            dropped: AtomicU64::new(0),
        }));
        tokio::spawn(sink.clone().write_out());
        sink
    }

    /// Takes a line, made by `write` with its end and the time as lines have it.
    pub(super) fn push(&self, write: impl FnOnce(&mut Vec<u8>, &mut Stamp)) {
        let mut pending = self.0.pending.lock();
        let Pending { bytes, line, stamp } = &mut *pending;
        line.clear();
        write(line, stamp);
        if bytes.len() + line.len() > LIMIT {
            self.0.dropped.fetch_add(1, Ordering::Relaxed);
            return;
        }
        let idle = bytes.is_empty();
        bytes.extend(&*line);
        if line.capacity() > USUAL_LINE {
            *line = Vec::new();
        }
        drop(pending);
        if idle {
            self.0.arrived.notify_one();
        }
    }

    pub(super) async fn room(&self) {
        loop {
            let written = self.0.written.notified();
            if self.0.pending.lock().bytes.len() < HIGH_WATER {
                return;
            }
            written.await;
        }
    }

    pub(super) fn dropped(&self) -> u64 {
        self.0.dropped.load(Ordering::Relaxed)
    }

    /// Writes what is pending, for a second at most: it is called when nothing else runs any more.
    pub(super) fn flush(&self) {
        for _ in 0..1000 {
            match self.write_some(Output::write_directly) {
                Ok(true) => {}
                Ok(false) => return,
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    std::thread::sleep(Duration::from_millis(1))
                }
                Err(_) => return,
            }
        }
    }

    async fn write_out(self) {
        loop {
            let arrived = self.0.arrived.notified();
            match self.write_some(Output::write) {
                Ok(true) => self.0.written.notify_waiters(),
                Ok(false) => arrived.await,
                Err(error) if error.kind() == ErrorKind::WouldBlock => self.0.output.writable().await,
                // Nobody will ever read the log: the function goes on without it.
                Err(_) => {
                    self.0.pending.lock().bytes.clear();
                    self.0.written.notify_waiters();
                }
            }
        }
    }

    /// Writes once, in the way given; `false` when nothing was pending.
    fn write_some(&self, write: impl FnOnce(&Output, &[u8]) -> io::Result<usize>) -> io::Result<bool> {
        let bytes = &mut self.0.pending.lock().bytes;
        let (front, _) = bytes.as_slices();
        if front.is_empty() {
            if bytes.capacity() > HIGH_WATER / 4 {
                *bytes = VecDeque::new();
            }
            return Ok(false);
        }
        let written = write(&self.0.output, front)?;
        bytes.drain(..written);
        Ok(true)
    }
}

// === impl Output ===

impl Output {
    /// A pipe is made non-blocking when it is ours alone: as PID 1 nobody else holds this end. Elsewhere another process
    /// may share it, and there blocking is what everybody expects.
    fn of(fd: OwnedFd) -> io::Result<Self> {
        let kind = SFlag::from_bits_truncate(fstat(&fd)?.st_mode) & SFlag::S_IFMT;
        if std::process::id() == 1 && kind == SFlag::S_IFIFO {
            return Ok(Self::Pipe(pipe::Sender::from_owned_fd(fd)?));
        }
        Ok(Self::Plain(File::from(fd)))
    }

    fn write(&self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Pipe(pipe) => pipe.try_write(bytes),
            Self::Plain(file) => (&*file).write(bytes),
        }
    }

    /// Without the reactor, which does not run any more at the end.
    fn write_directly(&self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Pipe(pipe) => Ok(nix::unistd::write(pipe, bytes)?),
            Self::Plain(file) => (&*file).write(bytes),
        }
    }

    async fn writable(&self) {
        if let Self::Pipe(pipe) = self {
            let _ = pipe.writable().await;
        }
    }
}
