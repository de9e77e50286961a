use serde_json::{Value, json};

use super::*;

fn revision(number: u32, ready: Option<(&str, &str)>, package: &Value) -> Revision {
    let conditions: Vec<_> = ready
        .map(|(status, reason)| {
            json!({"type": "Ready", "status": status, "reason": reason, "message": "No module named PIL.", "lastTransitionTime": "2026-11-21T12:00:00Z"})
        })
        .into_iter()
        .collect();
    serde_json::from_value(json!({
        "apiVersion": "flint.dev/v1alpha1", "kind": "Revision",
        "metadata": {"name": format!("hello-{number}"), "namespace": "shop", "creationTimestamp": "2026-11-21T11:15:00Z"},
        "spec": {"function": "hello", "number": number, "image": "team/web:1.4", "package": package, "template": {}},
        "status": {"conditions": conditions, "traffic": ""},
    }))
    .unwrap()
}

fn function() -> Function {
    serde_json::from_value(json!({
        "apiVersion": "flint.dev/v1alpha1", "kind": "Function", "metadata": {"name": "hello", "namespace": "shop"}, "spec": {},
        "status": {"latestRevision": "hello-10", "traffic": [
            {"revision": "hello-2", "number": 2, "weight": 90, "alias": "prod", "latest": true},
            {"revision": "hello-3", "number": 3, "weight": 10, "latest": true, "canary": true},
            {"revision": "hello-2", "number": 2, "weight": 0, "alias": "stable"},
        ]},
    }))
    .unwrap()
}

fn shown() -> Vec<Version> {
    let package = |commit: &Value| json!({"digest": format!("sha256:{}", "5d41402abc4b".repeat(5)), "bytes": 12_288, "commit": commit});
    let revisions = [
        revision(10, Some(("False", "InitFailed")), &package(&json!("0123456789abcdef"))),
        revision(2, Some(("True", "Ready")), &Value::Null),
        revision(3, None, &package(&Value::Null)),
    ];
    rows(&function(), &revisions)
}

#[test]
fn each_version_is_a_line_with_its_share_and_its_names() {
    let now = "2026-11-21T12:00:00Z".parse().unwrap();
    insta::assert_snapshot!(anstream::adapter::strip_str(&render(&shown(), now)).to_string(), @"
    NUMBER        TRAFFIC        ALIAS         READY            IMAGE/PACKAGE                        AGE
    2             90%            prod,stable   yes              team/web:1.4                         45m
    3             10% on trial   -             not yet          5d41402abc4b 12 KiB                  45m
    10 (latest)   -              -             no: InitFailed   5d41402abc4b 12 KiB commit 0123456   45m
    ");
}

#[test]
fn scripts_are_told_why_one_cannot_start() {
    let versions = serde_json::to_value(shown()).unwrap();
    assert_eq!(versions[2]["because"], "InitFailed: No module named PIL.");
    assert_eq!((&versions[2]["ready"], &versions[2]["latest"]), (&json!(false), &json!(true)));
    assert_eq!(versions[1]["ready"], Value::Null);
    assert_eq!(versions[0]["aliases"], json!(["prod", "stable"]));
}
