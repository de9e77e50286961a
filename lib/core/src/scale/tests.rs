use proptest::prelude::*;

use super::*;

/// The defaults of a function that takes one request at a time.
fn spec() -> Spec {
    Spec {
        metric: Metric::Concurrency,
        target: 0.7,
        capacity: 1.0,
        concurrency: 1.0,
        min: 0,
        max: 10_000,
        window: Duration::from_secs(60),
        scale_to_zero_after: Duration::from_secs(60),
        scale_down_delay: Duration::ZERO,
        burst: DEFAULT_BURST_CAPACITY,
    }
}

fn at(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

fn seen(present: u32, ready: u32) -> Seen {
    Seen { present, ready, waiting: 0, known: true }
}

fn waiting(present: u32, ready: u32, waiting: u32) -> Seen {
    Seen { waiting, ..seen(present, ready) }
}

fn silent(present: u32, ready: u32) -> Seen {
    Seen { known: false, ..seen(present, ready) }
}

fn concurrency(concurrency: f64) -> Sample {
    Sample { concurrency, rps: 0.0 }
}

/// An autoscaler that watched a whole stable window: `before` for 54 seconds, and `lately` for the last six. It begins
/// beside one instance, so that it does not begin in panic.
fn watched(before: f64, lately: f64, spec: &Spec) -> Scaler {
    let mut scaler = Scaler::new(at(0), &seen(1, 1), spec);
    for second in 0..60 {
        scaler.record(at(second), 1, concurrency(if second < 54 { before } else { lately }), spec);
    }
    scaler
}

/// Numbers worked out by hand from the published formulas: demand for 54 s and for the last 6 s, ready instances, target;
/// then the number, whether it is panic, and the excess burst capacity at a capacity of target / 0.7.
#[test]
fn the_numbers_are_those_of_the_published_formulas() {
    for (before, lately, ready, target, desired, panicking, excess) in [
        // Exactly on target, and just over it.
        (0.7, 0.7, 1, 0.7, 1, false, -211.0),
        (0.71, 0.71, 1, 0.7, 2, true, -211.0),
        // Ten for seven at a time; beside five of them the panic window asks for twice as many.
        (7.0, 7.0, 10, 0.7, 10, false, -208.0),
        (7.0, 7.0, 5, 0.7, 10, true, -213.0),
        // A burst in the last six seconds.
        (0.0, 14.0, 1, 0.7, 20, true, -224.0),
        // A descent halves at most.
        (3.5, 3.5, 20, 0.7, 10, false, -195.0),
        (0.0, 0.0, 10, 0.7, 5, false, -201.0),
        (0.0, 0.0, 7, 0.7, 3, false, -204.0),
        // A hundred at a time per instance.
        (70.0, 70.0, 1, 70.0, 1, false, -181.0),
        (70.0, 140.0, 1, 70.0, 2, true, -251.0),
        (70.0, 141.0, 1, 70.0, 3, true, -252.0),
        (140.0, 279.0, 2, 70.0, 4, true, -290.0),
        (140.0, 281.0, 2, 70.0, 5, true, -292.0),
        (210.0, 0.0, 3, 70.0, 3, false, 89.0),
        (100.0, 500.0, 100, 70.0, 50, false, 9289.0),
        // An ascent multiplies by a thousand at most.
        (100_000.0, 100_000.0, 1, 0.7, 1000, true, -100_210.0),
        (20_000.0, 20_000.0, 3, 0.01, 3000, true, -20_211.0),
    ] {
        let spec = Spec { target, capacity: target / 0.7, ..spec() };
        let mut scaler = watched(before, lately, &spec);
        let decision = scaler.decide(at(59), &seen(ready, ready), &spec);
        let case = (before, lately, ready, target);
        assert_eq!((decision.desired, decision.panicking), (desired, panicking), "{case:?}");
        assert!((decision.excess - excess).abs() <= 1.0, "{case:?}: {}", decision.excess);
    }
}

#[test]
fn requests_per_second_are_scaled_by_their_own_measure() {
    let spec = Spec { metric: Metric::Rps, target: 200.0, capacity: 200.0 / 0.7, ..spec() };
    let mut scaler = Scaler::new(at(0), &seen(2, 1), &spec);
    for second in 0..60 {
        scaler.record(at(second), 2, Sample { concurrency: 5000.0, rps: 450.0 }, &spec);
    }
    assert_eq!(scaler.decide(at(59), &seen(2, 2), &spec).desired, 3);
}

#[test]
fn another_metric_begins_a_new_history() {
    let mut scaler = watched(5000.0, 5000.0, &spec());
    let spec = Spec { metric: Metric::Rps, target: 200.0, ..spec() };
    scaler.record(at(60), 1, Sample { concurrency: 5000.0, rps: 100.0 }, &spec);
    assert_eq!(scaler.decide(at(60), &seen(1, 1), &spec).desired, 1);
}

#[test]
fn a_panic_sends_nobody_home_until_a_whole_window_after_its_last_peak() {
    let spec = spec();
    let mut scaler = watched(0.0, 14.0, &spec);
    assert_eq!(scaler.decide(at(59), &seen(1, 1), &spec).desired, 20);
    for second in 60..=119 {
        scaler.record(at(second), 20, concurrency(0.7), &spec);
        let decision = scaler.decide(at(second), &seen(20, 20), &spec);
        assert_eq!(
            (decision.desired, decision.reason, decision.panicking),
            (20, Reason::Panic, true),
            "{second}"
        );
    }
    scaler.record(at(120), 20, concurrency(0.7), &spec);
    let calm = scaler.decide(at(120), &seen(20, 20), &spec);
    assert_eq!((calm.desired, calm.reason, calm.panicking), (10, Reason::Stable, false));
}

#[test]
fn from_zero_the_queue_decides_at_once_and_grows_with_later_reports() {
    let spec = Spec { max: 8, ..spec() };
    let mut scaler = Scaler::new(at(100), &seen(0, 0), &spec);
    let decision = scaler.decide(at(100), &waiting(0, 0, 1), &spec);
    assert_eq!((decision.desired, decision.reason), (1, Reason::Activation));
    assert_eq!(scaler.decide(at(100), &waiting(1, 0, 3), &spec).desired, 3);
    assert_eq!(scaler.decide(at(100), &waiting(3, 0, 2), &spec).desired, 3);
    let full = scaler.decide(at(100), &waiting(3, 0, 500), &spec);
    assert_eq!((full.desired, full.reason), (8, Reason::Max));
}

#[test]
fn from_zero_an_instance_counts_for_as_many_requests_as_it_takes() {
    let spec = Spec { concurrency: 100.0, target: 70.0, capacity: 100.0, ..spec() };
    let mut scaler = Scaler::new(at(0), &seen(0, 0), &spec);
    assert_eq!(scaler.decide(at(0), &waiting(0, 0, 100), &spec).desired, 1);
    assert_eq!(scaler.decide(at(0), &waiting(1, 0, 101), &spec).desired, 2);
}

#[test]
fn waiting_for_a_slow_start_asks_for_no_second_instance() {
    let spec = spec();
    let mut scaler = Scaler::new(at(0), &seen(0, 0), &spec);
    for second in 0..20 {
        scaler.record(at(second), 0, concurrency(1.0), &spec);
        assert_eq!(scaler.decide(at(second), &waiting(1, 0, 1), &spec).desired, 1);
    }
    scaler.record(at(20), 1, concurrency(0.05), &spec);
    let decision = scaler.decide(at(20), &seen(1, 1), &spec);
    assert_eq!((decision.desired, decision.panicking), (1, false));
}

#[test]
fn what_was_reported_of_the_wait_asks_for_no_second_instance_once_the_first_is_there() {
    let spec = spec();
    let mut scaler = Scaler::new(at(0), &seen(0, 0), &spec);
    assert_eq!(scaler.decide(at(0), &waiting(0, 0, 1), &spec).desired, 1);
    // The report of the wait is the last one still, then comes one of which a part is from then.
    for (second, reported) in [(1, 1.0), (2, 0.9), (3, 0.0), (4, 0.0)] {
        scaler.record(at(second), 1, concurrency(reported), &spec);
        let decision = scaler.decide(at(second), &seen(1, 1), &spec);
        assert_eq!((decision.desired, decision.panicking), (1, false), "{second}");
    }
}

#[test]
fn the_queue_goes_on_to_decide_until_the_windows_begin() {
    let spec = spec();
    let mut scaler = Scaler::new(at(0), &seen(0, 0), &spec);
    assert_eq!(scaler.decide(at(0), &waiting(0, 0, 1), &spec).desired, 1);
    scaler.record(at(1), 1, concurrency(1.0), &spec);
    let decision = scaler.decide(at(1), &waiting(1, 1, 40), &spec);
    assert_eq!((decision.desired, decision.reason), (40, Reason::Activation));
    // An instance that is busy all the time is found as before.
    scaler.record(at(3), 1, concurrency(1.0), &spec);
    let decision = scaler.decide(at(3), &seen(1, 1), &spec);
    assert_eq!((decision.desired, decision.panicking), (2, true));
}

#[test]
fn a_burst_at_zero_keeps_its_instances_when_the_first_of_them_is_ready() {
    let spec = Spec { max: 8, ..spec() };
    let mut scaler = Scaler::new(at(0), &seen(0, 0), &spec);
    assert_eq!(scaler.decide(at(0), &waiting(0, 0, 500), &spec).desired, 8);
    assert_eq!(scaler.decide(at(0), &waiting(8, 1, 490), &spec).desired, 8);
    scaler.record(at(1), 1, concurrency(480.0), &spec);
    assert_eq!(scaler.decide(at(1), &waiting(8, 1, 470), &spec).desired, 8);
}

#[test]
fn the_last_instance_goes_after_the_idle_time_and_not_before() {
    let spec = Spec { scale_to_zero_after: at(90), ..spec() };
    let mut scaler = Scaler::new(at(0), &seen(1, 1), &spec);
    scaler.record(at(10), 1, concurrency(0.5), &spec);
    for second in 11..100 {
        scaler.record(at(second), 1, concurrency(0.0), &spec);
        assert_eq!(scaler.decide(at(second), &seen(1, 1), &spec).desired, 1, "{second}");
    }
    scaler.record(at(100), 1, concurrency(0.0), &spec);
    let decision = scaler.decide(at(100), &seen(1, 1), &spec);
    assert_eq!((decision.desired, decision.reason), (0, Reason::Idle));
    assert!(scaler.is_idle(at(100), &seen(0, 0), &spec));
}

#[test]
fn a_long_window_does_not_keep_the_last_instance() {
    let spec = Spec { window: at(3600), ..spec() };
    let mut scaler = watched(0.5, 0.5, &spec);
    for second in 60..119 {
        scaler.record(at(second), 1, concurrency(0.0), &spec);
    }
    assert_eq!(scaler.decide(at(118), &seen(1, 1), &spec).desired, 1);
    assert_eq!(scaler.decide(at(119), &seen(1, 1), &spec).desired, 0);
}

#[test]
fn a_panic_is_over_when_nobody_is_there_any_more() {
    let spec = Spec { scale_to_zero_after: at(8), ..spec() };
    let mut scaler = watched(0.0, 14.0, &spec);
    assert_eq!(scaler.decide(at(59), &seen(1, 1), &spec).desired, 20);
    for second in 60..70 {
        scaler.record(at(second), 20, concurrency(0.0), &spec);
    }
    assert_eq!(scaler.decide(at(68), &seen(20, 20), &spec).desired, 20);
    let idle = scaler.decide(at(69), &seen(20, 20), &spec);
    assert_eq!((idle.desired, idle.reason, idle.panicking), (10, Reason::Idle, false));
}

#[test]
fn several_instances_descend_by_halves_before_the_last_one_goes() {
    let spec = Spec { scale_to_zero_after: at(30), window: at(6), ..spec() };
    let mut scaler = Scaler::new(at(0), &seen(1, 1), &spec);
    // Demand that no window remembers, for no instance was ready.
    scaler.record(at(0), 0, concurrency(5.0), &spec);
    let mut present = 8;
    let mut numbers = vec![];
    for second in 1..60 {
        scaler.record(at(second), present, concurrency(0.0), &spec);
        if numbers.last() != Some(&present) {
            numbers.push(present);
        }
        present = scaler.decide(at(second), &seen(present, present), &spec).desired;
    }
    assert_eq!(numbers, [8, 4, 2, 1, 0]);
}

#[test]
fn an_instance_that_came_too_late_for_its_client_stays_for_the_next_attempt() {
    let spec = Spec { scale_to_zero_after: Duration::ZERO, ..spec() };
    let mut scaler = Scaler::new(at(0), &seen(0, 0), &spec);
    assert_eq!(scaler.decide(at(0), &waiting(0, 0, 1), &spec).desired, 1);
    assert_eq!(scaler.decide(at(9), &seen(1, 0), &spec).desired, 1);
    assert_eq!(scaler.decide(at(10), &seen(1, 0), &spec).desired, 0);
}

#[test]
fn a_function_nobody_called_stays_at_zero() {
    let spec = spec();
    let mut scaler = Scaler::new(at(1000), &seen(0, 0), &spec);
    assert!(scaler.is_idle(at(1000), &seen(0, 0), &spec));
    assert_eq!(scaler.decide(at(1000), &seen(0, 0), &spec).desired, 0);
}

#[test]
fn silence_changes_nothing_but_minimum_and_maximum_hold() {
    let mut scaler = watched(0.0, 0.0, &spec());
    for second in 60..1000 {
        let decision = scaler.decide(at(second), &silent(7, 7), &spec());
        assert_eq!((decision.desired, decision.reason), (7, Reason::NoData));
    }
    assert_eq!(scaler.decide(at(1000), &silent(7, 7), &Spec { max: 3, ..spec() }).desired, 3);
    assert_eq!(scaler.decide(at(1000), &silent(7, 7), &Spec { min: 9, ..spec() }).desired, 9);
}

#[test]
fn what_the_others_say_still_brings_a_function_up_from_zero() {
    let mut scaler = Scaler::new(at(0), &seen(0, 0), &spec());
    let decision = scaler.decide(at(0), &Seen { known: false, ..waiting(0, 0, 3) }, &spec());
    assert_eq!((decision.desired, decision.reason), (3, Reason::Activation));
}

#[test]
fn a_restart_beside_many_instances_begins_in_panic() {
    let spec = Spec { scale_to_zero_after: at(600), ..spec() };
    let mut scaler = Scaler::new(at(0), &seen(6, 6), &spec);
    for second in 0..=60 {
        scaler.record(at(second), 6, concurrency(0.0), &spec);
        let decision = scaler.decide(at(second), &seen(6, 6), &spec);
        assert_eq!((decision.desired, decision.panicking), (6, true), "{second}");
    }
    scaler.record(at(61), 6, concurrency(0.0), &spec);
    assert_eq!(scaler.decide(at(61), &seen(6, 6), &spec).desired, 3);
}

#[test]
fn a_lower_number_waits_for_the_delay() {
    let spec = Spec { scale_down_delay: at(10), window: at(6), ..spec() };
    let mut scaler = Scaler::new(at(0), &seen(1, 1), &spec);
    scaler.record(at(0), 4, concurrency(2.5), &spec);
    assert_eq!(scaler.decide(at(0), &seen(4, 4), &spec).desired, 4);
    for second in 1..=10 {
        scaler.record(at(second), 4, concurrency(0.7), &spec);
        assert_eq!(scaler.decide(at(second), &seen(4, 4), &spec).desired, 4, "{second}");
    }
    scaler.record(at(20), 4, concurrency(0.7), &spec);
    assert_eq!(scaler.decide(at(20), &seen(4, 4), &spec).desired, 2);
}

#[test]
fn nonsense_from_a_gateway_counts_as_no_demand() {
    let spec = spec();
    let mut scaler = Scaler::new(at(0), &seen(1, 1), &spec);
    for (second, value) in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY, -7.0].into_iter().enumerate() {
        scaler.record(at(second as u64), 1, Sample { concurrency: value, rps: value }, &spec);
    }
    assert_eq!(scaler.decide(at(4), &seen(1, 1), &spec).desired, 1);
}

prop_compose! {
    fn moments()(
        moments in prop::collection::vec((0_u64..5000, 0.0..2000.0_f64, 0_u32..50, 0_u32..600, prop::bool::weighted(0.9)), 1..200)
    ) -> Vec<(u64, f64, u32, u32, bool)> {
        moments
    }
}

proptest! {
    #[test]
    fn no_history_leads_out_of_the_bounds(
        moments in moments(), min in 0_u32..20, span in 0_u32..100, target in 0.01..100.0_f64, start in 0_u32..200,
    ) {
        let spec = Spec { min, max: (min + span).max(1), target, ..spec() };
        let mut scaler = Scaler::new(at(0), &seen(start, start), &spec);
        let (mut now, mut present) = (Duration::ZERO, start);
        for (elapsed, value, ready, waiting, known) in moments {
            now += Duration::from_millis(elapsed);
            scaler.record(now, ready, concurrency(value), &spec);
            let decision = scaler.decide(now, &Seen { present, ready, waiting, known }, &spec);
            prop_assert!((spec.min..=spec.max).contains(&decision.desired), "{decision:?}");
            present = decision.desired;
        }
    }

    #[test]
    fn a_panic_never_lowers_the_number(moments in moments(), target in 0.1..10.0_f64) {
        let spec = Spec { target, ..spec() };
        let mut scaler = Scaler::new(at(0), &seen(1, 1), &spec);
        let (mut now, mut before): (Duration, Option<Decision>) = (Duration::ZERO, None);
        for (elapsed, value, ready, _, _) in moments {
            now += Duration::from_millis(elapsed);
            scaler.record(now, ready.max(1), concurrency(value), &spec);
            let decision = scaler.decide(now, &seen(1, ready.max(1)), &spec);
            if let Some(before) = before.filter(|before| before.panicking && decision.panicking) {
                prop_assert!(decision.desired >= before.desired, "{before:?} then {decision:?}");
            }
            before = Some(decision);
        }
    }

    #[test]
    fn silence_never_sends_an_instance_home(moments in moments(), present in 0_u32..100) {
        let spec = spec();
        let mut scaler = Scaler::new(at(0), &seen(present, present), &spec);
        let (mut now, mut ready_since) = (Duration::ZERO, (present > 0).then_some(Duration::ZERO));
        for (elapsed, value, ready, waiting, _) in moments {
            now += Duration::from_millis(elapsed);
            scaler.record(now, ready, concurrency(value), &spec);
            let decision = scaler.decide(now, &Seen { present, ready, waiting, known: false }, &spec);
            ready_since = (ready > 0).then(|| ready_since.unwrap_or(now));
            let starts = ready_since.is_none_or(|since| now < since + SETTLING);
            prop_assert!(decision.desired >= present);
            prop_assert!(decision.desired == present || (starts && waiting > 0));
        }
    }

    #[test]
    fn more_demand_never_asks_for_fewer(value in 0.0..1000.0_f64, more in 0.0..1000.0_f64, ready in 1_u32..100) {
        let spec = spec();
        let of = |value| watched(value, value, &spec).decide(at(59), &seen(ready, ready), &spec).desired;
        prop_assert!(of(value) <= of(value + more));
    }

    #[test]
    fn while_requests_wait_there_is_an_instance_coming(moments in moments()) {
        let spec = spec();
        let mut scaler = Scaler::new(at(0), &seen(0, 0), &spec);
        let mut now = Duration::ZERO;
        for (elapsed, value, _, waiting, _) in moments {
            now += Duration::from_millis(elapsed);
            scaler.record(now, 0, concurrency(value), &spec);
            let decision = scaler.decide(now, &Seen { present: 0, ready: 0, waiting, known: true }, &spec);
            prop_assert!(waiting == 0 || decision.desired > 0);
        }
    }
}
