//! A server of archives, of a git repository and of a registry, behind https, whose authority the cluster's Flint trusts
//! (`sources.caBundle`).
//!
//! Its certificate is for its name in a few namespaces alone, so these have fixed names, one for each test.

use base64::{Engine as _, prelude::BASE64_STANDARD};
use k8s_openapi::api::core::v1::Pod;
use kube::api::{DeleteParams, LogParams};
use serde_json::{Value, json};

use crate::{FunctionBuilder, Namespace, eventually, functions::PATIENCE};

/// The server, in a namespace.
pub struct Files {
    namespace: Namespace,
    log: String,
}

// === impl Files ===

impl Files {
    /// Starts the server and waits until it listens.
    ///
    /// # Panics
    /// When its objects are refused, or it does not come up.
    pub async fn start(namespace: &Namespace) -> Self {
        for object in Self::objects(namespace) {
            namespace.apply(&object).await.expect("the server's objects");
        }
        let pods = namespace.api::<Pod>();
        eventually("the server of archives", PATIENCE, || async {
            let status =
                pods.get("files").await.map_err(|error| error.to_string())?.status.unwrap_or_default();
            let conditions = status.conditions.clone().unwrap_or_default();
            let ready =
                conditions.iter().any(|condition| condition.type_ == "Ready" && condition.status == "True");
            if ready { Ok(()) } else { Err(format!("{status:?}")) }
        })
        .await;
        let log = pods.logs("files", &LogParams::default()).await.expect("its log");
        Self { namespace: namespace.clone(), log }
    }

    fn objects(namespace: &Namespace) -> [Value; 3] {
        let metadata = json!({"name": "files", "namespace": namespace.name, "labels": {"app": "files"}});
        [
            json!({
                "apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata,
                "data": {
                    "files.py": include_str!("../fixtures/sources/files.py"),
                    "repository.py": include_str!("../fixtures/sources/repository.py"),
                    "server.pem": include_str!("../fixtures/sources/server.pem"),
                    "server.key": include_str!("../fixtures/sources/server.key"),
                },
                "binaryData": {"greeter.jar": BASE64_STANDARD.encode(include_bytes!("../fixtures/sources/greeter.jar"))},
            }),
            json!({
                "apiVersion": "v1", "kind": "Service", "metadata": metadata,
                "spec": {"selector": {"app": "files"}, "ports": [{"port": 443, "targetPort": 8443}]},
            }),
            json!({
                "apiVersion": "v1", "kind": "Pod", "metadata": metadata,
                "spec": {
                    "securityContext": {"runAsNonRoot": true, "runAsUser": 65532, "seccompProfile": {"type": "RuntimeDefault"}},
                    "containers": [{
                        "name": "files", "image": namespace.cluster.image("flint-python3.11"),
                        "command": ["python3", "/srv/files.py"],
                        "readinessProbe": {"tcpSocket": {"port": 8443}, "periodSeconds": 1},
                        "securityContext": {"allowPrivilegeEscalation": false, "capabilities": {"drop": ["ALL"]}},
                        "volumeMounts": [{"name": "srv", "mountPath": "/srv"}],
                    }],
                    "volumes": [{"name": "srv", "configMap": {"name": "files"}}],
                },
            }),
        ]
    }

    /// A URL of the server, as pods of any namespace have it.
    #[must_use]
    pub fn url(&self, path: &str) -> String {
        format!("https://files.{}.svc{path}", self.namespace.name)
    }

    /// Moves the branch, as somebody's push would, and gives the commit.
    ///
    /// # Panics
    /// When the server does not answer.
    pub async fn push(&self, word: &str) -> String {
        let name = &self.namespace.name;
        let path =
            format!("/api/v1/namespaces/{name}/services/https:files:443/proxy/team.git/push?text={word}");
        let request = http::Request::get(path).body(Vec::new()).expect("a request");
        self.namespace.cluster.client.request_text(request).await.expect("a push")
    }

    /// The SHA-256 of an archive, as the server says it.
    ///
    /// # Panics
    /// When it has none of that path.
    #[must_use]
    pub fn digest(&self, path: &str) -> String {
        let line = self.log.lines().find(|line| line.ends_with(&format!(" {path}")));
        line.and_then(|line| line.split(' ').next()).expect("an archive of the server").to_owned()
    }

    /// An archive as a source has it.
    #[must_use]
    pub fn archive(&self, path: &str) -> Value {
        json!({"url": self.url(path), "sha256": self.digest(path)})
    }

    /// A Python function of an archive.
    #[must_use]
    pub fn function(&self, name: &str, archive: Value) -> FunctionBuilder {
        self.namespace.function(name).python("").set("source", json!({"archive": archive}))
    }

    /// Ends the server: whoever wants something of it has to do without.
    ///
    /// # Panics
    /// When it cannot be ended.
    pub async fn end(&self) {
        let pods = self.namespace.api::<Pod>();
        let at_once = DeleteParams { grace_period_seconds: Some(0), ..DeleteParams::default() };
        pods.delete("files", &at_once).await.expect("the server is ended");
    }
}
