use futures::{FutureExt, StreamExt};
use serde_json::{Value, json};

use super::*;
use crate::{
    control::{
        Outgoing,
        tests::{control, deployment, function, pod, report},
    },
    startability::IMAGE_PULL_FAILED,
    stores::tests::{Fill, stores},
};

struct World {
    control: Arc<Control>,
    fill: Fill,
    gateway: Arc<str>,
    heard: Outgoing,
    _connection: super::super::Connection,
}

async fn world() -> World {
    let (stores, mut fill) = stores();
    fill.put(&function("cart", json!({})));
    fill.put(&deployment("cart", 1, 0));
    let control = control(&stores);
    let (connection, heard) = control.gateways.connect("a").unwrap();
    let gateway = Arc::clone(connection.gateway());
    control.demand.connected(&gateway);
    tokio::spawn(watch_starts(stores, Arc::clone(&control), CancellationToken::new()));
    let mut world = World { control, fill, gateway, heard, _connection: connection };
    world.hears().await;
    world
}

impl World {
    /// One request waits for `cart` all this time, in tenths of a second.
    async fn waits(&self, tenths: u32) {
        for _ in 0..tenths {
            self.control.demand.report(&self.gateway, report("cart", 1.0, 1, 0));
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }

    /// What the gateway has heard since: whether it fails, and why.
    async fn hears(&mut self) -> Vec<(bool, String)> {
        tokio::time::sleep(Duration::from_millis(1)).await;
        let mut heard = vec![];
        while let Some(Some(message)) = self.heard.next().now_or_never() {
            if let Some(Message::StartState(state)) = message.message {
                heard.push((state.failing, state.reason));
            }
        }
        heard
    }
}

fn broken(name: &str) -> Value {
    let mut broken = pod("cart", name);
    broken["status"] = json!({"containerStatuses": [{
        "name": "function", "image": "registry/cart:1", "imageID": "", "ready": false, "restartCount": 0,
        "state": {"waiting": {"reason": "ImagePullBackOff", "message": "not found"}},
    }]});
    broken
}

fn ready(name: &str) -> Value {
    let mut ready = pod("cart", name);
    ready["status"] = json!({"conditions": [{"type": "Ready", "status": "True"}]});
    ready
}

#[tokio::test(start_paused = true)]
async fn gateways_hear_when_a_function_they_wait_for_cannot_start_and_when_it_can() {
    let mut world = world().await;
    world.fill.put(&broken("cart-x"));
    world.waits(11).await;
    assert_eq!(world.hears().await, [(true, IMAGE_PULL_FAILED.to_owned())]);
    world.waits(10).await;
    assert!(world.hears().await.is_empty());
    world.fill.remove(&broken("cart-x"));
    assert_eq!(world.hears().await, [(false, String::new())]);
}

#[tokio::test(start_paused = true)]
async fn a_failure_that_passes_sends_nobody_away() {
    let mut world = world().await;
    world.fill.put(&broken("cart-x"));
    world.waits(5).await;
    world.fill.put(&pod("cart", "cart-x"));
    world.waits(20).await;
    assert!(world.hears().await.is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_failing_function_that_nobody_waits_for_is_no_news() {
    let mut world = world().await;
    world.fill.put(&broken("cart-x"));
    tokio::time::sleep(Duration::from_secs(60)).await;
    assert!(world.hears().await.is_empty());
}

#[tokio::test(start_paused = true)]
async fn one_instance_that_works_is_enough() {
    let mut world = world().await;
    world.fill.put(&broken("cart-x"));
    world.fill.put(&ready("cart-y"));
    world.waits(30).await;
    assert!(world.hears().await.is_empty());
}

#[tokio::test(start_paused = true)]
async fn gateways_hear_why_a_function_was_never_deployed() {
    let mut world = world().await;
    let mut undeployed = function("cart", json!({"runtime": "cobol"}));
    undeployed["status"] = json!({"conditions": [{
        "type": "Ready", "status": "False", "reason": "RuntimeNotFound", "message": "There is no such Runtime.",
        "lastTransitionTime": "2026-11-21T04:00:00Z",
    }]});
    world.fill.put(&undeployed);
    world.waits(11).await;
    assert_eq!(world.hears().await, [(true, "RuntimeNotFound".to_owned())]);
}
