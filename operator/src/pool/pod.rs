//! The objects of a pool: its Deployment and the Secret with its key.

use base64::{Engine, prelude::BASE64_STANDARD};
use flint_api::{Runtime, labels};
use flint_core::pool::pool_key;
use flint_kube::Manifest;
use k8s_openapi::api::{apps::v1::Deployment, core::v1::Secret};
use kube::{Resource, ResourceExt};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::{
    function::pod::{RUNTIME_USER, from_field, resources, variable, watched, with_pull_policy},
    settings::Settings,
};

/// What a namespace's pool of a Runtime is made from.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Pool {
    /// Its name, which ends in a hash of everything that shapes its pods.
    pub(crate) name: String,
    namespace: String,
    labels: Value,
    owner: Value,
    template: Value,
}

/// A claimed pod keeps the grace period that it was made with: Lambda's longest timeout, and what a watchdog does after it. It is a bound, not a
/// wait.
const GRACE_SECONDS: u64 = 900 + 10;
/// For code and what it writes: 512 MiB, and a package of 25 MiB unpacked.
const SCRATCH: &str = "768Mi";
/// Value of the label `app.kubernetes.io/name` of pods that wait.
const NAME: &str = "flint-pool";
/// What a label has room for of a Runtime's name, which is ASCII.
const RUNTIME_LENGTH: usize = 40;
/// Hex digits of the hash.
const HASH_LENGTH: usize = 8;

// === impl Pool ===

impl Pool {
    /// The pool of a Runtime in a namespace.
    pub(crate) fn new(settings: &Settings, runtime: &Runtime, namespace: &str) -> Self {
        let shape = template(settings, runtime, namespace, "");
        let mut hasher = Sha256::new();
        hasher.update(runtime.name_any());
        hasher.update(shape.to_string());
        hasher.update(settings.master_key.fingerprint());
        let hash = hex::encode(hasher.finalize());
        // Names of pods become host names, in which a dot begins a domain.
        let runtime_name = runtime.name_any().replace('.', "-");
        let runtime_name = runtime_name.get(..RUNTIME_LENGTH).unwrap_or(&runtime_name).trim_end_matches('-');
        let name = format!("{NAME}-{runtime_name}-{}", &hash[..HASH_LENGTH]);
        let owner = json!({
            "apiVersion": Runtime::api_version(&()),
            "kind": Runtime::kind(&()),
            "name": runtime.name_any(),
            "uid": runtime.uid().unwrap_or_default(),
            "controller": true,
        });
        Self {
            template: template(settings, runtime, namespace, &name),
            labels: pod_labels(&name),
            namespace: namespace.to_owned(),
            owner,
            name,
        }
    }

    /// The Deployment that keeps `replicas` pods waiting.
    pub(crate) fn deployment(&self, replicas: u32) -> Manifest {
        Manifest::new::<Deployment>(json!({
            "metadata": self.metadata(&self.name),
            "spec": {
                "replicas": replicas,
                "selector": {"matchLabels": {labels::POOL: self.name}},
                "template": self.template,
                "revisionHistoryLimit": 0,
            },
        }))
    }

    /// The Secret with the key that opens the pool's tickets. Written, never read. It goes with the Deployment of that uid, or with the
    /// Runtime while there is none.
    pub(crate) fn secret(&self, settings: &Settings, deployment: Option<&str>) -> Manifest {
        let key = pool_key(settings.master_key.bytes(), &self.namespace, &self.name);
        let mut metadata = self.metadata(&key_secret(&self.name));
        if let Some(uid) = deployment {
            metadata["ownerReferences"] = json!([{
                "apiVersion": Deployment::api_version(&()),
                "kind": Deployment::kind(&()),
                "name": self.name,
                "uid": uid,
            }]);
        }
        Manifest::new::<Secret>(json!({
            "metadata": metadata,
            "type": "Opaque",
            "data": {"key": BASE64_STANDARD.encode(key)},
        }))
    }

    fn metadata(&self, name: &str) -> Value {
        json!({
            "name": name,
            "namespace": self.namespace,
            "labels": self.labels,
            "ownerReferences": [self.owner],
        })
    }
}

fn key_secret(pool: &str) -> String {
    format!("{pool}-key")
}

/// A waiting pod has the labels of a function's, but for the function: the same network policies of the platform speak of both.
fn pod_labels(name: &str) -> Value {
    json!({
        labels::NAME: NAME,
        labels::INSTANCE: name,
        labels::COMPONENT: "function",
        labels::PART_OF: labels::PART_OF_FLINT,
        labels::MANAGED_BY: labels::FIELD_MANAGER,
        labels::POOL: name,
    })
}

/// As [`crate::function::pod::template`] has it for a Function that says nothing but its Runtime.
fn template(settings: &Settings, runtime: &Runtime, namespace: &str, name: &str) -> Value {
    let mut resources = resources(runtime.spec.resources.as_ref(), None);
    let sets_scratch = runtime.spec.resources.as_ref().is_some_and(|resources| {
        [&resources.limits, &resources.requests]
            .into_iter()
            .flatten()
            .any(|quantities| quantities.contains_key("ephemeral-storage"))
    });
    if !sets_scratch {
        resources["limits"]["ephemeral-storage"] = json!(SCRATCH);
    }
    let pool = &runtime.spec.pool.clone().unwrap_or_default();
    let mut env = vec![
        variable("FLINT_POOL", name),
        json!({"name": "FLINT_POOL_KEY", "valueFrom": {"secretKeyRef": {"name": key_secret(name), "key": "key"}}}),
        variable("FLINT_NAMESPACE", namespace),
        variable("FLINT_HOME_URL", &settings.home_url()),
        variable("FLINT_PACKAGES_URL", &settings.packages_url()),
        variable("FLINT_LOG_LEVEL", &settings.watchdog_log_level),
        from_field("FLINT_POD_NAME", "metadata.name"),
        from_field("FLINT_POD_UID", "metadata.uid"),
        from_field("FLINT_POD_IP", "status.podIP"),
    ];
    if !pool.command.is_empty() {
        env.push(variable("FLINT_POOL_COMMAND", &json!(pool.command).to_string()));
    }
    // A Runtime's variables that are read from elsewhere keep its functions out of the pool: no ticket can have them.
    let plain = runtime.spec.env.iter().filter(|variable| variable.value_from.is_none());
    env.extend(plain.map(|variable| json!(variable)));
    let mut container = json!({
        "name": labels::FUNCTION_CONTAINER,
        "image": runtime.spec.image,
        "env": env,
        "resources": resources,
    });
    with_pull_policy(&mut container, settings);
    watched(&mut container);
    let mut spec = json!({
        "containers": [container],
        "securityContext": {
            "runAsNonRoot": true,
            "seccompProfile": {"type": "RuntimeDefault"},
            "runAsUser": RUNTIME_USER,
            "runAsGroup": RUNTIME_USER,
        },
        "automountServiceAccountToken": false,
        "enableServiceLinks": false,
        "terminationGracePeriodSeconds": GRACE_SECONDS,
    });
    if !settings.pull_secrets.is_empty() {
        spec["imagePullSecrets"] = settings.pull_secrets.iter().map(|name| json!({"name": name})).collect();
    }
    json!({"metadata": {"labels": pod_labels(name)}, "spec": spec})
}

#[cfg(test)]
mod tests {
    use flint_api::{Mode, Pool as Spec, RuntimeSpec};

    use super::*;
    use crate::settings::tests::settings;

    fn runtime(image: &str) -> Runtime {
        let spec = RuntimeSpec {
            mode: Mode::Lambda,
            image: image.into(),
            command: vec!["python3".into()],
            port: None,
            build: None,
            pool: Some(Spec { size: 2, ..Spec::default() }),
            resources: None,
            env: Vec::new(),
        };
        Runtime::new("python3.11", spec)
    }

    #[test]
    fn another_image_is_another_pool_and_another_namespace_has_another_key() {
        let name = |image: &str| Pool::new(&settings(), &runtime(image), "shop").name;
        assert_eq!(name("python:1"), name("python:1"));
        assert_ne!(name("python:1"), name("python:2"));
        assert!(name("python:1").starts_with("flint-pool-python3-11-"));
        let long = Runtime::new(&"r.".repeat(100), runtime("python:1").spec);
        assert!(Pool::new(&settings(), &long, "shop").name.len() <= 63, "it is a label's value, too");
        let key = |namespace: &str| {
            Pool::new(&settings(), &runtime("python:1"), namespace).secret(&settings(), None).value()["data"]
                ["key"]
                .clone()
        };
        assert_ne!(key("shop"), key("bank"));
    }

    #[test]
    fn a_waiting_pod_has_no_function_and_no_volume() {
        let value = Pool::new(&settings(), &runtime("python:1"), "shop").deployment(3).value().clone();
        assert_eq!(value["spec"]["replicas"], 3);
        let template = &value["spec"]["template"];
        assert_eq!(template["metadata"]["labels"][labels::FUNCTION], Value::Null);
        assert_eq!(template["spec"]["volumes"], Value::Null);
        assert_eq!(template["spec"]["automountServiceAccountToken"], false);
        assert_eq!(template["spec"]["securityContext"]["runAsNonRoot"], true);
    }
}
