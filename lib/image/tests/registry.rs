//! Pushing to a registry and building upon what is in one, against a registry in memory.

// Helpers of tests fail as tests do.
#![allow(clippy::unwrap_used)]

use std::{collections::BTreeMap, sync::Arc};

use axum::{
    Router,
    body::Bytes,
    extract::{Query, Request, State},
    http::{Method, StatusCode, header},
    response::{IntoResponse, Response},
};
use flint_image::{
    ARTIFACT_TYPE, Artifact, Credentials, Digest, Image, Layer, Owner, Platform, Reference, Registry, Tree,
    Trouble,
};
use parking_lot::Mutex;

/// What the registry holds: blobs by repository, manifests by repository and tag or digest, and what was asked of it.
#[derive(Default)]
struct Shelf {
    blobs: BTreeMap<(String, String), Bytes>,
    manifests: BTreeMap<(String, String), Bytes>,
    uploads: usize,
    mounting: bool,
    /// What everything is answered with.
    answers: Option<StatusCode>,
}

#[derive(Clone, Default)]
struct Double(Arc<Mutex<Shelf>>);

impl Double {
    /// Starts the registry and returns its HOST:PORT.
    async fn start(&self) -> String {
        self.0.lock().mounting = true;
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let app = Router::new().fallback(serve).with_state(self.clone());
        tokio::spawn(async move { axum::serve(listener, app).await });
        address
    }
}

async fn serve(
    State(double): State<Double>,
    Query(query): Query<BTreeMap<String, String>>,
    request: Request,
) -> Response {
    let (parts, body) = request.into_parts();
    let body = axum::body::to_bytes(body, usize::MAX).await.unwrap();
    let path = parts.uri.path().to_owned();
    let mut shelf = double.0.lock();
    if let Some(status) = shelf.answers.filter(|_| path != "/v2/") {
        return status.into_response();
    }
    let Some(rest) = path.strip_prefix("/v2/").filter(|rest| !rest.is_empty()) else {
        return StatusCode::OK.into_response();
    };
    let key = |middle: &str| {
        let (repository, name) = rest.split_once(middle).unwrap();
        (repository.to_owned(), name.to_owned())
    };
    let found = |bytes: Option<&Bytes>, kind: &'static str| match bytes {
        Some(bytes) => {
            let digest = Digest::of(bytes).to_string();
            let headers = [("docker-content-digest", digest), ("content-type", kind.to_owned())];
            (headers, bytes.clone()).into_response()
        }
        None => StatusCode::NOT_FOUND.into_response(),
    };
    let created = |place: String| (StatusCode::CREATED, [(header::LOCATION, place)]).into_response();
    match parts.method {
        Method::POST => {
            let (repository, _) = key("/blobs/uploads/");
            if let (Some(digest), Some(from), true) = (query.get("mount"), query.get("from"), shelf.mounting)
                && let Some(bytes) = shelf.blobs.get(&(from.clone(), digest.clone())).cloned()
            {
                shelf.blobs.insert((repository.clone(), digest.clone()), bytes);
                return created(format!("/v2/{repository}/blobs/{digest}"));
            }
            let place = format!("/v2/{repository}/blobs/uploads/1");
            (StatusCode::ACCEPTED, [(header::LOCATION, place)]).into_response()
        }
        Method::PUT if rest.contains("/blobs/uploads/") => {
            let (repository, _) = key("/blobs/uploads/");
            assert_eq!(Digest::of(&body).to_string(), query["digest"], "a blob arrives whole");
            shelf.uploads += 1;
            shelf.blobs.insert((repository, query["digest"].clone()), body);
            created(path)
        }
        Method::PUT => {
            let (repository, tag) = key("/manifests/");
            let manifest: serde_json::Value = serde_json::from_slice(&body).unwrap();
            for blob in manifest["layers"].as_array().unwrap().iter().chain([&manifest["config"]]) {
                let digest = blob["digest"].as_str().unwrap().to_owned();
                assert!(
                    shelf.blobs.contains_key(&(repository.clone(), digest)),
                    "the manifest comes after its blobs"
                );
            }
            shelf.manifests.insert((repository.clone(), Digest::of(&body).to_string()), body.clone());
            shelf.manifests.insert((repository, tag), body);
            created(path)
        }
        _ if rest.contains("/manifests/") => {
            found(shelf.manifests.get(&key("/manifests/")), "application/vnd.oci.image.manifest.v1+json")
        }
        _ => found(shelf.blobs.get(&key("/blobs/")), "application/octet-stream"),
    }
}

fn layer(path: &str, text: &'static str) -> Layer {
    let mut tree = Tree::default();
    tree.add_bytes(path, text.into(), 0o644, Owner::ROOT).unwrap();
    Layer::in_memory(&tree, path).unwrap()
}

fn registry() -> Registry {
    Registry::new(Credentials::default(), Platform::host())
}

fn reference(address: &str, rest: &str) -> Reference {
    format!("{address}/{rest}").parse().unwrap()
}

fn runtime() -> Image {
    let mut image = Image::scratch(Platform::host())
        .append(layer("bin/python", "python"))
        .append(layer("bin/watchdog", "dog"));
    image.run_mut().entrypoint = vec!["/bin/watchdog".into()];
    image.run_mut().set_env("HOME", "/tmp");
    image
}

#[tokio::test]
async fn what_the_registry_has_is_not_sent_again() {
    let double = Double::default();
    let address = double.start().await;
    let reference = reference(&address, "flint/runtime:1");
    let first = registry().push(&runtime(), &reference).await.unwrap();
    assert_eq!((first.sent, first.present), (3, 0), "two layers and a configuration");
    let again = registry().push(&runtime(), &reference).await.unwrap();
    assert_eq!((again.sent, again.digest), (0, first.digest));
    let changed = runtime().append(layer("etc/motd", "hi"));
    let changed = registry().push(&changed, &reference).await.unwrap();
    assert_eq!((changed.sent, changed.present), (2, 2), "one layer and a configuration");
    assert_eq!(double.0.lock().uploads, 5);
}

#[tokio::test]
async fn a_package_is_appended_to_a_runtime_without_its_layers_passing_through_here() {
    let double = Double::default();
    let address = double.start().await;
    let base = reference(&address, "flint/runtime:1");
    registry().push(&runtime(), &base).await.unwrap();

    let registry = registry();
    let image = registry.pull(&base).await.unwrap().append(layer("var/task/app.py", "code"));
    let pushed = registry.push(&image, &reference(&address, "shop/thumbnail:2")).await.unwrap();
    assert_eq!(
        (pushed.mounted, pushed.sent),
        (2, 2),
        "the base is mounted, the package and the configuration are sent"
    );

    let back = registry.pull(&reference(&address, "shop/thumbnail:2")).await.unwrap();
    assert_eq!(back.digest(), pushed.digest, "an image is the same when it has been read back");
    assert_eq!(back.run().entrypoint, ["/bin/watchdog"]);
    assert_eq!(back.run().env, ["HOME=/tmp"]);
    assert_eq!(back.layers().len(), 3);
}

/// A package as `lib/package` makes them: folders, files, a link.
fn package() -> Vec<u8> {
    let mut tar = tar::Builder::new(flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast()));
    let mut add = |kind: tar::EntryType, path: &str, content: &[u8]| {
        let mut header = tar::Header::new_gnu();
        header.set_entry_type(kind);
        header.set_mode(0o755);
        header.set_uid(1000);
        header.set_size(content.len() as u64);
        tar.append_data(&mut header, path, content).unwrap();
    };
    add(tar::EntryType::Directory, "lib/", b"");
    add(tar::EntryType::Regular, "app.py", b"code");
    add(tar::EntryType::Regular, "lib/util.py", b"more");
    let mut header = tar::Header::new_gnu();
    header.set_entry_type(tar::EntryType::Symlink);
    header.set_size(0);
    tar.append_link(&mut header, "main.py", "app.py").unwrap();
    tar.into_inner().unwrap().finish().unwrap()
}

#[test]
fn a_package_becomes_the_same_layer_each_time_and_all_of_it_is_the_superusers() {
    let folder = tempfile::tempdir().unwrap();
    let layer = |name: &str| {
        let into = folder.path().join(name);
        (Layer::of_package(&package()[..], "var/task", "package", &into).unwrap(), into)
    };
    let ((one, file), (two, _)) = (layer("one"), layer("two"));
    assert_eq!((one.digest(), one.size()), (two.digest(), two.size()));
    let bytes = std::fs::read(file).unwrap();
    assert_eq!((Digest::of(&bytes), bytes.len() as u64), (one.digest(), one.size()));
    let mut archive = tar::Archive::new(flate2::read::GzDecoder::new(&bytes[..]));
    let entries = archive.entries().unwrap().map(|entry| {
        let entry = entry.unwrap();
        assert_eq!((entry.header().uid().unwrap(), entry.header().mtime().unwrap()), (0, 0));
        let target = entry.link_name().unwrap().map(|target| target.display().to_string());
        (entry.path().unwrap().display().to_string(), target)
    });
    let path = |path: &str, target: Option<&str>| (format!("var/task/{path}"), target.map(str::to_owned));
    assert_eq!(
        entries.collect::<Vec<_>>(),
        [
            path("lib/", None),
            path("app.py", None),
            path("lib/util.py", None),
            path("main.py", Some("app.py"))
        ]
    );
}

#[tokio::test]
async fn a_tag_is_looked_for_before_anything_is_made() {
    let double = Double::default();
    let address = double.start().await;
    let place = reference(&address, "shop/thumbnail:2");
    assert_eq!(registry().find(&place).await.unwrap(), None);
    let pushed = registry().push(&runtime(), &place).await.unwrap();
    assert_eq!(registry().find(&place).await.unwrap(), Some(pushed.digest));
}

#[tokio::test]
async fn what_a_registry_says_no_with_is_told_apart() {
    let (trouble, place) = (Double::default(), "shop/thumbnail:2");
    let address = trouble.start().await;
    for (status, means) in [
        (StatusCode::UNAUTHORIZED, Trouble::Refused),
        (StatusCode::FORBIDDEN, Trouble::Refused),
        (StatusCode::INSUFFICIENT_STORAGE, Trouble::Full),
        (StatusCode::SERVICE_UNAVAILABLE, Trouble::Away),
    ] {
        trouble.0.lock().answers = Some(status);
        let push = registry().push(&runtime(), &reference(&address, place)).await.unwrap_err();
        assert_eq!(push.trouble(), means, "{status} to a push: {push}");
        let find = registry().find(&reference(&address, place)).await.unwrap_err();
        assert_eq!(find.trouble(), means, "{status} to a look: {find}");
    }
    trouble.0.lock().answers = Some(StatusCode::NOT_FOUND);
    let pull = registry().pull(&reference(&address, place)).await.unwrap_err();
    assert_eq!(pull.trouble(), Trouble::Missing, "{pull}");
}

#[tokio::test]
async fn an_image_is_found_by_its_digest_too() {
    let double = Double::default();
    let address = double.start().await;
    let pushed = registry().push(&runtime(), &reference(&address, "a:1")).await.unwrap();
    let image = registry().pull(&reference(&address, &format!("a@{}", pushed.digest))).await.unwrap();
    assert_eq!(image.digest(), pushed.digest);
}

#[tokio::test]
async fn layers_that_cannot_be_mounted_are_copied() {
    let (near, far) = (Double::default(), Double::default());
    let (near_address, far_address) = (near.start().await, far.start().await);
    registry().push(&runtime(), &reference(&near_address, "runtime:1")).await.unwrap();
    near.0.lock().mounting = false;

    let registry = registry();
    let image = registry.pull(&reference(&near_address, "runtime:1")).await.unwrap();
    let beside = registry.push(&image, &reference(&near_address, "other:1")).await.unwrap();
    assert_eq!((beside.mounted, beside.sent), (0, 3), "a registry that does not mount");
    let elsewhere = registry.push(&image, &reference(&far_address, "runtime:1")).await.unwrap();
    assert_eq!((elsewhere.sent, elsewhere.digest), (3, beside.digest), "another registry");
}

#[tokio::test]
async fn images_that_share_a_base_send_it_once() {
    let double = Double::default();
    let address = double.start().await;
    let registry = registry();
    registry.push(&runtime(), &reference(&address, "one:1")).await.unwrap();
    let other = runtime().append(layer("more", "more"));
    let pushed = registry.push(&other, &reference(&address, "two:1")).await.unwrap();
    assert_eq!((pushed.mounted, pushed.sent), (2, 2));
}

#[tokio::test]
async fn a_package_is_an_artifact_of_one_layer_and_the_same_from_memory_and_from_a_file() {
    let double = Double::default();
    let address = double.start().await;
    let place = reference(&address, "shop/thumbnail:latest");
    let artifact = Artifact::of(&b"a tar.gz"[..]);
    let pushed = registry().push_artifact(&artifact, &place).await.unwrap();
    assert_eq!(pushed.sent, 2, "the package and the empty configuration");
    let manifest =
        double.0.lock().manifests[&("shop/thumbnail".to_owned(), pushed.digest.to_string())].clone();
    let manifest: serde_json::Value = serde_json::from_slice(&manifest).unwrap();
    assert_eq!(manifest["artifactType"], ARTIFACT_TYPE);
    assert_eq!(manifest["config"]["mediaType"], "application/vnd.oci.empty.v1+json");
    assert_eq!(manifest["layers"][0]["digest"], artifact.package().to_string());

    let back = registry().pull_package(&place, artifact.package()).await.unwrap().expect("the package");
    let back: Vec<_> = futures::TryStreamExt::try_collect(back).await.unwrap();
    assert_eq!(back.concat(), b"a tar.gz");
    assert!(registry().pull_package(&place, Digest::of(b"another")).await.unwrap().is_none());

    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(&file, "a tar.gz").unwrap();
    let again = Artifact::of_file(file.path()).unwrap();
    let again = registry().push_artifact(&again, &place).await.unwrap();
    assert_eq!((again.sent, again.digest), (0, pushed.digest));
}

#[tokio::test]
async fn an_image_for_another_machine_is_refused_with_its_name() {
    let double = Double::default();
    let address = double.start().await;
    let index = serde_json::json!({"schemaVersion": 2, "manifests": [{
        "mediaType": "application/vnd.oci.image.manifest.v1+json", "digest": Digest::of(b"x"), "size": 1,
        "platform": {"architecture": "s390x", "os": "linux"},
    }]});
    double.0.lock().manifests.insert(("many".into(), "1".into()), index.to_string().into());
    let error = registry().pull(&reference(&address, "many:1")).await.unwrap_err().to_string();
    assert!(error.contains("linux/") && error.contains("many:1"), "{error}");
}

#[tokio::test]
async fn a_registry_that_is_away_is_an_error_that_names_the_image() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    drop(listener);
    let error = registry().push(&runtime(), &reference(&address, "a:1")).await.unwrap_err().to_string();
    assert!(error.contains(&format!("{address}/a:1")), "{error}");
}
