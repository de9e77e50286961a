//! A watchdog under test: started with a function, spoken to over HTTP, its log read line by line.

mod clients;
mod home;
mod upstream;

use std::collections::HashMap;
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use flint_core::pool;
use http::{HeaderMap, Method, Request, Response, StatusCode};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use parking_lot::Mutex;
use serde_json::Value;
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::net::TcpStream;
use tokio::process::{Child, Command};
use tokio::sync::watch;

pub(crate) use self::clients::{go_client, node_client, python_with_awslambdaric, rust_client};
pub(crate) use self::home::{Home, package};
pub(crate) use self::upstream::{Body, Upstream, serve_upstream};

/// Nothing here takes this long; what does is stuck.
const STUCK: Duration = Duration::from_secs(30);

const POOL_NAME: &str = "flint-pool-python3-11-0123abcd";
const POOL_KEY: &str = "the pool's key";
/// The uid of a pod that waits.
pub(crate) const POOL_UID: &str = "uid-1";

/// A function, before it is started.
pub(crate) struct Function {
    vars: HashMap<String, String>,
    folder: tempfile::TempDir,
}

/// A running watchdog. Dropping it ends it.
pub(crate) struct Watchdog {
    child: Child,
    port: u16,
    admin_port: u16,
    log: Arc<watch::Sender<Vec<Value>>>,
    raw: Arc<Mutex<Vec<String>>>,
    folder: tempfile::TempDir,
}

/// An answer, read whole.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

// === impl Function ===

impl Function {
    pub(crate) fn new(mode: &str, command: &[&str]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir(folder.path().join("task")).unwrap();
        let function = Self { vars: HashMap::new(), folder };
        let root = function.path("task");
        let termination = function.path("termination");
        let vars = [
            ("FLINT_MODE", mode),
            ("FLINT_FUNCTION", "thumbnail"),
            ("FLINT_REVISION", "thumbnail-1"),
            ("FLINT_BIND", "127.0.0.1"),
            ("FLINT_PORT", "0"),
            ("FLINT_ADMIN_PORT", "0"),
            ("FLINT_TASK_ROOT", &root),
            ("FLINT_TERMINATION_LOG", &termination),
            ("PATH", &std::env::var("PATH").unwrap()),
        ];
        let command = serde_json::to_string(command).unwrap();
        vars.into_iter()
            .fold(function, |function, (name, value)| function.var(name, value))
            .var("FLINT_COMMAND", &command)
    }

    /// A Python function, run by awslambdaric; the code defines `handler`.
    pub(crate) fn python(code: &str) -> Self {
        let python = python_with_awslambdaric();
        Self::new("lambda", &[&python, "-m", "awslambdaric", "{handler}"])
            .var("FLINT_HANDLER", "app.handler")
            .var("PYTHONDONTWRITEBYTECODE", "1")
            .file("app.py", code)
    }

    /// A Node function, run by Flint's client; the code exports `handler`.
    pub(crate) fn node(code: &str) -> Self {
        Self::new("lambda", &["node", &node_client(), "{handler}"])
            .var("FLINT_HANDLER", "app.handler")
            .file("app.js", code)
    }

    /// A shell script that speaks to the Runtime API with curl.
    pub(crate) fn bootstrap(script: &str) -> Self {
        Self::new("lambda", &["./bootstrap"]).program("bootstrap", script)
    }

    /// A script that is run once per request.
    pub(crate) fn process(script: &str) -> Self {
        Self::new("process", &["./run"]).program("run", script)
    }

    pub(crate) fn var(mut self, name: &str, value: &str) -> Self {
        self.vars.insert(name.to_owned(), value.to_owned());
        self
    }

    pub(crate) fn timeout_ms(self, millis: u64) -> Self {
        self.var("FLINT_TIMEOUT_MS", &millis.to_string())
    }

    pub(crate) fn concurrency(self, limit: usize) -> Self {
        self.var("FLINT_CONCURRENCY", &limit.to_string())
    }

    pub(crate) fn file(self, name: &str, content: &str) -> Self {
        let path = self.folder.path().join("task").join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, content).unwrap();
        self
    }

    pub(crate) fn program(self, name: &str, script: &str) -> Self {
        use std::os::unix::fs::PermissionsExt as _;
        let function = self.file(name, &format!("#!/bin/sh\n{script}"));
        let path = function.folder.path().join("task").join(name);
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o755)).unwrap();
        function
    }

    pub(crate) fn path(&self, name: &str) -> String {
        self.folder.path().join(name).to_str().unwrap().to_owned()
    }

    /// A watchdog that waits with this program loaded ahead, and the ticket that makes it this function's.
    pub(crate) async fn waiting(self, command: &[&str]) -> (Watchdog, Vec<u8>) {
        let (pool, sealed) = self.into_pool(command);
        let watchdog = pool.start().await;
        watchdog.line(|line| line["message"] == "waiting for a claim").await;
        (watchdog, sealed)
    }

    /// The same, whatever becomes of it.
    pub(crate) async fn started_in_a_pool(self) -> Watchdog {
        self.into_pool(&[]).0.start().await
    }

    /// What the pod has goes to the pool, and the rest into a ticket.
    fn into_pool(self, command: &[&str]) -> (Self, Vec<u8>) {
        const POOL: [&str; 7] = [
            "FLINT_BIND",
            "FLINT_PORT",
            "FLINT_ADMIN_PORT",
            "FLINT_TASK_ROOT",
            "FLINT_TERMINATION_LOG",
            "PATH",
            // As the image has it.
            "PYTHONDONTWRITEBYTECODE",
        ];
        let mark = self.path("claimed");
        let Self { vars, folder } = self;
        let (mut pool, ticket): (HashMap<_, _>, HashMap<_, _>) =
            vars.into_iter().partition(|(name, _)| POOL.contains(&name.as_str()));
        let command = serde_json::to_string(command).unwrap();
        for (name, value) in [
            ("FLINT_POOL_MARK", mark.as_str()),
            ("FLINT_POOL", POOL_NAME),
            ("FLINT_POOL_KEY", POOL_KEY),
            ("FLINT_POOL_COMMAND", &command),
            ("FLINT_POD_UID", POOL_UID),
        ] {
            pool.insert(name.to_owned(), value.to_owned());
        }
        let ticket = pool::Ticket { expires: u64::MAX, environment: ticket.into_iter().collect() };
        let sealed = pool::seal(POOL_KEY, POOL_NAME, [1; pool::NONCE], &ticket).unwrap();
        (Self { vars: pool, folder }, sealed)
    }

    /// Starts the watchdog and waits until it listens.
    pub(crate) async fn start(self) -> Watchdog {
        let mut child = Command::new(env!("CARGO_BIN_EXE_flint-watchdog"))
            .env_clear()
            .envs(&self.vars)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::inherit())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let log = Arc::new(watch::Sender::new(Vec::new()));
        let raw = Arc::<Mutex<Vec<String>>>::default();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        tokio::spawn({
            let (log, raw) = (log.clone(), raw.clone());
            async move {
                while let Some(line) = lines.next_line().await.unwrap() {
                    let parsed =
                        serde_json::from_str(&line).unwrap_or_else(|error| panic!("{error}: {line}"));
                    raw.lock().push(line);
                    log.send_modify(|log| log.push(parsed));
                }
            }
        });
        let mut watchdog = Watchdog { child, port: 0, admin_port: 0, log, raw, folder: self.folder };
        let listening = watchdog.line(|line| line["message"] == "listening").await;
        let port = |name: &str| u16::try_from(listening[name].as_u64().unwrap()).unwrap();
        watchdog.port = port("port");
        watchdog.admin_port = port("adminPort");
        watchdog
    }

    /// Starts the watchdog and waits until its child is ready.
    pub(crate) async fn ready(self) -> Watchdog {
        let watchdog = self.start().await;
        watchdog.line(|line| line["message"] == "ready").await;
        watchdog
    }
}

// === impl Watchdog ===

impl Watchdog {
    pub(crate) fn pid(&self) -> i32 {
        self.child.id().unwrap().cast_signed()
    }

    pub(crate) fn address(&self) -> (&'static str, u16) {
        ("127.0.0.1", self.port)
    }

    pub(crate) async fn get(&self, path: &str) -> Answer {
        self.send(request(Method::GET, path, "")).await
    }

    pub(crate) async fn post(&self, path: &str, body: impl Into<Bytes>) -> Answer {
        self.send(request(Method::POST, path, body)).await
    }

    /// Lambda's Invoke, as the gateway passes it on.
    pub(crate) async fn invoke(&self, payload: &'static str) -> Answer {
        let mut request = request(Method::POST, "/", payload);
        request.headers_mut().insert("x-flint-invoke", "raw".parse().unwrap());
        self.send(request).await
    }

    pub(crate) async fn send(&self, request: Request<Full<Bytes>>) -> Answer {
        Answer::read(self.open(request).await).await
    }

    /// Sends a request and returns with the head of the answer.
    pub(crate) async fn open(&self, request: Request<Full<Bytes>>) -> Response<Incoming> {
        tokio::time::timeout(STUCK, send(self.port, request)).await.expect("the watchdog answers")
    }

    /// Waits until its child is ready, again.
    pub(crate) async fn becomes_ready(&self) {
        while self.admin("/readyz").await.status != 200 {}
    }

    /// Claims it with that ticket, for the pod with that uid.
    pub(crate) async fn claim(&self, sealed: &[u8], uid: &str) -> Answer {
        let proof = pool::prove(&pool::proof_key(POOL_KEY, sealed), uid);
        let mut claim = request(Method::POST, pool::CLAIM_PATH, sealed.to_vec());
        claim.headers_mut().insert(pool::PROOF_HEADER, proof.parse().unwrap());
        Answer::read(send(self.admin_port, claim).await).await
    }

    pub(crate) async fn admin(&self, path: &str) -> Answer {
        Answer::read(send(self.admin_port, request(Method::GET, path, "")).await).await
    }

    /// A metric's value.
    pub(crate) async fn metric(&self, name: &str) -> f64 {
        let page = self.admin("/metrics").await.text();
        let line =
            page.lines().find_map(|line| line.strip_prefix(name)).unwrap_or_else(|| panic!("{name}: {page}"));
        line.trim().parse().unwrap()
    }

    /// The first line, written or to be written, that fits.
    pub(crate) async fn line(&self, fits: impl Fn(&Value) -> bool) -> Value {
        let mut log = self.log.subscribe();
        let found = log.wait_for(|log| log.iter().any(&fits));
        match tokio::time::timeout(STUCK, found).await {
            Ok(Ok(log)) => log.iter().find(|line| fits(line)).unwrap().clone(),
            _ => panic!("no such line in\n{}", self.raw.lock().join("\n")),
        }
    }

    /// The line with this message.
    pub(crate) async fn said(&self, message: &str) -> Value {
        self.line(|line| line["message"] == message).await
    }

    /// Every line so far.
    pub(crate) fn lines(&self) -> Vec<Value> {
        self.log.borrow().clone()
    }

    /// The report of a request.
    pub(crate) async fn report(&self, request_id: &str) -> Value {
        let start = format!("REPORT RequestId: {request_id}\t");
        self.line(|line| line["message"].as_str().is_some_and(|message| message.starts_with(&start))).await
    }

    pub(crate) fn signal(&self, signal: nix::sys::signal::Signal) {
        nix::sys::signal::kill(nix::unistd::Pid::from_raw(self.pid()), signal).unwrap();
    }

    pub(crate) fn terminate(&self) {
        self.signal(nix::sys::signal::Signal::SIGTERM);
    }

    /// Waits for the watchdog's end: its exit code.
    pub(crate) async fn exit(&mut self) -> i32 {
        tokio::time::timeout(STUCK, self.child.wait())
            .await
            .expect("the watchdog ends")
            .unwrap()
            .code()
            .unwrap()
    }

    /// What the pod's status would show.
    pub(crate) fn termination_message(&self) -> Value {
        serde_json::from_slice(&std::fs::read(self.folder.path().join("termination")).unwrap()).unwrap()
    }

    pub(crate) fn path(&self, name: &str) -> std::path::PathBuf {
        self.folder.path().join(name)
    }

    /// The processes that descend from the watchdog, with their states.
    pub(crate) fn descendants(&self) -> Vec<(i32, char)> {
        let stats: Vec<(i32, i32, char)> = std::fs::read_dir("/proc")
            .unwrap()
            .flatten()
            .filter_map(|entry| {
                let stat = std::fs::read_to_string(entry.path().join("stat")).ok()?;
                let (head, rest) = stat.rsplit_once(") ")?;
                let pid = head.split(' ').next()?.parse().ok()?;
                let mut rest = rest.split(' ');
                let state = rest.next()?.chars().next()?;
                Some((pid, rest.next()?.parse().ok()?, state))
            })
            .collect();
        let mut found = vec![(self.pid(), 'R')];
        let mut at = 0;
        while let Some(&(parent, _)) = found.get(at) {
            found.extend(
                stats.iter().filter(|(_, of, _)| *of == parent).map(|(pid, _, state)| (*pid, *state)),
            );
            at += 1;
        }
        found.split_off(1)
    }

    /// Waits until the descendants are as they should be.
    pub(crate) async fn descendants_become(&self, fits: impl Fn(&[(i32, char)]) -> bool) {
        eventually(|| fits(&self.descendants())).await;
    }
}

// === impl Answer ===

impl Answer {
    pub(crate) async fn read(response: Response<Incoming>) -> Self {
        let (parts, body) = response.into_parts();
        let body =
            tokio::time::timeout(STUCK, body.collect()).await.expect("the body ends").unwrap().to_bytes();
        Self { status: parts.status, headers: parts.headers, body }
    }

    pub(crate) fn text(&self) -> String {
        String::from_utf8(self.body.to_vec()).unwrap()
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error}: {}", self.text()))
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(|value| value.to_str().unwrap())
    }

    /// The code and message of a refusal or failure; both forms of the code agree.
    pub(crate) fn refusal(&self) -> (u16, String, String) {
        let body = self.json();
        let code = body["error"]["code"].as_str().unwrap().to_owned();
        assert_eq!(self.header("x-flint-error"), Some(code.as_str()));
        assert!(body["requestId"].is_string());
        (self.status.as_u16(), code, body["error"]["message"].as_str().unwrap().to_owned())
    }
}

pub(crate) fn request(method: Method, path: &str, body: impl Into<Bytes>) -> Request<Full<Bytes>> {
    Request::builder()
        .method(method)
        .uri(path)
        .header("host", "thumbnail.shop")
        .body(Full::new(body.into()))
        .unwrap()
}

pub(crate) async fn send(port: u16, request: Request<Full<Bytes>>) -> Response<Incoming> {
    let stream = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
    stream.set_nodelay(true).unwrap();
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.unwrap();
    tokio::spawn(connection);
    sender.send_request(request).await.unwrap()
}

/// Looks again until it is so. For what nobody announces, such as the end of a process.
pub(crate) async fn eventually(mut is_so: impl FnMut() -> bool) {
    let looking = async {
        while !is_so() {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    };
    tokio::time::timeout(STUCK, looking).await.expect("it becomes so");
}
