//! Admission: how many requests are worked on, and whether any more are taken.

use std::sync::Arc;

use parking_lot::Mutex;
use tokio::sync::Notify;

/// Counts requests in, refuses the ones over the limit, and knows when the last one is done.
#[derive(Clone, Debug)]
pub struct Gate(Arc<Shared>);

/// One request's place. Dropping it gives the place back.
#[derive(Debug)]
pub struct Permit(Arc<Shared>);

/// Why a request is not taken. Nothing of it was processed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// Over the concurrency limit.
    Busy,
    /// The instance is going.
    Draining,
}

#[derive(Debug)]
struct Shared {
    limit: usize,
    state: Mutex<State>,
    emptied: Notify,
}

#[derive(Debug, Default)]
struct State {
    in_flight: usize,
    phase: Phase,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Phase {
    #[default]
    Open,
    /// Told to end: still takes requests, for the news is under way.
    Closing,
    /// Takes nothing any more.
    Closed,
}

/// "No limit" is a limit too: without any, waiting requests would be an unbounded queue.
pub(crate) const NO_LIMIT: usize = 10_000;

// === impl Gate ===

impl Gate {
    /// A gate for `limit` requests at a time.
    #[must_use]
    pub fn new(limit: Option<usize>) -> Self {
        let limit = limit.unwrap_or(NO_LIMIT);
        Self(Arc::new(Shared { limit, state: Mutex::default(), emptied: Notify::new() }))
    }

    /// Takes a request in.
    ///
    /// # Errors
    /// When there is no room, or the instance is going.
    pub fn admit(&self) -> Result<Permit, Refusal> {
        let mut state = self.0.state.lock();
        if state.phase == Phase::Closed {
            return Err(Refusal::Draining);
        }
        if state.in_flight >= self.0.limit {
            return Err(Refusal::Busy);
        }
        state.in_flight += 1;
        Ok(Permit(self.0.clone()))
    }

    /// Requests being worked on.
    #[must_use]
    pub fn in_flight(&self) -> usize {
        self.0.state.lock().in_flight
    }

    /// From here on connections are closed after their answers; requests are still taken.
    pub fn begin_closing(&self) {
        let mut state = self.0.state.lock();
        if state.phase == Phase::Open {
            state.phase = Phase::Closing;
        }
    }

    /// From here on nothing is taken.
    pub fn close(&self) {
        self.0.state.lock().phase = Phase::Closed;
    }

    /// Whether the instance is going.
    #[must_use]
    pub fn is_closing(&self) -> bool {
        self.0.state.lock().phase != Phase::Open
    }

    /// Whether nothing is taken any more and nothing is left to do.
    #[must_use]
    pub fn is_drained(&self) -> bool {
        let state = self.0.state.lock();
        state.phase == Phase::Closed && state.in_flight == 0
    }

    /// Waits until the last request is done.
    pub async fn empty(&self) {
        loop {
            let emptied = self.0.emptied.notified();
            if self.in_flight() == 0 {
                return;
            }
            emptied.await;
        }
    }
}

// === impl Permit ===

impl Drop for Permit {
    fn drop(&mut self) {
        let mut state = self.0.state.lock();
        state.in_flight -= 1;
        if state.in_flight == 0 {
            self.0.emptied.notify_waiters();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_request_over_the_limit_is_refused_and_the_one_after_an_answer_is_not() {
        let gate = Gate::new(Some(2));
        let first = gate.admit().unwrap();
        let _second = gate.admit().unwrap();
        assert_eq!(gate.admit().unwrap_err(), Refusal::Busy);
        drop(first);
        assert!(gate.admit().is_ok());
    }

    #[test]
    fn a_closing_gate_takes_requests_and_a_closed_one_none() {
        let gate = Gate::new(None);
        gate.begin_closing();
        assert!(gate.is_closing());
        assert!(gate.admit().is_ok());
        let permit = gate.admit().unwrap();
        gate.close();
        assert_eq!(gate.admit().unwrap_err(), Refusal::Draining);
        assert!(!gate.is_drained(), "one request is left");
        drop(permit);
        assert!(gate.is_drained());
        gate.begin_closing();
        assert_eq!(gate.admit().unwrap_err(), Refusal::Draining);
    }

    #[tokio::test(start_paused = true)]
    async fn the_end_waits_for_the_last_request() {
        let gate = Gate::new(None);
        gate.empty().await;
        let permit = gate.admit().unwrap();
        let waiting = tokio::spawn({
            let gate = gate.clone();
            async move { gate.empty().await }
        });
        tokio::task::yield_now().await;
        assert!(!waiting.is_finished());
        drop(permit);
        waiting.await.unwrap();
    }
}
