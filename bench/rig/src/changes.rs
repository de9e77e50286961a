//! An API server with thousands of functions of which some change all the time: what a gateway's watches see of a busy cluster.
//!
//! It answers the lists and watches of a gateway and nothing else. One function, `bench`, has an instance. Of the changes every other one
//! is a new timeout of one of the functions; between them functions come, and those that came [`STAY`] changes before go. So the gateway
//! has a new table for each, and can be asked whether it knows of the last.

use std::{
    cell::Cell,
    fs,
    net::SocketAddr,
    path::{Path, PathBuf},
    rc::Rc,
    time::Duration,
};

use memchr::memmem;
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    runtime::{Builder, LocalOptions},
    time::{Instant, MissedTickBehavior, interval, sleep},
};

use crate::{
    cluster::Url,
    scale::is_known,
    wire::{Wire, get},
};

/// Where the functions are.
const NAMESPACE: &str = "default";
/// A function that came goes this many changes later: long enough to be asked for.
const STAY: u64 = 400;
/// Every so many changes a function comes, and one goes.
const COMES: u64 = 4;
/// A head longer than this is no gateway's.
const HEAD: usize = 64 * 1024;
/// The gateway has this long to know of a change.
const PATIENCE: Duration = Duration::from_secs(10);

/// What is served.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Busy {
    pub(crate) functions: usize,
    /// Changes per second.
    pub(crate) rate: f64,
    /// The instance of `bench`; its port is a watchdog's.
    pub(crate) instance: SocketAddr,
}

struct State {
    busy: Busy,
    /// Changes that were told.
    told: Cell<u64>,
}

/// Serves until the process is ended.
pub(crate) fn run(address: SocketAddr, busy: Busy) -> anyhow::Result<()> {
    let runtime = Builder::new_current_thread().enable_all().build_local(LocalOptions::default())?;
    runtime.block_on(async {
        let listener = TcpListener::bind(address).await?;
        let state = Rc::new(State { busy, told: Cell::new(0) });
        loop {
            let (stream, _) = listener.accept().await?;
            let state = Rc::clone(&state);
            // A gateway that goes away is none of our business.
            tokio::task::spawn_local(async move { state.serve(stream).await.ok() });
        }
    })
}

/// A file that leads clients to the server at `address`.
pub(crate) fn kubeconfig(address: SocketAddr, directory: &Path) -> anyhow::Result<PathBuf> {
    let file = directory.join(format!("kubeconfig-{}", address.port()));
    let text = json!({
        "apiVersion": "v1", "kind": "Config", "current-context": "bench",
        "clusters": [{"name": "bench", "cluster": {"server": format!("http://{address}")}}],
        "users": [{"name": "bench", "user": {}}],
        "contexts": [{"name": "bench", "context": {"cluster": "bench", "user": "bench"}}],
    });
    fs::write(&file, text.to_string())?;
    Ok(file)
}

/// Waits until the gateway has its functions.
pub(crate) fn wait_for_all(gateway: SocketAddr) -> anyhow::Result<()> {
    let runtime = Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(known(gateway, "bench"))
}

/// How long the gateway takes to know the last function that came, in milliseconds; from now, so no less than it took.
pub(crate) fn known_after(server: SocketAddr, gateway: SocketAddr) -> anyhow::Result<f64> {
    let runtime = Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let mut wire = Wire::connect(server).await?;
        wire.call(&get("bench", "/last")).await?;
        let body = wire.received();
        let body = memmem::find(body, b"\r\n\r\n").map(|end| &body[end + 4..]).unwrap_or_default();
        let name = String::from_utf8_lossy(body).into_owned();
        anyhow::ensure!(!name.is_empty(), "nothing has changed yet");
        let start = Instant::now();
        known(gateway, &name).await?;
        Ok(start.elapsed().as_secs_f64() * 1000.0)
    })
}

/// Waits until the gateway knows a function.
async fn known(gateway: SocketAddr, name: &str) -> anyhow::Result<()> {
    let path = format!("/2015-03-31/functions/{name}.{NAMESPACE}/invocations");
    let url = Url { address: gateway, host: "bench".into(), path };
    let start = Instant::now();
    while !is_known(&url).await? {
        anyhow::ensure!(start.elapsed() < PATIENCE, "the gateway does not know {name} after {PATIENCE:?}");
        sleep(Duration::from_millis(1)).await;
    }
    Ok(())
}

// === impl State ===

impl State {
    async fn serve(&self, mut stream: TcpStream) -> anyhow::Result<()> {
        stream.set_nodelay(true)?;
        let mut buffer = Vec::with_capacity(4096);
        loop {
            while memmem::find(&buffer, b"\r\n\r\n").is_none() {
                anyhow::ensure!(buffer.len() < HEAD, "a head without an end");
                if stream.read_buf(&mut buffer).await? == 0 {
                    return Ok(());
                }
            }
            let head = String::from_utf8_lossy(&buffer).into_owned();
            buffer.clear();
            let target = head.split(' ').nth(1).unwrap_or_default();
            let (path, query) = target.split_once('?').unwrap_or((target, ""));
            let kind = path.rsplit('/').next().unwrap_or_default();
            if query.contains("watch=true") {
                return self.tell(stream, kind).await;
            }
            let (status, body) = match kind {
                "functions" => {
                    ("200 OK", list("flint.dev/v1alpha1", "FunctionList", self.functions()).to_string())
                }
                "runtimes" => ("200 OK", list("flint.dev/v1alpha1", "RuntimeList", Vec::new()).to_string()),
                "pods" => ("200 OK", list("v1", "PodList", vec![self.pod()]).to_string()),
                "last" => ("200 OK", last(self.told.get()).map(coming).unwrap_or_default()),
                _ => {
                    ("404 Not Found", json!({"kind": "Status", "status": "Failure", "code": 404}).to_string())
                }
            };
            let length = body.len();
            let head = format!(
                "HTTP/1.1 {status}\r\nContent-Type: application/json\r\nContent-Length: {length}\r\n\r\n"
            );
            stream.write_all(head.as_bytes()).await?;
            stream.write_all(body.as_bytes()).await?;
        }
    }

    /// A watch: of functions their changes, of other kinds silence.
    async fn tell(&self, mut stream: TcpStream, kind: &str) -> anyhow::Result<()> {
        let head = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n";
        stream.write_all(head.as_bytes()).await?;
        if kind != "functions" || self.busy.rate <= 0.0 {
            // Until the client goes.
            while stream.read(&mut [0; 64]).await? > 0 {}
            return Ok(());
        }
        let mut due = interval(Duration::from_secs_f64(1.0 / self.busy.rate));
        due.set_missed_tick_behavior(MissedTickBehavior::Burst);
        loop {
            due.tick().await;
            let number = self.told.get() + 1;
            let mut text = self.change(number).to_string();
            text.push('\n');
            stream.write_all(format!("{:x}\r\n{text}\r\n", text.len()).as_bytes()).await?;
            self.told.set(number);
        }
    }

    fn functions(&self) -> Vec<Value> {
        let others = (1..self.busy.functions).map(|number| function(&format!("other-{number}"), 30, 1));
        std::iter::once(function("bench", 30, 1)).chain(others).collect()
    }

    fn change(&self, number: u64) -> Value {
        let version = number + 1;
        match number % COMES {
            0 => json!({"type": "ADDED", "object": function(&coming(number), 30, version)}),
            2 if number > STAY + 2 => {
                let gone = number - 2 - STAY;
                json!({"type": "DELETED", "object": function(&coming(gone), 30, version)})
            }
            _ => {
                let others = (self.busy.functions as u64).saturating_sub(1).max(1);
                let name = format!("other-{}", 1 + number % others);
                json!({"type": "MODIFIED", "object": function(&name, 30 + number % 60, version)})
            }
        }
    }

    fn pod(&self) -> Value {
        json!({
            "metadata": {
                "name": "bench-1-x", "namespace": NAMESPACE, "uid": "bench-1-x", "resourceVersion": "1",
                "labels": {"flint.dev/function": "bench", "flint.dev/revision": "bench-1"},
            },
            "spec": {"containers": [{"name": "function"}]},
            "status": {
                "phase": "Running", "podIP": self.busy.instance.ip().to_string(),
                "conditions": [{"type": "Ready", "status": "True"}],
            },
        })
    }
}

fn list(version: &str, kind: &str, items: Vec<Value>) -> Value {
    json!({"apiVersion": version, "kind": kind, "metadata": {"resourceVersion": "1"}, "items": items})
}

/// The function that comes with a change.
fn coming(number: u64) -> String {
    format!("new-{number}")
}

/// The change before `told`, or it, with which a function came.
fn last(told: u64) -> Option<u64> {
    (told >= COMES).then_some(told - told % COMES)
}

/// A function as a cluster has it, with all that an operator writes of it.
fn function(name: &str, timeout: u64, version: u64) -> Value {
    let revision = format!("{name}-1");
    let condition = |kind: &str| {
        json!({"type": kind, "status": "True", "reason": kind, "message": "As it should be.",
            "lastTransitionTime": "2026-11-21T09:00:00Z", "observedGeneration": version})
    };
    json!({
        "apiVersion": "flint.dev/v1alpha1", "kind": "Function",
        "metadata": {
            "name": name, "namespace": NAMESPACE, "uid": name, "generation": version,
            "resourceVersion": version.to_string(), "creationTimestamp": "2026-11-21T09:00:00Z",
        },
        "spec": {"image": "registry.example/bench:1", "port": 8080, "timeout": format!("{timeout}s")},
        "status": {
            "observedGeneration": version, "revision": revision, "latestRevision": revision, "runtime": "http",
            "replicas": 0, "readyReplicas": 0, "lastNumber": 1,
            "traffic": [{"revision": revision, "number": 1, "weight": 100, "latest": true}],
            "conditions": [condition("Ready"), condition("Built"), condition("Deployed")],
        },
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_gateway_is_asked_for_has_come_and_not_gone() {
        let state = State {
            busy: Busy { functions: 10, rate: 50.0, instance: "127.0.0.1:8012".parse().unwrap() },
            told: Cell::new(0),
        };
        assert_eq!(last(COMES - 1), None);
        let mut there = std::collections::HashSet::new();
        for number in 1..2000 {
            let change = state.change(number);
            let name = change["object"]["metadata"]["name"].as_str().unwrap().to_owned();
            match change["type"].as_str().unwrap() {
                "ADDED" => assert!(there.insert(name)),
                "DELETED" => assert!(there.remove(&name)),
                _ => assert!(name.starts_with("other-")),
            }
            if let Some(last) = last(number) {
                assert!(there.contains(&coming(last)), "{number}");
            }
        }
        assert!(there.len() as u64 <= STAY / COMES + 2);
    }

    #[test]
    fn its_functions_are_functions() {
        let read: flint_api::Function = serde_json::from_value(function("bench", 30, 1)).unwrap();
        assert_eq!(read.status.unwrap().revision.as_deref(), Some("bench-1"));
    }
}
