use flint_testing::apiserver::ApiServer;
use serde_json::Value;

use super::*;
use crate::error;

fn cluster(server: &ApiServer) -> Cluster {
    Cluster { client: server.client(), namespace: "shop".into(), context: "test".into() }
}

fn function(name: &str, spec: Value) -> Function {
    serde_json::from_value(json!({
        "apiVersion": "flint.dev/v1alpha1", "kind": "Function", "metadata": {"name": name, "namespace": "shop"}, "spec": spec,
    }))
    .unwrap()
}

fn given(args: &[&str], stdin: &str) -> Result<BTreeMap<String, Vec<u8>>, Error> {
    #[derive(clap::Parser)]
    struct Line {
        #[command(flatten)]
        given: Given,
    }
    let line = <Line as clap::Parser>::try_parse_from(std::iter::once(&"set").chain(args)).unwrap();
    line.given.read(stdin.as_bytes())
}

#[test]
fn values_come_from_the_line_from_files_and_from_standard_input() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("tls.key");
    std::fs::write(&file, "KEY\n").unwrap();
    let env = folder.path().join(".env");
    std::fs::write(&env, "# of the shop\nexport A=\"one two\"\n\nB=x=y\n").unwrap();
    let (file, env) = (file.to_str().unwrap(), env.to_str().unwrap());
    let data =
        given(&["URL=a=b", "PASSWORD=-", "--from-file", file, "--from-env-file", env], "hunter2\n").unwrap();
    let data: BTreeMap<_, _> =
        data.into_iter().map(|(key, value)| (key, String::from_utf8(value).unwrap())).collect();
    let expected =
        [("A", "one two"), ("B", "x=y"), ("PASSWORD", "hunter2"), ("URL", "a=b"), ("tls.key", "KEY\n")];
    assert_eq!(data, expected.map(|(key, value)| (key.to_owned(), value.to_owned())).into());
}

#[test]
fn a_value_without_a_key_is_not_repeated() {
    let error = given(&["hunter2"], "").unwrap_err();
    assert_eq!(error.code(), error::USAGE);
    assert!(!format!("{error:?}").contains("hunter2"));
}

#[test]
fn nothing_twice_and_nothing_at_all_are_refused() {
    assert_eq!(given(&["A=1", "A=2"], "").unwrap_err().to_string(), "A is given twice");
    assert_eq!(given(&[], "").unwrap_err().to_string(), "there is nothing to set");
    assert_eq!(given(&["a b=1"], "").unwrap_err().to_string(), "\"a b\" cannot be a key");
}

#[tokio::test]
async fn keys_that_are_not_named_stay() {
    let server = ApiServer::new();
    let cluster = cluster(&server);
    let value = |key: &str| BTreeMap::from([(key.to_owned(), b"v".to_vec())]);
    assert_eq!(store(&cluster, "db", value("A"), false).await.unwrap(), "created");
    assert_eq!(store(&cluster, "db", value("B"), false).await.unwrap(), "changed");
    let secret = server.get("/api/v1/namespaces/shop/secrets/db").unwrap();
    assert_eq!(secret["data"], json!({"A": "dg==", "B": "dg=="}));
    assert_eq!(secret["metadata"]["labels"][LABEL], "true");
}

#[tokio::test]
async fn a_strangers_secret_is_left_alone() {
    let server = ApiServer::new();
    server.put(&json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "db", "namespace": "shop"}, "data": {}}));
    let cluster = cluster(&server);
    let data = || BTreeMap::from([("A".to_owned(), b"v".to_vec())]);
    let error = store(&cluster, "db", data(), false).await.unwrap_err();
    assert_eq!(error.code(), error::USAGE);
    assert_eq!(store(&cluster, "db", data(), true).await.unwrap(), "changed");
}

#[tokio::test]
async fn a_restart_is_a_change_of_the_pods_and_of_nothing_else() {
    let server = ApiServer::new();
    let hello = function("hello", json!({"image": "hello"}));
    server.put(&serde_json::to_value(&hello).unwrap());
    restart(&cluster(&server), &hello).await.unwrap();
    let request = server.requests().pop().unwrap();
    assert!(request.query.contains("fieldManager=flint-restart"), "{}", request.query);
    let fields: Vec<_> = request.body["spec"].as_object().unwrap().keys().cloned().collect();
    assert_eq!(fields, ["template"]);
}

#[test]
fn every_way_to_use_a_secret_counts() {
    let used = |spec| used_by(&function("f", spec)).into_iter().collect::<Vec<_>>();
    assert_eq!(used(json!({"secrets": [{"name": "db", "mountPath": "/db"}]})), ["db"]);
    assert_eq!(used(json!({"envFrom": [{"secretRef": {"name": "db"}}]})), ["db"]);
    assert_eq!(
        used(json!({"env": [{"name": "A", "valueFrom": {"secretKeyRef": {"name": "db", "key": "a"}}}]})),
        ["db"]
    );
    assert!(used(json!({"envFrom": [{"configMapRef": {"name": "db"}}]})).is_empty());
}

#[test]
fn the_list_has_keys_and_no_values() {
    let secret: Secret = serde_json::from_value(json!({
        "metadata": {"name": "db", "namespace": "shop", "creationTimestamp": "2026-11-21T11:00:00Z"}, "data": {"URL": "aHVudGVyMg==", "USER": "dg=="},
    }))
    .unwrap();
    let unused = serde_json::from_value(
        json!({"metadata": {"name": "old", "creationTimestamp": "2026-11-01T11:00:00Z"}}),
    )
    .unwrap();
    let now: Timestamp = "2026-11-21T12:00:00Z".parse().unwrap();
    let users = [function("hello", json!({"envFrom": [{"secretRef": {"name": "db"}}]}))];
    insta::assert_snapshot!(render(&[row(&secret, &users), row(&unused, &users)], "shop", now));
}

#[test]
fn who_sets_a_secret_learns_what_it_means_for_what_runs() {
    let users = [function("hello", json!({})), function("thumbnail", json!({}))];
    let keys = ["URL".to_owned(), "USER".to_owned()];
    let texts = [
        said("db", "changed", &keys, &users, false),
        said("db", "changed", &keys, &users, true),
        said("db", "created", &keys, &[], false),
    ];
    insta::assert_snapshot!(texts.join("\n\n"));
}
