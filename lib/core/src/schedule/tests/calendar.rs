//! Which times of the calendar a cron means.

use super::*;

#[test]
fn event_bridge_counts_days_from_one_for_sunday_and_unix_from_zero() {
    // 1 March 2026 is a Sunday.
    assert_eq!(firings::<1>("cron(0 0 ? * 1 *)", "UTC", "2026-02-26T00:00:00Z"), ["2026-03-01T00:00+00:00"]);
    assert_eq!(firings::<1>("0 0 * * 1", "UTC", "2026-02-26T00:00:00Z"), ["2026-03-02T00:00+00:00"]);
    assert_eq!(firings::<1>("0 0 * * 0", "UTC", "2026-02-26T00:00:00Z"), ["2026-03-01T00:00+00:00"]);
    assert_eq!(firings::<1>("0 0 * * 7", "UTC", "2026-02-26T00:00:00Z"), ["2026-03-01T00:00+00:00"]);
    assert_eq!(
        firings::<3>("0 0 * * 5-7", "UTC", "2026-02-26T00:00:00Z"),
        ["2026-02-27T00:00+00:00", "2026-02-28T00:00+00:00", "2026-03-01T00:00+00:00"]
    );
}

#[test]
fn unix_with_both_days_fires_on_either() {
    // The 13th, and every Friday; 13 March 2026 is both.
    assert_eq!(
        firings::<4>("0 0 13 * FRI", "UTC", "2026-03-01T00:00:00Z"),
        [
            "2026-03-06T00:00+00:00",
            "2026-03-13T00:00+00:00",
            "2026-03-20T00:00+00:00",
            "2026-03-27T00:00+00:00"
        ]
    );
    assert_eq!(firings::<1>("0 0 13 * FRI", "UTC", "2026-04-10T00:00:00Z"), ["2026-04-13T00:00+00:00"]);
    // A field that begins with a star restricts nothing on its own: both must fit.
    assert_eq!(firings::<1>("0 0 */2 * FRI", "UTC", "2026-03-01T00:00:00Z"), ["2026-03-13T00:00+00:00"]);
}

#[test]
fn finds_last_days() {
    assert_eq!(
        firings::<3>("cron(0 0 L * ? *)", "UTC", "2028-01-15T00:00:00Z"),
        ["2028-01-31T00:00+00:00", "2028-02-29T00:00+00:00", "2028-03-31T00:00+00:00"]
    );
    // The last Friday.
    assert_eq!(
        firings::<2>("cron(15 10 ? * 6L *)", "UTC", "2026-01-01T00:00:00Z"),
        ["2026-01-30T10:15+00:00", "2026-02-27T10:15+00:00"]
    );
    assert_eq!(firings::<1>("cron(0 0 ? * L *)", "UTC", "2026-03-01T00:00:00Z"), ["2026-03-07T00:00+00:00"]);
}

#[test]
fn finds_the_nth_of_the_month() {
    assert_eq!(
        firings::<2>("cron(0 2 ? * SAT#3 *)", "UTC", "2026-03-01T00:00:00Z"),
        ["2026-03-21T02:00+00:00", "2026-04-18T02:00+00:00"]
    );
    // A fifth Saturday is rare.
    assert_eq!(
        firings::<1>("cron(0 2 ? * 7#5 *)", "UTC", "2026-02-01T00:00:00Z"),
        ["2026-05-30T02:00+00:00"]
    );
}

#[test]
fn finds_the_nearest_weekday_within_the_month() {
    // 15 March 2026 is a Sunday: Monday the 16th. 1 August 2026 is a Saturday: not July, but Monday the 3rd.
    assert_eq!(
        firings::<1>("cron(0 0 15W 3 ? 2026)", "UTC", "2026-01-01T00:00:00Z"),
        ["2026-03-16T00:00+00:00"]
    );
    assert_eq!(
        firings::<1>("cron(0 0 1W 8 ? 2026)", "UTC", "2026-01-01T00:00:00Z"),
        ["2026-08-03T00:00+00:00"]
    );
    // 31 May 2026 is a Sunday: Friday the 29th. 14 March 2026 is a Saturday: Friday the 13th.
    assert_eq!(
        firings::<1>("cron(0 0 31W 5 ? 2026)", "UTC", "2026-01-01T00:00:00Z"),
        ["2026-05-29T00:00+00:00"]
    );
    assert_eq!(
        firings::<1>("cron(0 0 14W 3 ? 2026)", "UTC", "2026-01-01T00:00:00Z"),
        ["2026-03-13T00:00+00:00"]
    );
}

#[test]
fn ends_with_its_years() {
    let schedule = utc("cron(15 10 ? * 6L 2002-2005)");
    assert_eq!(schedule.next_after(at("2005-12-01T00:00:00Z")), Some(at("2005-12-30T10:15:00Z")));
    assert_eq!(schedule.next_after(at("2005-12-30T10:15:00Z")), None);
    assert_eq!(
        utc("cron(0 0 1 1 ? 2199)").next_after(at("2026-01-01T00:00:00Z")),
        Some(at("2199-01-01T00:00:00Z"))
    );
}

#[test]
fn finds_rare_days() {
    // 29 February on a Monday: not before 2044.
    assert_eq!(firings::<1>("cron(0 0 29 2 ? *)", "UTC", "2096-03-01T00:00:00Z"), ["2104-02-29T00:00+00:00"]);
    assert_eq!(
        firings::<1>("0 0 29 2 */1", "Europe/Berlin", "2025-01-01T00:00:00Z"),
        ["2028-02-29T00:00+01:00"]
    );
    let leap_monday = utc("cron(0 0 ? 2 2#5 *)");
    assert_eq!(leap_monday.next_after(at("2025-01-01T00:00:00Z")), Some(at("2044-02-29T00:00:00Z")));
}

#[test]
fn steps_begin_where_they_say() {
    assert_eq!(
        firings::<3>("cron(5/20 8 * * ? *)", "UTC", "2026-03-01T08:00:00Z"),
        ["2026-03-01T08:05+00:00", "2026-03-01T08:25+00:00", "2026-03-01T08:45+00:00"]
    );
}

#[test]
fn is_strictly_after_to_the_nanosecond() {
    let hourly = utc("@hourly");
    assert_eq!(hourly.next_after(at("2026-03-01T10:00:00Z")), Some(at("2026-03-01T11:00:00Z")));
    assert_eq!(hourly.next_after(at("2026-03-01T09:59:59.999999999Z")), Some(at("2026-03-01T10:00:00Z")));
    assert_eq!(hourly.next_after(at("2026-03-01T10:00:00.000000001Z")), Some(at("2026-03-01T11:00:00Z")));
}
