//! What is read as a schedule and what is refused.

use super::*;

#[test]
fn takes_every_rate_that_event_bridge_takes() {
    for text in [
        "rate(1 minute)",
        "rate(1 hour)",
        "rate(1 day)",
        "rate(2 minutes)",
        "rate(15 hours)",
        "rate(999999 days)",
    ] {
        assert!(Schedule::parse(text, None).is_ok(), "{text}");
    }
}

#[test]
fn refuses_every_rate_that_event_bridge_refuses() {
    for text in [
        "rate(10 seconds)",
        "rate(10 years)",
        "rate(1 minutes)",
        "rate(1 hours)",
        "rate(1 days)",
        "rate(10 minute)",
        "rate(10 hour)",
        "rate(10 day)",
        "rate()",
        "rate(10)",
        "rate(10 minutess)",
        "rate(foo minutes)",
        "rate(0 minutes)",
        "rate(-10 minutes)",
        "rate(10 MINUTES)",
        "rate( 10 minutes )",
        " rate(10 minutes)",
        "rate(10 minutes) ",
        "rate(1.5 hours)",
        "rate(+1 minute)",
        "rate(10  minutes)",
        "rate(1000000 days)",
    ] {
        assert!(Schedule::parse(text, None).is_err(), "{text}");
    }
}

#[test]
fn takes_every_cron_that_event_bridge_takes() {
    for text in [
        "cron(0 10 * * ? *)",
        "cron(15 12 * * ? *)",
        "cron(0 18 ? * MON-FRI *)",
        "cron(0 8 1 * ? *)",
        "cron(0/15 * * * ? *)",
        "cron(0/10 * ? * MON-FRI *)",
        "cron(0/5 8-17 ? * MON-FRI *)",
        "cron(15 10 ? * 6L 2002-2005)",
        "cron(0/5 5 ? JAN 1-5 2022)",
        "cron(0 2 ? * SAT#3 *)",
        "cron(* * ? * SAT#3 *)",
        "cron(0 9 ? * 2#1 *)",
        "cron(0 0 L * ? *)",
        "cron(0 12 3W * ? *)",
        "cron(0-59/10 0-23/2 ? * * *)",
        "cron(30-30 13-13 ? * 2,4,6 *)",
        "cron(0 0 ? * L *)",
        "cron(0 2 1,15,L * ? *)",
        "cron(0 0 1 jan,Feb ? 2027/2)",
        "cron(0 4 29 2 ? *)",
    ] {
        assert!(Schedule::parse(text, None).is_ok(), "{text}: {:?}", Schedule::parse(text, None));
    }
}

#[test]
fn refuses_every_cron_that_event_bridge_refuses() {
    for text in [
        "cron(0 1 * * * *)",
        "cron(7 20 * * NOT *)",
        "cron(INVALID)",
        "cron(0 dummy ? * MON-FRI *)",
        "cron(71 8 1 * ? *)",
        "cron()",
        "cron(0 1 ? * ? *)",
        "cron(0 1 1 * MON *)",
        "cron(0 24 * * ? *)",
        "cron(0 0 0 * ? *)",
        "cron(0 0 32 * ? *)",
        "cron(0 0 1 13 ? *)",
        "cron(0 0 ? * 0 *)",
        "cron(0 0 ? * 8 *)",
        "cron(0 0 ? * SAT#6 *)",
        "cron(0 0 ? * 2#1,3#2 *)",
        "cron(0 0 1 1 ? 1969)",
        "cron(0 0 1 1 ? 2200)",
        "cron(0 0 W * ? *)",
        "cron(0 0 1 * ?)",
        "cron(*/0 * * * ? *)",
        "cron(0 0 ? * FRI-MON *)",
        "cron(, * * * ? *)",
    ] {
        assert!(Schedule::parse(text, None).is_err(), "{text}");
    }
}

#[test]
fn takes_unix_cron_with_its_own_days_of_the_week() {
    for text in [
        "* * * * *",
        "0 2 * * *",
        "*/5 * * * *",
        "0 9-17/2 * * mon-fri",
        "0 0 1,15 * SUN",
        "0 0 * * 7",
        "0 0 * * 0",
        "5/15 * * * *",
        "0 0 * * 5-7",
        "@hourly",
        "@daily",
        "@midnight",
        "@weekly",
        "@monthly",
        "@yearly",
        "@annually",
    ] {
        assert!(Schedule::parse(text, None).is_ok(), "{text}: {:?}", Schedule::parse(text, None));
    }
}

#[test]
fn refuses_what_is_neither() {
    for text in [
        "",
        " ",
        "nonsense",
        "* * * *",
        "* * * * * *",
        "0 2 * * ?",
        "60 * * * *",
        "* 24 * * *",
        "* * 0 * *",
        "* * * 0 *",
        "* * * * 8",
        "*/90 * * * *",
        "1- * * * *",
        "-1 * * * *",
        "1,,2 * * * *",
        "0 0 L * *",
        "@reboot",
        "@Daily",
        "rate (5 minutes)",
        "cron 0 2 * * ? *",
        "0 0 30 2 *",
        "0 0 31 4,6,9,11 *",
        " 0 2 * * *",
        "every day",
        "\u{0661} * * * *",
    ] {
        assert!(Schedule::parse(text, None).is_err(), "{text}");
    }
}

#[test]
fn takes_times_to_the_second_and_nothing_looser() {
    assert!(Schedule::parse("at(2027-01-31T09:00:00)", None).is_ok());
    for text in [
        "at()",
        "at(2027-01-31)",
        "at(2027-01-31T09:00)",
        "at(2027-01-31 09:00:00)",
        "at(2027-02-30T09:00:00)",
        "at(2027-01-31T09:00:00Z)",
        "at(2027-01-31T25:00:00)",
        "at(tomorrow)",
    ] {
        assert!(Schedule::parse(text, None).is_err(), "{text}");
    }
}

#[test]
fn knows_time_zones_by_their_names() {
    for zone in ["Europe/Berlin", "America/New_York", "Asia/Kolkata", "UTC", "Etc/GMT+5"] {
        assert!(Schedule::parse("@daily", Some(zone)).is_ok(), "{zone}");
    }
    for zone in ["", "Berlin", "Europe/Atlantis", "+02:00", "../../etc/passwd"] {
        assert!(matches!(Schedule::parse("@daily", Some(zone)), Err(ScheduleError::TimeZone(_))), "{zone}");
    }
}

#[test]
fn says_what_to_write_instead() {
    let said = |text| Schedule::parse(text, None).unwrap_err().to_string();
    assert!(said("rate(1 minutes)").contains("singular for 1 only"), "{}", said("rate(1 minutes)"));
    assert!(said("cron(0 1 * * * *)").contains("'?' for exactly one"));
    assert!(said("cron(0 1 * * ?)").contains("5 fields where 6 are needed"));
    assert!(
        said("0 2 * * FUN")
            .contains("day-of-week field \"FUN\" cannot be read: \"FUN\" is not 0 to 7 or SUN to SAT")
    );
    assert!(said("0 0 30 2 *").contains("no year has such a day"));
    assert!(said("22-2 * * * *").contains("ends before it begins"));
}

#[test]
fn describes_itself() {
    assert_eq!(utc("rate(5 minutes)").to_string(), "every 5 minutes");
    assert_eq!(
        Schedule::parse("0 2 * * *", Some("Europe/Berlin")).unwrap().to_string(),
        "0 2 * * * in Europe/Berlin"
    );
    assert_eq!(utc("at(2027-01-31T09:00:00)").to_string(), "once at 2027-01-31T09:00:00 in UTC");
}
