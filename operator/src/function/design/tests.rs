use std::collections::BTreeMap;

use bytes::Bytes;

use super::*;
use crate::settings::{MasterKey, tests::settings};

fn function(spec: Value) -> Function {
    serde_json::from_value(json!({"apiVersion": "flint.dev/v1alpha1", "kind": "Function",
        "metadata": {"name": "cart", "namespace": "shop", "uid": "uid-cart"}, "spec": spec}))
    .unwrap()
}

fn runtime(spec: Value) -> Runtime {
    serde_json::from_value(json!({"apiVersion": "flint.dev/v1alpha1", "kind": "Runtime", "metadata": {"name": "python3.11"}, "spec": spec})).unwrap()
}

fn python() -> Runtime {
    runtime(
        json!({"mode": "lambda", "image": "flint/python:1", "command": ["python3", "-m", "awslambdaric", "{handler}"],
        "env": [{"name": "PYTHONUNBUFFERED", "value": "1"}, {"name": "TZ", "value": "UTC"}]}),
    )
}

fn package() -> Package {
    Package::build(&BTreeMap::from([(
        "app.py".to_owned(),
        Bytes::from("def handler(event, context): return 1\n"),
    )]))
    .unwrap()
}

fn lambda(mut spec: Value) -> Result<Design, Problem> {
    spec["runtime"] = json!("python3.11");
    spec["handler"] = json!("app.handler");
    design(&settings(), &function(spec), Some(&python()), &[], Some(package()))
}

fn image(mut spec: Value) -> Result<Design, Problem> {
    spec["image"] = json!("cart:1");
    design(&settings(), &function(spec), None, &[], None)
}

#[test]
fn a_function_in_a_runtime_is_one_container_without_volumes() {
    let design = lambda(json!({
        "timeout": "45s",
        "resources": {"limits": {"memory": "512Mi"}},
        "env": [{"name": "TZ", "value": "Europe/Berlin"}, {"name": "DB", "valueFrom": {"secretKeyRef": {"name": "db", "key": "url"}}}],
        "envFrom": [{"configMapRef": {"name": "common"}}],
    }))
    .unwrap();
    insta::assert_yaml_snapshot!(design.deployment(&function(json!({})), false).value());
}

#[test]
fn an_image_has_the_watchdog_before_it() {
    let design = image(json!({
        "port": 3000, "command": ["/serve"], "args": ["--fast"], "concurrency": 0,
        "secrets": [{"name": "db", "mountPath": "/var/run/secrets/db"}],
        "template": {
            "metadata": {"labels": {"team": "shop"}, "annotations": {"example.org/scrape": "no"}},
            "spec": {"nodeSelector": {"disk": "ssd"}, "containers": [{"name": "function", "livenessProbe": {"httpGet": {"path": "/", "port": 3000}}}]},
        },
    }))
    .unwrap();
    insta::assert_yaml_snapshot!(design.deployment(&function(json!({})), true).value());
}

#[test]
fn an_image_for_lambda_finds_in_its_container_what_lambda_would_have_set() {
    let spec = json!({
        "mode": "lambda", "args": ["app.handler"], "resources": {"limits": {"memory": "512Mi"}},
        "env": [{"name": "AWS_REGION", "value": "eu-west-1"}],
    });
    let design = image(spec).unwrap();
    let pod = &design.template["spec"];
    assert_eq!(
        pod["securityContext"]["runAsUser"], 65_532,
        "a user of Lambda's own, whatever the image says"
    );
    let [watchdog, container] = pod["containers"].as_array().unwrap().as_slice() else {
        panic!("two containers")
    };
    let value = |container: &Value, name: &str| {
        let env = container["env"].as_array().unwrap();
        assert!(env.iter().filter(|variable| variable["name"] == name).count() <= 1, "{name} once");
        env.iter().find(|variable| variable["name"] == name).map(|variable| variable["value"].clone())
    };
    assert_eq!(value(watchdog, "FLINT_MODE"), Some(json!("lambda")));
    assert_eq!(value(watchdog, "FLINT_RUNTIME_API_PORT"), Some(json!("9001")));
    assert_eq!(value(watchdog, "FLINT_UPSTREAM_PORT"), None);
    assert_eq!(value(container, "AWS_LAMBDA_RUNTIME_API"), Some(json!("127.0.0.1:9001")));
    assert_eq!(value(container, "AWS_LAMBDA_FUNCTION_MEMORY_SIZE"), Some(json!("512")));
    assert_eq!(value(container, "AWS_REGION"), Some(json!("eu-west-1")), "the user's");
    assert_eq!(value(container, "AWS_DEFAULT_REGION"), Some(json!("eu-west-1")));
    assert_eq!(value(container, "AWS_LAMBDA_MAX_CONCURRENCY"), None, "one at a time is not told");
    assert_eq!(container["livenessProbe"]["httpGet"]["path"], "/beside");
    assert_eq!((&container["args"], &container["ports"]), (&json!(["app.handler"]), &Value::Null));

    let several =
        image(json!({"mode": "lambda", "concurrency": 0, "envFrom": [{"configMapRef": {"name": "region"}}]}))
            .unwrap();
    let container = &several.template["spec"]["containers"][1];
    assert_eq!(value(container, "AWS_LAMBDA_MAX_CONCURRENCY"), Some(json!("100")));
    assert_eq!(value(container, "AWS_REGION"), None, "it may come by envFrom, which this would win over");
}

#[test]
fn routes_of_the_annotation_reach_the_watchdog_and_wrong_ones_are_refused() {
    let routed = |routes: &str| {
        let mut function = function(json!({"runtime": "python3.11", "handler": "app.handler"}));
        function.metadata.annotations =
            Some(BTreeMap::from([("flint.dev/routes".to_owned(), routes.to_owned())]));
        design(&settings(), &function, Some(&python()), &[], Some(package()))
    };
    let good = routed("GET /{code}, POST /").unwrap();
    let env = good.template["spec"]["containers"][0]["env"].as_array().unwrap().clone();
    assert!(env.contains(&json!({"name": "FLINT_ROUTES", "value": "GET /{code}, POST /"})), "{env:?}");
    let Err(wrong) = routed("GET code") else { panic!("accepted") };
    assert!(format!("{wrong:?}").contains("write /code"), "{wrong:?}");
}

#[test]
fn what_stands_beside_the_revision() {
    let function = function(json!({}));
    let mut key = key_secret(&settings(), "shop", &pod::key_secret("cart"), &[&function]).value().clone();
    // The key itself is held to its derivation by the tests of the wire.
    assert!(key["data"]["key"].is_string());
    key["data"]["key"] = json!("…");
    let design = lambda(json!({})).unwrap();
    let code = design.package_map(&function).unwrap();
    insta::assert_yaml_snapshot!([&key, service(&settings(), &function).value(), code.value()]);
}

#[test]
fn whatever_shapes_the_pods_makes_a_new_revision_and_nothing_else_does() {
    let name = |spec: Value| lambda(spec).unwrap().revision;
    let first = name(json!({}));
    for same in [
        json!({"scaling": {"minReplicas": 3, "maxReplicas": 5}}),
        json!({"schedules": [{"name": "nightly", "cron": "0 2 * * *"}]}),
        json!({"timeout": "30s"}),
        json!({"concurrency": 1}),
    ] {
        assert_eq!(name(same.clone()), first, "{same}");
    }
    for other in [
        json!({"timeout": "31s"}),
        json!({"concurrency": 2}),
        json!({"env": [{"name": "A", "value": "b"}]}),
        json!({"resources": {"limits": {"memory": "1Gi"}}}),
        json!({"template": {"spec": {"serviceAccountName": "robot"}}}),
    ] {
        assert_ne!(name(other.clone()), first, "{other}");
    }
}

#[test]
fn another_runtime_another_watchdog_and_another_key_make_a_new_revision() {
    let spec = function(json!({"runtime": "python3.11", "handler": "app.handler"}));
    let name = |settings: &Settings, runtime: &Runtime| {
        design(settings, &spec, Some(runtime), &[], Some(package())).unwrap().revision
    };
    let mut newer = python();
    newer.spec.image = "flint/python:2".into();
    let mut rekeyed = settings();
    rekeyed.master_key = MasterKey::new("another master key of thirty-two b");
    let first = name(&settings(), &python());
    assert_ne!(name(&settings(), &newer), first);
    assert_ne!(name(&rekeyed, &python()), first);
}

#[test]
fn names_fit_where_kubernetes_wants_them_to() {
    let mut long = function(json!({"runtime": "python3.11", "handler": "app.handler"}));
    let name = "f".repeat(49);
    long.metadata.name = Some(name.clone());
    let design = design(&settings(), &long, Some(&python()), &[], Some(package())).unwrap();
    // The API server adds five characters to a ReplicaSet's prefix, and cuts what is longer than 63 in all.
    assert!(design.revision.len() <= 58, "{}", design.revision);
    assert!(package_map_name(&long, &package().digest).len() <= 63);
    assert!(pod::key_secret(&name).len() <= 63);
}

#[test]
fn cpu_follows_memory_unless_it_is_said() {
    let limits = |resources: Value| {
        let design = lambda(json!({"resources": resources})).unwrap();
        design.template["spec"]["containers"][0]["resources"]["limits"].clone()
    };
    assert_eq!(limits(json!({"limits": {"memory": "1769Mi"}}))["cpu"], "1000m");
    assert_eq!(limits(json!({"limits": {"memory": "1769Mi", "cpu": "2"}}))["cpu"], "2");
    assert_eq!(limits(json!({"limits": {"memory": "256Mi"}, "requests": {"cpu": "1"}}))["cpu"], "1");
    assert!(limits(json!({}))["cpu"].is_null());
    assert_eq!(limits(json!({"limits": {"ephemeral-storage": "2Gi"}}))["ephemeral-storage"], "2Gi");
}

#[test]
fn what_makes_cold_starts_slow_is_known() {
    assert_eq!(lambda(json!({})).unwrap().slow, None);
    for spec in [
        json!({"secrets": [{"name": "db", "mountPath": "/db"}]}),
        json!({"template": {"spec": {"initContainers": [{"name": "warm", "image": "x"}]}}}),
        json!({"template": {"spec": {"automountServiceAccountToken": true}}}),
    ] {
        assert!(lambda(spec.clone()).unwrap().slow.is_some(), "{spec}");
    }
}

#[test]
fn a_value_with_a_dollar_sign_is_no_reference() {
    let mut runtime = python();
    runtime.spec.command = vec!["sh".into(), "-c".into(), "echo $(HOME)".into()];
    let spec = function(json!({"runtime": "python3.11", "handler": "a"}));
    let design = design(&settings(), &spec, Some(&runtime), &[], None).unwrap();
    let env = design.template["spec"]["containers"][0]["env"].as_array().unwrap();
    let command = env.iter().find(|variable| variable["name"] == "FLINT_COMMAND").unwrap();
    assert_eq!(command["value"], r#"["sh","-c","echo $$(HOME)"]"#);
}
