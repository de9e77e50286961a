//! Fetching from a registry behind https, which wants a token, and keeps its blobs elsewhere.

use ::http::Request;
use flint_image::{ARTIFACT_TYPE, Digest};

use super::*;

/// What the registry has: manifests by tag and digest, blobs by digest. Whoever has no token is sent for one.
struct Shelf {
    manifests: Mutex<HashMap<String, String>>,
    blobs: HashMap<String, Vec<u8>>,
    password: bool,
}

impl Shelf {
    /// With an artifact at the tag `1`.
    fn new(blobs: &[(&str, &[u8])], password: bool) -> Arc<Self> {
        let shelf = Self { manifests: Mutex::default(), blobs: HashMap::new(), password };
        let layers: Vec<_> = blobs.iter().map(|(kind, bytes)| json!({"mediaType": kind, "digest": Digest::of(bytes).to_string(), "size": bytes.len()})).collect();
        let blobs = blobs.iter().map(|(_, bytes)| (Digest::of(bytes).to_string(), bytes.to_vec())).collect();
        let shelf = Self { blobs, ..shelf };
        shelf.tag("1", &layers);
        Arc::new(shelf)
    }

    /// Moves a tag to an artifact of these layers, and gives its digest.
    fn tag(&self, tag: &str, layers: &[serde_json::Value]) -> String {
        let config = json!({"mediaType": "application/vnd.oci.empty.v1+json", "digest": Digest::of(b"{}").to_string(), "size": 2});
        let manifest =
            json!({"schemaVersion": 2, "artifactType": ARTIFACT_TYPE, "config": config, "layers": layers})
                .to_string();
        let digest = Digest::of(manifest.as_bytes()).to_string();
        let mut manifests = self.manifests.lock();
        manifests.insert(tag.to_owned(), manifest.clone());
        manifests.insert(digest.clone(), manifest);
        digest
    }

    async fn serve(self: &Arc<Self>) -> Https {
        let shelf = Arc::clone(self);
        Https::start(move |request: &Request<bytes::Bytes>| shelf.answer(request)).await
    }

    fn answer(&self, request: &Request<bytes::Bytes>) -> flint_testing::https::Answer {
        let says = |name: &str| {
            request.headers().get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
        };
        let (host, authorization, path) = (says("host"), says("authorization"), request.uri().path());
        if path == "/token" {
            let query = request.uri().query().unwrap_or_default();
            let right =
                query.contains("scope=repository%3Ateam%2Fcode%3Apull") && query.contains("service=shelf");
            let known = !self.password || authorization == "Basic YW5uYTpzZWNyZXQ=";
            return if right && known { answer(200, r#"{"token": "t"}"#) } else { answer(401, "") };
        }
        if let Some(digest) = path.strip_prefix("/elsewhere/") {
            assert_eq!(authorization, "", "the token is the registry's alone");
            return self.blobs.get(digest).map_or_else(|| answer(404, ""), |blob| answer(200, blob.clone()));
        }
        if authorization != "Bearer t" {
            let mut answer = answer(401, "");
            let challenge = format!(
                r#"Bearer realm="https://{host}/token",service="shelf",scope="repository:team/code:pull""#
            );
            answer.headers_mut().insert("www-authenticate", challenge.parse().expect("a header"));
            return answer;
        }
        let Some(rest) = path.strip_prefix("/v2/team/code/") else { return answer(404, "") };
        if let Some(digest) = rest.strip_prefix("blobs/") {
            let mut answer = answer(307, "");
            let port = host.rsplit(':').next().unwrap_or_default();
            let place = format!("https://localhost:{port}/elsewhere/{digest}");
            answer.headers_mut().insert("location", place.parse().expect("a place"));
            return answer;
        }
        let name = rest.strip_prefix("manifests/").unwrap_or_default();
        self.manifests
            .lock()
            .get(name)
            .map_or_else(|| answer(404, ""), |manifest| answer(200, manifest.clone()))
    }
}

fn order(https: &Https, rest: &str) -> Order {
    let host = https.url("").trim_start_matches("https://").to_owned();
    let reference = format!("{host}/team/code{rest}");
    let secret_ref = Some(flint_api::NameRef { name: "repo".into() });
    Order { what: What::Oci(flint_api::Oci { reference, secret_ref }), refresh: None }
}

const TAR: &str = "application/vnd.oci.image.layer.v1.tar+gzip";

#[tokio::test]
async fn an_artifact_is_fetched_by_tag_and_by_digest_and_says_which_one_it_was() {
    let code = tarball(&[("app.py", "x")]);
    let shelf = Shelf::new(&[(TAR, &code)], false);
    let digest = shelf.manifests.lock().keys().find(|name| name.starts_with("sha256:")).unwrap().clone();
    let https = shelf.serve().await;
    let fetching = Fetching::new();
    fetching.trust(&https, &[]);
    for rest in [":1".to_owned(), format!("@{digest}"), format!(":1@{digest}")] {
        let progress = fetching.order(&order(&https, &rest)).await;
        let Progress::Made(made) = progress else { panic!("{rest}: {progress:?}") };
        assert_eq!(made.resolved.as_ref(), Some(&digest), "{rest}");
        assert_eq!(fetching.files(&made.digest), ["app.py"]);
    }
}

#[tokio::test]
async fn a_zip_is_an_artifact_too_and_a_private_one_wants_a_password_in_either_form() {
    let archive = zip("app.py", b"x");
    let shelf = Shelf::new(&[("application/zip", &archive)], true);
    let https = shelf.serve().await;
    let fetching = Fetching::new();
    fetching.trust(&https, &[]);
    let order = order(&https, ":1");
    let Progress::Failed(failure) = fetching.order(&order).await else { panic!("it was fetched") };
    assert_eq!((failure.reason, failure.heals), (problem::SOURCE_REFUSED, true), "{failure:?}");
    let host = https.url("").trim_start_matches("https://").to_owned();
    let docker = json!({"auths": {host: {"username": "anna", "password": "secret"}}}).to_string();
    for secret in [&[("username", "anna"), ("password", "secret")][..], &[(".dockerconfigjson", &docker)]] {
        fetching.trust(&https, secret);
        assert!(matches!(fetching.order(&order).await, Progress::Made(_)));
        fetching.fetcher.forget(&key());
    }
}

#[tokio::test]
async fn a_tag_that_moves_is_followed() {
    let (first, second) = (tarball(&[("app.py", "one")]), tarball(&[("app.py", "two")]));
    let shelf = Shelf::new(&[(TAR, &first), ("text/plain", &second)], false);
    let https = shelf.serve().await;
    let fetching = Fetching::new();
    fetching.trust(&https, &[]);
    let order = order(&https, ":1");
    let before = fetching.order(&order).await;
    let layer = json!({"mediaType": TAR, "digest": Digest::of(&second).to_string(), "size": second.len()});
    let digest = shelf.tag("1", &[layer]);
    loop {
        match fetching.fetcher.progress(&key(), &order) {
            Some(Progress::Made(made)) if made.resolved.as_ref() == Some(&digest) => break,
            _ => sleep(Duration::from_millis(5)).await,
        }
    }
    assert_ne!(fetching.fetcher.progress(&key(), &order), Some(before));
}

#[tokio::test]
async fn what_is_no_package_or_another_one_is_said() {
    let code = tarball(&[("app.py", "x")]);
    let shelf = Shelf::new(&[(TAR, &code), (TAR, b"another")], false);
    let layer = |digest: &str| json!({"mediaType": TAR, "digest": digest, "size": 1});
    let page = Digest::of(b"another").to_string();
    shelf.tag("page", &[layer(&page)]);
    shelf.tag("gone", &[layer(&Digest::of(b"gone").to_string())]);
    let wrong = format!("sha256:{}", "0".repeat(64));
    let other = shelf.manifests.lock()["page"].clone();
    shelf.manifests.lock().insert(wrong.clone(), other);
    let https = shelf.serve().await;
    let fetching = Fetching::new();
    fetching.trust(&https, &[]);
    for (rest, reason, word) in [
        (":1".to_owned(), problem::ARCHIVE_REFUSED, "several layers"),
        (":page".to_owned(), problem::ARCHIVE_REFUSED, "neither a .zip nor a .tar.gz"),
        (":2".to_owned(), problem::SOURCE_NOT_FOUND, "manifests/2 is not there"),
        (":gone".to_owned(), problem::SOURCE_NOT_FOUND, "is not there"),
        (format!("@{wrong}"), problem::DIGEST_MISMATCH, "says another"),
    ] {
        let Progress::Failed(failure) = fetching.order(&order(&https, &rest)).await else { panic!("{rest}") };
        assert_eq!((failure.reason, failure.heals), (reason, false), "{failure:?}");
        assert!(failure.message.contains(word), "{failure:?}");
    }
}
