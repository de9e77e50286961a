//! One container's log, line by line, and how to go on where it was left.

use std::{io, pin::Pin, sync::Arc};

use futures::{AsyncBufRead, AsyncBufReadExt};
use jiff::{Timestamp, Unit};
use k8s_openapi::api::core::v1::Pod;
use kube::{Api, api::LogParams};

use super::line::{Line, Origin};

/// A longer line is cut: the watchdog writes none, and memory stays bounded whatever an image writes.
const LONGEST: usize = 2 * 1024 * 1024;

/// The lines of an open log.
pub struct Lines {
    reader: Pin<Box<dyn AsyncBufRead + Send>>,
    origin: Arc<Origin>,
    buffer: Vec<u8>,
}

/// Where a container's log was left.
///
/// The API server starts a log at a whole second at best, so what comes again is known by its time; and by its place among the
/// lines of the very same time.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Resume {
    last: Option<Timestamp>,
    /// Lines with the time `last` that were shown.
    shown: u32,
    /// Lines with the time `last` that come again.
    again: u32,
    /// Until the first new line, older lines are repetitions.
    reopened: bool,
}

// === impl Lines ===

impl Lines {
    /// Opens a container's log.
    ///
    /// # Errors
    /// As the API server answers: 400 where the container has not started, 404 where the pod is gone.
    pub async fn open(api: &Api<Pod>, origin: &Arc<Origin>, how: &LogParams) -> kube::Result<Self> {
        let how = LogParams { container: Some(origin.container.clone()), timestamps: true, ..how.clone() };
        let reader = Box::pin(api.log_stream(&origin.pod, &how).await?);
        Ok(Self { reader, origin: Arc::clone(origin), buffer: Vec::new() })
    }

    /// The next line; none at the end. Not to be dropped halfway: a part of a line would be lost.
    ///
    /// # Errors
    /// When the connection breaks, or the node says in the log's place that it cannot be read.
    pub async fn next(&mut self) -> io::Result<Option<Line>> {
        if !self.fill().await? {
            return Ok(None);
        }
        match Line::parse(&self.origin, &self.buffer) {
            Some(line) => Ok(Some(line)),
            None => Err(io::Error::other(String::from_utf8_lossy(&self.buffer).trim().to_owned())),
        }
    }

    /// Reads a line's bytes without its end.
    async fn fill(&mut self) -> io::Result<bool> {
        self.buffer.clear();
        let mut any = false;
        loop {
            let chunk = self.reader.fill_buf().await?;
            if chunk.is_empty() {
                return Ok(any);
            }
            any = true;
            let end = chunk.iter().position(|byte| *byte == b'\n');
            let text = &chunk[..end.unwrap_or(chunk.len())];
            let room = LONGEST.saturating_sub(self.buffer.len());
            self.buffer.extend_from_slice(&text[..text.len().min(room)]);
            let used = end.map_or(chunk.len(), |end| end + 1);
            self.reader.as_mut().consume_unpin(used);
            if end.is_some() {
                return Ok(true);
            }
        }
    }
}

// === impl Resume ===

impl Resume {
    /// Where the API server should start so that nothing is missed; none if nothing was read yet.
    #[must_use]
    pub fn since(&self) -> Option<Timestamp> {
        // The client rounds to the nearest second, which may be the next one.
        let whole = jiff::TimestampRound::new().smallest(Unit::Second).mode(jiff::RoundMode::Floor);
        self.last.and_then(|last| last.round(whole).ok())
    }

    /// The log is opened anew, from [`Self::since`].
    pub fn reopen(&mut self) {
        self.again = self.shown;
        self.reopened = true;
    }

    /// Notes a line by its time, and says whether it is new.
    pub fn is_new(&mut self, time: Timestamp) -> bool {
        match self.last {
            Some(last) if time < last => !self.reopened,
            Some(last) if time == last && self.reopened && self.again > 0 => {
                self.again -= 1;
                false
            }
            Some(last) if time == last => {
                self.shown += 1;
                true
            }
            _ => {
                *self = Self { last: Some(time), shown: 1, again: 0, reopened: false };
                true
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(nanos: i32) -> Timestamp {
        Timestamp::new(1_700_000_000, nanos).unwrap()
    }

    fn new_of(resume: &mut Resume, times: &[i32]) -> Vec<i32> {
        times.iter().copied().filter(|nanos| resume.is_new(at(*nanos))).collect()
    }

    #[test]
    fn nothing_is_known_of_a_log_that_was_never_read() {
        assert_eq!(Resume::default().since(), None);
    }

    #[test]
    fn a_log_is_asked_for_from_the_second_of_the_last_line_on() {
        let mut resume = Resume::default();
        new_of(&mut resume, &[900_000_000]);
        assert_eq!(resume.since(), Some(at(0)));
    }

    #[test]
    fn what_comes_again_is_not_shown_again() {
        let mut resume = Resume::default();
        assert_eq!(new_of(&mut resume, &[1, 2, 2]), [1, 2, 2]);
        resume.reopen();
        assert_eq!(new_of(&mut resume, &[1, 2, 2, 2, 3]), [2, 3]);
        resume.reopen();
        assert_eq!(new_of(&mut resume, &[2, 3]), [0; 0]);
        resume.reopen();
        assert_eq!(new_of(&mut resume, &[2, 3, 4]), [4]);
    }

    #[test]
    fn a_clock_that_goes_back_costs_no_line() {
        let mut resume = Resume::default();
        assert_eq!(new_of(&mut resume, &[5, 3, 4, 6]), [5, 3, 4, 6]);
    }
}
