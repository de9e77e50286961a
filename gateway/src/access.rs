//! The access log: a JSON object a line for each request, on standard output, at a price that a request does not feel.
//!
//! A worker writes lines into a buffer of its own. Full or a moment old, the buffer goes to one thread that writes to standard
//! output, which may block, and comes back empty. The way there is bounded: when standard output is slower than the requests,
//! whole buffers are dropped and their lines counted, because requests must not wait for a log.

mod line;

use std::{
    cell::RefCell,
    io::Write,
    sync::{
        Arc,
        atomic::Ordering,
        mpsc::{Receiver, SyncSender, sync_channel},
    },
    thread::{self, JoinHandle},
    time::Duration,
};

use parking_lot::Mutex;

use crate::metrics::Totals;

pub use line::Line;
pub(crate) use line::of_function;

/// A worker's end of the log.
pub struct AccessLog {
    buffer: RefCell<Buffer>,
    writer: Option<LogSender>,
    totals: Arc<Totals>,
}

/// Where workers send their buffers.
#[derive(Clone, Debug)]
pub struct LogSender {
    full: SyncSender<Vec<u8>>,
    empty: Arc<Mutex<Vec<Vec<u8>>>>,
}

#[derive(Default)]
struct Buffer {
    text: Vec<u8>,
    lines: u64,
    clock: line::WallClock,
}

/// The thread that writes.
pub struct LogWriter {
    sender: LogSender,
    thread: JoinHandle<()>,
}

/// About 200 lines: under load a line costs next to nothing of the system calls, and of the other thread's wake-up.
const FULL: usize = 64 * 1024;
/// Room for the line that makes a buffer full.
const ROOM: usize = FULL + 1024;
/// Buffers on their way: 1 MiB that a stalled standard output can cost.
const ON_THE_WAY: usize = 16;
/// Empty buffers that are kept: one is written while another is filled, for a few workers.
const SPARE: usize = 8;
/// How old a line may grow in its buffer: less than anybody waits for it.
pub const FLUSH_EVERY: Duration = Duration::from_millis(250);

// === impl LogWriter ===

impl LogWriter {
    /// Starts the thread.
    ///
    /// # Errors
    /// The system has no thread to give.
    pub fn start(out: impl Write + Send + 'static) -> std::io::Result<Self> {
        let (full, buffers) = sync_channel(ON_THE_WAY);
        let sender = LogSender { full, empty: Arc::default() };
        let empty = Arc::clone(&sender.empty);
        let thread =
            thread::Builder::new().name("access-log".into()).spawn(move || write(out, &buffers, &empty))?;
        Ok(Self { sender, thread })
    }

    /// Writes what is left and ends; every worker's end must be gone by then.
    pub fn finish(self) {
        drop(self.sender);
        // A thread that panicked has nothing left to write.
        let _ = self.thread.join();
    }

    /// Where workers send their buffers.
    #[must_use]
    pub fn sender(&self) -> LogSender {
        self.sender.clone()
    }
}

fn write(mut out: impl Write, buffers: &Receiver<Vec<u8>>, empty: &Mutex<Vec<Vec<u8>>>) {
    while let Ok(mut buffer) = buffers.recv() {
        // Nobody reads our output: requests go on all the same.
        let _ = out.write_all(&buffer).and_then(|()| out.flush());
        buffer.clear();
        let mut empty = empty.lock();
        // One that grew by a long line is not kept.
        if empty.len() < SPARE && buffer.capacity() <= 2 * ROOM {
            empty.push(buffer);
        }
    }
}

// === impl AccessLog ===

impl AccessLog {
    /// A log for one worker; without a writer it is off.
    #[must_use]
    pub fn new(writer: Option<LogSender>, totals: Arc<Totals>) -> Self {
        Self { buffer: RefCell::default(), writer, totals }
    }

    /// Writes a line.
    pub fn write(&self, line: &Line<'_>) {
        if self.writer.is_none() {
            return;
        }
        let full = {
            let mut buffer = self.buffer.borrow_mut();
            let Buffer { text, lines, clock } = &mut *buffer;
            line.write(text, clock);
            *lines += 1;
            text.len() >= FULL
        };
        if full {
            self.flush();
        }
    }

    /// Sends the buffer on its way.
    pub fn flush(&self) {
        let Some(writer) = &self.writer else { return };
        let mut buffer = self.buffer.borrow_mut();
        if buffer.text.is_empty() {
            return;
        }
        let spare = writer.empty.lock().pop();
        // The next one grows as lines come: a gateway with few requests does not hold buffers for many.
        let text = std::mem::replace(&mut buffer.text, spare.unwrap_or_default());
        let lines = std::mem::take(&mut buffer.lines);
        if writer.full.try_send(text).is_err() {
            self.totals.log_dropped.fetch_add(lines, Ordering::Relaxed);
        }
    }
}

impl Drop for AccessLog {
    fn drop(&mut self) {
        self.flush();
    }
}

#[cfg(test)]
mod tests {
    use flint_proxy::End;
    use http::{Method, StatusCode, Uri};

    use super::*;

    fn line(uri: &Uri) -> Line<'_> {
        Line {
            method: &Method::GET,
            uri,
            function: None,
            instance: None,
            status: StatusCode::OK,
            code: None,
            duration: 1,
            queued: 0,
            cold: false,
            bytes_in: 0,
            bytes_out: 0,
            request_id: "id",
            trace: "",
            client: None,
            client_text: "schedule",
            attempts: 1,
            end: End::Complete,
        }
    }

    #[test]
    fn every_line_is_written_by_the_end() {
        let (lines, written) = std::sync::mpsc::channel();
        struct Out(std::sync::mpsc::Sender<usize>);
        impl Write for Out {
            fn write(&mut self, text: &[u8]) -> std::io::Result<usize> {
                let lines = text.iter().filter(|byte| **byte == b'\n').count();
                self.0.send(lines).map_err(std::io::Error::other)?;
                Ok(text.len())
            }
            fn flush(&mut self) -> std::io::Result<()> {
                Ok(())
            }
        }
        let writer = LogWriter::start(Out(lines)).unwrap();
        let log = AccessLog::new(Some(writer.sender()), Arc::default());
        let uri = Uri::from_static("/function/hello");
        (0..500).for_each(|_| log.write(&line(&uri)));
        drop(log);
        writer.finish();
        assert_eq!(written.iter().sum::<usize>(), 500);
    }

    #[test]
    fn lines_that_find_no_way_out_are_dropped_and_counted() {
        let totals = Arc::<Totals>::default();
        let (full, _receiver) = sync_channel(1);
        let stalled = LogSender { full, empty: Arc::default() };
        let log = AccessLog::new(Some(stalled), Arc::clone(&totals));
        let uri = Uri::from_static("/function/hello");
        for _ in 0..3 {
            log.write(&line(&uri));
            log.flush();
        }
        assert_eq!(totals.log_dropped.load(Ordering::Relaxed), 2);
    }
}
