//! When a child that has ended is started again, and when the instance gives up.

use std::time::Duration;

/// After so many in a row something is wrong that starting again does not cure; the pod's status has to say so.
const GIVE_UP: u32 = 5;
/// The second start in a row waits this long, each further one twice as long.
const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

/// Counts the children that were of no use.
#[derive(Debug, Default)]
pub struct Restarts {
    useless: u32,
    ever_ready: bool,
}

/// How far a child got.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Life {
    /// It ended before it was ready.
    NeverReady,
    /// It was ready, and ended with nothing to do.
    Idle,
    /// It ended in the middle of a request, or after it had answered one: each request may have its start.
    Worked,
    /// The watchdog ended it.
    Killed,
}

/// What follows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decision {
    /// Start another one, after a pause.
    StartAfter(Duration),
    /// End the instance.
    GiveUp,
}

// === impl Restarts ===

impl Restarts {
    /// A child is ready: the code can run, whatever happens later.
    pub fn became_ready(&mut self) {
        self.ever_ready = true;
    }

    /// A child has ended.
    pub fn ended(&mut self, life: Life) -> Decision {
        match life {
            Life::NeverReady if !self.ever_ready => return Decision::GiveUp,
            Life::NeverReady | Life::Idle => self.useless += 1,
            Life::Worked | Life::Killed => self.useless = 0,
        }
        match self.useless {
            0 | 1 => Decision::StartAfter(Duration::ZERO),
            GIVE_UP.. => Decision::GiveUp,
            several => Decision::StartAfter((FIRST_PAUSE * 2_u32.pow(several - 2)).min(LONGEST_PAUSE)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const AT_ONCE: Decision = Decision::StartAfter(Duration::ZERO);

    #[test]
    fn a_first_child_that_does_not_become_ready_ends_the_instance() {
        assert_eq!(Restarts::default().ended(Life::NeverReady), Decision::GiveUp);
    }

    #[test]
    fn a_child_that_crashes_at_its_work_is_replaced_at_once_however_often() {
        let mut restarts = Restarts::default();
        restarts.became_ready();
        for _ in 0..100 {
            assert_eq!(restarts.ended(Life::Worked), AT_ONCE);
            assert_eq!(restarts.ended(Life::Killed), AT_ONCE);
        }
    }

    #[test]
    fn children_that_end_without_any_work_are_started_ever_later_and_then_no_more() {
        let mut restarts = Restarts::default();
        restarts.became_ready();
        let pauses: Vec<_> = (0..5).map(|_| restarts.ended(Life::Idle)).collect();
        let after = |millis| Decision::StartAfter(Duration::from_millis(millis));
        assert_eq!(pauses, [AT_ONCE, after(100), after(200), after(400), Decision::GiveUp]);
    }

    #[test]
    fn work_makes_earlier_failures_forgotten() {
        let mut restarts = Restarts::default();
        restarts.became_ready();
        for _ in 0..4 {
            restarts.ended(Life::NeverReady);
        }
        restarts.ended(Life::Worked);
        assert_eq!(restarts.ended(Life::NeverReady), AT_ONCE);
    }
}
