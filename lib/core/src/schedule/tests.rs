use jiff::Timestamp;

use super::*;

mod calendar;
mod clocks;
mod grammar;

fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

fn utc(text: &str) -> Schedule {
    Schedule::parse(text, None).unwrap()
}

/// The first `N` firings after a moment, as the zone's own clock shows them.
fn firings<const N: usize>(text: &str, zone: &str, after: &str) -> [String; N] {
    let schedule = Schedule::parse(text, Some(zone)).unwrap();
    let clock = ZONES.get(zone).unwrap();
    let mut from = at(after);
    std::array::from_fn(|_| {
        from = schedule.next_after(from).unwrap();
        from.to_zoned(clock.clone()).strftime("%Y-%m-%dT%H:%M%:z").to_string()
    })
}

mod rates {
    use super::*;

    #[test]
    fn count_from_the_anchor_whenever_one_asks() {
        let schedule = utc("rate(5 minutes)").anchored_at(at("2026-03-01T10:02:07Z"));
        for (asked, next) in [
            ("2026-03-01T10:02:07Z", "2026-03-01T10:07:07Z"),
            ("2026-03-01T10:07:06Z", "2026-03-01T10:07:07Z"),
            ("2026-03-01T10:07:07Z", "2026-03-01T10:12:07Z"),
            ("2026-07-01T00:00:00Z", "2026-07-01T00:02:07Z"),
            ("2025-01-01T00:00:00Z", "2026-03-01T10:07:07Z"),
        ] {
            assert_eq!(schedule.next_after(at(asked)), Some(at(next)), "{asked}");
        }
    }

    #[test]
    fn are_lengths_of_time_and_know_no_clock_changes() {
        let daily = Schedule::parse("rate(1 day)", Some("Europe/Berlin"))
            .unwrap()
            .anchored_at(at("2026-03-28T01:00:00Z"));
        assert_eq!(daily.next_after(at("2026-03-28T12:00:00Z")), Some(at("2026-03-29T01:00:00Z")));
        assert_eq!(daily.next_after(at("2026-03-29T12:00:00Z")), Some(at("2026-03-30T01:00:00Z")));
    }

    #[test]
    fn of_any_length_never_overflow() {
        let schedule = utc("rate(999999 days)").anchored_at(at("2026-03-01T00:00:00Z"));
        assert!(schedule.next_after(at("2026-03-01T00:00:00Z")).is_some());
        assert_eq!(schedule.next_after(Timestamp::MAX), None);
        assert_eq!(utc("rate(1 minute)").next_after(Timestamp::MAX), None);
        assert_eq!(utc("* * * * *").next_after(Timestamp::MAX), None);
    }
}

mod missed {
    use super::*;

    fn hourly(since: &str, now: &str) -> Decision {
        due(&utc("@hourly"), at(since), at(now))
    }

    #[test]
    fn waits_for_what_is_not_due() {
        assert_eq!(
            hourly("2026-03-01T10:00:00Z", "2026-03-01T10:59:59Z"),
            Decision::WaitUntil(at("2026-03-01T11:00:00Z"))
        );
    }

    #[test]
    fn fires_when_the_time_comes() {
        assert_eq!(
            hourly("2026-03-01T10:00:00Z", "2026-03-01T11:00:00Z"),
            Decision::Fire(at("2026-03-01T11:00:00Z"))
        );
        assert_eq!(
            hourly("2026-03-01T10:00:00Z", "2026-03-01T11:00:59Z"),
            Decision::Fire(at("2026-03-01T11:00:00Z"))
        );
    }

    #[test]
    fn makes_up_for_a_firing_missed_within_ten_minutes() {
        assert_eq!(
            hourly("2026-03-01T10:00:00Z", "2026-03-01T11:09:59Z"),
            Decision::CatchUp(at("2026-03-01T11:00:00Z"))
        );
    }

    #[test]
    fn skips_what_was_missed_longer_ago() {
        assert_eq!(
            hourly("2026-03-01T10:00:00Z", "2026-03-01T11:30:00Z"),
            Decision::Skip { missed: at("2026-03-01T11:00:00Z"), next: Some(at("2026-03-01T12:00:00Z")) }
        );
    }

    #[test]
    fn makes_up_for_the_latest_of_many_and_for_that_one_only() {
        let minutely = utc("rate(1 minute)");
        let now = at("2026-03-01T11:30:30Z");
        let decision = due(&minutely, at("2026-03-01T08:00:00Z"), now);
        assert_eq!(decision, Decision::Fire(at("2026-03-01T11:30:00Z")));
        assert_eq!(
            due(&minutely, at("2026-03-01T11:30:00Z"), now),
            Decision::WaitUntil(at("2026-03-01T11:31:00Z"))
        );
        assert_eq!(
            hourly("2026-02-01T10:00:00Z", "2026-03-01T11:05:00Z"),
            Decision::CatchUp(at("2026-03-01T11:00:00Z"))
        );
    }

    #[test]
    fn a_clock_set_back_fires_nothing_twice() {
        assert_eq!(
            hourly("2026-03-01T11:00:00Z", "2026-03-01T10:30:00Z"),
            Decision::WaitUntil(at("2026-03-01T12:00:00Z"))
        );
    }

    #[test]
    fn a_schedule_whose_time_is_over_is_never_due() {
        let once = utc("at(2026-03-01T11:00:00)");
        assert_eq!(due(&once, at("2026-03-01T11:00:00Z"), at("2026-03-02T00:00:00Z")), Decision::Never);
        assert_eq!(
            due(&once, at("2026-02-01T00:00:00Z"), at("2026-03-02T00:00:00Z")),
            Decision::Skip { missed: at("2026-03-01T11:00:00Z"), next: None }
        );
    }
}

mod events {
    use super::*;

    #[test]
    fn have_the_shape_of_event_bridge() {
        let event = scheduled_event("5a1c", at("2026-03-01T02:00:00Z"), "arn:flint:schedule/nightly");
        assert_eq!(
            event,
            serde_json::json!({
                "version": "0", "id": "5a1c", "detail-type": "Scheduled Event", "source": "aws.events", "account": "",
                "time": "2026-03-01T02:00:00Z", "region": "", "resources": ["arn:flint:schedule/nightly"], "detail": {}
            })
        );
    }

    #[test]
    fn an_interval_is_the_time_between_firings() {
        assert_eq!(
            utc("@daily").interval_after(at("2026-03-01T02:00:00Z")),
            Some(SignedDuration::from_hours(24))
        );
        assert_eq!(utc("at(2026-03-01T11:00:00)").interval_after(at("2026-01-01T00:00:00Z")), None);
    }
}
