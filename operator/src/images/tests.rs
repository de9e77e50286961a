//! Images against a registry in memory: what is pushed when, and what a function is told.

use std::{collections::BTreeMap, pin::Pin};

use flint_image::{Credentials, Image as Built, Layer, Owner, Platform, Registry as Client, Tree};
use flint_testing::registry::Registry as Double;
use futures::{Stream, StreamExt as _};
use serde_json::{Value, json};

use super::*;
use crate::stores::tests::{Fill, stores};

/// One function, its Runtime's image in a registry, and what the operator is told.
struct Making {
    images: Arc<Images>,
    registry: Double,
    stores: Stores,
    fill: Fill,
    told: Pin<Box<dyn Stream<Item = Key>>>,
    _folder: tempfile::TempDir,
}

fn key() -> Key {
    Key::new("shop", "cart")
}

fn package(text: &'static str) -> Package {
    Package::build(&BTreeMap::from([("app.py".to_owned(), Bytes::from(text))])).unwrap()
}

impl Making {
    async fn new() -> Self {
        let registry = Double::start().await;
        let mut tree = Tree::default();
        tree.add_bytes("flint/watchdog", "dog".into(), 0o755, Owner::ROOT).unwrap();
        let image = Built::scratch(Platform::host()).append(Layer::in_memory(&tree, "watchdog").unwrap());
        let client = Client::new(Credentials::default(), Platform::host());
        let place = format!("{}/flint/python:1", registry.address()).parse().unwrap();
        client.push(&image, &place).await.unwrap();
        let (stores, fill) = stores();
        let told = Box::pin(stores.subscribe().into_stream());
        let folder = tempfile::tempdir().unwrap();
        let images = Self::process(&registry, &stores, &folder);
        Self { images, registry, stores, fill, told, _folder: folder }
    }

    /// An operator that has just begun.
    fn process(registry: &Double, stores: &Stores, folder: &tempfile::TempDir) -> Arc<Images> {
        let place = Place {
            registry: "node.local:5000/functions".into(),
            docker: None,
            insecure: Vec::new(),
            reached: vec![format!("node.local:5000={}", registry.address()).parse().unwrap()],
        };
        Images::in_registry(stores.clone(), Some(place), folder)
    }

    fn ask(&self, package: Package) -> Result<Package, Problem> {
        self.images.package(&key(), &function(&json!({})), Some(&runtime()), package)
    }

    /// The image, once it is there.
    async fn image(&mut self, package: Package) -> Image {
        loop {
            match self.ask(package.clone()) {
                Ok(package) => return package.image.expect("an image"),
                Err(problem) => assert!(problem.waiting, "{problem:?}"),
            }
            assert_eq!(self.told.next().await, Some(key()));
        }
    }

    async fn problem(&mut self, package: Package) -> Problem {
        loop {
            match self.ask(package.clone()) {
                Ok(package) => panic!("{package:?}"),
                Err(problem) if !problem.waiting => return problem,
                Err(_) => assert_eq!(self.told.next().await, Some(key())),
            }
        }
    }
}

fn function(more: &Value) -> Function {
    let mut function = json!({"apiVersion": "flint.dev/v1alpha1", "kind": "Function",
        "metadata": {"name": "cart", "namespace": "shop", "uid": "uid-cart"},
        "spec": {"runtime": "python3.11", "handler": "app.handler", "build": {"output": "image"}}});
    for (name, value) in more.as_object().into_iter().flatten() {
        function["spec"][name] = value.clone();
    }
    serde_json::from_value(function).unwrap()
}

fn runtime() -> Runtime {
    serde_json::from_value(
        json!({"apiVersion": "flint.dev/v1alpha1", "kind": "Runtime", "metadata": {"name": "python3.11"},
        "spec": {"mode": "lambda", "image": "node.local:5000/flint/python:1", "command": ["python3"]}}),
    )
    .unwrap()
}

#[tokio::test]
async fn a_package_goes_on_top_of_its_runtimes_image_and_is_pushed_once() {
    let mut making = Making::new().await;
    let before = making.registry.uploads();
    let waiting = making.ask(package("one")).unwrap_err();
    assert_eq!((waiting.reason, waiting.waiting), (problem::IMAGE_PUSHING, true));
    let image = making.image(package("one")).await.reference;
    let digest =
        image.strip_prefix("node.local:5000/functions/shop/cart@").expect("its repository, as nodes know it");
    let manifest = making.registry.manifest("functions/shop/cart", digest).expect("the image");
    assert_eq!(manifest["layers"].as_array().map(Vec::len), Some(2), "the Runtime's layer and the package's");
    assert_eq!(
        making.registry.uploads() - before,
        2,
        "the package's layer and a configuration; the rest is mounted"
    );

    let (uploads, folder) = (making.registry.uploads(), tempfile::tempdir().unwrap());
    making.images = Making::process(&making.registry, &making.stores, &folder);
    assert_eq!(making.image(package("one")).await.reference, image, "the same for another operator");
    assert_eq!(making.registry.uploads(), uploads, "and nothing is pushed");
    assert_ne!(making.image(package("two")).await.reference, image);
}

#[tokio::test]
async fn a_registry_that_refuses_is_told_of_and_asked_again() {
    let mut making = Making::new().await;
    for (status, words) in [(403, "may push"), (507, "no room"), (500, "reaches the registry")] {
        making.images.forget(&key());
        // The Runtime's image is there; what is pushed is not taken.
        making.registry.refuse("functions/", Some(status));
        let problem = making.problem(package("one")).await;
        assert_eq!(problem.reason, problem::IMAGE_PUSH_FAILED, "{status}");
        assert!(problem.message.contains(words) && problem.message.contains("tried again"), "{problem:?}");
    }
    making.registry.refuse("functions/", None);
    loop {
        making.told.next().await;
        if making.ask(package("one")).is_ok() {
            break;
        }
    }
}

#[tokio::test]
async fn a_base_that_cannot_be_read_is_named() {
    let mut making = Making::new().await;
    making.registry.refuse("flint/", Some(401));
    let problem = making.problem(package("one")).await;
    assert_eq!(problem.reason, problem::BASE_IMAGE_UNREADABLE);
    assert!(
        problem.message.contains("flint/python:1") && problem.message.contains("builds.images.secret"),
        "{problem:?}"
    );
}

#[tokio::test]
async fn what_a_revision_has_is_not_asked_for_again() {
    let mut making = Making::new().await;
    let Image { reference, made_of } = making.image(package("one")).await;
    let made_of = made_of.expect("what it was made of");
    making.fill.put(&json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "cart-1", "namespace": "shop",
        "labels": {"flint.dev/function": "cart"}, "annotations": {IMAGE_ANNOTATION: made_of},
        "ownerReferences": [{"apiVersion": "flint.dev/v1alpha1", "kind": "Function", "name": "cart", "uid": "uid-cart"}]},
        "spec": {"selector": {}, "template": {"spec": {"containers": [{"name": "function", "image": reference}]}}}}));
    let (requests, folder) = (making.registry.requests(), tempfile::tempdir().unwrap());
    making.images = Making::process(&making.registry, &making.stores, &folder);
    assert_eq!(making.ask(package("one")).unwrap().image.unwrap().reference, reference, "at once");
    assert_eq!(making.registry.requests(), requests);
}

#[tokio::test]
async fn only_registries_that_the_installation_names_are_asked() {
    let making = Making::new().await;
    let ask = |runtime_image: &str| {
        let function = function(&json!({"runtimeImage": runtime_image}));
        making.images.package(&key(), &function, Some(&runtime()), package("one")).unwrap_err()
    };
    let elsewhere = ask("10.0.0.1:8443/internal/thing:1");
    assert_eq!((elsewhere.reason, elsewhere.waiting), (problem::BASE_IMAGE_UNREADABLE, false));
    assert!(elsewhere.message.contains("node.local:5000/functions"), "{elsewhere:?}");
    assert!(ask("node.local:5000/flint/python:2").waiting);
}

#[tokio::test]
async fn without_a_registry_the_value_to_set_is_named_and_packages_stay_packages() {
    let (stores, _fill) = stores();
    let folder = tempfile::tempdir().unwrap();
    let images = Images::for_tests(stores, &folder);
    let problem =
        images.package(&key(), &function(&json!({})), Some(&runtime()), package("one")).unwrap_err();
    assert_eq!(problem.reason, problem::IMAGES_NOT_CONFIGURED);
    assert!(problem.message.contains("builds.images.registry"), "{problem:?}");
    let plain = function(&json!({"build": {}}));
    let plain = images.package(&key(), &plain, Some(&runtime()), package("one")).unwrap();
    assert_eq!(plain, package("one"));
}
