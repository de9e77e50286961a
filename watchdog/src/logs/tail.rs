//! Whose lines a child writes: the request it works on, when that is one.

use std::sync::Arc;

use parking_lot::Mutex;

/// Lambda's Invoke returns this much of the log.
const TAIL: usize = 4 * 1024;
/// What a crash message quotes of the last lines at most.
const LAST: usize = 512;

/// The requests that a child works on, and the last thing it said.
#[derive(Debug, Default)]
pub struct Attribution(Mutex<State>);

/// The end of one invocation's log.
#[derive(Debug, Default)]
pub struct Tail(Mutex<Vec<u8>>);

#[derive(Debug, Default)]
struct State {
    requests: Vec<(Arc<str>, Option<Arc<Tail>>)>,
    last_error: String,
}

// === impl Attribution ===

impl Attribution {
    /// The child begins to work on a request.
    pub fn begin(&self, id: Arc<str>, tail: Option<Arc<Tail>>) {
        self.0.lock().requests.push((id, tail));
    }

    /// The child is done with a request.
    pub fn end(&self, id: &str) {
        self.0.lock().requests.retain(|(other, _)| **other != *id);
    }

    /// The request whose lines these must be: the only one in flight.
    pub(super) fn sole(&self) -> Option<(Arc<str>, Option<Arc<Tail>>)> {
        match self.0.lock().requests.as_slice() {
            [only] => Some(only.clone()),
            _ => None,
        }
    }

    pub(super) fn remember_error(&self, line: &str) {
        if line.trim().is_empty() {
            return;
        }
        let mut end = line.len().min(LAST);
        while !line.is_char_boundary(end) {
            end -= 1;
        }
        line[..end].clone_into(&mut self.0.lock().last_error);
    }

    /// The last line on stderr that was not empty.
    #[must_use]
    pub fn last_error(&self) -> Option<String> {
        let state = self.0.lock();
        (!state.last_error.is_empty()).then(|| state.last_error.clone())
    }
}

// === impl Tail ===

impl Tail {
    /// Adds a line.
    pub fn push(&self, line: &str) {
        let mut bytes = self.0.lock();
        bytes.extend_from_slice(line.as_bytes());
        bytes.push(b'\n');
        let surplus = bytes.len().saturating_sub(TAIL);
        bytes.drain(..surplus);
    }

    /// What there is, 4 KiB at most.
    #[must_use]
    pub fn bytes(&self) -> Vec<u8> {
        self.0.lock().clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_belongs_to_the_only_request_in_flight_and_to_none_of_several() {
        let attribution = Attribution::default();
        assert!(attribution.sole().is_none());
        attribution.begin("a".into(), None);
        assert_eq!(&*attribution.sole().unwrap().0, "a");
        attribution.begin("b".into(), None);
        assert!(attribution.sole().is_none());
        attribution.end("a");
        assert_eq!(&*attribution.sole().unwrap().0, "b");
    }

    #[test]
    fn a_tail_keeps_the_last_four_kibibytes() {
        let tail = Tail::default();
        for number in 0..1000 {
            tail.push(&format!("line {number}"));
        }
        let bytes = tail.bytes();
        assert_eq!(bytes.len(), TAIL);
        assert!(bytes.ends_with(b"line 999\n"));
    }
}
