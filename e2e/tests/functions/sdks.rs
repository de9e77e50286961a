//! AWS's own clients call Flint's Invoke, where every signature is good and where only one is.

use std::net::SocketAddr;

use flint_e2e::{
    FunctionBuilder, Namespace, eventually, functions::PATIENCE, namespace::with_namespace, sdks,
};
use k8s_openapi::api::core::v1::Pod;
use kube::{Api, ResourceExt as _};
use serde_json::{Value, json};
use tokio::process::Command;

const CODE: &str = "def handler(event, context):\n\
    \x20   if event.get('raise'): raise ValueError('as asked')\n\
    \x20   print('a line of the log')\n\
    \x20   custom = getattr(context.client_context, 'custom', None)\n\
    \x20   return {'event': event, 'custom': custom}\n";
/// What the clients sign with; nobody outside of this test has it.
const SECRET: &str = "only-for-this-test";

#[tokio::test]
async fn boto3_and_the_cli_invoke() {
    with_namespace("boto3", |namespace| async move {
        let function = function(&namespace).await;
        let programs = sdks::python().await;
        let name = name(&function);
        let client = async |url: &str, secret: &str| {
            let mut python = Command::new(programs.join("python"));
            sdks::saw(python.arg(sdks::script("client.py")).args([url, &name, secret])).await
        };
        let saw = client(&namespace.cluster.url, "whatever").await;
        everything_is_as_in_lambda(&saw);
        assert_eq!(saw["plain"]["payload"]["custom"], json!({"tenant": "blue"}), "the client's context");
        assert_eq!((&saw["plain"]["version"], &saw["dry"]), (&json!("$LATEST"), &json!(204)));
        assert_eq!((&saw["arn"], &saw["qualified"]), (&json!(200), &json!(200)));
        assert_eq!(saw["event"]["status"], 501, "not served yet, and said so");
        assert!(saw["stream"]["end"]["LogResult"].is_string(), "{saw}");

        let strict = strict_gateway(&namespace, &function).await;
        everything_is_as_in_lambda(&client(&strict, SECRET).await);
        let refused = client(&strict, "guessed").await["refused"].clone();
        assert_eq!(refused, json!({"code": "InvalidSignatureException", "status": 403}));

        let mut cli = Command::new(programs.join("aws"));
        cli.args([
            "lambda",
            "invoke",
            "--endpoint-url",
            &strict,
            "--region",
            "eu-west-1",
            "--function-name",
            &name,
        ])
        .args(["--payload", r#"{"a":1}"#, "/dev/stderr"])
        .envs([("AWS_ACCESS_KEY_ID", "AKIATEST"), ("AWS_SECRET_ACCESS_KEY", SECRET)]);
        let said = sdks::saw(&mut cli).await;
        assert_eq!((&said["StatusCode"], said.get("FunctionError")), (&json!(200), None), "{said}");
    })
    .await;
}

#[tokio::test]
async fn the_sdk_for_javascript_invokes() {
    with_namespace("sdk-js", |namespace| async move {
        let function = function(&namespace).await;
        let folder = sdks::node().await;
        let name = name(&function);
        let client = async |url: &str, secret: &str| {
            sdks::saw(Command::new("node").arg("client.mjs").args([url, &name, secret]).current_dir(&folder))
                .await
        };
        everything_is_as_in_lambda(&client(&namespace.cluster.url, "whatever").await);
        let strict = strict_gateway(&namespace, &function).await;
        everything_is_as_in_lambda(&client(&strict, SECRET).await);
        let refused = client(&strict, "guessed").await["refused"].clone();
        assert_eq!(refused, json!({"code": "InvalidSignatureException", "status": 403}));
    })
    .await;
}

fn everything_is_as_in_lambda(saw: &Value) {
    assert_eq!(saw["refused"], Value::Null, "{saw}");
    let plain = &saw["plain"];
    assert_eq!((&plain["status"], &plain["error"]), (&json!(200), &Value::Null), "{saw}");
    assert_eq!(plain["payload"]["event"], json!({"a": "ü"}), "{saw}");
    let log = plain["log"].as_str().unwrap_or_default();
    assert!(log.contains("a line of the log") && log.contains("REPORT RequestId: "), "{saw}");
    let raised = &saw["raised"];
    assert_eq!((&raised["status"], &raised["error"]), (&json!(200), &json!("Unhandled")), "{saw}");
    assert_eq!(raised["payload"]["errorType"], "ValueError", "{saw}");
    assert_eq!(saw["nobody"], json!({"code": "ResourceNotFoundException", "status": 404}));
    let streamed: Value =
        serde_json::from_str(saw["stream"]["payload"].as_str().unwrap_or_default()).unwrap_or_default();
    assert_eq!(streamed["event"], json!({"a": "b"}), "{saw}");
    assert_eq!(saw["stream"]["end"].get("ErrorCode").filter(|code| !code.is_null()), None, "{saw}");
    let broken = &saw["broken_stream"]["end"];
    assert_eq!(broken["ErrorCode"], "Unhandled", "{saw}");
    assert!(broken["ErrorDetails"].as_str().is_some_and(|details| details.contains("as asked")), "{saw}");
}

async fn function(namespace: &Namespace) -> FunctionBuilder {
    let function = namespace.function("invoked").python(CODE).scaling("minReplicas", json!(1)).apply().await;
    function.ready().await;
    function
}

fn name(function: &FunctionBuilder) -> String {
    format!("{}.{}", function.name(), function.namespace().name)
}

/// A gateway that asks for signatures, beside the cluster's: its file is a Secret's, its only instance is the function's.
async fn strict_gateway(namespace: &Namespace, function: &FunctionBuilder) -> String {
    let instance = eventually("an instance of the function", PATIENCE, || async {
        let pods = namespace.pods(function.name()).await;
        let address = pods.iter().find_map(|pod| pod.status.as_ref()?.pod_ip.clone());
        address.ok_or("no address yet")
    })
    .await;
    let keys = format!("[test]\naws_access_key_id = AKIATEST\naws_secret_access_key = {SECRET}\n");
    let table = json!({"functions": [{
        "name": function.name(), "namespace": namespace.name, "mode": "lambda", "concurrency": 1, "instances": [format!("{instance}:8012")],
    }]});
    let metadata = json!({"name": "strict-gateway", "namespace": namespace.name});
    let secret = json!({
        "apiVersion": "v1", "kind": "Secret", "metadata": metadata,
        "stringData": {"credentials": keys, "table": table.to_string()},
    });
    let pod = json!({"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": {
        "securityContext": {"runAsNonRoot": true, "runAsUser": 65532, "seccompProfile": {"type": "RuntimeDefault"}},
        "automountServiceAccountToken": false,
        "containers": [{
            "name": "gateway", "image": namespace.cluster.image("flint-gateway"),
            "args": ["--static-table=/etc/flint/table", "--invoke-credentials-file=/etc/flint/credentials", "--workers=1"],
            "readinessProbe": {"httpGet": {"path": "/readyz", "port": 8081}, "periodSeconds": 1},
            "securityContext": {"allowPrivilegeEscalation": false, "capabilities": {"drop": ["ALL"]}},
            "volumeMounts": [{"name": "etc", "mountPath": "/etc/flint"}],
        }],
        "volumes": [{"name": "etc", "secret": {"secretName": "strict-gateway"}}],
    }});
    for object in [secret, pod] {
        namespace.apply(&object).await.expect("the gateway's objects");
    }
    let pods: Api<Pod> = namespace.api();
    let address: SocketAddr = eventually("the strict gateway", PATIENCE, || async {
        let pod = pods.get("strict-gateway").await.map_err(|error| error.to_string())?;
        let name = pod.name_any();
        let status = pod.status.unwrap_or_default();
        let ready =
            status.conditions.iter().flatten().any(|one| one.type_ == "Ready" && one.status == "True");
        let address = status.pod_ip.as_deref().and_then(|ip| ip.parse().ok());
        address.filter(|_| ready).map(|ip| SocketAddr::new(ip, 8080)).ok_or(format!("{name} is not ready"))
    })
    .await;
    format!("http://{address}")
}
