//! The grammar of schedules: rate, EventBridge's six fields, Unix's five, and times.

use std::collections::BTreeSet;

use jiff::{SignedDuration, civil::DateTime};

use super::{
    ScheduleError, When,
    cron::{Cron, Days, Weekdays, Years},
};

/// A field's name, range and the words it knows, the first word standing for the least value.
struct Field {
    name: &'static str,
    least: u16,
    most: u16,
    words: &'static [&'static str],
}

const MONTHS: &[&str] = &["JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC"];
const WEEKDAYS: &[&str] = &["SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT"];

const MINUTE: Field = Field { name: "minute", least: 0, most: 59, words: &[] };
const HOUR: Field = Field { name: "hour", least: 0, most: 23, words: &[] };
const DAY: Field = Field { name: "day-of-month", least: 1, most: 31, words: &[] };
const MONTH: Field = Field { name: "month", least: 1, most: 12, words: MONTHS };
/// EventBridge's: 1 is Sunday.
const WEEKDAY: Field = Field { name: "day-of-week", least: 1, most: 7, words: WEEKDAYS };
/// Unix's: 0 is Sunday, and 7 is too.
const UNIX_WEEKDAY: Field = Field { name: "day-of-week", least: 0, most: 7, words: WEEKDAYS };
const YEAR: Field = Field { name: "year", least: 1970, most: 2199, words: &[] };

/// Reads one of the four forms.
pub(super) fn when(text: &str) -> Result<When, ScheduleError> {
    let within = |name: &str| text.strip_prefix(name)?.strip_prefix('(')?.strip_suffix(')');
    if let Some(inner) = within("rate") {
        return rate(inner).map(When::Rate).ok_or_else(|| ScheduleError::Rate(text.to_owned()));
    }
    if let Some(inner) = within("at") {
        return at(inner).map(When::At).ok_or_else(|| ScheduleError::At(text.to_owned()));
    }
    let cron = if let Some(inner) = within("cron") {
        event_bridge(inner)?
    } else if let Some(fields) = shorthand(text) {
        unix(fields)?
    } else if text.trim() == text && text.contains(' ') && !text.contains('(') {
        unix(text)?
    } else {
        return Err(ScheduleError::Form(text.to_owned()));
    };
    if cron.fires_at_all() {
        Ok(When::Cron(Box::new(cron)))
    } else {
        Err(ScheduleError::Never(text.to_owned()))
    }
}

/// `N unit`, with EventBridge's strictness: one space, lower case, singular exactly for 1.
fn rate(text: &str) -> Option<SignedDuration> {
    let (number, unit) = text.split_once(' ')?;
    if number.is_empty() || number.len() > 6 || !number.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let number: i64 = number.parse().ok()?;
    let minutes = match (number, unit) {
        (1, "minute") | (2.., "minutes") => 1,
        (1, "hour") | (2.., "hours") => 60,
        (1, "day") | (2.., "days") => 24 * 60,
        _ => return None,
    };
    Some(SignedDuration::from_mins(number * minutes))
}

/// `yyyy-mm-ddThh:mm:ss`, nothing more.
fn at(text: &str) -> Option<DateTime> {
    let shape = text.bytes().map(|byte| if byte.is_ascii_digit() { b'0' } else { byte });
    if !shape.eq(*b"0000-00-00T00:00:00") {
        return None;
    }
    text.parse().ok()
}

fn shorthand(text: &str) -> Option<&'static str> {
    Some(match text {
        "@hourly" => "0 * * * *",
        "@daily" | "@midnight" => "0 0 * * *",
        "@weekly" => "0 0 * * 0",
        "@monthly" => "0 0 1 * *",
        "@yearly" | "@annually" => "0 0 1 1 *",
        _ => return None,
    })
}

fn split<'a, const N: usize>(text: &'a str, names: &'static str) -> Result<[&'a str; N], ScheduleError> {
    let fields: Vec<_> = text.split_ascii_whitespace().collect();
    let found = fields.len();
    fields.try_into().map_err(|_| ScheduleError::Fields { text: text.to_owned(), found, expected: N, names })
}

fn event_bridge(text: &str) -> Result<Cron, ScheduleError> {
    let [minute, hour, day, month, weekday, year] =
        split::<6>(text, "minute hour day-of-month month day-of-week year")?;
    let days = if day == "?" { None } else { Some(event_bridge_days(day)?) };
    let weekdays = if weekday == "?" { None } else { Some(event_bridge_weekdays(weekday)?) };
    if days.is_some() == weekdays.is_some() {
        return Err(ScheduleError::Days);
    }
    Ok(Cron {
        minutes: MINUTE.mask(minute)?,
        hours: HOUR.mask(hour)?,
        days: days.unwrap_or(Days::ANY),
        months: MONTH.mask(month)?,
        weekdays: weekdays.unwrap_or(Weekdays::ANY),
        years: if year == "*" { Years::Any } else { Years::Some(YEAR.values(year)?) },
        either_day: false,
    })
}

/// Days with EventBridge's `L`, the last, and `15W`, the weekday nearest to the 15th.
fn event_bridge_days(text: &str) -> Result<Days, ScheduleError> {
    let mut days = Days { mask: 0, nearest: 0, last: false };
    for item in text.split(',') {
        if item == "L" {
            days.last = true;
        } else if let Some(day) = item.strip_suffix('W') {
            days.nearest |= 1 << DAY.value(text, day)?;
        } else {
            days.mask |= DAY.mask(item)? as u32;
        }
    }
    Ok(days)
}

/// Days of the week with EventBridge's `6L`, the last Friday, and `3#2`, the second Tuesday.
fn event_bridge_weekdays(text: &str) -> Result<Weekdays, ScheduleError> {
    if let Some((weekday, nth)) = text.split_once('#') {
        let nth = nth.parse().ok().filter(|nth| (1..=5).contains(nth));
        let nth = nth.ok_or_else(|| {
            WEEKDAY.error(text, "after '#' stands which one of the month, 1 to 5, and nothing else")
        })?;
        return Ok(Weekdays {
            mask: 0,
            last: 0,
            nth: Some((sunday_zero(WEEKDAY.value(text, weekday)?), nth)),
        });
    }
    let mut weekdays = Weekdays { mask: 0, last: 0, nth: None };
    for item in text.split(',') {
        if item == "L" {
            weekdays.mask |= 1 << 6;
        } else if let Some(weekday) = item.strip_suffix('L') {
            weekdays.last |= 1 << sunday_zero(WEEKDAY.value(text, weekday)?);
        } else {
            for weekday in WEEKDAY.values(item)? {
                weekdays.mask |= 1 << sunday_zero(weekday);
            }
        }
    }
    Ok(weekdays)
}

/// EventBridge's 1 to 7 as 0 to 6.
fn sunday_zero(weekday: u16) -> u8 {
    (weekday.saturating_sub(1) % 7) as u8
}

fn unix(text: &str) -> Result<Cron, ScheduleError> {
    let [minute, hour, day, month, weekday] = split::<5>(text, "minute hour day-of-month month day-of-week")?;
    let weekdays =
        UNIX_WEEKDAY.values(weekday)?.into_iter().fold(0, |mask, weekday| mask | 1 << (weekday % 7));
    Ok(Cron {
        minutes: MINUTE.mask(minute)?,
        hours: HOUR.mask(hour)?,
        days: Days { mask: DAY.mask(day)? as u32, nearest: 0, last: false },
        months: MONTH.mask(month)?,
        weekdays: Weekdays { mask: weekdays, last: 0, nth: None },
        years: Years::Any,
        // crontab(5): with both days restricted, that is neither beginning with '*', either is enough.
        either_day: !day.starts_with('*') && !weekday.starts_with('*'),
    })
}

// === impl Field ===

impl Field {
    fn error(&self, text: &str, why: impl Into<String>) -> ScheduleError {
        ScheduleError::Field { field: self.name, text: text.to_owned(), why: why.into() }
    }

    /// A number in the field's range, or one of its words.
    fn value(&self, text: &str, item: &str) -> Result<u16, ScheduleError> {
        if let Some(word) = self.words.iter().position(|word| word.eq_ignore_ascii_case(item)) {
            return Ok(self.least + word as u16);
        }
        let digits = !item.is_empty() && item.len() <= 4 && item.bytes().all(|byte| byte.is_ascii_digit());
        let value = if digits { item.parse().ok() } else { None };
        value.filter(|value| (self.least..=self.most).contains(value)).ok_or_else(|| {
            let words = match self.words {
                [first, .., last] => format!(" or {first} to {last}"),
                _ => String::new(),
            };
            self.error(text, format!("{item:?} is not {} to {}{words}", self.least, self.most))
        })
    }

    /// Every value that a list of values, ranges and steps stands for.
    fn values(&self, text: &str) -> Result<BTreeSet<u16>, ScheduleError> {
        let mut values = BTreeSet::new();
        for item in text.split(',') {
            let (base, step) = match item.split_once('/') {
                None => (item, None),
                Some((base, step)) => (base, Some(self.step(text, step)?)),
            };
            let (first, last) = match base.split_once('-') {
                _ if base == "*" => (self.least, self.most),
                Some((first, last)) => (self.value(text, first)?, self.value(text, last)?),
                // `5/15` is from 5 on; a bare value is itself.
                None => {
                    let value = self.value(text, base)?;
                    (value, if step.is_some() { self.most } else { value })
                }
            };
            if first > last {
                return Err(
                    self.error(text, format!("the range {base} ends before it begins: write it as two"))
                );
            }
            values.extend((first..=last).step_by(usize::from(step.unwrap_or(1))));
        }
        Ok(values)
    }

    fn step(&self, text: &str, step: &str) -> Result<u16, ScheduleError> {
        let digits = step.len() <= 4 && step.bytes().all(|byte| byte.is_ascii_digit());
        let value = if digits { step.parse().ok() } else { None };
        value
            .filter(|value| (1..=self.most).contains(value))
            .ok_or_else(|| self.error(text, format!("the step {step:?} is not 1 to {}", self.most)))
    }

    /// The values as bits, for fields below 64.
    fn mask(&self, text: &str) -> Result<u64, ScheduleError> {
        Ok(self.values(text)?.into_iter().fold(0, |mask, value| mask | 1 << value))
    }
}
