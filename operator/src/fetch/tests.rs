//! Fetching from a server on loopback, over TLS, into a volume.

use std::io::{Read as _, Write as _};

use flate2::{Compression, write::GzEncoder};
use flint_testing::{
    apiserver::ApiServer,
    https::{Https, answer},
};
use serde_json::json;
use sha2::{Digest as _, Sha256};
use tokio::time::sleep;

use flint_api::Archive;

use super::*;
use crate::{
    function::problem,
    stores::tests::{Fill, stores},
};

mod git;
mod oci;

/// A fetcher, the API server that has its Secrets, and its volume.
struct Fetching {
    fetcher: Arc<Fetcher>,
    volume: Arc<Volume>,
    stores: Stores,
    server: ApiServer,
    _fill: Fill,
    _folder: tempfile::TempDir,
}

fn key() -> Key {
    Key::new("shop", "cart")
}

/// A tar.gz with files.
fn tarball(files: &[(&str, &str)]) -> Vec<u8> {
    let mut archive = tar::Builder::new(GzEncoder::new(Vec::new(), Compression::fast()));
    for (name, text) in files {
        let mut header = tar::Header::new_gnu();
        header.set_size(text.len() as u64);
        header.set_mode(0o644);
        archive.append_data(&mut header, name, text.as_bytes()).unwrap();
    }
    archive.into_inner().unwrap().finish().unwrap()
}

fn sha256(bytes: &[u8]) -> String {
    hex::encode(Sha256::digest(bytes))
}

impl Fetching {
    fn new() -> Self {
        Self::with(Reach { loopback: true }, 1 << 20)
    }

    fn with(reach: Reach, capacity: u64) -> Self {
        Self::build(reach, Trust::default(), capacity)
    }

    fn build(reach: Reach, trust: Trust, capacity: u64) -> Self {
        let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
        let folder = tempfile::tempdir().unwrap();
        let volume = Arc::new(Volume::open(folder.path(), capacity).unwrap());
        let (stores, fill) = stores();
        let server = ApiServer::new();
        let limits = Limits { unpacked: 1 << 20, entries: 1000 };
        let bounds = Bounds { archive: 100_000, repository: 200_000, limits };
        let (client, registry) = (server.client(), Registry::new());
        let store = Storehouse::new(Arc::clone(&volume), None);
        let workshop = Workshop { volume: Arc::clone(&volume), store, bounds, insecure: Arc::default() };
        let interval = Some(Duration::from_millis(20));
        let fetcher = Fetcher::new(client, stores.clone(), workshop, reach, trust, interval, &registry);
        Self { fetcher: Arc::new(fetcher.unwrap()), volume, stores, server, _fill: fill, _folder: folder }
    }

    /// A Secret that makes the server's certificate a good one.
    fn trust(&self, https: &Https, more: &[(&str, &str)]) {
        let mut data = json!({"ca.crt": encode(https.certificate())});
        for (key, value) in more {
            data[*key] = json!(encode(value));
        }
        self.secret(&data);
    }

    fn secret(&self, data: &serde_json::Value) {
        let metadata = json!({"name": "repo", "namespace": "shop"});
        self.server.put(&json!({"apiVersion": "v1", "kind": "Secret", "metadata": metadata, "data": data}));
    }

    /// Starts a job and waits for its first end.
    async fn fetch(&self, url: &str, sha256: &str) -> Progress {
        self.order(&order(url, sha256)).await
    }

    async fn order(&self, order: &Order) -> Progress {
        self.fetcher.start(&key(), order, None);
        self.outcome(order).await
    }

    async fn outcome(&self, order: &Order) -> Progress {
        loop {
            match self.fetcher.progress(&key(), order) {
                Some(Progress::Working) => sleep(Duration::from_millis(5)).await,
                other => return other.expect("a job"),
            }
        }
    }

    async fn failure(&self, url: &str, sha256: &str) -> Failure {
        match self.fetch(url, sha256).await {
            Progress::Failed(failure) => failure,
            other => panic!("{url}: {other:?}"),
        }
    }

    /// Names of the files in a package.
    fn files(&self, digest: &str) -> Vec<String> {
        let (file, _) = self.volume.read(digest).unwrap().expect("a package");
        let mut archive = tar::Archive::new(flate2::read::GzDecoder::new(file));
        archive.entries().unwrap().map(|entry| entry.unwrap().path().unwrap().display().to_string()).collect()
    }
}

fn encode(text: &str) -> String {
    base64::Engine::encode(&base64::prelude::BASE64_STANDARD, text)
}

fn order(url: &str, sha256: &str) -> Order {
    let secret_ref = Some(flint_api::NameRef { name: "repo".into() });
    let what = What::Archive(Archive { url: url.into(), sha256: sha256.into(), secret_ref });
    Order { what, refresh: None }
}

#[tokio::test]
async fn an_archive_becomes_a_package_and_its_function_is_told() {
    let archive = tarball(&[("lib/util.py", "x"), ("app.py", "y")]);
    let served = archive.clone();
    let https = Https::start(move |_| answer(200, served.clone())).await;
    let fetching = Fetching::new();
    fetching.trust(&https, &[("username", "anna"), ("password", "secret")]);
    let mut told = Box::pin(fetching.stores.subscribe().into_stream());
    let progress = fetching.fetch(&https.url("/a.tar.gz?sig=1"), &sha256(&archive)).await;
    let Progress::Made(made) = progress else { panic!("{progress:?}") };
    assert_eq!(fetching.files(&made.digest), ["lib/", "app.py", "lib/util.py"]);
    assert_eq!(https.seen(), ["GET /a.tar.gz?sig=1 Basic YW5uYTpzZWNyZXQ="]);
    assert_eq!(futures::StreamExt::next(&mut told).await, Some(key()));
    assert_eq!(fetching.fetcher.digests(), HashSet::from([made.digest]));
}

#[tokio::test]
async fn a_zip_is_one_too() {
    // Written by `zip`: app.py with "def handler(event, context): return 1".
    let archive = zip("app.py", b"def handler(event, context): return 1");
    let (served, sha) = (archive.clone(), sha256(&archive));
    let https = Https::start(move |_| answer(200, served.clone())).await;
    let fetching = Fetching::new();
    fetching.trust(&https, &[]);
    let Progress::Made(made) = fetching.fetch(&https.url("/"), &sha).await else { panic!("no package") };
    assert_eq!(fetching.files(&made.digest), ["app.py"]);
    let (mut file, size) = fetching.volume.read(&made.digest).unwrap().unwrap();
    let mut bytes = Vec::new();
    file.read_to_end(&mut bytes).unwrap();
    assert_eq!((format!("sha256:{}", sha256(&bytes)), size), (made.digest, made.bytes));
}

/// A zip with one stored file.
fn zip(name: &str, content: &[u8]) -> Vec<u8> {
    let mut crc = flate2::Crc::new();
    crc.update(content);
    let number = |number: usize| u32::try_from(number).unwrap().to_le_bytes();
    let mut common = vec![20, 0, 0, 0, 0, 0, 0, 0, 0x21, 0];
    common.extend(crc.sum().to_le_bytes());
    common.extend(number(content.len()));
    common.extend(number(content.len()));
    common.extend(&number(name.len())[..2]);
    common.extend([0, 0]);
    let mut bytes = [b"PK\x03\x04", common.as_slice(), name.as_bytes(), content].concat();
    let directory = [
        b"PK\x01\x02\x1e\x03",
        common.as_slice(),
        &[0; 8],
        &0o644_u16.to_le_bytes(),
        &[0; 4],
        name.as_bytes(),
    ]
    .concat();
    let at = bytes.len();
    bytes.write_all(&directory).unwrap();
    bytes.extend(b"PK\x05\x06\0\0\0\0\x01\0\x01\0");
    bytes.extend(number(directory.len()));
    bytes.extend(number(at));
    bytes.extend([0, 0]);
    bytes
}

#[tokio::test]
async fn each_failure_says_what_is_wrong_and_whether_time_heals_it() {
    let archive = tarball(&[("app.py", "y")]);
    let poisoned = {
        let mut bytes = zip("xxxxxx", b"x");
        let mut at = 0;
        while let Some(found) = bytes[at..].windows(6).position(|window| window == b"xxxxxx") {
            bytes[at + found..at + found + 6].copy_from_slice(b"../out");
            at += found + 6;
        }
        bytes
    };
    let pages = [poisoned.clone(), vec![0; 200_000]];
    let https = Https::start(move |request| match request.uri().path() {
        "/poisoned" => answer(200, pages[0].clone()),
        "/large" => answer(200, pages[1].clone()),
        "/401" => answer(401, ""),
        "/404" => answer(404, ""),
        "/500" => answer(500, ""),
        "/400" => answer(400, ""),
        _ => answer(200, "<html>"),
    })
    .await;
    let fetching = Fetching::new();
    fetching.trust(&https, &[]);
    let html = sha256(b"<html>");
    let right = sha256(&archive);
    for (path, sha, reason, heals, word) in [
        ("/page", html.as_str(), problem::ARCHIVE_REFUSED, false, "neither a .zip nor a .tar.gz"),
        ("/page", &right, problem::DIGEST_MISMATCH, false, html.as_str()),
        ("/poisoned", &sha256(&poisoned), problem::ARCHIVE_REFUSED, false, "../out"),
        ("/large", &right, problem::ARCHIVE_REFUSED, false, "100000 bytes"),
        ("/401", &right, problem::SOURCE_REFUSED, true, "secretRef"),
        ("/404?sig=secret", &right, problem::SOURCE_NOT_FOUND, false, "/404 is not there"),
        ("/500", &right, problem::SOURCE_UNREACHABLE, true, "500"),
        ("/400", &right, problem::SOURCE_INVALID, false, "400"),
    ] {
        let failure = fetching.failure(&https.url(path), sha).await;
        assert_eq!((failure.reason, failure.heals), (reason, heals), "{path}: {failure:?}");
        assert!(failure.message.contains(word) && !failure.message.contains("sig="), "{path}: {failure:?}");
    }
    assert!(fetching.volume.digests().is_empty());
}

#[tokio::test]
async fn a_server_that_is_not_trusted_or_not_there_is_unreachable() {
    let https = Https::start(|_| answer(200, "")).await;
    let fetching = Fetching::new();
    fetching.secret(&json!({"token": encode("t")}));
    let failure = fetching.failure(&https.url("/"), "").await;
    assert!(failure.heals && failure.message.contains("ca.crt"), "{failure:?}");
    let url = https.url("/");
    drop(https);
    tokio::task::yield_now().await;
    let failure = fetching.failure(&url, "").await;
    assert_eq!((failure.reason, failure.heals), (problem::SOURCE_UNREACHABLE, true));
}

#[tokio::test]
async fn the_installations_own_authorities_are_trusted_and_may_be_renewed() {
    let archive = tarball(&[("app.py", "y")]);
    let served = archive.clone();
    let https = Https::start(move |_| answer(200, served.clone())).await;
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("ca.crt");
    std::fs::write(&file, "not yet").unwrap();
    let fetching = Fetching::build(Reach { loopback: true }, Trust::new(Some(file.clone())), 1 << 20);
    let mut order = order(&https.url("/a.tar.gz"), &sha256(&archive));
    let What::Archive(archive) = &mut order.what else { panic!("an archive") };
    archive.secret_ref = None;
    let Progress::Failed(failure) = fetching.order(&order).await else { panic!("it was fetched") };
    assert!(failure.heals && failure.message.contains("sources.caBundle"), "{failure:?}");
    assert!(https.seen().is_empty());

    std::fs::write(&file, https.certificate()).unwrap();
    let progress = fetching.order(&order).await;
    assert!(matches!(progress, Progress::Made(_)), "{progress:?}");
    assert_eq!(https.seen(), ["GET /a.tar.gz"]);
}

#[tokio::test]
async fn redirects_are_followed_without_the_credentials_and_not_for_ever() {
    let archive = tarball(&[("app.py", "y")]);
    let served = archive.clone();
    let https = Https::start(move |request| {
        let to = |place: &str| {
            let mut answer = answer(302, "");
            answer.headers_mut().insert("location", place.parse().unwrap());
            answer
        };
        let port = request.headers()["host"].to_str().unwrap().rsplit(':').next().unwrap().to_owned();
        match request.uri().path() {
            "/here" => to("/file"),
            "/elsewhere" => to(&format!("https://localhost:{port}/file")),
            "/circle" => to("/circle"),
            "/plain" => to("http://example.com/"),
            "/inside" => to("https://169.254.169.254/latest/meta-data"),
            _ => answer(200, served.clone()),
        }
    })
    .await;
    let fetching = Fetching::new();
    fetching.trust(&https, &[("token", "t")]);
    let sha = sha256(&archive);
    for (path, authorization) in [("/here", " Bearer t"), ("/elsewhere", "")] {
        assert!(matches!(fetching.fetch(&https.url(path), &sha).await, Progress::Made(_)), "{path}");
        assert_eq!(https.seen().last().unwrap(), &format!("GET /file{authorization}"));
    }
    for (path, word) in [("/circle", "5 times"), ("/plain", "not https"), ("/inside", "169.254.169.254")] {
        let failure = fetching.failure(&https.url(path), &sha).await;
        assert!(!failure.heals && failure.message.contains(word), "{path}: {failure:?}");
    }
}

#[tokio::test]
async fn the_operators_own_loopback_is_not_asked_by_address_or_name() {
    let https = Https::start(|_| answer(200, "")).await;
    let fetching = Fetching::with(Reach::default(), 1 << 20);
    fetching.trust(&https, &[]);
    for url in [https.url("/"), https.named_url("/")] {
        let failure = fetching.failure(&url, "").await;
        assert_eq!((failure.reason, failure.heals), (problem::SOURCE_INVALID, false), "{failure:?}");
        assert!(failure.message.contains("loopback"), "{failure:?}");
    }
    assert!(https.seen().is_empty());
}

#[tokio::test]
async fn a_full_store_is_said_and_tried_again() {
    let archive = tarball(&[("app.py", "y")]);
    let served = archive.clone();
    let https = Https::start(move |_| answer(200, served.clone())).await;
    let fetching = Fetching::with(Reach { loopback: true }, 10);
    fetching.trust(&https, &[]);
    let failure = fetching.failure(&https.url("/"), &sha256(&archive)).await;
    assert_eq!((failure.reason, failure.heals), (problem::STORE_FAILED, true));
    assert!(failure.message.contains("full"), "{failure:?}");
}

#[tokio::test]
async fn what_time_can_heal_is_tried_again_until_it_works() {
    let archive = tarball(&[("app.py", "y")]);
    let (served, asked) = (archive.clone(), std::sync::atomic::AtomicUsize::new(0));
    let https = Https::start(move |_| match asked.fetch_add(1, std::sync::atomic::Ordering::Relaxed) {
        0 => answer(503, ""),
        _ => answer(200, served.clone()),
    })
    .await;
    let fetching = Fetching::new();
    fetching.trust(&https, &[]);
    let order = order(&https.url("/"), &sha256(&archive));
    assert!(matches!(fetching.order(&order).await, Progress::Failed(failure) if failure.heals));
    let mut told = Box::pin(fetching.stores.subscribe().into_stream());
    while !matches!(fetching.outcome(&order).await, Progress::Made(_)) {
        assert_eq!(futures::StreamExt::next(&mut told).await, Some(key()), "the function hears of it");
    }
}

#[tokio::test]
async fn another_order_takes_the_place_of_the_first() {
    let https = Https::start(|_| answer(404, "")).await;
    let fetching = Fetching::new();
    fetching.trust(&https, &[]);
    let first = order(&https.url("/1"), "");
    fetching.order(&first).await;
    let second = Order { refresh: Some("now".into()), ..first.clone() };
    assert_eq!(fetching.fetcher.progress(&key(), &second), None, "a changed annotation is another order");
    fetching.order(&second).await;
    assert_eq!(fetching.fetcher.progress(&key(), &first), None);
    fetching.fetcher.forget(&key());
    assert_eq!(fetching.fetcher.progress(&key(), &second), None);
}

#[tokio::test]
async fn a_package_that_was_lost_is_no_package() {
    let archive = tarball(&[("app.py", "y")]);
    let served = archive.clone();
    let https = Https::start(move |_| answer(200, served.clone())).await;
    let fetching = Fetching::new();
    fetching.trust(&https, &[]);
    let order = order(&https.url("/"), &sha256(&archive));
    let Progress::Made(made) = fetching.order(&order).await else { panic!("no package") };
    fetching.volume.remove(&made.digest).unwrap();
    assert_eq!(fetching.fetcher.progress(&key(), &order), None);
}

#[tokio::test]
async fn a_disk_without_room_is_told_of_and_the_package_comes_when_there_is_some() {
    let archive = zip("app.py", b"code");
    let (served, sha) = (archive.clone(), sha256(&archive));
    let https = Https::start(move |_| answer(200, served.clone())).await;
    let fetching = Fetching::new();
    fetching.trust(&https, &[]);
    fetching.volume.fill(true);
    let failure = fetching.failure(&https.url("/"), &sha).await;
    assert!(failure.reason == problem::STORE_FAILED && failure.heals, "{failure:?}");
    assert!(
        failure.message.contains("No space left") && failure.message.contains("tried again"),
        "{failure:?}"
    );
    fetching.volume.fill(false);
    let order = order(&https.url("/"), &sha);
    while !matches!(fetching.outcome(&order).await, Progress::Made(_)) {
        sleep(Duration::from_millis(50)).await;
    }
}
