//! Schedules: when a function is due, from what people write.
//!
//! Four forms are read. `rate(N unit)` counts from an anchor, the Function's creation, so that every gateway finds the
//! same instants and functions do not all fire on the hour. `cron(…)` has EventBridge's six fields, five bare fields are
//! Unix cron (with `@daily` and its like), and `at(…)` fires once. The two crons differ where people trip: EventBridge counts
//! days of the week from 1 = Sunday and wants a `?` for the day that is not meant; Unix counts from 0 = Sunday and, given
//! both a day of the month and one of the week, fires on either.
//!
//! **When clocks change.** A time that is skipped in spring fires at the first instant after the gap; a time that comes
//! twice in autumn fires the first time only. A schedule of every hour (`0 * * * *`, `*/5 * * * *`) is meant as
//! an interval: it follows real time, with nothing added in spring and nothing left out in autumn.
//!
//! **When firings were missed**, see [`due`].

use jiff::{
    SignedDuration, Timestamp,
    civil::DateTime,
    tz::{TimeZone, TimeZoneDatabase},
};
use std::{fmt, sync::LazyLock};

mod cron;
mod event;
mod missed;
mod parse;
#[cfg(test)]
mod tests;
mod zone;

pub use event::scheduled_event;
pub use missed::{CATCH_UP, Decision, ON_TIME, due};

use cron::Cron;

/// A parsed schedule.
#[derive(Clone, Debug)]
pub struct Schedule {
    text: String,
    when: When,
    zone: TimeZone,
    anchor: Timestamp,
}

/// The text is not a schedule; says what is wrong and what to write.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ScheduleError {
    /// None of the four forms.
    #[error(
        "{0:?} is not a schedule: write rate(5 minutes), cron(0 2 * * ? *), five Unix fields such as 0 2 * * *, @daily, or at(2027-01-31T09:00:00)"
    )]
    Form(String),
    /// `rate(…)` with something else in it.
    #[error(
        "{0:?} is not a rate: write a whole number from 1 to 999999 and minutes, hours or days, in the singular for 1 only, such as rate(1 minute) or rate(12 hours)"
    )]
    Rate(String),
    /// `at(…)` with something else in it.
    #[error("{0:?} is not a time: write at(yyyy-mm-ddThh:mm:ss), such as at(2027-01-31T09:00:00)")]
    At(String),
    /// Too many or too few fields.
    #[error("{text:?} has {found} fields where {expected} are needed: {names}")]
    Fields {
        /// What was written.
        text: String,
        /// How many fields it has.
        found: usize,
        /// How many it should have.
        expected: usize,
        /// Their names, in order.
        names: &'static str,
    },
    /// A field that cannot be understood.
    #[error("the {field} field {text:?} cannot be read: {why}")]
    Field {
        /// Which field.
        field: &'static str,
        /// What was written.
        text: String,
        /// What is wrong with it.
        why: String,
    },
    /// EventBridge wants exactly one of the two days.
    #[error(
        "cron(…) needs '?' for exactly one of day-of-month and day-of-week, the one that is not meant, such as cron(0 2 * * ? *)"
    )]
    Days,
    /// A date that no calendar has.
    #[error("{0:?} never fires: no year has such a day")]
    Never(String),
    /// Not an IANA name.
    #[error("{0:?} is not a time zone: write an IANA name such as Europe/Berlin, America/New_York or UTC")]
    TimeZone(String),
}

#[derive(Clone, Debug)]
enum When {
    Rate(SignedDuration),
    Cron(Box<Cron>),
    At(DateTime),
}

/// The time zones in the program itself: images carry none, and every gateway must find the same instants.
static ZONES: LazyLock<TimeZoneDatabase> = LazyLock::new(TimeZoneDatabase::bundled);

// === impl Schedule ===

impl Schedule {
    /// Reads a schedule. Without a time zone, UTC.
    ///
    /// # Errors
    /// What is wrong with the text, in words for the person who wrote it.
    pub fn parse(text: &str, time_zone: Option<&str>) -> Result<Self, ScheduleError> {
        let zone = match time_zone {
            None => TimeZone::UTC,
            Some(name) => ZONES.get(name).map_err(|_| ScheduleError::TimeZone(name.to_owned()))?,
        };
        Ok(Self { text: text.to_owned(), when: parse::when(text)?, zone, anchor: Timestamp::UNIX_EPOCH })
    }

    /// The same schedule, its rate counted from `anchor`; the epoch without. The first firing is one period after it.
    #[must_use]
    pub fn anchored_at(self, anchor: Timestamp) -> Self {
        Self { anchor, ..self }
    }

    /// The first firing strictly after `after`; none when there is none any more.
    #[must_use]
    pub fn next_after(&self, after: Timestamp) -> Option<Timestamp> {
        match &self.when {
            When::Rate(period) => {
                let passed = after.duration_since(self.anchor).as_secs().max(0) / period.as_secs();
                let whole = i32::try_from(passed.checked_add(1)?).ok()?;
                self.anchor.checked_add(period.checked_mul(whole)?).ok()
            }
            When::Cron(cron) => zone::next_after(cron, &self.zone, after),
            When::At(at) => zone::instant(&self.zone, *at).filter(|at| *at > after),
        }
    }

    /// Time between the next two firings after `after`; none when fewer are left.
    #[must_use]
    pub fn interval_after(&self, after: Timestamp) -> Option<SignedDuration> {
        let first = self.next_after(after)?;
        Some(self.next_after(first)?.duration_since(first))
    }
}

impl fmt::Display for Schedule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let zone = self.zone.iana_name().unwrap_or("UTC");
        match &self.when {
            When::Rate(_) => {
                write!(f, "every {}", self.text.trim_start_matches("rate(").trim_end_matches(')'))
            }
            When::Cron(_) => write!(f, "{} in {zone}", self.text),
            When::At(at) => write!(f, "once at {at} in {zone}"),
        }
    }
}
