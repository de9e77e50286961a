//! A running gateway that is told of functions by the test, and a client that speaks byte by byte.

use std::{net::SocketAddr, sync::Arc, thread::JoinHandle, time::Duration};

use flint_api::Mode;
use flint_gateway::{
    app::{Config, Gateway},
    control::Link,
    front::Settings,
    function::{Blocked, Key, Seen},
    index::{Event, Pod, PodName},
    source::Source,
};
use flint_telemetry::Admin;
use flint_testing::upstream::{Peer, Upstream};
use jiff::Timestamp;
use tokio::sync::{mpsc, oneshot};

/// A gateway in a thread of its own; stopped when dropped.
pub(crate) struct Running {
    pub(crate) address: SocketAddr,
    pub(crate) admin: SocketAddr,
    events: mpsc::Sender<Event>,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

/// An answer, read whole.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) head: String,
    pub(crate) body: String,
}

struct Script(mpsc::Receiver<Event>);

impl Source for Script {
    async fn run(mut self, events: mpsc::Sender<Event>) -> anyhow::Result<()> {
        while let Some(event) = self.0.recv().await {
            events.send(event).await?;
        }
        Ok(())
    }
}

pub(crate) fn config() -> Config {
    let anywhere = SocketAddr::from(([127, 0, 0, 1], 0));
    Config {
        listen: anywhere,
        admin_listen: anywhere,
        workers: 2,
        control: None,
        gateway: "gw-test".into(),
        queue_length: 100,
        settings: Settings {
            cluster_domain: "cluster.local".into(),
            // Longer than any test takes: who waits for it would fail.
            start_timeout: Duration::from_secs(60),
            lambda_body_limit: 1024,
            body_limit: None,
            idle_timeout: Duration::from_secs(60),
            credentials: None,
        },
        header_limit: 64 * 1024,
        connections: 1000,
        drain_delay: Duration::ZERO,
        drain_timeout: Duration::from_secs(60),
        access_log: false,
    }
}

pub(crate) fn function(name: &str) -> Seen {
    Seen {
        key: Key::new("default", name),
        mode: Mode::Http,
        timeout: Duration::from_secs(30),
        concurrency: 1,
        revision: Some("r1".into()),
        traffic: Arc::default(),
        event_v1: false,
        blocked: None,
        schedules: Arc::default(),
        created: Timestamp::UNIX_EPOCH,
    }
}

pub(crate) fn pod(function: &str, name: &str, address: SocketAddr) -> Pod {
    Pod {
        name: PodName { namespace: "default".into(), name: name.into() },
        uid: format!("uid-{name}"),
        function: function.into(),
        revision: "r1".into(),
        address: Some(address),
        ready: true,
        ending: false,
        limit: None,
    }
}

impl Running {
    pub(crate) async fn start() -> Self {
        Self::start_as(config()).await
    }

    pub(crate) async fn start_as(config: Config) -> Self {
        Self::start_with(config, |_, _| std::future::ready(())).await
    }

    pub(crate) async fn controlled_by(url: String) -> Self {
        Self::start_as(Config { control: Some(Link::Network { url, key: "key".into() }), ..config() }).await
    }

    pub(crate) async fn start_with<R: Future<Output = ()> + Send + 'static>(
        config: Config,
        scheduler: impl FnOnce(flint_gateway::app::Schedules, tokio_util::sync::CancellationToken) -> R
        + Send
        + 'static,
    ) -> Self {
        let gateway = Self::begin_with(config, scheduler).await;
        gateway.tell(Event::Complete).await;
        gateway
    }

    /// One that has yet to be told everything.
    pub(crate) async fn begin() -> Self {
        Self::begin_with(config(), |_, _| std::future::ready(())).await
    }

    async fn begin_with<R: Future<Output = ()> + Send + 'static>(
        config: Config,
        scheduler: impl FnOnce(flint_gateway::app::Schedules, tokio_util::sync::CancellationToken) -> R
        + Send
        + 'static,
    ) -> Self {
        let (events, script) = mpsc::channel(100);
        let (stop, stopped) = oneshot::channel::<()>();
        let (bound, ports) = oneshot::channel();
        let thread = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async {
                let gateway = Gateway::bind(config, Admin::new().unwrap()).await.unwrap();
                bound.send((gateway.address(), gateway.admin_address().unwrap())).unwrap();
                let shutdown = async {
                    let _ = stopped.await;
                };
                gateway.run(Script(script), scheduler, shutdown).await.unwrap();
            });
        });
        let (address, admin) = ports.await.expect("the gateway holds its ports");
        Self { address, admin, events, stop: Some(stop), thread: Some(thread) }
    }

    /// A gateway that knows one function with these instances.
    pub(crate) async fn with(function: Seen, instances: &[SocketAddr]) -> Self {
        Self::start().await.knowing(function, instances).await
    }

    pub(crate) async fn knowing(self, function: Seen, instances: &[SocketAddr]) -> Self {
        let name = function.key.name.clone();
        self.tell(Event::Function(function)).await;
        for (number, address) in instances.iter().enumerate() {
            self.tell(Event::Pod(pod(&name, &format!("{name}-{number}"), *address))).await;
        }
        let instances = format!(
            "flint_gateway_instances{{namespace=\"default\",function=\"{name}\"}} {}",
            instances.len()
        );
        if instances.ends_with(" 0") {
            self.metrics_show("flint_gateway_functions 1").await;
        } else {
            self.metrics_show(&instances).await;
        }
        self
    }

    pub(crate) async fn tell(&self, event: Event) {
        self.events.send(event).await.expect("the gateway listens");
    }

    pub(crate) async fn blocked(&self, function: &str) {
        let blocked = Blocked { reason: "ImagePullFailed".into(), message: "no such image".into() };
        let key = Key::new("default", function);
        self.tell(Event::Start { key, revision: "r1".into(), blocked: Some(blocked) }).await;
    }

    /// Asks until the metrics have that line.
    pub(crate) async fn metrics_show(&self, line: &str) {
        let asking = async {
            while !ask(self.admin, "GET /metrics HTTP/1.1\r\nhost: a\r\n\r\n").await.body.contains(line) {
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(Duration::from_secs(20), asking)
            .await
            .unwrap_or_else(|_| panic!("never: {line}"));
    }

    pub(crate) async fn connect(&self) -> Peer {
        Peer::connect(self.address).await
    }

    pub(crate) async fn ask(&self, request: &str) -> Answer {
        ask(self.address, request).await
    }

    pub(crate) async fn get(&self, path: &str) -> Answer {
        self.ask(&get(path)).await
    }

    /// Begins the end, as SIGTERM does.
    pub(crate) fn stop(&mut self) {
        if let Some(stop) = self.stop.take() {
            let _ = stop.send(());
        }
    }

    /// Waits for the end.
    pub(crate) async fn ended(mut self) {
        self.stop();
        let thread = self.thread.take().expect("once");
        tokio::task::spawn_blocking(move || thread.join().expect("the gateway ends well")).await.unwrap();
    }
}

pub(crate) fn get(path: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nhost: gateway.example.com\r\n\r\n")
}

pub(crate) fn post(path: &str, headers: &str, body: &str) -> String {
    let length = body.len();
    format!(
        "POST {path} HTTP/1.1\r\nhost: gateway.example.com\r\ncontent-length: {length}\r\n{headers}\r\n{body}"
    )
}

pub(crate) async fn ask(address: SocketAddr, request: &str) -> Answer {
    let mut peer = Peer::connect(address).await;
    peer.say(request).await;
    answer(&mut peer).await
}

/// Reads an answer with a known length.
pub(crate) async fn answer(peer: &mut Peer) -> Answer {
    let seen = peer.request().await.expect("an answer");
    let status = seen.head.split(' ').nth(1).and_then(|status| status.parse().ok()).expect("a status");
    Answer { status, head: seen.head.to_ascii_lowercase(), body: String::from_utf8(seen.body).unwrap() }
}

impl Answer {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        header(&self.head, name)
    }
}

/// A field of a head.
pub(crate) fn header<'a>(head: &'a str, name: &str) -> Option<&'a str> {
    let mut fields = head.lines().filter_map(|line| line.split_once(": "));
    fields.find(|(field, _)| field.eq_ignore_ascii_case(name)).map(|(_, value)| value)
}

/// An instance that answers with the request's head and body.
pub(crate) async fn mirror() -> Upstream {
    Upstream::start(|_, mut peer| async move {
        while let Some(request) = peer.request().await {
            let body = String::from_utf8_lossy(&request.body);
            peer.ok(&format!("{}\n\n{body}", request.head.replace('\r', ""))).await;
        }
    })
    .await
}
