//! Each rule on an object that breaks it, and on one that keeps all.

use std::collections::BTreeSet;

use rstest::rstest;
use serde_json::{Value, json};

use super::*;

fn code(patch: Value) -> Value {
    let mut spec =
        json!({"runtime": "python3.11", "handler": "app.handler", "source": {"inline": {"app.py": "pass"}}});
    merge(&mut spec, patch);
    json!({"apiVersion": "flint.dev/v1alpha1", "kind": "Function", "metadata": {"name": "thumbnail"}, "spec": spec})
}

fn image(patch: Value) -> Value {
    let mut function =
        code(json!({"runtime": null, "handler": null, "source": null, "image": "team/web:1.4"}));
    merge(&mut function["spec"], patch);
    function
}

fn named(name: &str) -> Value {
    let mut function = code(json!({}));
    function["metadata"]["name"] = json!(name);
    function
}

fn source(source: Value) -> Value {
    let mut function = code(json!({}));
    function["spec"]["source"] = source;
    function
}

fn merge(target: &mut Value, patch: Value) {
    let (Some(fields), Value::Object(patch)) = (target.as_object_mut(), patch) else { return };
    for (key, value) in patch {
        if value.is_null() {
            fields.remove(&key);
        } else {
            fields.insert(key, value);
        }
    }
}

fn wrong() -> Vec<(&'static str, Value)> {
    let mount = |path: &str| code(json!({"secrets": [{"name": "db", "mountPath": path}]}));
    let schedule = |cron: &str| code(json!({"schedules": [{"name": "a", "cron": cron}]}));
    vec![
        ("metadata.name", named(&"a".repeat(50))),
        ("metadata.name", named("Thumbnail")),
        ("metadata.name", named("1st")),
        ("metadata.name", named("kubernetes")),
        ("spec", code(json!({"runtime": null, "handler": null, "source": null}))),
        ("spec.image", code(json!({"image": "web:1"}))),
        ("spec.source", code(json!({"source": null}))),
        ("spec.handler", code(json!({"handler": null}))),
        ("spec.source", image(json!({"source": {"inline": {"a": ""}}}))),
        ("spec.handler", image(json!({"handler": "a.b"}))),
        ("spec.build", image(json!({"build": {"timeout": "5m"}}))),
        ("spec.build.timeout", code(json!({"build": {"timeout": "9s"}}))),
        ("spec.build.timeout", code(json!({"build": {"timeout": "6h1s"}}))),
        ("spec.port", code(json!({"port": 80}))),
        ("spec.port", image(json!({"mode": "lambda", "port": 80}))),
        ("spec.mode", code(json!({"mode": "lambda"}))),
        ("spec.mode", image(json!({"mode": "process"}))),
        ("spec.command", code(json!({"command": ["a"]}))),
        ("spec.args", code(json!({"args": ["a"]}))),
        ("spec.runtime", code(json!({"runtime": "Python"}))),
        ("spec.handler", code(json!({"handler": ""}))),
        ("spec.image", image(json!({"image": "a b"}))),
        ("spec.port", image(json!({"port": 8012}))),
        ("spec.resources.limits.memory", code(json!({"resources": {"limits": {"memory": "lots"}}}))),
        ("spec.timeout", code(json!({"timeout": "16m"}))),
        ("spec.timeout", code(json!({"timeout": "0s"}))),
        (
            "spec.schedules",
            code(
                json!({"schedules": [{"name": "a", "cron": "rate(1 hour)"}, {"name": "a", "cron": "rate(2 hours)"}]}),
            ),
        ),
        (
            "spec.configMaps",
            code(
                json!({"secrets": [{"name": "a", "mountPath": "/a"}], "configMaps": [{"name": "b", "mountPath": "/a"}]}),
            ),
        ),
        ("spec.env[0].name", code(json!({"env": [{"name": "1A"}]}))),
        ("spec.env[0].name", code(json!({"env": [{"name": "FLINT_A"}]}))),
        ("spec.env[0].name", code(json!({"env": [{"name": "_HANDLER"}]}))),
        ("spec.env[0].valueFrom", code(json!({"env": [{"name": "A", "value": "1", "valueFrom": {}}]}))),
        ("spec.envFrom[0]", code(json!({"envFrom": [{}]}))),
        (
            "spec.envFrom[0].prefix",
            code(json!({"envFrom": [{"prefix": "FLINT_", "secretRef": {"name": "a"}}]})),
        ),
        ("spec.runtimeImage", image(json!({"runtimeImage": "python:3"}))),
        ("spec.runtimeImage", code(json!({"runtimeImage": "python 3"}))),
        (
            "spec.traffic",
            code(json!({"traffic": [{"revision": 1, "weight": 60}, {"revision": 2, "weight": 30}]})),
        ),
        ("spec.traffic[0].revision", code(json!({"traffic": [{"revision": 4_000_000_000_u32}]}))),
        ("spec.traffic[0].alias", code(json!({"traffic": [{"revision": 1, "alias": "3"}]}))),
        (
            "spec.traffic",
            code(
                json!({"traffic": [{"revision": 1, "weight": 100, "alias": "a"}, {"revision": 2, "alias": "a"}]}),
            ),
        ),
        ("spec.sticky", code(json!({"sticky": {}}))),
        ("spec.sticky.header", code(json!({"sticky": {"header": "X User"}}))),
        ("spec.sticky.cookie", code(json!({"sticky": {"cookie": "a;b"}}))),
        ("spec.canary.steps", code(json!({"canary": {"steps": [50, 10]}}))),
        ("spec.canary.maxErrorPercent", code(json!({"canary": {"maxErrorPercent": 101}}))),
        ("spec.canary.interval", code(json!({"canary": {"interval": "25h"}}))),
        ("spec.canary.maxLatency", code(json!({"canary": {"maxLatency": "16m"}}))),
        ("spec.scaling.minReplicas", code(json!({"scaling": {"minReplicas": 101}}))),
        ("spec.scaling.target", code(json!({"scaling": {"target": 0.001}}))),
        ("spec.scaling.target", code(json!({"scaling": {"target": 3}}))),
        ("spec.scaling.window", code(json!({"scaling": {"window": "5s"}}))),
        ("spec.scaling.scaleToZeroAfter", code(json!({"scaling": {"scaleToZeroAfter": "25h"}}))),
        ("spec.secrets[0].mountPath", mount("a")),
        ("spec.secrets[0].mountPath", mount("/a/../b")),
        ("spec.secrets[0].mountPath", mount("/")),
        ("spec.secrets[0].mountPath", mount("/var/task/x")),
        ("spec.configMaps[0].name", code(json!({"configMaps": [{"name": "A", "mountPath": "/a"}]}))),
        ("spec.schedules[0].name", code(json!({"schedules": [{"name": "A", "cron": "@daily"}]}))),
        (
            "spec.schedules[0].timeZone",
            code(json!({"schedules": [{"name": "a", "cron": "@daily", "timeZone": "+1"}]})),
        ),
        ("spec.schedules[0].cron", schedule("every day")),
        ("spec.schedules[0].cron", schedule("rate(1 minutes)")),
        ("spec.schedules[0].cron", schedule("cron(0 2 * * ?)")),
        ("spec.schedules[0].cron", schedule("@noon")),
        ("spec.source", source(json!({"inline": {"a": ""}, "configMap": {"name": "a"}}))),
        ("spec.source.inline", source(json!({"inline": {}}))),
        ("spec.source.inline", source(json!({"inline": {"../a": ""}}))),
        (
            "spec.source.inline",
            source(json!({"inline": {"a": "x".repeat(600_000), "b": "x".repeat(600_000)}})),
        ),
        ("spec.source.configMap.name", source(json!({"configMap": {"name": "A"}}))),
        (
            "spec.source.archive.url",
            source(json!({"archive": {"url": "http://a/b", "sha256": "0".repeat(64)}})),
        ),
        ("spec.source.archive.sha256", source(json!({"archive": {"url": "https://a/b", "sha256": "0"}}))),
        ("spec.source.git.url", source(json!({"git": {"url": "github.com/a/b"}}))),
        ("spec.source.git.revision", source(json!({"git": {"url": "https://a/b", "revision": "-x"}}))),
        ("spec.source.git.path", source(json!({"git": {"url": "https://a/b", "path": "/x"}}))),
        ("spec.source.oci.reference", source(json!({"oci": {"reference": "a:1"}}))),
        (
            "spec.template.metadata.labels",
            code(json!({"template": {"metadata": {"labels": {"app.kubernetes.io/name": "a"}}}})),
        ),
        (
            "spec.template.metadata.annotations",
            code(json!({"template": {"metadata": {"annotations": {"flint.dev/a": "a"}}}})),
        ),
    ]
}

fn broken_by(function: &Value) -> Vec<Broken> {
    broken(&serde_json::from_value(function.clone()).unwrap(), false)
}

#[test]
fn each_rule_is_broken_where_it_says() {
    for (path, function) in wrong() {
        let broken = broken_by(&function);
        assert!(broken.iter().any(|(at, _)| at == path), "{path}: {broken:?} of {function:#}");
    }
}

#[test]
fn every_rule_of_the_definition_is_one_here() {
    let crd = flint_api::all_crds().into_iter().find(|crd| crd.spec.names.kind == "Function").unwrap();
    let mut messages = BTreeSet::new();
    gather(&serde_json::to_value(&crd.spec.versions[0].schema).unwrap(), &mut messages);
    assert!(messages.len() > 40, "the definition has its rules elsewhere");
    let ours: BTreeSet<String> =
        wrong().iter().flat_map(|(_, function)| broken_by(function)).map(|(_, message)| message).collect();
    let missing: Vec<_> = messages.difference(&ours).collect();
    assert!(missing.is_empty(), "no rule says: {missing:#?}");
}

fn gather(schema: &Value, messages: &mut BTreeSet<String>) {
    if let Some(rules) = schema["x-kubernetes-validations"].as_array() {
        messages.extend(rules.iter().map(|rule| rule["message"].as_str().unwrap().to_owned()));
    }
    match schema {
        Value::Object(fields) => fields.values().for_each(|field| gather(field, messages)),
        Value::Array(items) => items.iter().for_each(|item| gather(item, messages)),
        _ => {}
    }
}

#[rstest]
#[case::code(code(json!({"timeout": "1m30s500ms", "env": [{"name": "lower.case-too", "value": ""}], "schedules": [
    {"name": "a", "cron": "0 2 * * *", "timeZone": "Europe/Berlin"}, {"name": "b", "cron": "cron(0 2 ? * SAT#3 *)"},
    {"name": "c", "cron": "rate(12 hours)"}, {"name": "d", "cron": "at(2027-01-31T09:00:00)"}]})))]
#[case::provided(code(json!({"runtime": "provided.rust", "handler": null})))]
#[case::image(image(json!({"port": 3000, "command": ["/bin/web"], "concurrency": 250})))]
#[case::image_for_lambda(image(json!({"mode": "lambda", "args": ["app.handler"]})))]
#[case::git(source(json!({"git": {"url": "https://github.com/team/functions.git", "revision": "v1.2"}})))]
#[case::artifact(source(json!({"oci": {"reference": "127.0.0.1:5000/team/thumbnail:1.4", "secretRef": {"name": "registry"}}})))]
#[case::quantities(code(json!({"resources": {"limits": {"memory": "1.5Gi", "cpu": "500m"}, "requests": {"memory": "1e8", "cpu": "2"}}})))]
#[case::traffic(code(json!({"traffic": [{"revision": "latest", "weight": 90, "alias": "prod"}, {"revision": 1, "weight": 10}], "sticky": {"cookie": "side"}, "canary": {"steps": [5, 50]}})))]
#[case::build(code(json!({"build": {"timeout": "10s", "env": [{"name": "PIP_INDEX_URL", "value": "https://pypi.example.com/simple"}]}})))]
#[case::rps(code(json!({"scaling": {"metric": "rps", "target": 250.5, "minReplicas": 3}})))]
fn what_is_right_breaks_none(#[case] function: Value) {
    assert_eq!(broken_by(&function), vec![]);
}

#[test]
fn a_schedule_that_never_fires_and_a_zone_that_is_none_are_found() {
    let wrong = code(json!({"schedules": [
        {"name": "a", "cron": "0 0 30 2 *"}, {"name": "b", "cron": "71 * * * *"}, {"name": "c", "cron": "@daily", "timeZone": "Europe/Porto"}]}));
    let paths: Vec<_> = broken_by(&wrong).into_iter().map(|(path, _)| path).collect();
    assert_eq!(paths, ["spec.schedules[0].cron", "spec.schedules[1].cron", "spec.schedules[2].timeZone"]);
}

#[test]
fn a_folder_takes_the_place_of_a_source() {
    let function = serde_json::from_value(code(json!({"source": null}))).unwrap();
    assert_eq!(broken(&function, true), vec![]);
}
