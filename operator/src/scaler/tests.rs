//! The scaler between an API server in memory and reports made by hand. Clocks are paused: time passes only where a test
//! lets it, so what happens without that happens at once.

use flint_testing::apiserver::ApiServer;
use serde_json::Value;
use tokio::task::yield_now;
use tokio_util::sync::DropGuard;

use super::*;
use crate::{
    control::tests::{control, function, pod, report},
    stores::tests::{Fill, stores},
};

const DEPLOYMENT: &str = "/apis/apps/v1/namespaces/shop/deployments/cart-1";
const SCALE: &str = "PATCH /apis/apps/v1/namespaces/shop/deployments/cart-1/scale";

struct World {
    server: ApiServer,
    stores: Stores,
    fill: Fill,
    control: Arc<Control>,
    gateway: Arc<str>,
    _shutdown: DropGuard,
}

fn deployment(name: &str, replicas: u32, ready: u32) -> Value {
    json!({
        "apiVersion": "apps/v1", "kind": "Deployment",
        "metadata": {
            "name": name, "namespace": "shop",
            "labels": {"flint.dev/function": "cart", "flint.dev/revision": name},
            "annotations": {"flint.dev/verified": "true"},
        },
        "spec": {"replicas": replicas, "selector": {}, "template": {}},
        "status": {"readyReplicas": ready},
    })
}

/// One function `cart` whose Deployment has these replicas, and one gateway that has been heard.
async fn world(spec: Value, replicas: u32) -> World {
    world_of(&function("cart", spec), Some(deployment("cart-1", replicas, replicas))).await
}

async fn world_of(function: &Value, deployment: Option<Value>) -> World {
    let server = ApiServer::new();
    let (stores, mut fill) = stores();
    fill.put(function);
    if let Some(deployment) = deployment {
        server.put(&deployment);
        fill.put(&deployment);
    }
    let control = control(&stores);
    let gateway: Arc<str> = "a".into();
    control.demand.connected(&gateway);
    control.demand.report(&gateway, flint_control::v1::Report::default());
    let shutdown = CancellationToken::new();
    let metrics = Metrics::new(&prometheus::Registry::new()).unwrap();
    tokio::spawn(run(server.client(), stores.clone(), Arc::clone(&control), metrics, shutdown.clone()));
    let world = World { server, stores, fill, control, gateway, _shutdown: shutdown.drop_guard() };
    world.settle().await;
    world
}

impl World {
    /// Lets everything happen that needs no time.
    async fn settle(&self) {
        for _ in 0..200 {
            yield_now().await;
        }
    }

    /// Says this of `cart`, and lets what follows at once happen.
    async fn report(&self, concurrency: f64, queued: u32, in_flight: u32) {
        self.control.demand.report(&self.gateway, report("cart", concurrency, queued, in_flight));
        self.settle().await;
    }

    /// Lets seconds pass in which the gateway says this once a second.
    async fn seconds(&self, seconds: u64, concurrency: f64, queued: u32, in_flight: u32) {
        for _ in 0..seconds {
            self.report(concurrency, queued, in_flight).await;
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
        self.settle().await;
    }

    /// Has the watch show what the API server has, with this many ready.
    async fn watch(&mut self, ready: u32) {
        let mut deployment = self.server.get(DEPLOYMENT).unwrap();
        deployment["status"] = json!({"readyReplicas": ready});
        self.server.put(&deployment);
        self.fill.put(&deployment);
        self.settle().await;
    }

    fn replicas(&self) -> Value {
        self.server.get(DEPLOYMENT).unwrap()["spec"]["replicas"].clone()
    }
}

#[tokio::test(start_paused = true)]
async fn a_request_at_zero_raises_the_deployment_at_once_and_by_one_write() {
    let world = world(json!({}), 0).await;
    let before = Instant::now();
    world.report(0.0, 1, 0).await;
    assert_eq!(Instant::now(), before);
    assert_eq!(world.server.writes(), [SCALE]);
    assert_eq!(world.replicas(), 1);
    assert_eq!(world.server.requests().len(), 1, "no other call to the API server stands before it");
}

#[tokio::test(start_paused = true)]
async fn what_was_written_stands_until_the_watch_shows_it() {
    let mut world = world(json!({}), 0).await;
    for _ in 0..10 {
        world.report(1.0, 1, 0).await;
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    assert_eq!(world.server.writes(), [SCALE]);
    world.watch(0).await;
    world.report(1.0, 1, 0).await;
    assert_eq!(world.server.writes(), [SCALE]);
}

#[tokio::test(start_paused = true)]
async fn a_growing_queue_is_followed_at_once_and_never_over_the_maximum() {
    let mut world = world(json!({"scaling": {"maxReplicas": 8}}), 0).await;
    world.report(0.0, 1, 0).await;
    world.report(1.0, 5, 0).await;
    assert_eq!(world.replicas(), 5);
    world.report(5.0, 500, 0).await;
    assert_eq!(world.replicas(), 8);
    world.watch(0).await;
    world.seconds(30, 500.0, 492, 8).await;
    assert_eq!(world.server.writes(), [SCALE, SCALE, SCALE]);
}

#[tokio::test(start_paused = true)]
async fn a_burst_on_a_warm_function_is_answered_before_the_next_tick() {
    let world = world(json!({}), 1).await;
    world.seconds(70, 0.1, 0, 0).await;
    let before = Instant::now();
    tokio::time::sleep(WOKEN_PACE).await;
    world.report(50.0, 49, 1).await;
    assert!(before.elapsed() < SAMPLE);
    assert!(world.replicas().as_u64().unwrap() > 1, "{}", world.replicas());
}

#[tokio::test(start_paused = true)]
async fn the_last_instance_goes_after_the_idle_time_and_comes_back_at_once() {
    let mut world = world(json!({"scaling": {"scaleToZeroAfter": "20s"}}), 1).await;
    world.seconds(30, 0.5, 0, 1).await;
    world.seconds(19, 0.0, 0, 0).await;
    assert_eq!(world.replicas(), 1);
    world.seconds(4, 0.0, 0, 0).await;
    assert_eq!(world.replicas(), 0);
    world.watch(0).await;
    world.seconds(10, 0.0, 0, 0).await;
    world.server.forget_requests();
    world.report(0.0, 1, 0).await;
    assert_eq!((world.server.writes(), world.replicas()), (vec![SCALE.to_owned()], json!(1)));
}

#[tokio::test(start_paused = true)]
async fn silent_gateways_send_no_instance_home() {
    let world = world(json!({}), 4).await;
    world.seconds(10, 2.0, 0, 2).await;
    // Connected, and not a word.
    tokio::time::sleep(Duration::from_secs(3600)).await;
    assert_eq!(world.replicas(), 4);
    world.control.demand.disconnected(&world.gateway);
    tokio::time::sleep(Duration::from_secs(3600)).await;
    assert_eq!(world.replicas(), 4);
    assert!(world.server.writes().is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_silent_gateway_does_not_keep_another_ones_request_from_starting_an_instance() {
    let world = world(json!({}), 0).await;
    let silent: Arc<str> = "silent".into();
    world.control.demand.connected(&silent);
    tokio::time::sleep(Duration::from_secs(10)).await;
    world.report(0.0, 1, 0).await;
    assert_eq!(world.replicas(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_minimum_is_kept_and_a_maximum_too_without_any_traffic() {
    let mut world = world(json!({"scaling": {"minReplicas": 2, "maxReplicas": 3}}), 0).await;
    tokio::time::sleep(Duration::from_secs(3)).await;
    assert_eq!(world.replicas(), 2);
    world.watch(2).await;
    world.fill.put(&function("cart", json!({"scaling": {"maxReplicas": 1}})));
    tokio::time::sleep(Duration::from_secs(3)).await;
    assert_eq!(world.replicas(), 1);
}

#[tokio::test(start_paused = true)]
async fn what_somebody_else_wrote_is_put_right() {
    let mut world = world(json!({}), 1).await;
    world.seconds(10, 0.5, 0, 1).await;
    let other = deployment("cart-1", 9, 1);
    world.server.put(&other);
    world.fill.put(&other);
    world.seconds(3, 0.5, 0, 1).await;
    assert_eq!(world.replicas(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_write_that_failed_is_made_again_soon() {
    let world = world(json!({}), 0).await;
    world.server.fail("PATCH", "cart-1/scale", 500, "InternalError", "etcd is away");
    world.report(0.0, 1, 0).await;
    assert_eq!(world.replicas(), 0);
    let before = Instant::now();
    while world.replicas() == 0 {
        tokio::time::sleep(Duration::from_millis(100)).await;
        world.report(1.0, 1, 0).await;
    }
    assert!(before.elapsed() < Duration::from_secs(1), "{:?}", before.elapsed());
}

#[tokio::test(start_paused = true)]
async fn an_api_server_that_is_away_for_long_is_not_stormed_and_starts_the_function_when_it_is_back() {
    const FAILURES: usize = 10;
    let world = world(json!({}), 0).await;
    for _ in 0..FAILURES {
        world.server.fail("PATCH", "cart-1/scale", 503, "ServiceUnavailable", "away");
    }
    let (mut pauses, mut last, mut written) = (Vec::new(), Instant::now(), 0);
    while world.replicas() == 0 {
        // A gateway with a queue reports ten times a second.
        world.report(1.0, 1, 0).await;
        if world.server.writes().len() > written {
            written += 1;
            pauses.push(last.elapsed());
            last = Instant::now();
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    assert_eq!((world.replicas(), written), (json!(1), FAILURES + 1));
    assert!(
        pauses.is_sorted_by(|shorter, longer| *shorter <= *longer + Duration::from_millis(100)),
        "{pauses:?}"
    );
    assert!(
        pauses[FAILURES] >= Duration::from_secs(4) && pauses[FAILURES] <= Duration::from_secs(6),
        "{pauses:?}"
    );
}

#[tokio::test(start_paused = true)]
async fn the_reconciler_hears_of_a_deployment_that_is_missing_and_not_too_often() {
    let world = world_of(&function("cart", json!({})), None).await;
    let reconciler = world.stores.subscribe();
    for _ in 0..30 {
        world.report(0.0, 1, 0).await;
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    let mut heard = 0;
    while futures::FutureExt::now_or_never(reconciler.next()).is_some() {
        heard += 1;
    }
    // A key waits once in a subscription; that it is there at all is the point.
    assert_eq!(heard, 1);
    assert!(world.server.requests().is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_revision_keeps_the_instance_that_it_proves_itself_with() {
    let mut unproved = deployment("cart-1", 3, 0);
    unproved["metadata"]["annotations"] = json!({});
    let mut world =
        world_of(&function("cart", json!({"scaling": {"scaleToZeroAfter": "10s"}})), Some(unproved)).await;
    world.seconds(120, 0.0, 0, 0).await;
    assert_eq!(world.replicas(), 1);
    let proved = deployment("cart-1", 1, 1);
    world.server.put(&proved);
    world.fill.put(&proved);
    world.seconds(4, 0.0, 0, 0).await;
    assert_eq!(world.replicas(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_revision_that_waits_for_its_turn_to_start_is_started_by_demand_alone() {
    let mut waits = deployment("cart-1", 0, 0);
    waits["metadata"]["annotations"] = json!({});
    let mut world = world_of(&function("cart", json!({"scaling": {"minReplicas": 2}})), Some(waits)).await;
    world.seconds(120, 0.0, 0, 0).await;
    assert!(world.server.writes().is_empty());
    world.report(0.0, 3, 0).await;
    assert_eq!(world.replicas(), 3);
    let proved = deployment("cart-1", 1, 1);
    world.server.put(&proved);
    world.fill.put(&proved);
    world.seconds(10, 0.0, 0, 0).await;
    assert_eq!(world.replicas(), 2);
}

#[tokio::test(start_paused = true)]
async fn the_revision_that_gets_traffic_is_scaled_and_no_other() {
    let mut world = world(json!({}), 0).await;
    let mut moved = function("cart", json!({}));
    moved["status"] = json!({"revision": "cart-1", "latestRevision": "cart-2"});
    let newer = deployment("cart-2", 1, 0);
    world.server.put(&newer);
    world.fill.put(&newer);
    world.fill.put(&moved);
    world.report(0.0, 1, 0).await;
    assert_eq!(world.server.writes(), [SCALE]);
}

#[tokio::test(start_paused = true)]
async fn an_instance_that_called_home_counts_as_ready_before_the_watch_says_so() {
    let mut world = world(json!({}), 0).await;
    world.report(0.0, 3, 0).await;
    world.watch(0).await;
    world.fill.put(&pod("cart", "cart-x"));
    world.control.announce(flint_core::wire::Announcement {
        namespace: "shop".to_owned(),
        function: "cart".to_owned(),
        revision: "cart-1".to_owned(),
        pod: "cart-x".to_owned(),
        uid: "cart-x-uid".to_owned(),
        address: "10.0.0.7:8012".to_owned(),
        init_ms: 61,
    });
    let target = target(&world.stores, &world.control, &unit(None)).unwrap();
    assert_eq!((target.present, target.ready), (3, 1));
}

#[tokio::test(start_paused = true)]
async fn more_descents_than_there_is_room_for_all_happen_and_none_keeps_its_function_from_rising() {
    let (stores, mut fill) = stores();
    let server = ApiServer::new();
    let control = control(&stores);
    let mut keys = vec![];
    for number in 0..3 * DESCENTS {
        let name = format!("busy-{number}");
        fill.put(&function(&name, json!({"scaling": {"maxReplicas": 1}})));
        let mut deployment = deployment(&format!("{name}-1"), 5, 1);
        deployment["metadata"]["labels"]["flint.dev/function"] = json!(name);
        server.put(&deployment);
        fill.put(&deployment);
        keys.push(Key::new("shop", &name));
    }
    let metrics = Metrics::new(&prometheus::Registry::new()).unwrap();
    let mut scaler = Scaler::new(server.client(), stores, control, metrics);
    for key in &keys {
        scaler.look(key, Why::Tick);
    }
    assert_eq!(scaler.writes.len(), DESCENTS);
    assert_eq!(scaler.active.values().filter(|active| active.writing).count(), DESCENTS);
    while let Some(written) = scaler.writes.join_next().await {
        scaler.written(written);
        scaler.descend();
    }
    assert_eq!(server.writes().len(), 3 * DESCENTS);
}

#[tokio::test(start_paused = true)]
async fn functions_at_rest_are_not_held() {
    let (stores, mut fill) = stores();
    let server = ApiServer::new();
    let mut keys = vec![];
    for number in 0..100 {
        let name = format!("idle-{number}");
        fill.put(&function(&name, json!({})));
        let mut deployment = deployment(&format!("{name}-1"), 0, 0);
        deployment["metadata"]["labels"]["flint.dev/function"] = json!(name);
        fill.put(&deployment);
        keys.push(Key::new("shop", &name));
    }
    let metrics = Metrics::new(&prometheus::Registry::new()).unwrap();
    let mut scaler = Scaler::new(server.client(), stores.clone(), control(&stores), metrics);
    for key in &keys {
        scaler.look(key, Why::Woken);
    }
    assert!(scaler.active.is_empty());
}

fn unit(revision: Option<&str>) -> Unit {
    Unit { key: Key::new("shop", "cart"), revision: revision.map(str::to_owned) }
}

/// `cart` with its requests divided between two revisions, both at zero.
async fn divided(spec: Value) -> World {
    let mut cart = function("cart", spec);
    cart["status"]["traffic"] = json!([
        {"revision": "cart-1", "number": 1, "weight": 90}, {"revision": "cart-2", "number": 2, "weight": 10}]);
    let mut world = world_of(&cart, Some(deployment("cart-1", 0, 0))).await;
    for number in [1, 2] {
        world.fill.put(&json!({"apiVersion": "flint.dev/v1alpha1", "kind": "Revision",
            "metadata": {"name": format!("cart-{number}"), "namespace": "shop", "labels": {"flint.dev/function": "cart"}},
            "spec": {"function": "cart", "number": number, "image": "cart:1", "template": {}}}));
    }
    let second = deployment("cart-2", 0, 0);
    world.server.put(&second);
    world.fill.put(&second);
    world.settle().await;
    world.server.forget_requests();
    world
}

impl World {
    /// Says this of one revision.
    async fn report_of(&self, revision: &str, queued: u32) {
        let mut report = report("cart", 0.0, queued, 0);
        report.demands[0].revision = revision.to_owned();
        self.control.demand.report(&self.gateway, report);
        self.settle().await;
    }
}

#[tokio::test(start_paused = true)]
async fn revisions_that_share_the_requests_rise_each_on_its_own_demand() {
    let world = divided(json!({})).await;
    world.report_of("cart-2", 2).await;
    assert_eq!(world.server.writes(), ["PATCH /apis/apps/v1/namespaces/shop/deployments/cart-2/scale"]);
    world.report(0.0, 1, 0).await;
    assert_eq!(world.server.writes().last().map(String::as_str), Some(SCALE));
    world.report_of("cart-9", 5).await;
    assert_eq!(world.server.writes().len(), 2, "there is no such revision");
}

#[tokio::test(start_paused = true)]
async fn what_is_being_prepared_is_left_to_the_reconciler() {
    let world = divided(json!({})).await;
    let key = Key::new("shop", "cart");
    world.control.preparing.set(&key, ["cart-2".to_owned()].into());
    world.report_of("cart-2", 2).await;
    assert!(world.server.writes().is_empty());
    assert_eq!(target(&world.stores, &world.control, &unit(Some("cart-2"))), Err(Nothing::Revision));
    world.control.preparing.set(&key, std::collections::BTreeSet::new());
    world.report_of("cart-2", 2).await;
    assert_eq!(world.server.writes().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn only_what_has_a_share_keeps_the_minimum() {
    let mut world = divided(json!({"scaling": {"minReplicas": 3}})).await;
    assert_eq!(target(&world.stores, &world.control, &unit(Some("cart-2"))).unwrap().spec.min, 3);
    let mut cart = function("cart", json!({"scaling": {"minReplicas": 3}}));
    cart["status"]["traffic"] = json!([
        {"revision": "cart-1", "number": 1, "weight": 100}, {"revision": "cart-2", "number": 2, "alias": "next"}]);
    world.fill.put(&cart);
    assert_eq!(target(&world.stores, &world.control, &unit(Some("cart-2"))).unwrap().spec.min, 0);
    assert_eq!(target(&world.stores, &world.control, &unit(None)).unwrap().spec.min, 3);
}

/// A pod of `cart` that waited in a pool.
fn bridge(ready: &str) -> Value {
    let mut bridge = pod("cart", "warm-1");
    bridge["metadata"]["labels"]["flint.dev/revision"] = json!("cart-1");
    bridge["metadata"]["labels"]["flint.dev/from-pool"] = json!("pool");
    bridge["metadata"]["creationTimestamp"] = json!("2026-01-01T00:00:00Z");
    bridge["status"] = json!({"conditions": [{"type": "Ready", "status": ready}]});
    bridge
}

#[tokio::test(start_paused = true)]
async fn an_instance_from_a_pool_counts_and_no_pod_is_started_beside_it() {
    let mut world = world(json!({}), 0).await;
    world.fill.put(&bridge("True"));
    world.seconds(4, 0.5, 0, 1).await;
    assert!(world.server.writes().is_empty(), "{:?}", world.server.writes());
    world.report(3.0, 3, 1).await;
    assert_eq!(world.server.writes(), [SCALE], "what one cannot carry is the Deployment's");
}

#[tokio::test(start_paused = true)]
async fn a_pod_on_its_way_out_takes_nothing_over_from_an_instance_of_a_pool() {
    let mut world = world_of(&function("cart", json!({})), Some(deployment("cart-1", 0, 1))).await;
    world.fill.put(&bridge("True"));
    world.seconds(4, 0.5, 0, 1).await;
    assert!(world.server.writes().is_empty(), "{:?}", world.server.writes());
}

#[tokio::test(start_paused = true)]
async fn an_instance_from_a_pool_ends_when_nobody_asks_any_more() {
    let mut world = world(json!({"scaling": {"window": "6s", "scaleToZeroAfter": "6s"}}), 0).await;
    let warm = bridge("True");
    world.server.put(&warm);
    world.fill.put(&warm);
    world.seconds(4, 0.5, 0, 1).await;
    world.seconds(20, 0.0, 0, 0).await;
    assert_eq!(world.server.writes(), ["DELETE /api/v1/namespaces/shop/pods/warm-1"]);
}

#[tokio::test(start_paused = true)]
async fn lasting_demand_moves_to_ordinary_instances_and_then_the_one_from_the_pool_ends() {
    let mut world = world(json!({}), 0).await;
    let warm = bridge("True");
    world.server.put(&warm);
    world.fill.put(&warm);
    world.seconds(50, 0.5, 0, 1).await;
    assert!(world.server.writes().is_empty(), "{:?}", world.server.writes());
    world.seconds(12, 0.5, 0, 1).await;
    assert_eq!(world.server.writes(), [SCALE]);
    world.watch(1).await;
    world.seconds(5, 0.5, 0, 1).await;
    assert_eq!(world.server.writes(), [SCALE, "DELETE /api/v1/namespaces/shop/pods/warm-1"]);
}
