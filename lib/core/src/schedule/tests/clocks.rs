//! What happens when clocks change.

use jiff::civil::DateTime;

use super::*;

// Berlin 2026: 29 March 02:00 → 03:00, 25 October 03:00 → 02:00. Lisbon: 01:00 → 02:00 and 02:00 → 01:00 on the
// same nights. New York: 8 March 02:00 → 03:00, 1 November 02:00 → 01:00.

#[test]
fn a_skipped_time_fires_right_after_the_gap() {
    assert_eq!(
        firings::<3>("30 2 * * *", "Europe/Berlin", "2026-03-28T00:00:00Z"),
        ["2026-03-28T02:30+01:00", "2026-03-29T03:00+02:00", "2026-03-30T02:30+02:00"]
    );
    assert_eq!(
        firings::<2>("cron(30 2 * * ? *)", "America/New_York", "2026-03-07T12:00:00Z"),
        ["2026-03-08T03:00-04:00", "2026-03-09T02:30-04:00"]
    );
    assert_eq!(
        firings::<2>("30 1 * * *", "Europe/Lisbon", "2026-03-28T12:00:00Z"),
        ["2026-03-29T02:00+01:00", "2026-03-30T01:30+01:00"]
    );
}

#[test]
fn several_skipped_times_fire_once() {
    assert_eq!(
        firings::<3>("0,20,40 2,3 * * *", "Europe/Berlin", "2026-03-28T12:00:00Z"),
        ["2026-03-29T03:00+02:00", "2026-03-29T03:20+02:00", "2026-03-29T03:40+02:00"]
    );
}

#[test]
fn a_repeated_time_fires_the_first_time_only() {
    assert_eq!(
        firings::<3>("30 2 * * *", "Europe/Berlin", "2026-10-24T12:00:00Z"),
        ["2026-10-25T02:30+02:00", "2026-10-26T02:30+01:00", "2026-10-27T02:30+01:00"]
    );
    assert_eq!(
        firings::<2>("30 1 * * *", "America/New_York", "2026-10-31T12:00:00Z"),
        ["2026-11-01T01:30-04:00", "2026-11-02T01:30-05:00"]
    );
    assert_eq!(
        firings::<2>("30 1 * * *", "Europe/Lisbon", "2026-10-24T12:00:00Z"),
        ["2026-10-25T01:30+01:00", "2026-10-26T01:30+00:00"]
    );
}

#[test]
fn asked_within_the_repeated_hour_it_does_not_fire_again() {
    // 00:45Z is 02:45 summer time, 01:15Z is 02:15 winter time, the second time round.
    for asked in ["2026-10-25T00:45:00Z", "2026-10-25T01:00:00Z", "2026-10-25T01:15:00Z"] {
        assert_eq!(firings::<1>("30 2 * * *", "Europe/Berlin", asked), ["2026-10-26T02:30+01:00"], "{asked}");
    }
}

#[test]
fn what_is_meant_for_every_hour_follows_real_time() {
    assert_eq!(
        firings::<4>("30 * * * *", "Europe/Berlin", "2026-03-28T23:45:00Z"),
        [
            "2026-03-29T01:30+01:00",
            "2026-03-29T03:30+02:00",
            "2026-03-29T04:30+02:00",
            "2026-03-29T05:30+02:00"
        ]
    );
    assert_eq!(
        firings::<4>("0 * * * *", "Europe/Berlin", "2026-10-24T23:30:00Z"),
        [
            "2026-10-25T02:00+02:00",
            "2026-10-25T02:00+01:00",
            "2026-10-25T03:00+01:00",
            "2026-10-25T04:00+01:00"
        ]
    );
    assert_eq!(
        firings::<3>("*/30 * * * *", "Europe/Berlin", "2026-10-25T00:30:00Z"),
        ["2026-10-25T02:00+01:00", "2026-10-25T02:30+01:00", "2026-10-25T03:00+01:00"]
    );
}

#[test]
fn midnight_in_a_zone_that_changes_at_midnight() {
    // Beirut skips 00:00 to 01:00 on 29 March 2026.
    assert_eq!(
        firings::<2>("@daily", "Asia/Beirut", "2026-03-28T12:00:00Z"),
        ["2026-03-29T01:00+03:00", "2026-03-30T00:00+03:00"]
    );
}

#[test]
fn a_day_that_never_was_fires_as_the_next_begins() {
    // Samoa had no 30 December 2011.
    assert_eq!(
        firings::<2>("0 12 * * *", "Pacific/Apia", "2011-12-29T12:00:00Z"),
        ["2011-12-29T12:00-10:00", "2011-12-31T00:00+14:00"]
    );
}

#[test]
fn once_at_a_time_that_is_skipped_or_repeated() {
    let once = |text, zone| Schedule::parse(text, Some(zone)).unwrap().next_after(at("2026-01-01T00:00:00Z"));
    assert_eq!(once("at(2026-03-29T02:30:00)", "Europe/Berlin"), Some(at("2026-03-29T01:00:00Z")));
    assert_eq!(once("at(2026-10-25T02:30:00)", "Europe/Berlin"), Some(at("2026-10-25T00:30:00Z")));
    assert_eq!(once("at(2026-07-01T09:00:00)", "Europe/Berlin"), Some(at("2026-07-01T07:00:00Z")));
    assert_eq!(once("at(2025-07-01T09:00:00)", "Europe/Berlin"), None);
}

/// The search by periods against the plain way, around every change of the clocks in a year.
#[test]
fn agrees_with_asking_minute_by_minute() {
    for zone in ["Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "Africa/Casablanca"] {
        let clock = ZONES.get(zone).unwrap();
        let year = at("2026-01-01T00:00:00Z");
        let changes: Vec<_> = clock.following(year).take(2).map(|change| change.timestamp()).collect();
        for (text, change) in ["15 */3 * * *", "0 2 * * *", "45 1 * * SUN", "*/20 * * * *", "30 1-3 * * *"]
            .into_iter()
            .flat_map(|text| changes.iter().map(move |change| (text, *change)))
        {
            let schedule = Schedule::parse(text, Some(zone)).unwrap();
            let When::Cron(cron) = &schedule.when else { panic!("not a cron") };
            let mut now = change - SignedDuration::from_hours(30);
            let mut next = schedule.next_after(now);
            let mut latest = clock.to_datetime(now);
            while now < change + SignedDuration::from_hours(30) {
                now += SignedDuration::from_mins(5);
                let local: DateTime = clock.to_datetime(now);
                let fits = |local| cron.first_from(local) == Some(local);
                let shown_before = local <= latest && !cron.is_every_hour();
                let skipped = !cron.is_every_hour()
                    && cron
                        .first_from(latest + SignedDuration::from_mins(1))
                        .is_some_and(|first| first < local);
                if (fits(local) && !shown_before) || skipped {
                    assert_eq!(next, Some(now), "{text} in {zone}");
                    next = schedule.next_after(now);
                } else {
                    assert_ne!(next, Some(now), "{text} in {zone}");
                }
                latest = latest.max(local);
            }
        }
    }
}
