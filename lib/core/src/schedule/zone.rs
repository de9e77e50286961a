//! From times of a calendar to instants, through the changes of a time zone's clocks.
//!
//! Between two changes the clock runs evenly, so the search goes period by period: a match within the period is an
//! instant; a match in the hour that the next change skips is the change itself; a match in the hour that the last change
//! repeated has already fired.

use jiff::{
    SignedDuration, Timestamp, ToSpan,
    civil::DateTime,
    tz::{AmbiguousOffset, Offset, TimeZone},
};

use super::cron::{Cron, ceil_to_minute};

/// A stretch of time in which a zone's clocks are not changed.
struct Period {
    offset: Offset,
    /// Local times before this one were seen already, before the clock was set back.
    repeated_until: Option<DateTime>,
    /// The change that ends it, and the offset from then on.
    end: Option<(Timestamp, Offset)>,
}

/// Further than this, a match is looked up in its own period and the ones between are passed over.
const FAR: SignedDuration = SignedDuration::from_hours(72);
/// How far back from a time read as UTC its zone's clock may show it: the widest offset there is, with room.
const WIDEST: SignedDuration = SignedDuration::from_hours(36);
/// More steps than any search takes: a rare date is jumped to, and clocks change a few times a year at most.
const STEPS: usize = 64;

/// The first firing strictly after `after`.
pub(super) fn next_after(cron: &Cron, zone: &TimeZone, after: Timestamp) -> Option<Timestamp> {
    let mut period = Period::around(zone, after)?;
    // One nanosecond makes "at or after" of "after".
    let mut from = period.offset.to_datetime(after).checked_add(1.nanosecond()).ok()?;
    for _ in 0..STEPS {
        if let Some(seen) = period.repeated_until.filter(|seen| *seen > from && !cron.is_every_hour()) {
            from = seen;
        }
        let found = cron.first_from(ceil_to_minute(from)?)?;
        let Some((end, next_offset)) = period.end else { return period.offset.to_timestamp(found).ok() };
        let (stops, resumes) = (period.offset.to_datetime(end), next_offset.to_datetime(end));
        if found < stops {
            return period.offset.to_timestamp(found).ok();
        }
        if found < resumes && !cron.is_every_hour() {
            return Some(end);
        }
        if found.duration_since(stops) > FAR {
            let near = Offset::UTC.to_timestamp(found).ok()?.checked_sub(WIDEST).ok()?;
            period = Period::around(zone, near)?;
            from = period.offset.to_datetime(near);
        } else {
            period = Period::around(zone, end)?;
            from = resumes;
        }
    }
    None
}

/// The instant of one local time: the first of two, and the end of the gap where there is none.
pub(super) fn instant(zone: &TimeZone, at: DateTime) -> Option<Timestamp> {
    match zone.to_ambiguous_timestamp(at).offset() {
        AmbiguousOffset::Unambiguous { offset } => offset.to_timestamp(at).ok(),
        AmbiguousOffset::Fold { before, .. } => before.to_timestamp(at).ok(),
        AmbiguousOffset::Gap { after, .. } => {
            let before_the_gap = after.to_timestamp(at).ok()?;
            zone.following(before_the_gap).next().map(|change| change.timestamp())
        }
    }
}

// === impl Period ===

impl Period {
    fn around(zone: &TimeZone, at: Timestamp) -> Option<Self> {
        let offset = zone.to_offset(at);
        let begin =
            zone.preceding(at.checked_add(1.nanosecond()).ok()?).next().map(|change| change.timestamp());
        let repeated_until = begin.and_then(|begin| {
            let before = zone.to_offset(begin.checked_sub(1.nanosecond()).ok()?);
            (before > offset).then(|| before.to_datetime(begin))
        });
        let end = zone.following(at).next().map(|change| (change.timestamp(), change.offset()));
        Some(Self { offset, repeated_until, end })
    }
}
