//! A forged announcement gets nothing; the operator uses no right that the chart does not give, and none it gives is idle.

use std::{
    collections::BTreeSet,
    fs::{self, File},
    io::{BufRead, BufReader},
    path::Path,
    time::Duration,
};

use flint_e2e::{cluster::SYSTEM, eventually, functions::PATIENCE, namespace::with_namespace};
use k8s_openapi::api::{
    core::v1::Pod,
    rbac::v1::{ClusterRole, PolicyRule},
};
use kube::{Api, api::LogParams};
use serde_json::{Value, json};

use crate::system;

#[tokio::test]
async fn a_forged_announcement_gets_no_request() {
    with_namespace("forged", |namespace| async move {
        let function = namespace.function("victim").python("def handler(event, context):\n    return 'mine'\n").apply().await;
        function.ok("/").await;
        // A pod of the same namespace that claims to be an instance, from its own address, without the key.
        let body = format!(
            r#"{{"namespace":"{}","function":"victim","revision":"{}","pod":"forger","uid":"$UID_","address":"$IP:8012","initMs":1}}"#,
            namespace.name,
            function.current().await.status.and_then(|status| status.revision).expect("a revision"),
        )
        .replace('"', "\\\"");
        let script = format!(
            "curl -sS -o /dev/null -w '%{{http_code}}' -X POST -H 'x-flint-signature: 00' -d \"{body}\" http://flint-leader.{SYSTEM}.svc.cluster.local:8082/announce"
        );
        let env = |name: &str, path: &str| json!({"name": name, "valueFrom": {"fieldRef": {"fieldPath": path}}});
        let pod = json!({
            "apiVersion": "v1", "kind": "Pod",
            "metadata": {"name": "forger", "namespace": namespace.name, "labels": {"flint.dev/function": "victim"}},
            "spec": {
                "restartPolicy": "Never",
                "securityContext": {"runAsNonRoot": true, "runAsUser": 65532, "seccompProfile": {"type": "RuntimeDefault"}},
                "containers": [{
                    "name": "curl", "image": namespace.cluster.image("flint-provided"), "command": ["sh", "-c", script],
                    "env": [env("IP", "status.podIP"), env("UID_", "metadata.uid")],
                    "securityContext": {"allowPrivilegeEscalation": false, "capabilities": {"drop": ["ALL"]}},
                }],
            },
        });
        namespace.apply(&pod).await.expect("a pod");
        let pods = namespace.api::<Pod>();
        flint_e2e::eventually("the forger's end", flint_e2e::functions::PATIENCE, || async {
            let phase = pods.get("forger").await.map_err(|error| error.to_string())?.status.and_then(|status| status.phase);
            if phase.as_deref() == Some("Succeeded") { Ok(()) } else { Err(format!("{phase:?}")) }
        })
        .await;
        assert_eq!(pods.logs("forger", &LogParams::default()).await.expect("its log"), "403");
        for _ in 0..50 {
            assert_eq!(function.get("/").await.body, "\"mine\"");
        }
    })
    .await;
}

/// (group, resource, verb), with the subresource behind the resource.
type Right = (String, String, String);

/// What an account did, by the API server's audit log and what it rotated away.
fn used(log: &str, account: &str) -> BTreeSet<Right> {
    let log = Path::new(log);
    let stem = log.file_stem().expect("a file").to_string_lossy().into_owned();
    let files = fs::read_dir(log.parent().expect("a folder")).expect("the log's folder");
    let paths = files.map(|file| file.expect("a file").path());
    paths
        .filter(|path| path.file_name().is_some_and(|name| name.to_string_lossy().starts_with(&stem)))
        .flat_map(|path| used_in(&path, account))
        .collect()
}

fn used_in(log: &Path, account: &str) -> BTreeSet<Right> {
    let user = format!("system:serviceaccount:{SYSTEM}:{account}");
    let lines = BufReader::new(File::open(log).expect("the audit log")).lines();
    let entries = lines
        .map_while(Result::ok)
        .filter(|line| line.contains(&user))
        .filter_map(|line| serde_json::from_str::<Value>(&line).ok());
    entries
        .filter(|entry| entry["user"]["username"] == user.as_str() && !of_a_user(entry))
        .filter_map(|entry| {
            let reference = &entry["objectRef"];
            let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
            let resource = reference["resource"].as_str()?;
            let resource = reference["subresource"]
                .as_str()
                .map_or_else(|| resource.to_owned(), |sub| format!("{resource}/{sub}"));
            Some((text(&reference["apiGroup"]), resource, text(&entry["verb"])))
        })
        .collect()
}

/// A Secret that a Function names for its source: whether the operator may read it is for the namespace's owner to say (docs/rbac.md), so
/// the call is right whether the chart's role, somebody's own or nobody's allowed it.
fn of_a_user(entry: &Value) -> bool {
    let reference = &entry["objectRef"];
    reference["resource"] == "secrets" && entry["verb"] == "get" && reference["namespace"] != SYSTEM
}

fn granted(rules: &[PolicyRule]) -> BTreeSet<Right> {
    let mut rights = BTreeSet::new();
    for rule in rules {
        for group in rule.api_groups.iter().flatten() {
            for resource in rule.resources.iter().flatten() {
                rights.extend(rule.verbs.iter().map(|verb| (group.clone(), resource.clone(), verb.clone())));
            }
        }
    }
    rights
}

#[tokio::test]
async fn rights_are_what_is_used() {
    let Ok(log) = std::env::var("FLINT_AUDIT_LOG") else {
        println!("skipped: no FLINT_AUDIT_LOG, so what was called is not known");
        return;
    };
    with_namespace("rights", |namespace| async move {
        // Something of everything, so that the log has it even if it has forgotten the beginning.
        for part in ["flint-operator", "flint-gateway"] {
            system::restart(&namespace.cluster, part).await;
        }
        let function = namespace
            .function("word")
            .python("def handler(event, context):\n    return 'word'\n")
            .apply()
            .await;
        function.ok("/").await;
        // The API server writes its log in batches.
        tokio::time::sleep(Duration::from_secs(5)).await;
        for account in ["flint-operator", "flint-gateway"] {
            let client = namespace.cluster.client.clone();
            let role = Api::<ClusterRole>::all(client.clone()).get(account).await.expect("its ClusterRole");
            let mut granted = granted(&role.rules.unwrap_or_default());
            let own = Api::<k8s_openapi::api::rbac::v1::Role>::namespaced(client, SYSTEM)
                .get(account)
                .await
                .expect("its Role");
            granted.extend(self::granted(&own.rules.unwrap_or_default()));
            assert!(
                !granted
                    .iter()
                    .any(|(group, resource, verb)| [group, resource, verb].iter().any(|word| *word == "*")),
                "no wildcards: {granted:?}"
            );
            let used = used(&log, account);
            assert!(used.len() > 5, "{account}: the log says too little: {used:?}");
            let missing: Vec<_> =
                used.difference(&granted).filter(|(group, ..)| group != "authorization.k8s.io").collect();
            assert!(missing.is_empty(), "{account} calls what it has no right to: {missing:?}");
            let idle: Vec<_> = granted.difference(&used).collect();
            println!(
                "{account}: {} rights, all calls within them; not used in this run: {idle:?}",
                granted.len()
            );
            assert!(
                !granted.iter().any(|(_, resource, verb)| resource == "secrets"
                    && ["get", "list", "watch"].contains(&verb.as_str())),
                "nobody reads Secrets"
            );
        }
    })
    .await;
}

#[tokio::test]
async fn no_node_is_refused_the_key_of_an_instance_that_it_starts() {
    let Ok(log) = std::env::var("FLINT_AUDIT_LOG") else {
        println!("skipped: no FLINT_AUDIT_LOG, so what was refused is not known");
        return;
    };
    with_namespace("node-keys", |namespace| async move {
        let code = "def handler(event, context):\n    return 'word'\n";
        for name in ["one", "two", "three", "four"] {
            namespace.function(name).python(code).apply().await.ok("/").await;
        }
        let asked = eventually("the log of what kubelet asked for", PATIENCE, || async {
            let asked = keys_asked(Path::new(&log), &namespace.name);
            if asked.is_empty() { Err("nothing yet") } else { Ok(asked) }
        })
        .await;
        // A refusal costs a start more than a second: kubelet asks before the Node authorizer has heard of the pod.
        let refused: Vec<_> = asked.iter().filter(|entry| entry["responseStatus"]["code"] == 403).collect();
        assert!(refused.is_empty(), "{} of {}: {:?}", refused.len(), asked.len(), refused[0]);
    })
    .await;
}

/// What nodes asked for of the Secrets with a namespace's key.
fn keys_asked(log: &Path, namespace: &str) -> Vec<Value> {
    let lines = BufReader::new(File::open(log).expect("the audit log")).lines();
    let entries = lines
        .map_while(Result::ok)
        .filter(|line| line.contains("\"flint-key-") && line.contains(namespace))
        .filter_map(|line| serde_json::from_str::<Value>(&line).ok());
    let by_a_node = |entry: &Value| {
        entry["user"]["username"].as_str().is_some_and(|name| name.starts_with("system:node:"))
    };
    entries.filter(by_a_node).collect()
}
