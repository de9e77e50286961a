//! A request's way through the watchdog: its place, its deadline, and the report at its end.

use std::sync::Arc;
use std::time::Duration;

use flint_core::wire;
use http::{HeaderMap, HeaderName, StatusCode};
use tokio::time::Instant;

use crate::gate::{Permit, Refusal};
use crate::instance::Instance;
use crate::logs::{Attribution, Pipes, Tail};
use crate::report::{Report, Status};

/// One admitted request. When it is dropped its place is free, and it has been reported.
pub struct Ticket {
    instance: Arc<Instance>,
    /// The request's id: the gateway's, or one made here.
    pub id: Arc<str>,
    /// When its time is up.
    pub deadline: Instant,
    /// The time that it had when it came.
    pub timeout: Duration,
    began: Instant,
    init: Option<Duration>,
    outcome: Option<(Status, u16)>,
    worker: Option<Worker>,
    _permit: Permit,
}

/// The child that works on a request, for its log.
pub struct Worker {
    /// What the child works on.
    pub attribution: Arc<Attribution>,
    /// What it writes.
    pub pipes: Option<Pipes>,
    /// Keeps the end of this request's log, if anybody asked for it.
    pub tail: Option<Arc<Tail>>,
}

/// Made once: to look for a name that is a text would read it anew each time.
static TIMEOUT: HeaderName = HeaderName::from_static(wire::TIMEOUT_HEADER);
static REQUEST_ID: HeaderName = HeaderName::from_static(wire::REQUEST_ID_HEADER);

/// Ids go into a URL path and a header: what could break either gets an id made here.
const LONGEST_ID: usize = 128;

// === impl Ticket ===

impl Ticket {
    /// Admits a request.
    ///
    /// # Errors
    /// When it is refused.
    pub fn admit(instance: &Arc<Instance>, headers: &HeaderMap) -> Result<Self, Refusal> {
        let permit = instance.gate.admit()?;
        let now = Instant::now();
        let timeout =
            timeout(headers).map_or(instance.config.timeout, |left| left.min(instance.config.timeout));
        Ok(Self {
            id: request_id(headers),
            deadline: now + timeout,
            timeout,
            began: now,
            init: None,
            outcome: None,
            worker: None,
            _permit: permit,
            instance: instance.clone(),
        })
    }

    /// The function begins to work on it, `init` after its child's start if it is the child's first. The worker's log lines
    /// are the request's from here on.
    pub fn begin(&mut self, init: Option<Duration>, worker: Worker) {
        self.began = Instant::now();
        self.init = init;
        if let Some(tail) = &worker.tail {
            tail.push(&format!("START RequestId: {} Version: $LATEST", self.id));
        }
        worker.attribution.begin(self.id.clone(), worker.tail.clone());
        self.worker = Some(worker);
    }

    /// How it ended, as far as is known by now; the last word counts.
    pub fn outcome(&mut self, status: Status, code: StatusCode) {
        self.outcome = Some((status, code.as_u16()));
    }

    /// Ends it: the place is free, the report written.
    pub fn finish(mut self, status: Status, code: StatusCode) {
        self.outcome(status, code);
    }

    /// What a timeout says.
    #[must_use]
    pub fn timeout_message(&self) -> String {
        format!("Task timed out after {:.2} seconds", self.timeout.as_secs_f64())
    }

    fn report(&mut self) {
        let (status, code) = self.outcome.take().unwrap_or((Status::Gone, 0));
        let now = Instant::now();
        let duration = now.saturating_duration_since(self.began);
        let tail = self.worker.take().and_then(|worker| worker.end(&self.id));
        let report = Report {
            request_id: &self.id,
            duration,
            init: self.init,
            memory_size: self.instance.config.memory_bytes,
            max_memory_used: self.instance.memory_peak(now),
            status,
        };
        report.write(&self.instance.log);
        let metrics = &self.instance.metrics;
        metrics.answered(code, duration);
        match status {
            Status::Error => metrics.failed(),
            Status::Timeout => metrics.timed_out(),
            Status::Success | Status::Gone => {}
        }
        if let Some(tail) = tail {
            tail.push(&format!("END RequestId: {}", self.id));
            tail.push(&report.line());
        }
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        self.report();
    }
}

// === impl Worker ===

impl Worker {
    /// What it has written until now is the request's, what follows is not.
    fn end(self, id: &str) -> Option<Arc<Tail>> {
        if let Some(pipes) = &self.pipes {
            pipes.catch_up();
        }
        self.attribution.end(id);
        self.tail
    }
}

/// What is left of the deadline, as the gateway says.
fn timeout(headers: &HeaderMap) -> Option<Duration> {
    headers.get(&TIMEOUT)?.to_str().ok()?.trim().parse().ok().map(Duration::from_millis)
}

/// The request's id as it came, if it can be used; a new one otherwise.
pub(crate) fn request_id(headers: &HeaderMap) -> Arc<str> {
    let given = headers.get(&REQUEST_ID).and_then(|value| value.to_str().ok());
    match given.filter(|id| is_usable(id)) {
        Some(id) => Arc::from(id),
        None => Arc::from(uuid::Uuid::new_v4().to_string()),
    }
}

fn is_usable(id: &str) -> bool {
    (1..=LONGEST_ID).contains(&id.len())
        && id.bytes().all(|byte| {
            byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.' | b':' | b'=' | b'+' | b'@')
        })
        && !id.bytes().all(|byte| byte == b'.')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(given: &str) -> String {
        let mut headers = HeaderMap::new();
        headers.insert(wire::REQUEST_ID_HEADER, given.parse().unwrap());
        request_id(&headers).to_string()
    }

    #[test]
    fn an_id_that_fits_into_a_path_is_kept() {
        for kept in ["8f507cfc-example", "01ARZ3NDEKTSV4RRFFQ69G5FAV", "Root=1-5e1b4151"] {
            assert_eq!(id(kept), kept);
        }
    }

    #[test]
    fn an_id_that_would_break_a_path_is_replaced() {
        for replaced in ["", "a/b", "a b", "..", "a?b", &"x".repeat(129)] {
            assert_ne!(id(replaced), replaced);
        }
    }

    #[test]
    fn what_is_left_of_the_deadline_is_read() {
        let mut headers = HeaderMap::new();
        assert_eq!(timeout(&headers), None);
        headers.insert(wire::TIMEOUT_HEADER, "1500".parse().unwrap());
        assert_eq!(timeout(&headers), Some(Duration::from_millis(1500)));
        headers.insert(wire::TIMEOUT_HEADER, "-1".parse().unwrap());
        assert_eq!(timeout(&headers), None);
    }
}
