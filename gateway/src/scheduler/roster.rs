//! Which schedules are due: a decision over the functions of the table, what their status says of firings, and the time.

use std::{collections::HashMap, sync::Arc};

use flint_core::schedule::{CATCH_UP, Decision, Schedule, due};
use jiff::Timestamp;

use crate::function::{Function, Key, Scheduled};

/// What the holder of the office knows of each schedule.
#[derive(Default)]
pub struct Roster {
    entries: HashMap<(Key, String), Entry>,
    looks: u64,
}

/// A firing to make.
#[derive(Clone, Debug)]
pub struct Due {
    /// The function.
    pub function: Arc<Function>,
    /// The schedule's name.
    pub schedule: String,
    /// The event, where the schedule names one.
    pub input: Option<serde_json::Value>,
    /// When it was due.
    pub due: Timestamp,
    /// A holder before us began it, and did not end it.
    pub repeated: bool,
}

/// What a look over the schedules found.
#[derive(Debug, Default)]
pub struct Look {
    /// Firings to make now.
    pub due: Vec<Due>,
    /// Schedules that missed a firing which is too old to make.
    pub skipped: u64,
}

struct Entry {
    /// Text, time zone and anchor that `schedule` was read from.
    text: (String, Option<String>, Timestamp),
    /// None when it cannot be read: the operator's status says why.
    schedule: Option<Schedule>,
    /// Everything up to then has been dealt with.
    since: Timestamp,
    /// Nothing is due before.
    quiet_until: Timestamp,
    /// A firing to repeat.
    cut_off: Option<Timestamp>,
    /// The last look that saw it.
    seen: u64,
}

// === impl Roster ===

impl Roster {
    /// Finds what is due at `now`, at most `room` firings. What finds no room is found again by the next look.
    pub fn look<'a>(
        &mut self,
        functions: impl Iterator<Item = &'a Arc<Function>>,
        now: Timestamp,
        room: usize,
    ) -> Look {
        self.looks += 1;
        let mut look = Look::default();
        for function in functions {
            for scheduled in function.seen.schedules.iter() {
                let name = (function.seen.key.clone(), scheduled.name.clone());
                let entry = self.entries.entry(name).or_insert_with(|| Entry::new(function, scheduled, now));
                entry.seen = self.looks;
                entry.follow(function, scheduled, now);
                let free = look.due.len() < room;
                let Some((due, repeated)) = entry.decide(scheduled.enabled, now, free, &mut look.skipped)
                else {
                    continue;
                };
                look.due.push(Due {
                    function: Arc::clone(function),
                    schedule: scheduled.name.clone(),
                    input: scheduled.input.clone(),
                    due,
                    repeated,
                });
            }
        }
        let looks = self.looks;
        self.entries.retain(|_, entry| entry.seen == looks);
        look
    }
}

// === impl Entry ===

impl Entry {
    /// A schedule seen for the first time in this office. Where nothing is known of it, it begins now: a schedule does not
    /// fire for times before it was written.
    fn new(function: &Function, scheduled: &Scheduled, now: Timestamp) -> Self {
        let announced =
            scheduled.next.and_then(|next| next.checked_sub(jiff::Span::new().milliseconds(1)).ok());
        let recent = |last: &Timestamp| now.duration_since(*last) < CATCH_UP;
        let text = text(function, scheduled);
        Self {
            schedule: read(function, scheduled),
            text,
            since: scheduled.last.or(announced).unwrap_or(now),
            quiet_until: Timestamp::MIN,
            cut_off: scheduled.last.filter(|last| !scheduled.last_done && recent(last)),
            seen: 0,
        }
    }

    /// Takes over what has changed in the function's spec and status.
    fn follow(&mut self, function: &Function, scheduled: &Scheduled, now: Timestamp) {
        if self.text != text(function, scheduled) {
            let cut_off = self.cut_off.take();
            *self = Self { since: now, cut_off, seen: self.seen, ..Self::new(function, scheduled, now) };
        }
        if let Some(last) = scheduled.last
            && last > self.since
        {
            self.since = last;
            self.quiet_until = Timestamp::MIN;
        }
        if !scheduled.enabled {
            // What passes while it is off is not missed.
            self.since = self.since.max(now);
            self.quiet_until = Timestamp::MIN;
            self.cut_off = None;
        }
    }

    fn decide(
        &mut self,
        enabled: bool,
        now: Timestamp,
        free: bool,
        skipped: &mut u64,
    ) -> Option<(Timestamp, bool)> {
        let schedule = self.schedule.as_ref().filter(|_| enabled)?;
        if let Some(cut_off) = self.cut_off.filter(|_| free) {
            self.cut_off = None;
            return Some((cut_off, true));
        }
        if now < self.quiet_until {
            return None;
        }
        match due(schedule, self.since, now) {
            Decision::Fire(due) | Decision::CatchUp(due) if free => {
                self.since = due;
                return Some((due, false));
            }
            Decision::Fire(_) | Decision::CatchUp(_) => {}
            Decision::Skip { missed, next } => {
                tracing::warn!(schedule = %schedule, %missed, "a firing was missed and is too old to be made up for");
                *skipped += 1;
                self.since = now;
                self.quiet_until = next.unwrap_or(Timestamp::MAX);
            }
            Decision::WaitUntil(next) => self.quiet_until = next,
            Decision::Never => self.quiet_until = Timestamp::MAX,
        }
        None
    }
}

fn text(function: &Function, scheduled: &Scheduled) -> (String, Option<String>, Timestamp) {
    (scheduled.cron.clone(), scheduled.time_zone.clone(), function.seen.created)
}

fn read(function: &Function, scheduled: &Scheduled) -> Option<Schedule> {
    let schedule = Schedule::parse(&scheduled.cron, scheduled.time_zone.as_deref()).ok()?;
    Some(schedule.anchored_at(function.seen.created))
}

#[cfg(test)]
mod tests;
