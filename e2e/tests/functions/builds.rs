//! Sources that name dependencies, built by Jobs under Pod Security `restricted`, from an index inside the cluster: no test of
//! these needs the network.

use std::time::Duration;

use flint_api::Runtime;
use flint_e2e::{FunctionBuilder, Namespace, eventually, functions::PATIENCE, namespace::with_namespace};
use k8s_openapi::api::{
    batch::v1::Job,
    core::v1::{Pod, ResourceQuota},
};
use kube::{
    Api, ResourceExt as _,
    api::{DeleteParams, ListParams},
};
use serde_json::{Value, json};

const CODE: &str = "import greeting\n\ndef handler(event, context):\n    return greeting.hello()\n";
/// A build takes the pull of its image, a pod and the tool's own time, on a busy machine.
const BUILDING: Duration = Duration::from_secs(240);

#[tokio::test]
async fn requirements_become_modules_beside_the_code_and_one_build_serves_all_who_have_it() {
    with_namespace("builds", |namespace| async move {
        index(&namespace).await;
        let function = python(&namespace, "first", "greeting==1.0\n").apply().await;
        built(&function, "True").await;
        assert_eq!(function.ok("/").await, "\"hello from a wheel\"");
        function.ready().await;
        let package = function.current().await.status.unwrap_or_default().package.expect("status.package");
        let events = function.events().await;
        assert!(events.iter().any(|event| format!("{event:?}").contains("job/flint-build-")), "{events:?}");

        let second = python(&namespace, "second", "greeting==1.0\n").apply().await;
        assert_eq!(second.ok("/").await, "\"hello from a wheel\"");
        second.ready().await;
        let same = second.current().await.status.unwrap_or_default().package.expect("status.package");
        assert_eq!(package, same, "one package");
        let jobs = jobs(&namespace).await;
        assert_eq!(jobs.len(), 1, "one build: {jobs:?}");

        // Neither another setting nor a Job that is gone has the same built again.
        let api = namespace.api::<Job>();
        api.delete(&jobs[0], &DeleteParams::background()).await.expect("the Job");
        let function = function.set("timeout", json!("7s")).apply().await;
        function.ready().await;
        assert_eq!(function.ok("/").await, "\"hello from a wheel\"");
        assert!(self::jobs(&namespace).await.is_empty(), "nothing is built again");
    })
    .await;
}

#[tokio::test]
async fn a_dependency_that_does_not_resolve_is_quoted_and_what_runs_goes_on() {
    with_namespace("builds-fail", |namespace| async move {
        index(&namespace).await;
        let function = python(&namespace, "shop", "greeting==1.0\n").apply().await;
        built(&function, "True").await;
        function.ready().await;
        let before = function.current().await.status.unwrap_or_default();

        let function = function.set("source", source("greeting==9.9\n")).apply().await;
        let failed = built(&function, "False").await;
        assert_eq!(failed.0, "BuildFailed", "{failed:?}");
        assert!(failed.1.contains("No matching distribution found for greeting==9.9"), "{failed:?}");
        let status = function.current().await.status.unwrap_or_default();
        assert_eq!((status.revision, status.package), (before.revision, before.package));
        assert_eq!(function.ok("/").await, "\"hello from a wheel\"", "what ran goes on");
        let events = function.events().await;
        assert!(events.iter().any(|event| format!("{event:?}").contains("greeting==9.9")), "{events:?}");

        let function = function.set("source", source("greeting==1.0\n")).apply().await;
        built(&function, "True").await;
        function.ready().await;
    })
    .await;
}

#[tokio::test]
async fn a_build_ends_at_its_deadline_and_a_job_that_somebody_deleted_is_made_again() {
    with_namespace("builds-slow", |namespace| async move {
        index(&namespace).await;
        let slow = python(&namespace, "slow", "slow\n").apply().await;
        let first = eventually("its Job", BUILDING, || uid(&namespace, None)).await;
        let name = jobs(&namespace).await.remove(0);
        namespace.api::<Job>().delete(&name, &DeleteParams::background()).await.expect("the Job");
        eventually("another Job of that name", BUILDING, || uid(&namespace, Some(&first))).await;

        let mut settings = settings(&namespace);
        settings["timeout"] = json!("10s");
        let slow = slow.set("build", settings).apply().await;
        let late = built(&slow, "False").await;
        assert!(late.1.contains("longer than 10 s") && late.1.contains("spec.build.timeout"), "{late:?}");
        assert_eq!(jobs(&namespace).await.len(), 1, "the build that nobody wants any more is ended");
        assert!(namespace.pods("slow").await.is_empty(), "nothing runs");
    })
    .await;
}

#[tokio::test]
async fn what_a_lock_of_npm_names_is_beside_the_code() {
    with_namespace("builds-npm", |namespace| async move {
        index(&namespace).await;
        let at = format!("http://index.{}.svc", namespace.name);
        let manifest = json!({"name": "shop", "version": "1.0.0", "dependencies": {"greeting": "1.0.0"}});
        let lock = json!({"name": "shop", "version": "1.0.0", "lockfileVersion": 3, "packages": {
            "": {"name": "shop", "version": "1.0.0", "dependencies": {"greeting": "1.0.0"}},
            "node_modules/greeting": {"version": "1.0.0", "resolved": format!("{at}/greeting/-/greeting-1.0.0.tgz")},
        }});
        let code = "const {hello} = require('greeting');\nexports.handler = async () => hello();\n";
        let files = json!({"index.js": code, "package.json": manifest.to_string(), "package-lock.json": lock.to_string()});
        let function = namespace
            .function("node")
            .set("runtime", json!("nodejs"))
            .set("handler", json!("index.handler"))
            .set("source", json!({"inline": files}))
            .set("build", json!({"env": [{"name": "npm_config_registry", "value": at}]}))
            .apply()
            .await;
        built(&function, "True").await;
        assert_eq!(function.ok("/").await, "\"hello from a tarball\"");
    })
    .await;
}

#[tokio::test]
async fn an_image_that_cannot_be_pulled_is_told_of_long_before_the_deadline() {
    with_namespace("builds-image", |namespace| async move {
        let runtimes = Api::<Runtime>::all(namespace.cluster.client.clone());
        let mut spec = serde_json::to_value(&runtimes.get("python3.11").await.expect("the chart's Runtime").spec)
            .expect("a spec");
        let image = namespace.cluster.image("flint-nowhere-build");
        spec["build"]["image"] = json!(image);
        let own = format!("own-{}", namespace.name);
        let object = json!({"apiVersion": "flint.dev/v1alpha1", "kind": "Runtime", "metadata": {"name": own}, "spec": spec});
        namespace.apply(&object).await.expect("the Runtime is accepted");
        let function = python(&namespace, "stuck", "greeting==1.0\n").set("runtime", json!(own)).apply().await;
        let failed = stuck(&function).await;
        assert!(failed.contains(&format!("{image} cannot be pulled")), "{failed}");
        assert!(failed.contains("spec.build of the Runtime"), "it says where to look: {failed}");
        let job = namespace.api::<Job>().list(&ListParams::default()).await.expect("Jobs").items.remove(0);
        let over = job.status.and_then(|status| status.conditions).unwrap_or_default();
        assert!(over.is_empty(), "kubelet goes on trying: {over:?}");
        runtimes.delete(&own, &DeleteParams::default()).await.expect("it goes");
    })
    .await;
}

#[tokio::test]
async fn a_build_that_the_quota_refuses_says_so() {
    with_namespace("builds-quota", |namespace| async move {
        index(&namespace).await;
        let quota = json!({"apiVersion": "v1", "kind": "ResourceQuota", "metadata": {"name": "small", "namespace": namespace.name},
            "spec": {"hard": {"pods": "1"}}});
        namespace.apply(&quota).await.expect("a quota");
        let quotas = namespace.api::<ResourceQuota>();
        eventually("the quota's count", PATIENCE, || async {
            let status = quotas.get("small").await.map_err(|error| error.to_string())?.status.unwrap_or_default();
            status.used.map(|_| ()).ok_or("none yet".to_owned())
        })
        .await;
        let function = python(&namespace, "waits", "greeting==1.0\n").apply().await;
        let failed = stuck(&function).await;
        assert!(failed.contains("exceeded quota: small") && failed.contains("Raise it"), "{failed}");
    })
    .await;
}

/// A Python function with requirements, from the index in the namespace.
fn python(namespace: &Namespace, name: &str, requirements: &str) -> FunctionBuilder {
    let function = namespace.function(name).python(CODE).set("build", settings(namespace));
    function.set("source", source(requirements))
}

fn source(requirements: &str) -> Value {
    json!({"inline": {"app.py": CODE, "requirements.txt": requirements}})
}

fn settings(namespace: &Namespace) -> Value {
    let host = format!("index.{}.svc", namespace.name);
    json!({"env": [
        {"name": "PIP_INDEX_URL", "value": format!("http://{host}/simple")},
        {"name": "PIP_TRUSTED_HOST", "value": host},
    ]})
}

/// Waits until `Built` has that status for the spec as it is; gives reason and message.
pub(crate) async fn built(function: &FunctionBuilder, status: &str) -> (String, String) {
    eventually("the end of the build", BUILDING, || async {
        let now = function.current().await;
        let conditions = now.status.clone().unwrap_or_default().conditions;
        let found = conditions.into_iter().find(|condition| condition.type_ == "Built");
        match found {
            Some(built) if built.status == status && built.observed_generation == now.metadata.generation => {
                Ok((built.reason, built.message))
            }
            other => Err(format!("{other:?}")),
        }
    })
    .await
}

/// Waits until the build is said to have failed, and not to be under way; gives the message.
async fn stuck(function: &FunctionBuilder) -> String {
    eventually("what the build is stuck for", BUILDING, || async {
        let conditions = function.current().await.status.unwrap_or_default().conditions;
        match conditions.into_iter().find(|condition| condition.type_ == "Built") {
            Some(built) if built.reason == "BuildFailed" => Ok(built.message),
            other => Err(format!("{other:?}")),
        }
    })
    .await
}

async fn jobs(namespace: &Namespace) -> Vec<String> {
    let jobs = namespace.api::<Job>().list(&ListParams::default()).await.expect("a list of Jobs");
    let staying = jobs.items.iter().filter(|job| job.metadata.deletion_timestamp.is_none());
    staying.map(kube::ResourceExt::name_any).collect()
}

/// The uid of the only Job, if it is another than before.
async fn uid(namespace: &Namespace, before: Option<&str>) -> Result<String, String> {
    let jobs =
        namespace.api::<Job>().list(&ListParams::default()).await.map_err(|error| error.to_string())?;
    let uid = jobs.items.first().and_then(|job| job.uid());
    uid.filter(|uid| before != Some(uid.as_str())).ok_or_else(|| format!("{} Jobs", jobs.items.len()))
}

/// Starts the index and waits until it listens.
async fn index(namespace: &Namespace) {
    let metadata = json!({"name": "index", "namespace": namespace.name, "labels": {"app": "index"}});
    let objects = [
        json!({
            "apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata,
            "data": {"index.py": include_str!("../../fixtures/builds/index.py")},
        }),
        json!({
            "apiVersion": "v1", "kind": "Service", "metadata": metadata,
            "spec": {"selector": {"app": "index"}, "ports": [{"port": 80, "targetPort": 8080}]},
        }),
        json!({
            "apiVersion": "v1", "kind": "Pod", "metadata": metadata,
            "spec": {
                "securityContext": {"runAsNonRoot": true, "runAsUser": 65532, "seccompProfile": {"type": "RuntimeDefault"}},
                "containers": [{
                    "name": "index", "image": namespace.cluster.image("flint-python3.11"), "command": ["python3", "/srv/index.py"],
                    "readinessProbe": {"tcpSocket": {"port": 8080}, "periodSeconds": 1},
                    "securityContext": {"allowPrivilegeEscalation": false, "capabilities": {"drop": ["ALL"]}},
                    "volumeMounts": [{"name": "srv", "mountPath": "/srv"}],
                }],
                "volumes": [{"name": "srv", "configMap": {"name": "index"}}],
            },
        }),
    ];
    for object in objects {
        namespace.apply(&object).await.expect("the index's objects");
    }
    let pods: Api<Pod> = namespace.api();
    eventually("the index", PATIENCE, || async {
        let status = pods.get("index").await.map_err(|error| error.to_string())?.status.unwrap_or_default();
        let conditions = status.conditions.clone().unwrap_or_default();
        let ready =
            conditions.iter().any(|condition| condition.type_ == "Ready" && condition.status == "True");
        if ready { Ok(()) } else { Err(format!("{status:?}")) }
    })
    .await;
}
