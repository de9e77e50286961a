//! The terminal as the session writes to it: by a thread of its own, so that one that does not read (Ctrl-S, a pipe that is full)
//! holds up neither requests nor Ctrl-C.
//!
//! What waits is bounded. What finds no room is left out, and when the terminal reads again it is told how much that was.

use std::{collections::VecDeque, sync::Arc, time::Duration};

use parking_lot::{Condvar, Mutex};
use serde_json::json;
use tokio::{sync::oneshot, time::timeout};

use crate::{
    args::Format,
    output::{DIM, Output},
};

/// A terminal that may be slow.
#[derive(Clone)]
pub(super) struct Terminal(Arc<Shared>);

/// The end of a terminal.
pub(super) struct Flushing(oneshot::Receiver<()>);

struct Shared {
    format: Format,
    waiting: Mutex<Waiting>,
    news: Condvar,
}

#[derive(Default)]
struct Waiting {
    lines: VecDeque<Line>,
    /// Of those lines.
    bytes: usize,
    /// Lines that found no room after them.
    lost: u64,
    closed: bool,
}

#[derive(Debug, Eq, PartialEq)]
enum Line {
    Print(String),
    Warn(String),
}

/// Some thousand lines: more than anybody reads when they scroll again.
const MOST: usize = 1024 * 1024;
/// How long a terminal may take for the last lines: one that reads needs a moment, the others are not waited for.
const LAST_LINES: Duration = Duration::from_millis(500);

// === impl Terminal ===

impl Terminal {
    /// Begins to write to this output; the last part is waited for at the end.
    ///
    /// # Errors
    /// No thread can be started.
    pub(super) fn open(output: &Output) -> std::io::Result<(Self, Flushing)> {
        let shared =
            Arc::new(Shared { format: output.format(), waiting: Mutex::default(), news: Condvar::new() });
        let (done, flushed) = oneshot::channel();
        let (writer, output) = (Arc::clone(&shared), output.clone());
        // What blocks on a terminal cannot be stopped, and must not be waited for at the end.
        std::thread::Builder::new().name("terminal".to_owned()).spawn(move || {
            while let Some(lines) = writer.next() {
                for line in lines {
                    match line {
                        Line::Print(text) => output.print(&text),
                        Line::Warn(text) => output.warn(&text),
                    }
                }
            }
            let _ = done.send(());
        })?;
        Ok((Self(shared), Flushing(flushed)))
    }

    /// A line on standard output.
    pub(super) fn print(&self, text: &str) {
        self.0.add(Line::Print(text.to_owned()));
    }

    /// A line on standard output for people; a program reads events.
    pub(super) fn say(&self, text: &str) {
        if self.0.format == Format::Text {
            self.print(text);
        }
    }

    /// A warning on standard error.
    pub(super) fn warn(&self, text: &str) {
        self.0.add(Line::Warn(text.to_owned()));
    }

    /// Whether people read it.
    pub(super) fn is_for_people(&self) -> bool {
        self.0.format == Format::Text
    }

    /// Takes no more.
    pub(super) fn close(&self) {
        self.0.waiting.lock().closed = true;
        self.0.news.notify_one();
    }
}

// === impl Flushing ===

impl Flushing {
    /// Waits until everything is written, unless nobody reads.
    pub(super) async fn done(self) {
        let _ = timeout(LAST_LINES, self.0).await;
    }
}

// === impl Shared ===

impl Shared {
    fn add(&self, line: Line) {
        let mut waiting = self.waiting.lock();
        if waiting.closed {
            return;
        }
        let bytes = line.len();
        // Nothing overtakes what was left out.
        if waiting.lost > 0 || waiting.bytes + bytes > MOST {
            waiting.lost += 1;
            return;
        }
        waiting.bytes += bytes;
        waiting.lines.push_back(line);
        self.news.notify_one();
    }

    /// What waits, and what is to be said of what does not; waits for something. None after the last.
    fn next(&self) -> Option<VecDeque<Line>> {
        let mut waiting = self.waiting.lock();
        while waiting.lines.is_empty() && waiting.lost == 0 {
            if waiting.closed {
                return None;
            }
            self.news.wait(&mut waiting);
        }
        let closed = waiting.closed;
        let Waiting { mut lines, lost, .. } =
            std::mem::replace(&mut *waiting, Waiting { closed, ..Waiting::default() });
        drop(waiting);
        if lost > 0 {
            lines.push_back(Line::Print(match self.format {
                Format::Text => {
                    format!("{DIM}({lost} lines were left out: the terminal did not read){DIM:#}")
                }
                Format::Json | Format::Yaml => json!({"kind": "missed", "count": lost}).to_string(),
            }));
        }
        Some(lines)
    }
}

// === impl Line ===

impl Line {
    fn len(&self) -> usize {
        let (Self::Print(text) | Self::Warn(text)) = self;
        text.len() + 1
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shared() -> Shared {
        Shared { format: Format::Json, waiting: Mutex::default(), news: Condvar::new() }
    }

    fn line(text: &str) -> Line {
        Line::Print(text.to_owned())
    }

    #[test]
    fn what_finds_no_room_is_counted_and_nothing_overtakes_it() {
        let shared = shared();
        shared.add(line(&"x".repeat(MOST - 1)));
        shared.add(line("no room"));
        shared.add(line(""));
        let told = shared.next().unwrap();
        assert_eq!(told.len(), 2);
        assert_eq!(told[1], line(r#"{"count":2,"kind":"missed"}"#));
        shared.add(line("room again"));
        assert_eq!(shared.next().unwrap(), [line("room again")]);
    }

    #[test]
    fn what_waits_at_the_end_is_still_written_and_nothing_after_it() {
        let shared = shared();
        shared.add(line("last"));
        shared.waiting.lock().closed = true;
        assert_eq!(shared.next().unwrap(), [line("last")]);
        assert_eq!(shared.next(), None);
    }
}
