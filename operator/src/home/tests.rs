//! Home over real connections on loopback, whose addresses are the pods'.

use std::collections::HashMap;

use http_body_util::Empty;
use hyper::client::conn::http1 as client;
use parking_lot::Mutex;
use serde_json::json;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpSocket,
};

use super::*;
use crate::{
    build::{Caches, Depot},
    control::tests::{control, function, pod},
    key::Key,
    packages::{Storehouse, Volume},
    stores::tests::{Fill, stores},
};

const MASTER: &[u8] = b"master";

struct Running {
    control: Arc<Control>,
    fill: Fill,
    address: SocketAddr,
    leader: watch::Sender<bool>,
    shelf: Arc<Shelf>,
    volume: Arc<Volume>,
    _folder: tempfile::TempDir,
    _shutdown: tokio_util::sync::DropGuard,
}

/// Packages that count how often they were fetched.
#[derive(Default)]
struct Shelf {
    packages: Mutex<HashMap<String, Bytes>>,
    /// The same, but in files.
    in_files: std::sync::atomic::AtomicBool,
    fetched: std::sync::atomic::AtomicUsize,
    broken: std::sync::atomic::AtomicBool,
}

impl PackageSource for Shelf {
    fn fetch<'a>(
        &'a self,
        digest: &'a str,
    ) -> futures::future::BoxFuture<'a, anyhow::Result<Option<Content>>> {
        Box::pin(async move {
            self.fetched.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
            tokio::task::yield_now().await;
            anyhow::ensure!(
                !self.broken.load(std::sync::atomic::Ordering::Relaxed),
                "the API server is away"
            );
            let found = self.packages.lock().get(digest).cloned();
            let Some(bytes) =
                found.clone().filter(|_| self.in_files.load(std::sync::atomic::Ordering::Relaxed))
            else {
                return Ok(found.map(Content::Bytes));
            };
            let mut file = tempfile::tempfile()?;
            std::io::Write::write_all(&mut file, &bytes)?;
            std::io::Seek::rewind(&mut file)?;
            Ok(Some(Content::File(tokio::fs::File::from_std(file), bytes.len() as u64)))
        })
    }
}

/// A home that serves these packages, in a replica that does not lead; its address.
pub(crate) async fn serving(source: Arc<dyn PackageSource>) -> SocketAddr {
    serving_at("127.0.0.1:0".parse().unwrap(), source).await
}

/// The same at a given address.
pub(crate) async fn serving_at(address: SocketAddr, source: Arc<dyn PackageSource>) -> SocketAddr {
    let (stores, _) = stores();
    let folder = tempfile::tempdir().unwrap();
    let store = Storehouse::new(Arc::new(Volume::open(folder.path(), 0).unwrap()), None);
    let caches = Arc::new(Caches::open(folder.path(), 0).unwrap());
    let depot = Depot::new(MASTER.to_vec(), stores.clone(), store, caches, (0, 0));
    let (_, leads) = watch::channel(false);
    let control = control(&stores);
    let home = Home::new(MASTER.to_vec(), stores, control, Packages::new(source), depot, leads);
    let listener = bind(address).await.unwrap();
    let address = listener.address().unwrap();
    tokio::spawn(serve(listener, Arc::new(home), CancellationToken::new()));
    address
}

/// An announcement as an honest instance at 127.0.0.7 would make it.
#[derive(Clone)]
struct Call {
    body: serde_json::Value,
    key: String,
    from: &'static str,
}

fn call() -> Call {
    Call {
        body: json!({
            "namespace": "shop", "function": "cart", "revision": "cart-1", "pod": "cart-x", "uid": "cart-x-uid",
            "address": "127.0.0.7:8012", "initMs": 61,
        }),
        key: wire::instance_key(MASTER, "shop", "cart"),
        from: "127.0.0.7",
    }
}

async fn running() -> Running {
    let (stores, mut fill) = stores();
    fill.put(&function("cart", json!({})));
    fill.put(&pod("cart", "cart-x"));
    let control = control(&stores);
    let (leader, leads) = watch::channel(true);
    let shelf = Arc::<Shelf>::default();
    let packages = Packages::new(Arc::clone(&shelf) as Arc<dyn PackageSource>);
    let folder = tempfile::tempdir().unwrap();
    let volume = Arc::new(Volume::open(folder.path(), 1 << 20).unwrap());
    let caches = Arc::new(Caches::open(folder.path(), 1 << 20).unwrap());
    let depot = Depot::new(
        MASTER.to_vec(),
        stores.clone(),
        Storehouse::new(Arc::clone(&volume), None),
        caches,
        (1000, 1000),
    );
    let home = Home::new(MASTER.to_vec(), stores, Arc::clone(&control), packages, depot, leads);
    let listener = bind("127.0.0.1:0".parse().unwrap()).await.unwrap();
    let address = listener.address().unwrap();
    let shutdown = CancellationToken::new();
    tokio::spawn(serve(listener, Arc::new(home), shutdown.clone()));
    Running {
        control,
        fill,
        address,
        leader,
        shelf,
        volume,
        _folder: folder,
        _shutdown: shutdown.drop_guard(),
    }
}

impl Running {
    async fn send(&self, from: &str, request: Request<Full<Bytes>>) -> (StatusCode, http::HeaderMap, Bytes) {
        let socket = TcpSocket::new_v4().unwrap();
        socket.bind(format!("{from}:0").parse().unwrap()).unwrap();
        let stream = socket.connect(self.address).await.unwrap();
        let (mut sender, connection) = client::handshake(TokioIo::new(stream)).await.unwrap();
        tokio::spawn(connection);
        let answer = sender.send_request(request).await.unwrap();
        let (head, body) = answer.into_parts();
        (head.status, head.headers, body.collect().await.unwrap().to_bytes())
    }

    async fn calls(&self, call: &Call) -> StatusCode {
        let body = call.body.to_string();
        let request = Request::post("/announce")
            .header(wire::SIGNATURE_HEADER, wire::sign(&call.key, body.as_bytes()))
            .body(Full::from(body))
            .unwrap();
        self.send(call.from, request).await.0
    }

    async fn get(&self, path: &str, etag: Option<&str>) -> (StatusCode, http::HeaderMap, Bytes) {
        let mut request = Request::get(path);
        if let Some(etag) = etag {
            request = request.header(header::IF_NONE_MATCH, etag);
        }
        self.send("127.0.0.1", request.body(Full::default()).unwrap()).await
    }

    /// Instances that the gateways were told of.
    fn announced(&self) -> u32 {
        self.control.instances.count(&Key::new("shop", "cart"), "cart-1")
    }
}

#[tokio::test]
async fn an_honest_announcement_is_believed_and_passed_on() {
    let running = running().await;
    let (_gateway, mut heard) = running.control.gateways.connect("a").unwrap();
    assert_eq!(running.calls(&call()).await, StatusCode::NO_CONTENT);
    assert_eq!(running.announced(), 1);
    let mut messages = vec![];
    while let Some(message) = futures::FutureExt::now_or_never(futures::StreamExt::next(&mut heard)).flatten()
    {
        messages.push(message);
    }
    assert_eq!(messages.len(), 2, "peers and the announcement: {messages:?}");
}

#[tokio::test]
async fn a_forged_announcement_is_refused_and_nobody_hears_of_it() {
    let mut running = running().await;
    running.fill.put(&pod("other", "other-x"));
    let mut leaving = pod("cart", "cart-leaving");
    leaving["metadata"]["deletionTimestamp"] = json!("2026-11-21T04:00:00Z");
    running.fill.put(&leaving);
    let mut elsewhere = pod("cart", "cart-elsewhere");
    elsewhere["status"] = json!({"podIP": "127.0.0.9"});
    running.fill.put(&elsewhere);
    let (_gateway, mut heard) = running.control.gateways.connect("a").unwrap();

    let with = |field: &str, value: &str| {
        let mut call = call();
        call.body[field] = json!(value);
        call
    };
    let pod = |name: &str| {
        let mut call = with("pod", name);
        call.body["uid"] = json!(format!("{name}-uid"));
        call
    };
    let refused = StatusCode::FORBIDDEN;
    for (what, call, status) in [
        (
            "another function's key",
            Call { key: wire::instance_key(MASTER, "shop", "other"), ..call() },
            refused,
        ),
        (
            "the key of another namespace's function",
            Call { key: wire::instance_key(MASTER, "den", "cart"), ..call() },
            refused,
        ),
        ("another master key", Call { key: wire::instance_key(b"other", "shop", "cart"), ..call() }, refused),
        ("no key", Call { key: String::new(), ..call() }, refused),
        ("an address that is not the sender's", with("address", "127.0.0.8:8012"), refused),
        ("a replay from another pod", Call { from: "127.0.0.8", ..call() }, refused),
        ("a pod that nobody knows", pod("cart-made-up"), StatusCode::CONFLICT),
        ("an older pod of that name", with("uid", "cart-x-old-uid"), refused),
        ("another function's pod", pod("other-x"), refused),
        ("another revision", with("revision", "cart-2"), refused),
        ("a pod that is going", pod("cart-leaving"), refused),
        ("a pod whose known address is another", pod("cart-elsewhere"), refused),
        ("no address", with("address", "home"), StatusCode::BAD_REQUEST),
    ] {
        assert_eq!(running.calls(&call).await, status, "{what}");
    }
    assert_eq!(running.announced(), 0);
    let peers = futures::FutureExt::now_or_never(futures::StreamExt::next(&mut heard));
    assert!(peers.is_some());
    assert!(futures::FutureExt::now_or_never(futures::StreamExt::next(&mut heard)).is_none());
}

#[tokio::test(start_paused = true)]
async fn a_caller_that_dawdles_is_let_go() {
    let running = running().await;
    let announcing = "POST /announce HTTP/1.1\r\nhost: a\r\ncontent-length: 10\r\n\r\n{";
    for (beginning, said) in [("", ""), ("POST /anno", ""), (announcing, "HTTP/1.1 408")] {
        let mut stream = tokio::net::TcpStream::connect(running.address).await.unwrap();
        let start = tokio::time::Instant::now();
        stream.write_all(beginning.as_bytes()).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        assert!(answer.starts_with(said), "{beginning:?}: {answer}");
        assert!(start.elapsed() < READ_LIMIT * 2, "{beginning:?}: {:?}", start.elapsed());
    }
}

#[tokio::test(start_paused = true)]
async fn a_caller_that_takes_nothing_of_its_package_is_let_go() {
    let running = running().await;
    let digest = format!("sha256:{}", "ab".repeat(32));
    // More than the sockets between us hold.
    running.shelf.packages.lock().insert(digest.clone(), Bytes::from(vec![b'x'; 64 << 20]));
    let mut stream = tokio::net::TcpStream::connect(running.address).await.unwrap();
    let start = tokio::time::Instant::now();
    let request = format!("GET /packages/{digest} HTTP/1.1\r\nhost: a\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    tokio::time::sleep(CONNECTION_LIMIT * 2).await;
    let mut taken = Vec::new();
    // Cut off: what is left of it is lost, however the end is seen.
    let _ = stream.read_to_end(&mut taken).await;
    assert!(taken.len() < 64 << 20, "{} bytes after {:?}", taken.len(), start.elapsed());
}

#[tokio::test]
async fn what_is_no_announcement_is_refused() {
    let running = running().await;
    for (body, status) in [
        ("", StatusCode::BAD_REQUEST),
        ("{}", StatusCode::BAD_REQUEST),
        ("null", StatusCode::BAD_REQUEST),
        (&"x".repeat(BODY_LIMIT + 1), StatusCode::PAYLOAD_TOO_LARGE),
    ] {
        let request = Request::post("/announce").body(Full::from(body.to_owned())).unwrap();
        assert_eq!(running.send("127.0.0.7", request).await.0, status, "{} bytes", body.len());
    }
}

#[tokio::test]
async fn an_operator_that_does_not_lead_sends_instances_away_but_gives_packages() {
    let running = running().await;
    running.leader.send_replace(false);
    assert_eq!(running.calls(&call()).await, StatusCode::SERVICE_UNAVAILABLE);
    let digest = format!("sha256:{}", "ab".repeat(32));
    running.shelf.packages.lock().insert(digest.clone(), Bytes::from_static(b"code"));
    let (status, headers, body) = running.get(&format!("/packages/{digest}"), None).await;
    assert_eq!((status, body.as_ref()), (StatusCode::OK, b"code".as_slice()));
    assert_eq!(headers[header::ETAG], format!("\"{digest}\""));
}

#[tokio::test]
async fn a_large_package_streams_from_its_file() {
    let running = running().await;
    running.shelf.in_files.store(true, std::sync::atomic::Ordering::Relaxed);
    let code: Bytes = (0..3_000_000_u32).map(|number| number.to_le_bytes()[0]).collect();
    let digest = format!("sha256:{}", "cd".repeat(32));
    running.shelf.packages.lock().insert(digest.clone(), code.clone());
    for _ in 0..2 {
        let (status, headers, body) = running.get(&format!("/packages/{digest}"), None).await;
        assert_eq!((status, body), (StatusCode::OK, code.clone()));
        assert_eq!(headers[header::CONTENT_LENGTH], "3000000");
    }
    assert_eq!(
        running.shelf.fetched.load(std::sync::atomic::Ordering::Relaxed),
        2,
        "it is not kept in memory"
    );
}

#[tokio::test]
async fn a_package_is_fetched_once_for_all_who_ask_at_once() {
    let running = running().await;
    let digest = format!("sha256:{}", "ab".repeat(32));
    running.shelf.packages.lock().insert(digest.clone(), Bytes::from_static(b"code"));
    let path = format!("/packages/{digest}");
    // Six of one address: its connections are bounded.
    let answers = futures::future::join_all((0..6).map(|_| running.get(&path, None))).await;
    assert!(answers.iter().all(|(status, ..)| *status == StatusCode::OK));
    assert_eq!(running.shelf.fetched.load(std::sync::atomic::Ordering::Relaxed), 1);
    let same = running.get(&path, Some(&format!("\"{digest}\""))).await;
    assert_eq!((same.0, same.2.len()), (StatusCode::NOT_MODIFIED, 0));
}

#[tokio::test]
async fn a_package_that_is_not_there_and_one_that_cannot_be_read_are_told_apart() {
    let running = running().await;
    let path = format!("/packages/sha256:{}", "ab".repeat(32));
    for missing in [path.as_str(), "/packages/sha256:abc", "/packages/../announce", "/packages/", "/"] {
        let (status, headers, body) = running.get(missing, None).await;
        assert_eq!(
            (status, &headers[header::CONTENT_TYPE]),
            (StatusCode::NOT_FOUND, &HeaderValue::from_static("application/json"))
        );
        assert!(serde_json::from_slice::<serde_json::Value>(&body).unwrap()["error"]["code"].is_string());
    }
    running.shelf.broken.store(true, std::sync::atomic::Ordering::Relaxed);
    assert_eq!(running.get(&path, None).await.0, StatusCode::SERVICE_UNAVAILABLE);
}

#[tokio::test]
async fn one_address_cannot_take_all_connections() {
    let running = running().await;
    let mut held = vec![];
    for _ in 0..CONNECTIONS_PER_SOURCE {
        let socket = TcpSocket::new_v4().unwrap();
        socket.bind("127.0.0.66:0".parse().unwrap()).unwrap();
        let stream = socket.connect(running.address).await.unwrap();
        let (mut sender, connection) =
            client::handshake::<_, Empty<Bytes>>(TokioIo::new(stream)).await.unwrap();
        tokio::spawn(connection);
        let request = Request::get("/").body(Empty::new()).unwrap();
        assert_eq!(sender.send_request(request).await.unwrap().status(), StatusCode::NOT_FOUND);
        held.push(sender);
    }
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind("127.0.0.66:0".parse().unwrap()).unwrap();
    let stream = socket.connect(running.address).await.unwrap();
    let (mut sender, connection) = client::handshake::<_, Empty<Bytes>>(TokioIo::new(stream)).await.unwrap();
    tokio::spawn(connection);
    let request = Request::get("/").body(Empty::new()).unwrap();
    assert!(sender.send_request(request).await.is_err());
    assert_eq!(running.calls(&call()).await, StatusCode::NO_CONTENT);
}

/// A build of `shop` that runs, as its Job tells.
fn build(running: &mut Running, name: &str) {
    running.fill.put(&json!({"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": name, "namespace": "shop",
        "labels": {"flint.dev/build": name}, "annotations": {"flint.dev/runtime": "python3.11", "flint.dev/manifest": "requirements.txt"}}}));
}

impl Running {
    /// A request of a builder that has the key of `build`.
    async fn builder(
        &self,
        method: Method,
        build: &str,
        what: &str,
        body: &'static str,
        digest: &str,
    ) -> (StatusCode, Bytes) {
        let path = flint_core::build::path("shop", build, what);
        let key = flint_core::build::key(MASTER, "shop", build);
        let signature = flint_core::build::sign(&key, method.as_str(), &path, digest);
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header(wire::SIGNATURE_HEADER, signature)
            .header(flint_core::build::DIGEST_HEADER, digest)
            .body(Full::from(body))
            .unwrap();
        let (status, _, body) = self.send("127.0.0.7", request).await;
        (status, body)
    }
}

impl Running {
    async fn brings(&self, build: &str, body: &'static str, digest: &str) -> StatusCode {
        self.builder(Method::PUT, build, "package", body, digest).await.0
    }
}

fn digest(text: &str) -> String {
    use sha2::Digest as _;
    format!("sha256:{}", hex::encode(sha2::Sha256::digest(text)))
}

#[tokio::test]
async fn a_builder_brings_its_package_and_finds_the_cache_of_the_one_before() {
    let mut running = running().await;
    build(&mut running, "flint-build-1");
    let package = digest("package");
    let (status, _) = running.builder(Method::PUT, "flint-build-1", "package", "package", &package).await;
    assert_eq!((status, running.volume.has(&package)), (StatusCode::NO_CONTENT, true));
    let (status, _) = running.builder(Method::GET, "flint-build-1", "cache", "", "").await;
    assert_eq!(status, StatusCode::NOT_FOUND, "no cache yet");
    let (status, _) = running.builder(Method::PUT, "flint-build-1", "cache", "cache", &digest("cache")).await;
    assert_eq!(status, StatusCode::NO_CONTENT);
    build(&mut running, "flint-build-2");
    let (status, body) = running.builder(Method::GET, "flint-build-2", "cache", "", "").await;
    assert_eq!((status, body.as_ref()), (StatusCode::OK, b"cache".as_slice()));
}

#[tokio::test]
async fn nothing_is_taken_that_is_wrong_too_large_or_of_no_build_that_runs() {
    let mut running = running().await;
    build(&mut running, "flint-build-1");
    let package = digest("package");
    assert_eq!(
        running.brings("flint-build-1", "another", package.as_str()).await,
        StatusCode::UNPROCESSABLE_ENTITY
    );
    assert_eq!(running.brings("flint-build-9", "package", &package).await, StatusCode::CONFLICT);
    let large = "x".repeat(1001).leak();
    assert_eq!(running.brings("flint-build-1", large, &digest(large)).await, StatusCode::PAYLOAD_TOO_LARGE);
    assert!(running.volume.digests().is_empty());
    let forged = Request::put("/builds/shop/flint-build-1/package")
        .header(wire::SIGNATURE_HEADER, "00")
        .header(flint_core::build::DIGEST_HEADER, &package)
        .body(Full::from("package"))
        .unwrap();
    assert_eq!(running.send("127.0.0.7", forged).await.0, StatusCode::FORBIDDEN);
    running.leader.send_replace(false);
    assert_eq!(running.brings("flint-build-1", "package", &package).await, StatusCode::SERVICE_UNAVAILABLE);
    assert!(running.volume.digests().is_empty());
}
