//! A registry that demands a login: the operator pushes the functions' images there with its Secret, and nodes pull with the namespace's.

use std::process::Stdio;

use flint_e2e::{cluster::SYSTEM, eventually, functions::PATIENCE, namespace::with_namespace};
use k8s_openapi::api::core::v1::Secret;
use kube::{
    Api,
    api::{DeleteParams, PostParams},
};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::process::{Child, Command};

use crate::upgrade::helm;

/// A registry of a test's own; it ends when dropped.
struct Registry {
    _process: Child,
    _folder: TempDir,
}

/// As nodes know it, and as the operator reaches it.
const ON_NODES: &str = "127.0.0.1:5001";
const FROM_PODS: &str = "10.244.0.1:5001";

impl Registry {
    /// The only user is `anna`, whose password is `open-sesame`.
    async fn start() -> Self {
        let folder = TempDir::new().expect("a folder");
        let config = include_str!("../../fixtures/registry/config.yaml");
        let config = config.replace("@FOLDER@", &folder.path().display().to_string());
        std::fs::write(folder.path().join("config.yaml"), config).expect("a file");
        std::fs::write(folder.path().join("htpasswd"), include_str!("../../fixtures/registry/htpasswd"))
            .expect("a file");
        let mut command = Command::new("docker-registry");
        command.arg("serve").arg(folder.path().join("config.yaml"));
        // Whoever has no login is told so each time, and so is its log.
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).kill_on_drop(true);
        let process = command.spawn().expect("docker-registry starts");
        eventually("the registry", PATIENCE, || async {
            tokio::net::TcpStream::connect(ON_NODES).await.map(drop)
        })
        .await;
        Self { _process: process, _folder: folder }
    }
}

/// What `kubectl create secret docker-registry` makes.
fn secret(name: &str, namespace: &str) -> Value {
    let docker = json!({"auths": {ON_NODES: {"username": "anna", "password": "open-sesame"}}}).to_string();
    json!({
        "apiVersion": "v1", "kind": "Secret", "type": "kubernetes.io/dockerconfigjson",
        "metadata": {"name": name, "namespace": namespace}, "stringData": {".dockerconfigjson": docker},
    })
}

#[tokio::test]
async fn images_go_to_and_come_from_a_registry_that_demands_a_login() {
    with_namespace("private-registry", |namespace| async move {
        if !namespace.cluster.node_is_local() {
            return;
        }
        let _registry = Registry::start().await;
        let system = Api::<Secret>::namespaced(namespace.cluster.client.clone(), SYSTEM);
        let _ = system.delete("e2e-push", &DeleteParams::default()).await;
        let push = serde_json::from_value(secret("e2e-push", SYSTEM)).expect("a Secret");
        system.create(&PostParams::default(), &push).await.expect("a Secret");
        namespace.apply(&secret("pull", &namespace.name)).await.expect("a Secret");
        let images = json!({
            "registry": format!("{ON_NODES}/functions"), "secret": "e2e-push",
            "reach": {ON_NODES: FROM_PODS, "127.0.0.1:5000": "10.244.0.1:5000"},
        });
        let images = format!("builds.images={images}");
        let insecure = format!("sources.insecureRegistries={}", json!(["10.244.0.1:5000", FROM_PODS]));
        let chart = concat!(env!("CARGO_MANIFEST_DIR"), "/../charts/flint");
        tokio::task::spawn_blocking(move || {
            helm(&[
                "upgrade",
                "flint",
                chart,
                "--reuse-values",
                "--set-json",
                &images,
                "--set-json",
                &insecure,
                "--wait",
                "--timeout",
                "180s",
            ]);
        })
        .await
        .expect("the upgrade");

        let function =
            namespace.function("private").python("def handler(event, context):\n    return 'private'\n");
        let function = function.set("build", json!({"output": "image"})).apply().await;
        let refused = function.condition("Deployed", "False").await;
        assert_eq!(
            refused.reason, "ImagePullFailed",
            "pushed, and pulled by nobody without a login: {refused:?}"
        );

        let template = json!({"spec": {"imagePullSecrets": [{"name": "pull"}]}});
        let function = function.set("template", template).apply().await;
        function.ready().await;
        assert_eq!(function.ok("/").await, "\"private\"");
        let package = function.current().await.status.unwrap_or_default().package.expect("a package");
        let image = package.image.expect("an image");
        assert!(
            image.starts_with(&format!("{ON_NODES}/functions/{}/private@sha256:", namespace.name)),
            "{image}"
        );

        tokio::task::spawn_blocking(|| helm(&["rollback", "flint", "--wait", "--timeout", "180s"]))
            .await
            .expect("the rollback");
        system.delete("e2e-push", &DeleteParams::default()).await.expect("the Secret goes");
    })
    .await;
}
