use serde_json::json;
use tokio::time::advance;

use super::*;
use crate::{
    control::tests::{function, report},
    stores::tests::stores,
};

fn demand() -> (Demand, Key) {
    let (stores, mut fill) = stores();
    fill.put(&function("cart", json!({})));
    (Demand::new(stores, Changes::default()), Key::new("shop", "cart"))
}

fn gateway(demand: &Demand, name: &str) -> Arc<str> {
    let gateway: Arc<str> = name.into();
    demand.connected(&gateway);
    gateway
}

#[tokio::test(start_paused = true)]
async fn gateways_add_up() {
    let (demand, cart) = demand();
    let (a, b) = (gateway(&demand, "a"), gateway(&demand, "b"));
    demand.report(&a, report("cart", 2.0, 1, 2));
    demand.report(&b, report("cart", 0.5, 3, 1));
    let reading = demand.read(&cart);
    assert_eq!(reading.sample, Sample { concurrency: 2.5, rps: 7.0 });
    assert_eq!((reading.waiting, reading.in_flight, reading.known), (4, 3, true));
}

#[tokio::test(start_paused = true)]
async fn a_later_report_takes_the_place_of_an_earlier_one_and_averages_weigh_by_time() {
    let (demand, cart) = demand();
    let a = gateway(&demand, "a");
    let mut short = report("cart", 10.0, 9, 1);
    short.demands[0].elapsed_ms = 250;
    demand.report(&a, short);
    let mut long = report("cart", 2.0, 0, 2);
    long.demands[0].elapsed_ms = 750;
    demand.report(&a, long);
    let reading = demand.take_of(&cart, |_| true);
    assert_eq!(reading.sample, Sample { concurrency: 4.0, rps: 12.0 });
    assert_eq!((reading.waiting, reading.in_flight), (0, 2));
    // Until the next report the last one stands.
    assert_eq!(demand.take_of(&cart, |_| true).sample.concurrency, 2.0);
}

#[tokio::test(start_paused = true)]
async fn a_rate_over_a_blink_is_not_believed() {
    let (demand, cart) = demand();
    let a = gateway(&demand, "a");
    let mut blink = report("cart", 1.0, 1, 0);
    blink.demands[0].elapsed_ms = 1;
    demand.report(&a, blink);
    assert_eq!(demand.read(&cart).sample.rps, 10.0);
}

#[tokio::test(start_paused = true)]
async fn without_a_gateway_nothing_is_known() {
    let (demand, cart) = demand();
    assert!(!demand.read(&cart).known);
    let a = gateway(&demand, "a");
    assert!(!demand.read(&cart).known);
    demand.report(&a, v1::Report::default());
    assert!(demand.read(&cart).known);
}

#[tokio::test(start_paused = true)]
async fn a_gateway_that_falls_silent_makes_the_sum_unknown() {
    let (demand, cart) = demand();
    let (a, b) = (gateway(&demand, "a"), gateway(&demand, "b"));
    demand.report(&a, report("cart", 1.0, 0, 1));
    demand.report(&b, v1::Report::default());
    advance(Duration::from_millis(4_900)).await;
    assert!(demand.read(&cart).known);
    demand.report(&b, v1::Report::default());
    advance(Duration::from_millis(200)).await;
    assert!(!demand.read(&cart).known);
    demand.report(&a, report("cart", 1.0, 0, 1));
    assert!(demand.read(&cart).known);
}

#[tokio::test(start_paused = true)]
async fn a_gateway_that_left_is_believed_for_three_seconds() {
    let (demand, cart) = demand();
    let (a, b) = (gateway(&demand, "a"), gateway(&demand, "b"));
    demand.report(&a, report("cart", 1.0, 0, 1));
    demand.report(&b, report("cart", 1.0, 0, 1));
    demand.disconnected(&a);
    advance(Duration::from_millis(2_900)).await;
    assert_eq!(demand.read(&cart).in_flight, 2);
    advance(Duration::from_millis(200)).await;
    let reading = demand.read(&cart);
    assert_eq!((reading.in_flight, reading.known), (1, true));
}

#[tokio::test(start_paused = true)]
async fn a_gateway_that_comes_again_within_that_time_counts_once() {
    let (demand, cart) = demand();
    let a = gateway(&demand, "a");
    demand.report(&a, report("cart", 1.0, 0, 1));
    demand.disconnected(&a);
    let a = gateway(&demand, "a");
    demand.report(&a, report("cart", 3.0, 0, 3));
    advance(Duration::from_secs(4)).await;
    assert_eq!(demand.read(&cart).in_flight, 3);
}

#[tokio::test(start_paused = true)]
async fn a_function_that_does_not_exist_is_not_remembered() {
    let (demand, _) = demand();
    let a = gateway(&demand, "a");
    for number in 0..1000 {
        demand.report(&a, report(&format!("made-up-{number}"), 1.0, 1, 0));
    }
    assert!(demand.inner.lock().functions.is_empty());
    assert!(demand.inner.lock().last_invocations.is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_function_left_out_after_its_zero_is_forgotten() {
    let (demand, cart) = demand();
    let a = gateway(&demand, "a");
    demand.report(&a, report("cart", 1.0, 0, 1));
    demand.take_of(&cart, |_| true);
    demand.report(&a, report("cart", 0.0, 0, 0));
    assert_eq!(demand.take_of(&cart, |_| true).sample.concurrency, 0.0);
    assert!(demand.inner.lock().functions.is_empty());
}

#[tokio::test(start_paused = true)]
async fn the_last_invocation_is_told_by_the_minute() {
    let (demand, cart) = demand();
    let a = gateway(&demand, "a");
    assert!(demand.last_invocations().is_empty());
    demand.report(&a, report("cart", 1.0, 0, 1));
    let [(key, minute)] = demand.last_invocations().try_into().unwrap();
    assert_eq!((key, minute.as_second() % 60), (cart, 0));
}
