//! The server with real streams on loopback, and what the other tests build on.

use flint_control::v1::{
    self, GatewayMessage, Hello, StartState, control_client::ControlClient, gateway_message,
};
use serde_json::{Value, json};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Code, Request, Status, Streaming};

use super::{failures::Failing, *};
use crate::{startability::CRASH_LOOP, stores::tests::stores};

const KEY: &str = "control-key";

/// A function of an image, with what `spec` adds.
pub(crate) fn function(name: &str, spec: Value) -> Value {
    let mut function = json!({
        "apiVersion": "flint.dev/v1alpha1", "kind": "Function",
        "metadata": {"name": name, "namespace": "shop", "uid": format!("{name}-uid")},
        "spec": {"image": "registry/cart:1", "concurrency": 1},
        "status": {"revision": format!("{name}-1"), "latestRevision": format!("{name}-1")},
    });
    if let (Some(all), Some(more)) = (function["spec"].as_object_mut(), spec.as_object()) {
        all.extend(more.clone());
    }
    function
}

/// A pod of a function's first revision.
pub(crate) fn pod(function: &str, name: &str) -> Value {
    json!({
        "apiVersion": "v1", "kind": "Pod",
        "metadata": {
            "name": name, "namespace": "shop", "uid": format!("{name}-uid"),
            "labels": {"flint.dev/function": function, "flint.dev/revision": format!("{function}-1")},
        },
    })
}

/// The Deployment of a function's first revision.
pub(crate) fn deployment(function: &str, replicas: u32, ready: u32) -> Value {
    json!({
        "apiVersion": "apps/v1", "kind": "Deployment",
        "metadata": {
            "name": format!("{function}-1"), "namespace": "shop",
            "labels": {"flint.dev/function": function, "flint.dev/revision": format!("{function}-1")},
            "annotations": {"flint.dev/verified": "true"},
        },
        "spec": {"replicas": replicas, "selector": {}, "template": {}},
        "status": {"readyReplicas": ready},
    })
}

/// Control over these stores.
pub(crate) fn control(stores: &Stores) -> Arc<Control> {
    Arc::new(Control::new(stores.clone(), 2, &prometheus::Registry::new()).unwrap())
}

/// A gateway's report of one function.
pub(crate) fn report(function: &str, concurrency: f64, queued: u32, in_flight: u32) -> v1::Report {
    let demand = v1::Demand {
        function: Some(v1::FunctionRef { namespace: "shop".to_owned(), name: function.to_owned() }),
        concurrency,
        queued,
        in_flight,
        arrived: u64::from(queued + in_flight),
        elapsed_ms: 1000,
        ..v1::Demand::default()
    };
    v1::Report { demands: vec![demand] }
}

struct Running {
    control: Arc<Control>,
    address: SocketAddr,
    leader: watch::Sender<bool>,
    firings: Arc<Memory>,
    _shutdown: tokio_util::sync::DropGuard,
}

/// Firings in memory; the first ones fail when told so.
#[derive(Default)]
struct Memory {
    stored: parking_lot::Mutex<Vec<Firing>>,
    fail: std::sync::atomic::AtomicBool,
}

impl Firings for Memory {
    fn store(&self, firing: Firing) -> BoxFuture<'_, anyhow::Result<()>> {
        Box::pin(async move {
            if self.fail.swap(false, std::sync::atomic::Ordering::Relaxed) {
                anyhow::bail!("the API server is away");
            }
            self.stored.lock().push(firing);
            Ok(())
        })
    }
}

struct Gateway {
    messages: mpsc::Sender<GatewayMessage>,
    heard: Streaming<OperatorMessage>,
}

async fn running() -> Running {
    let (stores, mut fill) = stores();
    fill.put(&function("cart", json!({})));
    let control = control(&stores);
    let listener = bind("127.0.0.1:0".parse().unwrap()).await.unwrap();
    let address = listener.address().unwrap();
    let (leader, leads) = watch::channel(true);
    let shutdown = CancellationToken::new();
    let firings = Arc::<Memory>::default();
    let config = ControlConfig { key: KEY.to_owned() };
    tokio::spawn(serve(
        listener,
        config,
        Arc::clone(&control),
        Arc::clone(&firings) as Arc<dyn Firings>,
        leads,
        shutdown.clone(),
    ));
    Running { control, address, leader, firings, _shutdown: shutdown.drop_guard() }
}

fn message(message: gateway_message::Message) -> GatewayMessage {
    GatewayMessage { message: Some(message) }
}

fn hello(gateway: &str) -> GatewayMessage {
    message(gateway_message::Message::Hello(Hello {
        gateway: gateway.to_owned(),
        version: "test".to_owned(),
    }))
}

impl Running {
    async fn open(&self, key: &str, first: GatewayMessage) -> Result<Gateway, Status> {
        let (messages, queue) = mpsc::channel(16);
        messages.send(first).await.unwrap();
        let mut client = ControlClient::connect(format!("http://{}", self.address)).await.unwrap();
        let mut request = Request::new(ReceiverStream::new(queue));
        request.metadata_mut().insert("authorization", format!("Bearer {key}").parse().unwrap());
        let heard = client.open(request).await?.into_inner();
        Ok(Gateway { messages, heard })
    }

    async fn gateway(&self, name: &str) -> Gateway {
        self.open(KEY, hello(name)).await.unwrap()
    }

    async fn refused(&self, key: &str, first: GatewayMessage) -> Code {
        match self.open(key, first).await {
            Ok(_) => panic!("the stream was opened"),
            Err(status) => status.code(),
        }
    }
}

impl Gateway {
    async fn hears(&mut self) -> Message {
        self.heard.message().await.unwrap().unwrap().message.unwrap()
    }

    async fn hears_peers(&mut self) -> Vec<String> {
        match self.hears().await {
            Message::Peers(peers) => peers.gateways,
            other => panic!("{other:?} are no peers"),
        }
    }

    async fn says(&self, what: gateway_message::Message) {
        self.messages.send(message(what)).await.unwrap();
    }
}

fn announcement(pod: &str) -> Announcement {
    Announcement {
        namespace: "shop".to_owned(),
        function: "cart".to_owned(),
        revision: "cart-1".to_owned(),
        pod: pod.to_owned(),
        uid: format!("{pod}-uid"),
        address: "10.0.0.7:8012".to_owned(),
        init_ms: 61,
    }
}

#[tokio::test]
async fn a_gateway_without_the_key_is_refused() {
    let running = running().await;
    for key in ["", "wrong", "control-key2", "control-ke"] {
        assert_eq!(running.refused(key, hello("a")).await, Code::Unauthenticated, "{key:?}");
    }
    assert_eq!(running.control.gateways.len(), 0);
}

#[tokio::test]
async fn an_operator_that_does_not_lead_refuses_gateways() {
    let running = running().await;
    running.leader.send_replace(false);
    assert_eq!(running.refused(KEY, hello("a")).await, Code::FailedPrecondition);
}

#[tokio::test]
async fn the_first_message_must_be_a_hello_with_an_id() {
    let running = running().await;
    let report = message(gateway_message::Message::Report(report("cart", 1.0, 1, 0)));
    assert_eq!(running.refused(KEY, report).await, Code::InvalidArgument);
    assert_eq!(running.refused(KEY, hello("")).await, Code::InvalidArgument);
    assert_eq!(running.refused(KEY, hello(&"a".repeat(300))).await, Code::InvalidArgument);
}

#[tokio::test]
async fn one_gateway_too_many_is_refused_and_the_others_stay() {
    let running = running().await;
    let (mut a, _b) = (running.gateway("a").await, running.gateway("b").await);
    assert_eq!(running.refused(KEY, hello("c")).await, Code::ResourceExhausted);
    assert_eq!(a.hears_peers().await, ["a"]);
    assert_eq!(a.hears_peers().await, ["a", "b"]);
}

#[tokio::test]
async fn every_gateway_hears_of_an_instance_that_called_home() {
    let running = running().await;
    let (mut a, mut b) = (running.gateway("a").await, running.gateway("b").await);
    a.hears_peers().await;
    a.hears_peers().await;
    b.hears_peers().await;
    running.control.announce(announcement("cart-x"));
    for gateway in [&mut a, &mut b] {
        match gateway.hears().await {
            Message::Announced(announced) => {
                assert_eq!((announced.pod.as_str(), announced.address.as_str()), ("cart-x", "10.0.0.7:8012"));
            }
            other => panic!("{other:?}"),
        }
    }
}

#[tokio::test]
async fn a_gateway_that_connects_is_told_what_fails_and_what_it_missed() {
    let running = running().await;
    let failing =
        Failing { revision: "cart-1".to_owned(), reason: CRASH_LOOP.to_owned(), message: "why".to_owned() };
    running.control.failures.set(&(Key::new("shop", "cart"), None), Some(failing));
    running.control.announce(announcement("cart-x"));
    let mut a = running.gateway("a").await;
    assert!(matches!(a.hears().await, Message::StartState(StartState { failing: true, .. })));
    assert!(matches!(a.hears().await, Message::Announced(_)));
    assert_eq!(a.hears_peers().await, ["a"]);
}

#[tokio::test]
async fn a_report_of_waiting_requests_wakes_the_scaler() {
    let running = running().await;
    let woken = running.control.wake.subscribe();
    let a = running.gateway("a").await;
    a.says(gateway_message::Message::Report(report("unknown", 1.0, 5, 0))).await;
    a.says(gateway_message::Message::Report(report("cart", 1.0, 5, 0))).await;
    let cart = Key::new("shop", "cart");
    assert_eq!(woken.next().await, cart);
    assert_eq!(running.control.demand.read(&cart).waiting, 5);
    assert_eq!(running.control.demand.read(&Key::new("shop", "unknown")).waiting, 0);
}

#[tokio::test]
async fn a_gateway_that_leaves_is_taken_from_the_peers() {
    let running = running().await;
    let (mut a, b) = (running.gateway("a").await, running.gateway("b").await);
    a.hears_peers().await;
    a.hears_peers().await;
    drop(b);
    assert_eq!(a.hears_peers().await, ["a"]);
}

#[tokio::test]
async fn a_gateway_that_comes_again_ends_its_old_stream() {
    let running = running().await;
    let mut old = running.gateway("a").await;
    old.hears_peers().await;
    let mut new = running.gateway("a").await;
    assert_eq!(new.hears_peers().await, ["a"]);
    // What is left of the old stream, and then its end.
    while let Ok(Some(_)) = old.heard.message().await {}
    assert_eq!(running.control.gateways.len(), 1);
}

#[tokio::test]
async fn a_firing_is_confirmed_when_it_is_stored_and_only_then() {
    let running = running().await;
    running.firings.fail.store(true, std::sync::atomic::Ordering::Relaxed);
    let mut a = running.gateway("a").await;
    a.hears_peers().await;
    let firing = |due: &str| Firing {
        function: Some(v1::FunctionRef { namespace: "shop".to_owned(), name: "cart".to_owned() }),
        schedule: "nightly".to_owned(),
        due: due.to_owned(),
        done: false,
        status: 0,
    };
    a.says(gateway_message::Message::Firing(firing("2026-11-21T02:00:00Z"))).await;
    a.says(gateway_message::Message::Firing(firing("2026-11-22T02:00:00Z"))).await;
    match a.hears().await {
        Message::FiringStored(stored) => assert_eq!(stored.due, "2026-11-22T02:00:00Z"),
        other => panic!("{other:?}"),
    }
    assert_eq!(running.firings.stored.lock().len(), 1);
}
