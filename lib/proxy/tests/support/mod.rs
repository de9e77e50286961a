//! What the tests of the engine share: an endpoint to send to, and a small proxy made of the engine's parts.
#![allow(dead_code, unreachable_pub, missing_docs, clippy::unwrap_used)]

use std::{
    net::{Ipv4Addr, SocketAddr},
    rc::Rc,
    sync::Arc,
    thread::JoinHandle,
    time::Duration,
};

use bytes::Bytes;
use flint_proxy::{
    Body, BodyError, Connection, End, Endpoint, Guard, Guarded, Handler, Limits, Pool, PoolConfig,
    REPLAY_BUFFER, Replay, RequestBody, SendError, Timers, Worker, WorkerError, Workers, WorkersConfig,
    forward, upgrade,
};
use http::{Request, Response, StatusCode, header};
use http_body_util::BodyExt;
use parking_lot::Mutex;
use tokio::sync::oneshot;

/// The proxy's limit on bodies.
pub const BODY_LIMIT: u64 = 1024 * 1024;

pub fn pool() -> Pool {
    pool_with(PoolConfig::default())
}

pub fn pool_with(config: PoolConfig) -> Pool {
    Pool::start(config, Timers::start())
}

pub fn get(path: &str) -> Request<Body> {
    Request::get(path).header(header::HOST, "hello.shop").body(Body::empty()).unwrap()
}

pub fn post(body: Body) -> Request<Body> {
    Request::post("/").header(header::HOST, "hello.shop").body(body).unwrap()
}

pub async fn text<B>(response: Response<B>) -> String
where
    B: http_body::Body<Data = Bytes>,
    B::Error: std::fmt::Debug,
{
    let bytes = response.into_body().collect().await.unwrap().to_bytes();
    String::from_utf8(bytes.to_vec()).unwrap()
}

/// Lets everything else run until something is so.
pub async fn until(mut so: impl FnMut() -> bool) {
    while !so() {
        tokio::task::yield_now().await;
    }
}

/// Waits until something is so that another thread brings about.
pub async fn until_async(so: impl AsyncFn() -> bool) {
    while !so().await {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// Lengths and ends of the answers that passed.
pub type Ends = Arc<Mutex<Vec<(End, u64)>>>;

pub struct Noting(Ends);

impl Guard for Noting {
    fn ended(self, end: End, bytes: u64) {
        self.0.lock().push((end, bytes));
    }
}

/// A proxy of one worker to one instance.
pub struct Proxy {
    pub address: SocketAddr,
    pub ends: Ends,
    shutdown: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<Result<(), WorkerError>>>,
}

struct Forwarding {
    worker: Rc<Worker>,
    endpoint: Endpoint,
    ends: Ends,
}

impl Proxy {
    pub fn to(instance: SocketAddr) -> Self {
        Self::with(instance, Limits::default(), Duration::from_secs(30))
    }

    pub fn with(instance: SocketAddr, limits: Limits, drain: Duration) -> Self {
        let config = WorkersConfig {
            workers: 1,
            limits,
            drain,
            ..WorkersConfig::new((Ipv4Addr::LOCALHOST, 0).into())
        };
        let workers = Workers::bind(config).unwrap();
        let address = workers.local_addr();
        let ends = Ends::default();
        let handler = {
            let ends = Arc::clone(&ends);
            move |worker: Rc<Worker>| {
                let endpoint = Pool::start(PoolConfig::default(), worker.timers().clone()).endpoint(instance);
                Forwarding { worker, endpoint, ends: Arc::clone(&ends) }
            }
        };
        let (shutdown, stopping) = oneshot::channel();
        let thread = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(workers.run(handler, async {
                let _gone = stopping.await;
            }))
        });
        Self { address, ends, shutdown: Some(shutdown), thread: Some(thread) }
    }

    /// Begins the drain.
    pub fn shut_down(&mut self) {
        self.shutdown.take().unwrap().send(()).unwrap();
    }

    /// Waits for the end of the drain.
    pub async fn ended(mut self) -> Result<(), WorkerError> {
        let thread = self.thread.take().unwrap();
        tokio::task::spawn_blocking(move || thread.join().unwrap()).await.unwrap()
    }
}

impl Forwarding {
    async fn forward(&self, mut request: Request<RequestBody>, connection: &Connection) -> Response<Body> {
        let Ok(passage) = forward::request(&mut request, connection) else {
            return status(StatusCode::BAD_REQUEST);
        };
        let client = (passage == forward::Passage::Upgrade).then(|| hyper::upgrade::on(&mut request));
        let (parts, incoming) = request.into_parts();
        let replay = Replay::new(Body::limited(incoming, BODY_LIMIT), REPLAY_BUFFER);
        replay.look_ahead();
        match self.endpoint.send(Request::from_parts(parts, replay.attempt())).await {
            Ok(mut response) => {
                forward::answer(&mut response, passage);
                if let (Some(client), StatusCode::SWITCHING_PROTOCOLS) = (client, response.status()) {
                    let instance = hyper::upgrade::on(&mut response);
                    let timers = self.worker.timers().clone();
                    self.worker.spawn(async move {
                        let _end = upgrade::tunnel(client, instance, Duration::from_secs(60), &timers).await;
                    });
                }
                response
            }
            Err(error) if matches!(error.body(), Some(BodyError::TooLarge { .. })) => {
                status(StatusCode::PAYLOAD_TOO_LARGE)
            }
            Err(SendError::NotSent(_)) => status(StatusCode::SERVICE_UNAVAILABLE),
            Err(_) => status(StatusCode::BAD_GATEWAY),
        }
    }
}

impl Handler for Forwarding {
    type Body = Guarded<Noting>;

    async fn handle(
        self: Rc<Self>,
        request: Request<RequestBody>,
        connection: Rc<Connection>,
    ) -> Response<Self::Body> {
        let ends = Arc::clone(&self.ends);
        let response = self.forward(request, &connection).await;
        response.map(|body| Guarded::new(body, Noting(ends)))
    }
}

fn status(status: StatusCode) -> Response<Body> {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = status;
    response
}
