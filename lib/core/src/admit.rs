//! Decides what becomes of a request that arrives: forward it, let it wait, or refuse it with the truth.

use crate::wire::ErrorCode;

/// What an admission looks at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Situation {
    /// An instance has room.
    pub room: bool,
    /// Instances that are ready, with room or without.
    pub ready: usize,
    /// Requests that wait already.
    pub waiting: usize,
    /// The most that may wait.
    pub capacity: usize,
    /// The operator says that no instance can start.
    pub failing: bool,
    /// The request had an instance and lost it; its turn has come before.
    pub again: bool,
}

/// What becomes of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Admission {
    /// To the instance with room.
    Forward,
    /// Into the line.
    Wait,
    /// Back to the client.
    Refuse(ErrorCode),
}

/// Decides. Who comes new never passes those who wait; a start that cannot succeed fails its requests at once, but only
/// while nothing is ready: a function whose next revision is broken keeps serving with the old one.
#[must_use]
pub const fn admit(now: Situation) -> Admission {
    if now.room && (now.waiting == 0 || now.again) {
        return Admission::Forward;
    }
    if now.ready == 0 && now.failing {
        return Admission::Refuse(ErrorCode::NotStartable);
    }
    if now.waiting >= now.capacity && !now.again {
        return Admission::Refuse(ErrorCode::TooManyRequests);
    }
    Admission::Wait
}

#[cfg(test)]
mod tests {
    use super::*;

    const IDLE: Situation =
        Situation { room: true, ready: 1, waiting: 0, capacity: 2, failing: false, again: false };
    const ZERO: Situation = Situation { room: false, ready: 0, ..IDLE };

    #[test]
    fn with_room_it_is_forwarded_and_without_it_waits() {
        assert_eq!(admit(IDLE), Admission::Forward);
        assert_eq!(admit(Situation { room: false, ..IDLE }), Admission::Wait);
        assert_eq!(admit(ZERO), Admission::Wait);
    }

    #[test]
    fn nobody_passes_those_who_wait_but_one_whose_turn_it_was() {
        assert_eq!(admit(Situation { waiting: 1, ..IDLE }), Admission::Wait);
        assert_eq!(admit(Situation { waiting: 1, again: true, ..IDLE }), Admission::Forward);
    }

    #[test]
    fn a_full_line_refuses_the_new_and_takes_back_the_old() {
        let full = Situation { waiting: 2, room: false, ..IDLE };
        assert_eq!(admit(full), Admission::Refuse(ErrorCode::TooManyRequests));
        assert_eq!(admit(Situation { again: true, ..full }), Admission::Wait);
    }

    #[test]
    fn a_start_that_cannot_succeed_is_told_at_once_unless_something_is_ready() {
        let failing = Situation { failing: true, ..ZERO };
        assert_eq!(admit(failing), Admission::Refuse(ErrorCode::NotStartable));
        assert_eq!(admit(Situation { ready: 1, ..failing }), Admission::Wait);
        assert_eq!(admit(Situation { failing: true, ..IDLE }), Admission::Forward);
    }
}
