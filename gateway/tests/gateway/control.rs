//! The stream to the operator, with a double at its other end, and schedules.

use std::{net::SocketAddr, pin::Pin, sync::Arc};

use flint_api::Mode;
use flint_control::v1::{
    Announced, Demand, Firing, FiringStored, FunctionRef, GatewayMessage, OperatorMessage, StartState,
    control_server::{Control, ControlServer},
    gateway_message, operator_message,
};
use flint_gateway::{
    app::Config,
    control::Link,
    function::{Scheduled, Seen},
    scheduler,
};
use flint_testing::upstream::Upstream;
use futures::Stream;
use jiff::Timestamp;
use tokio::{
    net::TcpListener,
    sync::{Mutex, mpsc},
};
use tokio_stream::wrappers::{ReceiverStream, TcpListenerStream};
use tonic::{Request, Response, Status, Streaming};

use crate::support::{Running, config, function, get, header, pod};

/// An operator's control port, as the test plays it.
pub(crate) struct Operator {
    address: SocketAddr,
    heard: Mutex<mpsc::Receiver<gateway_message::Message>>,
    says: mpsc::Sender<OperatorMessage>,
    task: tokio::task::JoinHandle<()>,
}

struct Port {
    heard: mpsc::Sender<gateway_message::Message>,
    says: Mutex<Option<mpsc::Receiver<OperatorMessage>>>,
}

#[tonic::async_trait]
impl Control for Port {
    type OpenStream = Pin<Box<dyn Stream<Item = Result<OperatorMessage, Status>> + Send>>;

    async fn open(
        &self,
        request: Request<Streaming<GatewayMessage>>,
    ) -> Result<Response<Self::OpenStream>, Status> {
        assert_eq!(request.metadata().get("authorization").unwrap(), "Bearer key");
        let heard = self.heard.clone();
        let mut messages = request.into_inner();
        tokio::spawn(async move {
            while let Ok(Some(message)) = messages.message().await {
                let _ = heard.send(message.message.unwrap()).await;
            }
        });
        let says = self.says.lock().await.take().ok_or_else(|| Status::failed_precondition("one stream"))?;
        let says = futures::StreamExt::map(ReceiverStream::new(says), Ok);
        Ok(Response::new(Box::pin(says)))
    }
}

impl Operator {
    pub(crate) async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (heard, hears) = mpsc::channel(1000);
        let (says, said) = mpsc::channel(100);
        let port = Port { heard, says: Mutex::new(Some(said)) };
        let task = tokio::spawn(async move {
            let server = tonic::transport::Server::builder().add_service(ControlServer::new(port));
            let _ = server.serve_with_incoming(TcpListenerStream::new(listener)).await;
        });
        Self { address, heard: Mutex::new(hears), says, task }
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    pub(crate) async fn say(&self, message: operator_message::Message) {
        self.says.send(OperatorMessage { message: Some(message) }).await.unwrap();
    }

    async fn hear(&self) -> gateway_message::Message {
        self.heard.lock().await.recv().await.expect("the gateway says something")
    }

    /// Hears on until a demand is as wanted.
    pub(crate) async fn demand(&self, wanted: impl Fn(&Demand) -> bool) -> Demand {
        loop {
            if let gateway_message::Message::Report(report) = self.hear().await
                && let Some(demand) = report.demands.into_iter().find(&wanted)
            {
                return demand;
            }
        }
    }

    async fn firing(&self) -> Firing {
        loop {
            if let gateway_message::Message::Firing(firing) = self.hear().await {
                return firing;
            }
        }
    }

    async fn announce(&self, name: &str, address: SocketAddr) {
        let message = Announced {
            function: Some(hello()),
            revision: "r1".into(),
            pod: name.into(),
            uid: format!("uid-{name}"),
            address: address.to_string(),
        };
        self.say(operator_message::Message::Announced(message)).await;
    }
}

impl Drop for Operator {
    fn drop(&mut self) {
        self.task.abort();
    }
}

pub(crate) fn hello() -> FunctionRef {
    FunctionRef { namespace: "default".into(), name: "hello".into() }
}

pub(crate) async fn greeter() -> Upstream {
    Upstream::start(|_, mut peer| async move {
        while peer.request().await.is_some() {
            peer.ok("hello").await;
        }
    })
    .await
}

#[tokio::test]
async fn a_first_request_is_told_at_once_and_an_announcement_answers_it() {
    let (operator, greeter) = (Operator::start().await, greeter().await);
    let gateway = Running::controlled_by(operator.url()).await.knowing(function("hello"), &[]).await;
    let gateway_message::Message::Hello(said) = operator.hear().await else { panic!("Hello comes first") };
    assert_eq!(said.gateway, "gw-test");
    let starting = async {
        let demand = operator.demand(|demand| demand.queued == 1).await;
        assert_eq!((demand.function, demand.in_flight), (Some(hello()), 0));
        assert!(demand.concurrency > 0.0);
        operator.announce("hello-1", greeter.address()).await;
    };
    let (answer, ()) = tokio::join!(gateway.get("/function/hello"), starting);
    assert_eq!(answer.status, 200);
    // It goes on until the function has been told to be idle.
    operator.demand(|demand| demand.concurrency == 0.0 && demand.queued == 0 && demand.in_flight == 0).await;
}

#[tokio::test]
async fn a_forged_announcement_gets_nothing() {
    let (operator, thief, greeter) = (Operator::start().await, greeter().await, greeter().await);
    let gateway = Running::controlled_by(operator.url()).await.knowing(function("hello"), &[]).await;
    // The watch knows the pod, and it is elsewhere.
    let known = flint_gateway::index::Pod {
        ready: false,
        address: Some("127.0.0.9:8012".parse().unwrap()),
        ..pod("hello", "hello-1", greeter.address())
    };
    gateway.tell(flint_gateway::index::Event::Pod(known.clone())).await;
    gateway.metrics_show("flint_gateway_control_connected 1").await;
    let forging = async {
        operator.demand(|demand| demand.queued == 1).await;
        operator.announce("hello-1", thief.address()).await;
        gateway.metrics_show("flint_gateway_announcements_dropped_total{why=\"refused\"} 1").await;
        let ready = flint_gateway::index::Pod { ready: true, address: Some(greeter.address()), ..known };
        gateway.tell(flint_gateway::index::Event::Pod(ready)).await;
    };
    let (answer, ()) = tokio::join!(gateway.get("/function/hello"), forging);
    assert_eq!(answer.status, 200);
    assert_eq!((thief.connections(), greeter.connections()), (0, 1));
}

#[tokio::test]
async fn a_failing_start_is_told_to_who_waits_until_it_is_taken_back() {
    let operator = Operator::start().await;
    let gateway = Running::controlled_by(operator.url()).await.knowing(function("hello"), &[]).await;
    let state = |failing| {
        operator_message::Message::StartState(StartState {
            function: Some(hello()),
            revision: "r1".into(),
            failing,
            reason: "QuotaExceeded".into(),
            message: "the namespace allows no more pods".into(),
        })
    };
    let failing = async {
        operator.demand(|demand| demand.queued == 1).await;
        operator.say(state(true)).await;
    };
    let (answer, ()) = tokio::join!(gateway.get("/function/hello"), failing);
    assert_eq!(answer.header("x-flint-error"), Some("not_startable"));
    assert!(answer.body.contains("QuotaExceeded: the namespace allows no more pods"));

    operator.say(state(false)).await;
    let greeter = greeter().await;
    operator.announce("hello-1", greeter.address()).await;
    gateway.metrics_show("flint_gateway_instances{namespace=\"default\",function=\"hello\"} 1").await;
    assert_eq!(gateway.get("/function/hello").await.status, 200);
}

#[tokio::test]
async fn without_an_operator_what_is_known_is_served() {
    let (operator, greeter) = (Operator::start().await, greeter().await);
    let gateway =
        Running::controlled_by(operator.url()).await.knowing(function("hello"), &[greeter.address()]).await;
    gateway.metrics_show("flint_gateway_control_connected 1").await;
    drop(operator);
    gateway.metrics_show("flint_gateway_control_connected 0").await;
    assert_eq!(gateway.get("/function/hello").await.status, 200);
}

#[tokio::test]
async fn a_gateway_that_goes_takes_its_demand_back() {
    let operator = Operator::start().await;
    let (go, gone) = tokio::sync::watch::channel(false);
    let slow = Upstream::start(move |_, mut peer| {
        let mut gone = gone.clone();
        async move {
            if peer.request().await.is_some() {
                let _ = gone.wait_for(|gone| *gone).await;
                peer.ok("done").await;
            }
        }
    })
    .await;
    let mut gateway =
        Running::controlled_by(operator.url()).await.knowing(function("hello"), &[slow.address()]).await;
    let mut client = gateway.connect().await;
    client.say(&get("/function/hello")).await;
    operator.demand(|demand| demand.in_flight == 1).await;
    gateway.stop();
    go.send_replace(true);
    let ending = gateway.ended();
    operator.demand(|demand| demand.in_flight == 0 && demand.concurrency == 0.0).await;
    ending.await;
}

#[tokio::test]
async fn a_schedule_that_is_due_wakes_its_function_and_is_stored_before_and_after() {
    let operator = Operator::start().await;
    let mirror = Upstream::start(|_, mut peer| async move {
        while let Some(request) = peer.request().await {
            assert_eq!(header(&request.head, "x-flint-invoke"), Some("raw"));
            assert_eq!(request.body, b"{\"city\":\"Porto\"}");
            assert!(header(&request.head, "x-request-id").is_some());
            peer.ok("{}").await;
        }
    })
    .await;
    let control = Some(Link::Network { url: operator.url(), key: "key".into() });
    let gateway = Running::start_with(Config { control, ..config() }, |schedules, stop| {
        scheduler::run(schedules, || true, stop)
    })
    .await;
    // Missed by two minutes, so that it is due at once.
    let missed = Timestamp::now() - jiff::SignedDuration::from_mins(2);
    let scheduled = Scheduled {
        name: "weather".into(),
        cron: "* * * * *".into(),
        time_zone: None,
        input: Some(serde_json::json!({"city": "Porto"})),
        enabled: true,
        last: Some(missed),
        last_done: true,
        next: None,
    };
    let lambda = Seen { mode: Mode::Lambda, schedules: Arc::new([scheduled]), ..function("hello") };
    let gateway = gateway.knowing(lambda, &[]).await;

    let begun = operator.firing().await;
    assert_eq!((begun.schedule.as_str(), begun.done), ("weather", false));
    let stored = FiringStored {
        function: begun.function.clone(),
        schedule: begun.schedule.clone(),
        due: begun.due.clone(),
        done: false,
    };
    operator.say(operator_message::Message::FiringStored(stored)).await;
    // It waits for an instance like any request.
    operator.demand(|demand| demand.queued == 1).await;
    operator.announce("hello-1", mirror.address()).await;
    let done = operator.firing().await;
    assert_eq!((done.due, done.done, done.status), (begun.due, true, 200));
    drop(gateway);
}
