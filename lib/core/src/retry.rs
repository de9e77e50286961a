//! The retry table of `docs/internals.md` as a function: what a failed attempt means for the request.

use http::{HeaderMap, Method};

/// What became of one attempt at an instance.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// No connection, or one that ended before the request was written.
    NotSent,
    /// The watchdog is over its limit, and processed nothing.
    Busy,
    /// The watchdog is going, and processed nothing.
    Draining,
    /// The connection ended after the request was sent and before any byte of the answer.
    Cut,
    /// A part of the answer came, then the connection ended.
    Broken,
}

/// What matters of a request for its retries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Replay {
    /// Doing it twice is the same as doing it once.
    pub idempotent: bool,
    /// The body is still there: none, buffered, or not yet taken.
    pub replayable: bool,
    /// It has been cut off once before.
    pub was_cut: bool,
}

/// What to do next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Nothing was processed: to another instance, as often as the deadline allows.
    Elsewhere,
    /// Perhaps it was processed: once more, at another instance.
    Again,
    /// The client gets an error.
    Fail,
}

/// Decides what a failed attempt means.
#[must_use]
pub const fn decide(outcome: Outcome, replay: Replay) -> Verdict {
    match outcome {
        Outcome::NotSent | Outcome::Busy | Outcome::Draining if replay.replayable => Verdict::Elsewhere,
        Outcome::Cut if replay.replayable && replay.idempotent && !replay.was_cut => Verdict::Again,
        _ => Verdict::Fail,
    }
}

/// Whether doing the request twice is the same as doing it once, by its method or by the client's word.
#[must_use]
pub fn is_idempotent(method: &Method, headers: &HeaderMap) -> bool {
    method.is_idempotent() || headers.contains_key("idempotency-key")
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    const PLAIN: Replay = Replay { idempotent: false, replayable: true, was_cut: false };

    #[rstest]
    #[case(Outcome::NotSent)]
    #[case(Outcome::Busy)]
    #[case(Outcome::Draining)]
    fn what_was_not_processed_goes_elsewhere_whatever_the_method(#[case] outcome: Outcome) {
        assert_eq!(decide(outcome, PLAIN), Verdict::Elsewhere);
        assert_eq!(decide(outcome, Replay { was_cut: true, ..PLAIN }), Verdict::Elsewhere);
        assert_eq!(decide(outcome, Replay { replayable: false, ..PLAIN }), Verdict::Fail);
    }

    #[test]
    fn what_was_cut_off_is_done_again_once_and_only_if_idempotent() {
        let idempotent = Replay { idempotent: true, ..PLAIN };
        assert_eq!(decide(Outcome::Cut, PLAIN), Verdict::Fail);
        assert_eq!(decide(Outcome::Cut, idempotent), Verdict::Again);
        assert_eq!(decide(Outcome::Cut, Replay { was_cut: true, ..idempotent }), Verdict::Fail);
        assert_eq!(decide(Outcome::Cut, Replay { replayable: false, ..idempotent }), Verdict::Fail);
    }

    #[test]
    fn what_began_to_answer_is_never_repeated() {
        assert_eq!(decide(Outcome::Broken, Replay { idempotent: true, ..PLAIN }), Verdict::Fail);
    }

    #[test]
    fn the_methods_of_the_table_are_idempotent_and_a_key_makes_any_so() {
        let none = HeaderMap::new();
        for method in ["GET", "HEAD", "OPTIONS", "PUT", "DELETE", "TRACE"] {
            assert!(is_idempotent(&method.parse().unwrap(), &none), "{method}");
        }
        let mut keyed = HeaderMap::new();
        keyed.insert("idempotency-key", "k1".parse().unwrap());
        for method in ["POST", "PATCH", "PURGE"] {
            assert!(!is_idempotent(&method.parse().unwrap(), &none), "{method}");
            assert!(is_idempotent(&method.parse().unwrap(), &keyed), "{method}");
        }
    }
}
