//! What to do about a schedule now: fire, make up for a missed firing, or wait.

use jiff::{SignedDuration, Timestamp};

use super::Schedule;

/// How late a firing may be and still count as on time: the schedules' own resolution.
pub const ON_TIME: SignedDuration = SignedDuration::from_mins(1);

/// How late a missed firing is still made up for: longer than a restart or a new leader takes, short enough that
/// nobody is surprised by it.
pub const CATCH_UP: SignedDuration = SignedDuration::from_mins(10);

/// What to do about a schedule now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decision {
    /// Fire for this due time, which has just come.
    Fire(Timestamp),
    /// Fire for this due time, the latest of those that were missed.
    CatchUp(Timestamp),
    /// What was missed is too old: leave it, and wait for the next.
    Skip {
        /// The first due time that was missed.
        missed: Timestamp,
        /// The next due time; none when there is none any more.
        next: Option<Timestamp>,
    },
    /// Nothing is due before this time.
    WaitUntil(Timestamp),
    /// Nothing is ever due again.
    Never,
}

/// Decides what is due at `now`, when everything up to `since` has been dealt with.
///
/// `since` is the due time of the last firing. For a schedule that never fired it is the moment before its status'
/// `nextFiring`, or now where the status has none: a schedule does not fire for times before it was written.
///
/// At most one missed firing is made up for, the latest, and only within [`CATCH_UP`]; older ones are skipped. (It is always within
/// the schedule's own interval, since the one after it is not due yet.) After `Fire` and `CatchUp` the next call's `since`
/// is the due time; after `Skip` it may be now.
#[must_use]
pub fn due(schedule: &Schedule, since: Timestamp, now: Timestamp) -> Decision {
    let Some(first) = schedule.next_after(since) else { return Decision::Never };
    if first > now {
        return Decision::WaitUntil(first);
    }
    // The latest due time within the window; a schedule's resolution of a minute bounds the loop.
    let mut latest = None;
    let mut from = now.checked_sub(CATCH_UP).map_or(since, |oldest| oldest.max(since));
    while let Some(due) = schedule.next_after(from).filter(|due| *due <= now) {
        latest = Some(due);
        from = due;
    }
    match latest {
        Some(due) if now.duration_since(due) < ON_TIME => Decision::Fire(due),
        Some(due) => Decision::CatchUp(due),
        None => Decision::Skip { missed: first, next: schedule.next_after(now) },
    }
}
