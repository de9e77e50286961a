//! Pushing to a registry and building upon what is in one, against a registry in memory.

// Helpers of tests fail as tests do.
#![allow(clippy::unwrap_used)]

use flint_image::{
    ARTIFACT_TYPE, Artifact, Credentials, Digest, Image, Layer, Owner, Platform, Reference, Registry, Tree,
    Trouble,
};
use flint_testing::registry::Registry as Double;

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
    let double = Double::start().await;
    let address = double.address();
    let reference = reference(&address, "flint/runtime:1");
    let first = registry().push(&runtime(), &reference).await.unwrap();
    assert_eq!((first.sent, first.present), (3, 0), "two layers and a configuration");
    let again = registry().push(&runtime(), &reference).await.unwrap();
    assert_eq!((again.sent, again.digest), (0, first.digest));
    let changed = runtime().append(layer("etc/motd", "hi"));
    let changed = registry().push(&changed, &reference).await.unwrap();
    assert_eq!((changed.sent, changed.present), (2, 2), "one layer and a configuration");
    assert_eq!(double.uploads(), 5);
}

#[tokio::test]
async fn a_package_is_appended_to_a_runtime_without_its_layers_passing_through_here() {
    let double = Double::start().await;
    let address = double.address();
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
    let double = Double::start().await;
    let address = double.address();
    let place = reference(&address, "shop/thumbnail:2");
    assert_eq!(registry().find(&place).await.unwrap(), None);
    let pushed = registry().push(&runtime(), &place).await.unwrap();
    assert_eq!(registry().find(&place).await.unwrap(), Some(pushed.digest));
}

#[tokio::test]
async fn what_a_registry_says_no_with_is_told_apart() {
    let (trouble, place) = (Double::start().await, "shop/thumbnail:2");
    let address = trouble.address();
    for (status, means) in
        [(401, Trouble::Refused), (403, Trouble::Refused), (507, Trouble::Full), (503, Trouble::Away)]
    {
        trouble.refuse("", Some(status));
        let push = registry().push(&runtime(), &reference(&address, place)).await.unwrap_err();
        assert_eq!(push.trouble(), means, "{status} to a push: {push}");
        let find = registry().find(&reference(&address, place)).await.unwrap_err();
        assert_eq!(find.trouble(), means, "{status} to a look: {find}");
    }
    trouble.refuse("", Some(404));
    let pull = registry().pull(&reference(&address, place)).await.unwrap_err();
    assert_eq!(pull.trouble(), Trouble::Missing, "{pull}");
}

#[tokio::test]
async fn an_image_is_found_by_its_digest_too() {
    let double = Double::start().await;
    let address = double.address();
    let pushed = registry().push(&runtime(), &reference(&address, "a:1")).await.unwrap();
    let image = registry().pull(&reference(&address, &format!("a@{}", pushed.digest))).await.unwrap();
    assert_eq!(image.digest(), pushed.digest);
}

#[tokio::test]
async fn layers_that_cannot_be_mounted_are_copied() {
    let (near, far) = (Double::start().await, Double::start().await);
    let (near_address, far_address) = (near.address(), far.address());
    registry().push(&runtime(), &reference(&near_address, "runtime:1")).await.unwrap();
    near.mount_nothing();

    let registry = registry();
    let image = registry.pull(&reference(&near_address, "runtime:1")).await.unwrap();
    let beside = registry.push(&image, &reference(&near_address, "other:1")).await.unwrap();
    assert_eq!((beside.mounted, beside.sent), (0, 3), "a registry that does not mount");
    let elsewhere = registry.push(&image, &reference(&far_address, "runtime:1")).await.unwrap();
    assert_eq!((elsewhere.sent, elsewhere.digest), (3, beside.digest), "another registry");
}

#[tokio::test]
async fn images_that_share_a_base_send_it_once() {
    let double = Double::start().await;
    let address = double.address();
    let registry = registry();
    registry.push(&runtime(), &reference(&address, "one:1")).await.unwrap();
    let other = runtime().append(layer("more", "more"));
    let pushed = registry.push(&other, &reference(&address, "two:1")).await.unwrap();
    assert_eq!((pushed.mounted, pushed.sent), (2, 2));
}

#[tokio::test]
async fn a_package_is_an_artifact_of_one_layer_and_the_same_from_memory_and_from_a_file() {
    let double = Double::start().await;
    let address = double.address();
    let place = reference(&address, "shop/thumbnail:latest");
    let artifact = Artifact::of(&b"a tar.gz"[..]);
    let pushed = registry().push_artifact(&artifact, &place).await.unwrap();
    assert_eq!(pushed.sent, 2, "the package and the empty configuration");
    let manifest = double.manifest("shop/thumbnail", &pushed.digest.to_string()).expect("its manifest");
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
    let double = Double::start().await;
    let address = double.address();
    let index = serde_json::json!({"schemaVersion": 2, "manifests": [{
        "mediaType": "application/vnd.oci.image.manifest.v1+json", "digest": Digest::of(b"x"), "size": 1,
        "platform": {"architecture": "s390x", "os": "linux"},
    }]});
    double.put_manifest("many", "1", &index);
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
