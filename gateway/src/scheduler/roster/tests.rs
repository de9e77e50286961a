//! Tests of the roster.

use std::time::Duration;

use flint_api::Mode;

use super::*;
use crate::{clock::Clock, function::Seen, hub::Hub, live::Live};

fn at(text: &str) -> Timestamp {
    format!("2026-11-21T{text}Z").parse().unwrap()
}

fn every_minute() -> Scheduled {
    Scheduled {
        name: "minutely".into(),
        cron: "* * * * *".into(),
        time_zone: None,
        input: None,
        enabled: true,
        last: None,
        last_done: true,
        next: None,
    }
}

fn function(scheduled: Scheduled) -> Arc<Function> {
    let key = Key::new("shop", "report");
    let (hub, _bell) = Hub::new(Clock::start(), 10);
    let seen = Seen {
        key: key.clone(),
        mode: Mode::Lambda,
        timeout: Duration::from_secs(30),
        concurrency: 1,
        revision: None,
        traffic: Arc::default(),
        event_v1: false,
        blocked: None,
        schedules: Arc::new([scheduled]),
        created: at("00:00:00"),
    };
    Arc::new(Function::new(seen, Arc::new(Live::new(key, hub))))
}

fn look(roster: &mut Roster, function: &Arc<Function>, now: &str) -> Vec<(Timestamp, bool)> {
    let look = roster.look([function].into_iter(), at(now), 64);
    look.due.iter().map(|due| (due.due, due.repeated)).collect()
}

#[test]
fn each_due_time_fires_once() {
    let (mut roster, function) = (Roster::default(), function(every_minute()));
    assert_eq!(look(&mut roster, &function, "12:00:30"), []);
    assert_eq!(look(&mut roster, &function, "12:00:59"), []);
    assert_eq!(look(&mut roster, &function, "12:01:00"), [(at("12:01:00"), false)]);
    assert_eq!(look(&mut roster, &function, "12:01:00"), []);
    assert_eq!(look(&mut roster, &function, "12:01:59"), []);
    assert_eq!(look(&mut roster, &function, "12:02:01"), [(at("12:02:00"), false)]);
}

#[test]
fn a_new_holder_goes_on_from_the_status() {
    let stored = Scheduled { last: Some(at("12:01:00")), ..every_minute() };
    let function = function(stored);
    assert_eq!(look(&mut Roster::default(), &function, "12:01:20"), []);
    assert_eq!(look(&mut Roster::default(), &function, "12:02:10"), [(at("12:02:00"), false)]);
}

#[test]
fn of_several_missed_firings_the_latest_is_made_up_for() {
    let stored = Scheduled { last: Some(at("11:55:00")), ..every_minute() };
    let (mut roster, function) = (Roster::default(), function(stored));
    assert_eq!(look(&mut roster, &function, "12:01:30"), [(at("12:01:00"), false)]);
    assert_eq!(look(&mut roster, &function, "12:01:31"), []);
}

#[test]
fn what_was_missed_long_ago_is_skipped_and_counted() {
    let stored = Scheduled { last: Some(at("01:00:00")), cron: "0 2 * * *".into(), ..every_minute() };
    let (mut roster, function) = (Roster::default(), function(stored));
    let found = roster.look([&function].into_iter(), at("12:00:00"), 64);
    assert_eq!((found.due.len(), found.skipped), (0, 1));
    assert_eq!(roster.look([&function].into_iter(), at("12:00:01"), 64).skipped, 0);
}

#[test]
fn a_firing_that_was_cut_off_is_repeated_once() {
    let stored = Scheduled { last: Some(at("12:01:00")), last_done: false, ..every_minute() };
    let (mut roster, function) = (Roster::default(), function(stored));
    assert_eq!(look(&mut roster, &function, "12:01:05"), [(at("12:01:00"), true)]);
    assert_eq!(look(&mut roster, &function, "12:01:06"), []);
}

#[test]
fn a_schedule_that_is_off_neither_fires_nor_misses() {
    let off = Scheduled { enabled: false, ..every_minute() };
    let mut roster = Roster::default();
    assert_eq!(look(&mut roster, &function(off), "12:05:30"), []);
    assert_eq!(look(&mut roster, &function(every_minute()), "12:05:40"), []);
    assert_eq!(look(&mut roster, &function(every_minute()), "12:06:00"), [(at("12:06:00"), false)]);
}

#[test]
fn a_changed_schedule_does_not_fire_for_times_before_the_change() {
    let mut roster = Roster::default();
    let rarely = Scheduled { cron: "0 0 1 1 *".into(), last: Some(at("11:00:00")), ..every_minute() };
    assert_eq!(look(&mut roster, &function(rarely), "12:00:30"), []);
    let often = Scheduled { last: Some(at("11:00:00")), ..every_minute() };
    assert_eq!(look(&mut roster, &function(often.clone()), "12:00:40"), []);
    assert_eq!(look(&mut roster, &function(often), "12:01:00"), [(at("12:01:00"), false)]);
}

#[test]
fn a_rate_counts_from_the_functions_creation() {
    let (mut roster, function) =
        (Roster::default(), function(Scheduled { cron: "rate(7 minutes)".into(), ..every_minute() }));
    assert_eq!(look(&mut roster, &function, "00:06:59"), []);
    assert_eq!(look(&mut roster, &function, "00:07:00"), [(at("00:07:00"), false)]);
    assert_eq!(look(&mut roster, &function, "00:14:00"), [(at("00:14:00"), false)]);
}

#[test]
fn what_finds_no_room_is_found_again() {
    let (mut roster, function) = (Roster::default(), function(every_minute()));
    assert_eq!(look(&mut roster, &function, "12:00:30"), []);
    assert!(roster.look([&function].into_iter(), at("12:01:00"), 0).due.is_empty());
    assert_eq!(look(&mut roster, &function, "12:01:01"), [(at("12:01:00"), false)]);
}

#[test]
fn a_schedule_that_cannot_be_read_fires_never() {
    let (mut roster, function) =
        (Roster::default(), function(Scheduled { cron: "whenever".into(), ..every_minute() }));
    assert_eq!(look(&mut roster, &function, "12:00:30"), []);
    assert_eq!(look(&mut roster, &function, "13:00:30"), []);
}

#[test]
fn what_a_holder_made_and_could_not_store_is_made_again_by_the_next_the_latest_alone() {
    // The operator is away: the status stays as it was.
    let function = function(Scheduled { last: Some(at("12:00:00")), ..every_minute() });
    let mut holder = Roster::default();
    assert_eq!(look(&mut holder, &function, "12:01:00"), [(at("12:01:00"), false)]);
    assert_eq!(look(&mut holder, &function, "12:02:00"), [(at("12:02:00"), false)]);
    let mut next = Roster::default();
    assert_eq!(look(&mut next, &function, "12:02:20"), [(at("12:02:00"), false)]);
    assert_eq!(look(&mut next, &function, "12:02:30"), []);
}
