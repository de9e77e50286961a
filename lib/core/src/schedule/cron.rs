//! A cron's fields, and the next time of the calendar that has them; without time zones.

use std::collections::BTreeSet;

use jiff::{
    ToSpan,
    civil::{Date, DateTime, date},
};

/// The fields of a cron, as bits by value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Cron {
    pub(super) minutes: u64,
    pub(super) hours: u64,
    pub(super) days: Days,
    pub(super) months: u64,
    pub(super) weekdays: Weekdays,
    pub(super) years: Years,
    /// Unix with both days restricted: either is enough. Otherwise both must fit.
    pub(super) either_day: bool,
}

/// Days of the month.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Days {
    /// Plain days, by bit.
    pub(super) mask: u32,
    /// Days whose nearest weekday is meant, by bit.
    pub(super) nearest: u32,
    /// The last day.
    pub(super) last: bool,
}

/// Days of the week, Sunday being 0.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Weekdays {
    /// Plain days, by bit.
    pub(super) mask: u8,
    /// Days whose last one in the month is meant, by bit.
    pub(super) last: u8,
    /// The nth of its kind in the month.
    pub(super) nth: Option<(u8, i8)>,
}

/// Years, of 1970 to 2199.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Years {
    Any,
    Some(BTreeSet<u16>),
}

/// The last year that EventBridge knows; after it nothing fires.
const LAST_YEAR: i16 = 2199;

// === impl Cron ===

impl Cron {
    /// Whether the calendar has any such day: 30 February is none.
    pub(super) fn fires_at_all(&self) -> bool {
        self.first_from(date(1970, 1, 1).at(0, 0, 0, 0)).is_some()
    }

    /// Every hour of the day: meant as an interval, not as a time of day.
    pub(super) fn is_every_hour(&self) -> bool {
        self.hours == (1 << 24) - 1
    }

    /// The first time that fits, `from` included where it is a whole minute.
    pub(super) fn first_from(&self, from: DateTime) -> Option<DateTime> {
        let mut day = from.date();
        let mut time = ceil_to_minute(from)?;
        if time.date() != day {
            day = time.date();
        }
        loop {
            if day.year() > LAST_YEAR {
                return None;
            }
            if !self.years.contains(day.year()) {
                day = date(day.year(), 12, 31).tomorrow().ok()?;
            } else if self.months & (1 << day.month()) == 0 {
                day = day.last_of_month().tomorrow().ok()?;
            } else if let Some(found) = self.fits(day).then(|| self.time_from(day, time)).flatten() {
                return Some(found);
            } else {
                day = day.tomorrow().ok()?;
            }
            time = day.at(0, 0, 0, 0);
        }
    }

    fn fits(&self, day: Date) -> bool {
        let (of_month, of_week) = (self.days.contains(day), self.weekdays.contains(day));
        if self.either_day { of_month || of_week } else { of_month && of_week }
    }

    /// The first fitting time of a fitting day, not before `from` on it.
    fn time_from(&self, day: Date, from: DateTime) -> Option<DateTime> {
        let (mut hour, mut minute) = (from.hour(), from.minute());
        loop {
            hour = next_bit(self.hours, hour)?;
            if hour != from.hour() {
                minute = 0;
            }
            if let Some(minute) = next_bit(self.minutes, minute) {
                return Some(day.at(hour, minute, 0, 0));
            }
            hour += 1;
            minute = 0;
        }
    }
}

/// The same time, or the next whole minute.
pub(super) fn ceil_to_minute(time: DateTime) -> Option<DateTime> {
    let floor = time.date().at(time.hour(), time.minute(), 0, 0);
    if floor == time { Some(time) } else { floor.checked_add(1.minute()).ok() }
}

/// The first set bit at or above `from`.
fn next_bit(mask: u64, from: i8) -> Option<i8> {
    let rest = mask & u64::MAX.checked_shl(u32::try_from(from).ok()?)?;
    (rest != 0).then(|| rest.trailing_zeros() as i8)
}

// === impl Days ===

impl Days {
    pub(super) const ANY: Self = Self { mask: u32::MAX, nearest: 0, last: false };

    fn contains(&self, day: Date) -> bool {
        let number = day.day();
        self.mask & (1 << number) != 0
            || (self.last && number == day.days_in_month())
            || (self.nearest != 0 && self.nearest_contains(day))
    }

    /// Whether the day is the weekday nearest to one of the days meant; it never leaves the month.
    fn nearest_contains(&self, day: Date) -> bool {
        let length = day.days_in_month();
        (1..=length).filter(|meant| self.nearest & (1 << meant) != 0).any(|meant| {
            let offset = match (sunday_zero(day.first_of_month(), meant), meant) {
                (6, 1) => 2,
                (6, _) => -1,
                (0, last) if last == length => -2,
                (0, _) => 1,
                _ => 0,
            };
            day.day() == meant + offset
        })
    }
}

/// The weekday of a day of the month that begins with `first`.
fn sunday_zero(first: Date, day: i8) -> i8 {
    (first.weekday().to_sunday_zero_offset() + day - 1) % 7
}

// === impl Weekdays ===

impl Weekdays {
    pub(super) const ANY: Self = Self { mask: u8::MAX, last: 0, nth: None };

    fn contains(&self, day: Date) -> bool {
        let weekday = day.weekday().to_sunday_zero_offset();
        self.mask & (1 << weekday) != 0
            || (self.last & (1 << weekday) != 0 && day.day() + 7 > day.days_in_month())
            || self.nth.is_some_and(|(meant, nth)| {
                i8::try_from(meant) == Ok(weekday) && (day.day() - 1) / 7 + 1 == nth
            })
    }
}

// === impl Years ===

impl Years {
    fn contains(&self, year: i16) -> bool {
        match self {
            Self::Any => true,
            Self::Some(years) => u16::try_from(year).is_ok_and(|year| years.contains(&year)),
        }
    }
}
