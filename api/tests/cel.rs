//! What the rules in the definitions accept and refuse, one table each.

#![allow(clippy::unwrap_used)]

mod support;

use std::path::Path;

use serde_json::{Value, json};
use support::{refusals, yaml};

/// A Function with code, changed by a merge patch of its spec.
fn code(patch: Value) -> Value {
    let mut function = json!({
        "apiVersion": "flint.dev/v1alpha1", "kind": "Function", "metadata": {"name": "thumbnail", "namespace": "shop"},
        "spec": {"runtime": "python3.11", "handler": "app.handler", "source": {"inline": {"app.py": "pass"}}},
    });
    merge(&mut function["spec"], patch);
    function
}

/// A Function with an image, changed by a merge patch of its spec.
fn image(patch: Value) -> Value {
    let mut function = json!({
        "apiVersion": "flint.dev/v1alpha1", "kind": "Function", "metadata": {"name": "web", "namespace": "shop"},
        "spec": {"image": "registry.example.com/team/web:1.4"},
    });
    merge(&mut function["spec"], patch);
    function
}

/// A Function with code and another name.
fn named(name: &str) -> Value {
    let mut function = code(json!({}));
    function["metadata"]["name"] = json!(name);
    function
}

/// A Function whose only source is this one.
fn from(source: Value) -> Value {
    let mut function = code(json!({}));
    function["spec"]["source"] = source;
    function
}

/// A Function with one schedule.
fn scheduled(cron: &str) -> Value {
    code(json!({"schedules": [{"name": "nightly", "cron": cron}]}))
}

/// A Runtime, changed by a merge patch of its spec.
fn runtime(patch: Value) -> Value {
    let mut runtime = json!({
        "apiVersion": "flint.dev/v1alpha1", "kind": "Runtime", "metadata": {"name": "python3.11"},
        "spec": {"mode": "lambda", "image": "registry.example.com/flint/python:3.11", "command": ["python3", "{handler}"]},
    });
    merge(&mut runtime["spec"], patch);
    runtime
}

/// RFC 7386.
fn merge(target: &mut Value, patch: Value) {
    let Value::Object(patch) = patch else {
        *target = patch;
        return;
    };
    if !target.is_object() {
        *target = json!({});
    }
    for (key, value) in patch {
        if value.is_null() {
            target.as_object_mut().unwrap().remove(&key);
        } else {
            merge(&mut target[key], value);
        }
    }
}

#[test]
fn accepts_what_is_right() {
    let digest = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08";
    let right = [
        code(json!({})),
        code(json!({"runtime": "provided", "handler": null})),
        code(json!({"runtime": "provided.rust", "handler": null})),
        code(json!({"timeout": "1s"})),
        code(json!({"timeout": "15m"})),
        code(json!({"timeout": "900s"})),
        code(json!({"timeout": "1m30s500ms"})),
        code(json!({"concurrency": 0, "scaling": {"target": 100}})),
        code(json!({"scaling": {"target": 1}})),
        code(json!({"scaling": {"target": 0.01, "window": "6s", "scaleToZeroAfter": "24h"}})),
        code(json!({"scaling": {"metric": "rps", "target": 250.5}})),
        code(json!({"scaling": {"minReplicas": 3, "maxReplicas": 3}})),
        code(json!({"scaling": {"minReplicas": 100}})),
        code(json!({"runtimeImage": "registry.example.com/python:3.11.9"})),
        code(json!({"traffic": [{"revision": 3}]})),
        code(
            json!({"traffic": [{"revision": "latest", "weight": 90, "alias": "prod"}, {"revision": "2", "weight": 10},
            {"revision": 1, "alias": "old_one"}], "sticky": {"cookie": "flint-revision"}, "revisionHistoryLimit": 3}),
        ),
        code(
            json!({"canary": {"steps": [5, 25, 50], "interval": "30s", "maxErrorPercent": 0.5, "maxLatency": "250ms"}}),
        ),
        code(json!({"env": [{"name": "AWS_REGION", "value": "eu-west-1"},
            {"name": "AWS_LAMBDA_MAX_CONCURRENCY", "value": "1"}, {"name": "AWS_LAMBDA_LOG_FORMAT", "value": "JSON"}, {"name": "lower.case-too", "value": ""}]})),
        code(
            json!({"env": [{"name": "PASSWORD", "valueFrom": {"secretKeyRef": {"name": "db", "key": "password"}}}]}),
        ),
        code(
            json!({"envFrom": [{"secretRef": {"name": "db"}}, {"prefix": "CFG_", "configMapRef": {"name": "settings"}}]}),
        ),
        code(
            json!({"resources": {"limits": {"memory": "1769Mi", "cpu": 1}, "requests": {"memory": "128Mi"}}}),
        ),
        code(json!({"secrets": [{"name": "db", "mountPath": "/var/run/secrets/db"}],
                    "configMaps": [{"name": "db", "mountPath": "/var/tasks"}]})),
        code(
            json!({"template": {"metadata": {"labels": {"team": "shop"}, "annotations": {"example.com/a": "b"}},
                                 "spec": {"serviceAccountName": "thumbnail", "tolerations": [{"operator": "Exists"}]}}}),
        ),
        code(json!({"schedules": [
            {"name": "a", "cron": "0 2 * * *", "timeZone": "Europe/Berlin", "input": {"city": "Porto"}},
            {"name": "b", "cron": "rate(12 hours)", "input": [1, 2], "enabled": false},
            {"name": "c", "cron": "cron(0 2 ? * SAT#3 *)", "timeZone": "Etc/GMT+5", "input": "text"},
            {"name": "d", "cron": "@daily", "timeZone": "America/Argentina/Buenos_Aires"},
            {"name": "e", "cron": "at(2027-01-31T09:00:00)"}]})),
        image(json!({})),
        image(json!({"image": format!("localhost:5000/team/web@sha256:{digest}")})),
        image(json!({"port": 3000, "command": ["/bin/web"], "args": ["--port", "3000", ""]})),
        image(json!({"port": 8080, "concurrency": 250})),
        from(json!({"inline": {"lib/util.py": "", ".env": ""}})),
        from(json!({"configMap": {"name": "thumbnail-code"}})),
        from(
            json!({"archive": {"url": "https://example.com/a.zip?x=1", "sha256": digest, "secretRef": {"name": "s"}}}),
        ),
        from(
            json!({"git": {"url": "https://github.com/team/functions", "revision": "v1.2", "path": "functions/thumbnail"}}),
        ),
        from(json!({"git": {"url": "https://git.example.com:8443/team/functions.git"}})),
        from(json!({"oci": {"reference": format!("registry.example.com:5000/code@sha256:{digest}")}})),
        from(json!({"oci": {"reference": "ghcr.io/team/code:1.4", "secretRef": {"name": "s"}}})),
        from(json!({"oci": {"reference": format!("localhost:5000/a/b_c:1@sha256:{digest}")}})),
        named("a"),
        named(&"a".repeat(49)),
        runtime(json!({})),
        runtime(json!({"mode": "http", "port": 3000, "pool": {"size": 3}, "build": {"image": "builder:1"}})),
        runtime(
            json!({"resources": {"limits": {"memory": "128Mi"}}, "env": [{"name": "TZ", "value": "UTC"}]}),
        ),
    ];
    for object in right {
        assert_eq!(refusals(&object), Vec::<String>::new(), "{object:#}");
    }
}

#[test]
fn refuses_what_is_wrong_and_says_what_to_write() {
    let mount = |path: &str| code(json!({"secrets": [{"name": "db", "mountPath": path}]}));
    let env = |name: &str| code(json!({"env": [{"name": name, "value": "x"}]}));
    let file = |name: &str| from(json!({"inline": {name: ""}}));
    let wrong = [
        // Code or a container.
        (
            code(json!({"runtime": null, "handler": null, "source": null})),
            "write either runtime with handler and source",
        ),
        (code(json!({"runtime": null})), "write either runtime with handler and source"),
        (code(json!({"image": "web:1"})), "runtime and image exclude each other"),
        (code(json!({"handler": null})), "write handler, what the runtime calls"),
        (code(json!({"handler": ""})), "write what the runtime calls"),
        (code(json!({"source": null})), "a runtime needs code"),
        (code(json!({"runtime": "Python 3"})), "write the name of a Runtime"),
        (code(json!({"runtime": ""})), "write the name of a Runtime"),
        (code(json!({"port": 8080})), "port goes with image only"),
        (code(json!({"command": ["x"]})), "command goes with image only"),
        (code(json!({"args": ["x"]})), "args go with image only"),
        (image(json!({"handler": "app.handler"})), "an image has no handler"),
        (image(json!({"source": {"inline": {"a": ""}}})), "an image brings its own code"),
        (image(json!({"image": ""})), "write an image reference"),
        (image(json!({"image": "web 1.4"})), "write an image reference"),
        (image(json!({"port": 0})), "should be from 1 to 65535"),
        (image(json!({"port": 70000})), "should be from 1 to 65535"),
        (image(json!({"port": 8013})), "ports 8012 and 8013 belong to the watchdog"),
        // Sources.
        (from(json!({})), "write exactly one of inline, configMap, archive, git and oci"),
        (from(json!({"inline": {"a": ""}, "git": {"url": "https://x/y"}})), "write exactly one of inline"),
        (from(json!({"inline": {}})), "write at least one file"),
        (file(""), "name each file by its path"),
        (file("/etc/passwd"), "name each file by its path"),
        (file("../app.py"), "name each file by its path"),
        (file("lib/"), "name each file by its path"),
        (file(&"a".repeat(256)), "name each file by its path"),
        (
            from(json!({"inline": {"a": "x".repeat(600_000), "b": "x".repeat(600_000)}})),
            "inline code may have 1 MB together",
        ),
        (from(json!({"configMap": {"name": "Code"}})), "write the name of a ConfigMap"),
        (from(json!({"configMap": {}})), "Required value: \"name\""),
        (
            from(json!({"git": {"url": "git@github.com:team/functions.git"}})),
            "write the repository's https URL",
        ),
        (from(json!({"git": {"url": "https://anna:secret@example.com/a.git"}})), "secretRef"),
        (from(json!({"archive": {"url": "ftp://x/y.zip", "sha256": "0".repeat(64)}})), "write an https URL"),
        (
            from(json!({"archive": {"url": "https://x/y.zip", "sha256": "0".repeat(63)}})),
            "64 lower-case hex digits",
        ),
        (from(json!({"archive": {"url": "https://x/y.zip"}})), "Required value: \"sha256\""),
        (from(json!({"git": {"url": "functions"}})), "write the repository's https URL"),
        (
            from(json!({"git": {"url": "https://x/y", "revision": "--upload-pack=x"}})),
            "write a branch, tag or commit",
        ),
        (
            from(json!({"git": {"url": "https://x/y", "path": "/abs"}})),
            "write a folder below the repository's root",
        ),
        (
            from(json!({"oci": {"reference": "registry.example.com/code"}})),
            "write the artifact as registry/repository:tag",
        ),
        (from(json!({"oci": {"reference": "https://registry.example.com/code:1"}})), "write the artifact as"),
        (from(json!({"oci": {"reference": "registry.example.com/../code:1"}})), "write the artifact as"),
        // Traffic.
        (image(json!({"runtimeImage": "python:3"})), "runtimeImage goes with runtime only"),
        (
            code(json!({"traffic": [{"revision": 1, "weight": 60}, {"revision": 2, "weight": 30}]})),
            "the weights must make 100",
        ),
        (code(json!({"traffic": [{"revision": 1}, {"revision": 2}]})), "the weights must make 100"),
        (code(json!({"traffic": [{"revision": 0}]})), "write a revision's number"),
        // The API server's own refusal goes on with the rule's message.
        (code(json!({"traffic": [{"revision": "newest"}]})), "rule evaluation error"),
        (code(json!({"traffic": [{"revision": 1, "alias": "3"}]})), "not only digits and not latest"),
        (
            code(
                json!({"traffic": [{"revision": 1, "weight": 100, "alias": "prod"}, {"revision": 2, "alias": "prod"}]}),
            ),
            "two entries have the same alias",
        ),
        (code(json!({"sticky": {}})), "write either header or cookie"),
        (code(json!({"canary": {"steps": [50, 10]}})), "write the steps in rising order"),
        (code(json!({"canary": {"maxErrorPercent": 101}})), "write a percentage from 0 to 100"),
        // Names.
        (named(&"a".repeat(50)), "at most 49 characters"),
        (named("9lives"), "beginning with a letter"),
        (named("dotted.name"), "a Function gets a Service of its name"),
        (named("kubernetes"), "kubernetes is the API server's"),
        // Environment.
        (env("FLINT_KEY"), "belong to the watchdog"),
        (env("_HANDLER"), "Flint sets this variable itself, as Lambda does"),
        (env("AWS_LAMBDA_FUNCTION_NAME"), "Flint sets this variable itself, as Lambda does"),
        (env("LAMBDA_TASK_ROOT"), "Flint sets this variable itself, as Lambda does"),
        (env("1ST"), "write the variable's name"),
        (env(""), "write the variable's name"),
        (env("A=B"), "write the variable's name"),
        (code(json!({"env": [{"name": "A", "value": "x"}, {"name": "A", "value": "y"}]})), "Duplicate value"),
        (
            code(
                json!({"env": [{"name": "A", "value": "x", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}}]}),
            ),
            "write either value or valueFrom",
        ),
        (code(json!({"envFrom": [{}]})), "write exactly one of configMapRef and secretRef"),
        (
            code(json!({"envFrom": [{"prefix": "FLINT_", "secretRef": {"name": "x"}}]})),
            "choose another prefix",
        ),
        // Mounts.
        (mount("secrets"), "write an absolute path"),
        (mount("/"), "write an absolute path"),
        (mount("/etc/db/"), "write an absolute path"),
        (mount("/etc/../db"), "write an absolute path"),
        (mount("/etc/a:b"), "write an absolute path"),
        (mount("/var/task"), "/var/task holds the code"),
        (mount("/var/task/lib"), "/var/task holds the code"),
        (mount("/flint"), "/flint the watchdog"),
        (mount("/proc/1"), "are the system's"),
        (
            code(json!({"secrets": [{"name": "a", "mountPath": "/x"}, {"name": "b", "mountPath": "/x"}]})),
            "Duplicate value",
        ),
        (
            code(
                json!({"secrets": [{"name": "a", "mountPath": "/x"}], "configMaps": [{"name": "b", "mountPath": "/x"}]}),
            ),
            "mounted at the same path",
        ),
        // Times and numbers.
        (code(json!({"timeout": "30"})), "write a time from 1s to 15m"),
        (code(json!({"timeout": 30})), "must be of type \"string\""),
        (code(json!({"timeout": "999ms"})), "write a time from 1s to 15m"),
        (code(json!({"timeout": "901s"})), "write a time from 1s to 15m"),
        (code(json!({"timeout": "-5s"})), "write a time from 1s to 15m"),
        (code(json!({"timeout": "1.5s"})), "write a time from 1s to 15m"),
        (code(json!({"concurrency": 10001})), "should be from 0 to 10000"),
        (code(json!({"scaling": {"minReplicas": 3, "maxReplicas": 2}})), "minReplicas is above maxReplicas"),
        (code(json!({"scaling": {"minReplicas": 101}})), "minReplicas is above maxReplicas"),
        (code(json!({"scaling": {"maxReplicas": 0}})), "should be from 1 to 10000"),
        (code(json!({"scaling": {"metric": "memory"}})), "Unsupported value: \"memory\""),
        (code(json!({"scaling": {"target": 1.5}})), "scaling.target is a share of concurrency"),
        (code(json!({"scaling": {"target": 0}})), "write a number from 0.01 to 1000000"),
        (code(json!({"scaling": {"metric": "rps", "target": -1}})), "write a number from 0.01 to 1000000"),
        (code(json!({"scaling": {"window": "5s"}})), "write a time from 6s to 1h"),
        (code(json!({"scaling": {"window": "2h"}})), "write a time from 6s to 1h"),
        (code(json!({"scaling": {"scaleToZeroAfter": "0s"}})), "write a time from 1s to 24h"),
        // Schedules.
        (scheduled(""), "write rate(5 minutes)"),
        (scheduled("every night"), "write rate(5 minutes)"),
        (scheduled("0 2 * *"), "write rate(5 minutes)"),
        (scheduled("0 2 * * * *"), "write rate(5 minutes)"),
        (scheduled("rate(1 minutes)"), "in the singular for 1 only"),
        (scheduled("rate(0 minutes)"), "in the singular for 1 only"),
        (scheduled("cron(0 2 * * *)"), "write six fields in cron(…)"),
        (scheduled("@reboot"), "write one of @hourly, @daily"),
        (code(json!({"schedules": [{"name": "Nightly", "cron": "@daily"}]})), "write lower-case letters"),
        (code(json!({"schedules": [{"name": "", "cron": "@daily"}]})), "write lower-case letters"),
        (
            code(json!({"schedules": [{"name": "a", "cron": "@daily"}, {"name": "a", "cron": "@daily"}]})),
            "two schedules have the same name",
        ),
        (
            code(json!({"schedules": [{"name": "a", "cron": "@daily", "timeZone": "+02:00"}]})),
            "write an IANA time zone",
        ),
        (
            code(
                json!({"schedules": (0..33).map(|n| json!({"name": format!("s{n}"), "cron": "@daily"})).collect::<Vec<_>>()}),
            ),
            "Too long",
        ),
        // The overlay.
        (
            code(json!({"template": {"metadata": {"labels": {"flint.dev/function": "x"}}}})),
            "labels of flint.dev/",
        ),
        (
            code(json!({"template": {"metadata": {"labels": {"app.kubernetes.io/name": "x"}}}})),
            "labels of flint.dev/",
        ),
        (
            code(json!({"template": {"metadata": {"annotations": {"flint.dev/x": "x"}}}})),
            "annotations of flint.dev/",
        ),
        (code(json!({"template": {"spec": "x"}})), "must be of type \"object\""),
        // Runtimes.
        (runtime(json!({"mode": "wasm"})), "Unsupported value: \"wasm\""),
        (runtime(json!({"image": ""})), "write an image reference"),
        (runtime(json!({"command": null})), "write the program to start"),
        (runtime(json!({"command": []})), "write the program to start"),
        (runtime(json!({"command": ["python3", ""]})), "an item of command is empty"),
        (runtime(json!({"port": 8080})), "remove it, or write mode: http"),
        (runtime(json!({"mode": "http", "port": 8012})), "belong to the watchdog"),
        (runtime(json!({"pool": {"size": 101}})), "should be from 0 to 100"),
        (runtime(json!({"env": [{"name": "FLINT_MODE", "value": "x"}]})), "belong to the watchdog"),
    ];
    for (object, expected) in wrong {
        let refusals = refusals(&object);
        assert!(
            refusals.iter().any(|refusal| refusal.contains(expected)),
            "{expected:?} is not in {refusals:#?}: {object:#}"
        );
    }
}

/// Every Function that people are invited to apply is one that can be applied.
#[test]
fn accepts_the_examples() {
    let mut folders = vec![Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples")];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "yaml") {
                let text = std::fs::read_to_string(&path).unwrap();
                for document in text.split("\n---").filter(|document| document.contains("flint.dev/v1alpha1"))
                {
                    assert_eq!(refusals(&yaml(document)), Vec::<String>::new(), "{}", path.display());
                }
            }
        }
    }
}
