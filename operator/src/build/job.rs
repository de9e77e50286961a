//! The Job of a build and the Secret of its key. Pure.
//!
//! The pod keeps the profile `restricted`: no root, no capability, no token, nothing to write to but its own empty folders. The
//! builder comes from an image of ours into a folder that the build's image sees, so that any image can build.

use base64::{Engine as _, prelude::BASE64_STANDARD};
use flint_api::{Function, labels};
use flint_core::build;
use flint_kube::Manifest;
use k8s_openapi::api::{batch::v1::Job, core::v1::Secret};
use kube::Resource as _;
use serde_json::{Value, json};

use super::{order::Order, settings::Installation};
use crate::package::DIGEST_ANNOTATION;

/// Annotation on a Job: the Runtime whose function it builds.
pub(crate) const RUNTIME: &str = "flint.dev/runtime";
/// Annotation on a Job: the file that names the dependencies.
pub(crate) const MANIFEST: &str = "flint.dev/manifest";
/// The value of [`labels::COMPONENT`] on what belongs to a build.
pub(crate) const COMPONENT: &str = "build";
/// The container whose end is the build's.
pub(crate) const CONTAINER: &str = "build";
/// After that a finished Job goes, with its log. One that failed is then made again, should anybody still want it.
pub(crate) const KEPT: u32 = 3600;
/// Attempts after the first, where time can heal: 10 s, 20 s and 40 s apart.
const RETRIES: u32 = 3;
/// A program that was ended by the kernel for its memory ends so.
const KILLED: i32 = 137;
/// The user of the runtimes' images: what is packed is readable for all, whoever made it.
const USER: u32 = 65532;

/// The build's Job. The Function that asked first is its owner: when that goes, others ask again.
pub(crate) fn job(at: Installation<'_>, order: &Order, function: &Function) -> Manifest {
    let timeout = order.settings.timeout.map_or(at.builds.timeout, flint_api::Duration::get);
    Manifest::new::<Job>(json!({
        "metadata": {
            "name": order.name,
            "namespace": order.namespace,
            "labels": all_labels(order),
            "annotations": {RUNTIME: order.runtime, MANIFEST: order.manifest, DIGEST_ANNOTATION: order.source},
            "ownerReferences": function.controller_owner_ref(&()).into_iter().collect::<Vec<_>>(),
        },
        "spec": {
            "backoffLimit": RETRIES,
            "activeDeadlineSeconds": timeout.as_secs().max(1),
            "ttlSecondsAfterFinished": KEPT,
            "podFailurePolicy": {"rules": [
                // A drained node is nobody's fault.
                {"action": "Ignore", "onPodConditions": [{"type": "DisruptionTarget", "status": "True"}]},
                {"action": "FailJob", "onExitCodes": {"containerName": CONTAINER, "operator": "In", "values": [build::FAILED, KILLED]}},
            ]},
            "template": {
                "metadata": {"labels": all_labels(order)},
                "spec": pod(at, order),
            },
        },
    }))
}

/// The Secret with what the builder signs with. It goes with the Job.
pub(crate) fn secret(
    at: Installation<'_>,
    order: &Order,
    job_uid: &str,
    authorities: Option<&[u8]>,
) -> Manifest {
    let key = build::key(at.settings.master_key.bytes(), &order.namespace, &order.name);
    let mut data = json!({"key": BASE64_STANDARD.encode(key)});
    if let Some(authorities) = authorities {
        data["ca.crt"] = json!(BASE64_STANDARD.encode(authorities));
    }
    Manifest::new::<Secret>(json!({
        "metadata": {
            "name": order.name,
            "namespace": order.namespace,
            "labels": all_labels(order),
            "ownerReferences": [{"apiVersion": "batch/v1", "kind": "Job", "name": order.name, "uid": job_uid}],
        },
        "type": "Opaque",
        "data": data,
    }))
}

fn pod(at: Installation<'_>, order: &Order) -> Value {
    let config = &at.builds.pod;
    let resources = order.settings.resources.as_ref().unwrap_or(&config.resources);
    let security = json!({
        "allowPrivilegeEscalation": false, "readOnlyRootFilesystem": true, "capabilities": {"drop": ["ALL"]},
    });
    let env_from: Vec<_> = config.env_from.iter().chain(&order.settings.env_from).collect();
    let mut spec = json!({
        "restartPolicy": "Never",
        "automountServiceAccountToken": false,
        "enableServiceLinks": false,
        "securityContext": {
            "runAsNonRoot": true, "runAsUser": USER, "runAsGroup": USER, "fsGroup": USER,
            "seccompProfile": {"type": "RuntimeDefault"},
        },
        "initContainers": [{
            "name": "builder", "image": at.builds.builder_image, "command": ["/flint/builder", "install", "/flint/bin"],
            "volumeMounts": [{"name": "work", "mountPath": "/flint/bin", "subPath": "bin"}],
            "securityContext": security, "resources": resources,
        }],
        "containers": [{
            "name": CONTAINER, "image": order.image, "command": ["/flint/bin/builder"],
            "env": env(at, order), "envFrom": env_from,
            "volumeMounts": [
                {"name": "work", "mountPath": "/flint/bin", "subPath": "bin", "readOnly": true},
                {"name": "work", "mountPath": "/work", "subPath": "work"},
                {"name": "work", "mountPath": "/tmp", "subPath": "tmp"},
                {"name": "order", "mountPath": "/flint/order", "readOnly": true},
            ],
            "terminationMessagePolicy": "FallbackToLogsOnError",
            "securityContext": security, "resources": resources,
        }],
        "volumes": [
            {"name": "work", "emptyDir": {}},
            // The key comes by env, which the build command cannot read; the authorities are for it to read.
            {"name": "order", "secret": {"secretName": order.name, "optional": true, "items": [{"key": "ca.crt", "path": "ca.crt"}]}},
        ],
    });
    if at.builds.authorities.is_none() {
        // Nothing would be in it.
        remove(&mut spec["volumes"], 1);
        remove(&mut spec["containers"][0]["volumeMounts"], 3);
    }
    for container in ["initContainers", "containers"] {
        if let Some(policy) = &at.settings.pull_policy {
            spec[container][0]["imagePullPolicy"] = json!(policy);
        }
    }
    if !at.settings.pull_secrets.is_empty() {
        spec["imagePullSecrets"] =
            at.settings.pull_secrets.iter().map(|name| json!({"name": name})).collect();
    }
    if !config.node_selector.is_empty() {
        spec["nodeSelector"] = json!(config.node_selector);
    }
    if !config.tolerations.is_empty() {
        spec["tolerations"] = json!(config.tolerations);
    }
    spec
}

fn env(at: Installation<'_>, order: &Order) -> Vec<Value> {
    let own = &order.settings.env;
    let installation =
        at.builds.pod.env.iter().filter(|variable| !own.iter().any(|other| other.name == variable.name));
    let mut env: Vec<_> = installation.chain(own).map(|variable| json!(variable)).collect();
    // A dollar sign in a value would start a reference to another variable: doubled, it is itself.
    let variable = |name: &str, value: String| json!({"name": name, "value": value.replace("$(", "$$(")});
    env.extend([
        variable("FLINT_NAMESPACE", order.namespace.clone()),
        variable("FLINT_BUILD", order.name.clone()),
        variable("FLINT_HOME_URL", at.settings.home_url()),
        variable("FLINT_SOURCE_DIGEST", order.source.clone()),
        variable("FLINT_BUILD_MANIFEST", order.manifest.clone()),
        variable("FLINT_COMMAND", json!(order.command).to_string()),
        variable("FLINT_UNPACKED_LIMIT", at.builds.unpacked.to_string()),
        variable("FLINT_CACHE_LIMIT", at.builds.cache.to_string()),
        json!({"name": "FLINT_KEY", "valueFrom": {"secretKeyRef": {"name": order.name, "key": "key"}}}),
    ]);
    env
}

fn all_labels(order: &Order) -> Value {
    json!({
        labels::NAME: order.name,
        labels::COMPONENT: COMPONENT,
        labels::PART_OF: labels::PART_OF_FLINT,
        labels::MANAGED_BY: labels::FIELD_MANAGER,
        labels::BUILD: order.name,
    })
}

fn remove(list: &mut Value, index: usize) {
    if let Some(list) = list.as_array_mut() {
        list.remove(index);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        build::{order::tests::given, settings::tests::config},
        settings::tests::settings,
    };

    #[test]
    fn the_job_of_a_build() {
        let (settings, mut builds) = (settings(), config());
        builds.pod.env = serde_json::from_value(
            json!([{"name": "PIP_INDEX_URL", "value": "https://a"}, {"name": "A", "value": "1"}]),
        )
        .unwrap();
        let at = Installation { settings: &settings, builds: &builds };
        let own = json!({"env": [{"name": "PIP_INDEX_URL", "value": "https://b"}], "timeout": "5m"});
        let order = given("build:1", &own, "", &["requirements.txt"]).unwrap().unwrap();
        let job = job(at, &order, &Function::new("cart", flint_api::FunctionSpec::default()));
        let spec = &job.value()["spec"];
        assert_eq!(spec["activeDeadlineSeconds"], 300);
        let container = &spec["template"]["spec"]["containers"][0];
        let names: Vec<_> = container["env"]
            .as_array()
            .unwrap()
            .iter()
            .map(|variable| variable["name"].as_str().unwrap())
            .collect();
        assert_eq!(names[..2], ["A", "PIP_INDEX_URL"], "the Function's own wins");
        assert_eq!(container["env"][1]["value"], "https://b");
        assert_eq!(container["volumeMounts"].as_array().unwrap().len(), 3, "no authorities");
        let secret = secret(at, &order, "uid", None);
        assert!(!job.value().to_string().contains(secret.value()["data"]["key"].as_str().unwrap()));
        let pod = &spec["template"]["spec"];
        assert_eq!(pod["automountServiceAccountToken"], false);
        assert_eq!(pod["securityContext"]["runAsNonRoot"], true);
        for container in [&pod["initContainers"][0], container] {
            assert_eq!(container["securityContext"]["readOnlyRootFilesystem"], true);
            assert_eq!(container["securityContext"]["capabilities"]["drop"][0], "ALL");
        }
    }

    #[test]
    fn what_the_chart_says_of_indexes_proxies_and_credentials_is_in_every_builds_environment() {
        let (settings, mut builds) = (settings(), config());
        let variables = [
            ("PIP_INDEX_URL", "https://pypi/simple"),
            ("UV_DEFAULT_INDEX", "https://pypi/simple"),
            ("npm_config_registry", "https://npm"),
            ("GOPROXY", "https://modules"),
            ("MAVEN_MIRROR_URL", "https://maven"),
            ("CARGO_MIRROR_URL", "sparse+https://crates/"),
            ("https_proxy", "http://proxy:3128"),
            ("no_proxy", ".svc"),
        ];
        let env: Vec<_> =
            variables.iter().map(|(name, value)| json!({"name": name, "value": value})).collect();
        let pod = json!({"env": env, "envFrom": [{"secretRef": {"name": "build", "optional": true}}]});
        builds.pod = crate::build::PodConfig::read(&pod.to_string()).unwrap();
        builds.authorities = Some("/etc/flint/builds/ca.crt".into());
        let at = Installation { settings: &settings, builds: &builds };
        let order = given("build:1", &json!({}), "", &["requirements.txt"]).unwrap().unwrap();
        let job = job(at, &order, &Function::new("cart", flint_api::FunctionSpec::default()));
        let container = &job.value()["spec"]["template"]["spec"]["containers"][0];
        for (name, value) in variables {
            let set = container["env"].as_array().unwrap().iter().find(|variable| variable["name"] == name);
            assert_eq!(set.expect(name)["value"], value);
        }
        assert_eq!(container["envFrom"][0]["secretRef"]["name"], "build");
        let mounted = container["volumeMounts"].as_array().unwrap();
        assert!(
            mounted.iter().any(|mount| mount["mountPath"] == "/flint/order"),
            "its authorities: {mounted:?}"
        );
        let secret = secret(at, &order, "uid", Some(b"-----BEGIN"));
        assert!(secret.value()["data"]["ca.crt"].is_string());
    }
}
