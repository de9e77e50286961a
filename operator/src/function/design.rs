//! The objects that a Function's spec asks for: a revision and what stands around it.

use base64::{Engine, prelude::BASE64_STANDARD};
use flint_api::{Duration, Effective, Function, Mode, Revision as Record, RevisionPackage, Runtime, labels};
use flint_core::wire;
use flint_kube::Manifest;
use k8s_openapi::api::{
    apps::v1::Deployment,
    core::v1::{Secret, Service},
};
use kube::Resource;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::{
    pod::{self, Parts},
    problem::{self, Problem},
};
use crate::{
    package::{
        BYTES_ANNOTATION, DIGEST_ANNOTATION, IMAGE_ANNOTATION, Image, Package, RESOLVED_ANNOTATION,
        SOURCE_ANNOTATION,
    },
    rollout::VERIFIED,
    settings::Settings,
    template,
};

/// What the spec asks for.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Design {
    /// The revision's name: everything that shapes its pods is in the hash at its end.
    pub(crate) revision: String,
    /// The pod template.
    template: Value,
    /// The image that the function's container runs.
    image: String,
    /// The code, where there is any.
    pub(crate) package: Option<Package>,
    /// What the template asks for that makes cold starts slower.
    pub(crate) slow: Option<&'static str>,
    /// The most instances.
    pub(crate) most: u32,
}

/// Hex digits of the hash: names stay short, and 2^32 are plenty for the revisions of one function.
const HASH_LENGTH: usize = 8;
/// As `kubectl rollout` has it: how long the Deployment controller waits before it says that nothing moves.
const PROGRESS_DEADLINE_SECONDS: u32 = 600;

/// What the spec asks for, or why it cannot be had.
pub(crate) fn design(
    settings: &Settings,
    function: &Function,
    runtime: Option<&Runtime>,
    runtimes: &[String],
    package: Option<Package>,
) -> Result<Design, Problem> {
    if let (Some(name), None) = (&function.spec.runtime, runtime) {
        let known = if runtimes.is_empty() {
            "there are none".to_owned()
        } else {
            format!("there are {}", runtimes.join(", "))
        };
        let text = format!("The Runtime {name} does not exist: {known}.");
        return Err(Problem::deploy(problem::RUNTIME_NOT_FOUND, text));
    }
    if function.spec.runtime.is_none() && function.spec.image.is_none() {
        return Err(Problem::deploy(
            problem::SPEC_INVALID,
            "Write spec.runtime with a source, or spec.image.",
        ));
    }
    let parts = Parts { settings, function, runtime, package: package.as_ref() };
    let shape = pod::template(&parts, "")?;
    let name = function.metadata.name.as_deref().unwrap_or_default();
    let mut hasher = Sha256::new();
    feed(&mut hasher, &shape);
    // Another master key makes the instances' keys worthless: they need to be made anew.
    hasher.update(settings.master_key.fingerprint());
    let hash = hex::encode(hasher.finalize());
    let revision = format!("{name}-{}", &hash[..HASH_LENGTH]);
    let template = pod::template(&parts, &revision)?;
    let spec = &template["spec"];
    let slow = match (
        spec["initContainers"].is_array(),
        spec["volumes"].is_array(),
        &spec["automountServiceAccountToken"],
    ) {
        (true, ..) => Some("an init container, which makes each cold start about 300 ms slower"),
        (_, true, _) => Some("a volume, which makes each cold start about 300 ms slower"),
        (.., Value::Bool(true)) => {
            Some("a service account token, whose volume makes each cold start about 300 ms slower")
        }
        _ => None,
    };
    let most = Effective::new(function, runtime).max_replicas;
    let image = spec["containers"].as_array().and_then(|containers| containers.last());
    let image = image.and_then(|container| container["image"].as_str()).unwrap_or_default().to_owned();
    Ok(Design { revision, template, image, package, slow, most })
}

// === impl Design ===

impl Design {
    /// The template of its pods.
    pub(crate) fn template(&self) -> &Value {
        &self.template
    }

    /// Whether a new leader makes the same of the Function itself. What was fetched, built or pushed is remembered by the Deployment.
    pub(crate) fn is_remade(&self) -> bool {
        self.package.as_ref().is_none_or(|package| package.source.is_none() && package.image.is_none())
    }

    /// What a Revision recorded.
    pub(crate) fn recorded(record: &Record, most: u32) -> Self {
        let package = record.spec.package.as_ref().map(|package| Package {
            digest: package.digest.clone(),
            size: usize::try_from(package.bytes).unwrap_or(usize::MAX),
            data: None,
            source: package.source.clone(),
            resolved: package.commit.clone(),
            // What ran needs nothing more.
            needs: Some(Vec::new()),
            image: package.image.clone().map(|reference| Image { reference, made_of: None }),
        });
        Self {
            revision: record.metadata.name.clone().unwrap_or_default(),
            template: template::of(record),
            image: record.spec.image.clone(),
            package,
            slow: None,
            most,
        }
    }

    /// The Revision that records it.
    pub(crate) fn record(&self, function: &Function, number: u32) -> Manifest {
        let (_, name) = names(function);
        let package = self.package.as_ref().map(|package| RevisionPackage {
            digest: package.digest.clone(),
            bytes: i64::try_from(package.size).unwrap_or(i64::MAX),
            source: package.source.clone(),
            commit: package.resolved.clone(),
            image: package.image.as_ref().map(|image| image.reference.clone()),
            origin: origin(function, package),
        });
        let mut spec =
            json!({"function": name, "number": number, "image": self.image, "template": self.template});
        if let Some(runtime) = &function.spec.runtime {
            spec["runtime"] = json!(runtime);
        }
        if let Some(package) = package {
            spec["package"] = json!(package);
        }
        Manifest::new::<Record>(
            json!({"metadata": metadata(function, &self.revision, Some(&self.revision)), "spec": spec}),
        )
    }

    /// The revision's Deployment. It says nothing of replicas: they are the scale subresource's.
    pub(crate) fn deployment(&self, function: &Function, verified: bool) -> Manifest {
        let mut metadata = metadata(function, &self.revision, Some(&self.revision));
        if verified {
            metadata["annotations"][VERIFIED] = json!("true");
        }
        if let Some(package) = &self.package {
            metadata["annotations"][DIGEST_ANNOTATION] = json!(package.digest);
            if let Some(source) = &package.source {
                metadata["annotations"][SOURCE_ANNOTATION] = json!(source);
                metadata["annotations"][BYTES_ANNOTATION] = json!(package.size.to_string());
            }
            if let Some(resolved) = &package.resolved {
                metadata["annotations"][RESOLVED_ANNOTATION] = json!(resolved);
            }
            if let Some(made_of) = package.image.as_ref().and_then(|image| image.made_of.as_ref()) {
                metadata["annotations"][IMAGE_ANNOTATION] = json!(made_of);
            }
        }
        let name = function.metadata.name.as_deref().unwrap_or_default();
        Manifest::new::<Deployment>(json!({
            "metadata": metadata,
            "spec": {
                "selector": {"matchLabels": {labels::FUNCTION: name, labels::REVISION: self.revision}},
                "template": self.template,
                "revisionHistoryLimit": 0,
                "progressDeadlineSeconds": PROGRESS_DEADLINE_SECONDS,
            },
        }))
    }

    /// The same with a number of replicas, for its creation alone.
    pub(crate) fn new_deployment(&self, function: &Function, verified: bool, replicas: u32) -> Manifest {
        let mut value = self.deployment(function, verified).value().clone();
        value["spec"]["replicas"] = json!(replicas);
        Manifest::new::<Deployment>(value)
    }

    /// The ConfigMap with the package; none without a package, or when it is known to be stored.
    pub(crate) fn package_map(&self, function: &Function) -> Option<Manifest> {
        let package = self.package.as_ref()?;
        package.manifest(metadata(function, &package_map_name(function, &package.digest), None))
    }
}

/// How the watchdog in the pods of a template speaks to its code, and the timeout that it keeps.
pub(crate) fn goes_by(template: &Value) -> (Option<Mode>, Option<Duration>) {
    let containers = template["spec"]["containers"].as_array().map(Vec::as_slice).unwrap_or_default();
    let value = |name: &str| {
        let mut env =
            containers.iter().flat_map(|container| container["env"].as_array().into_iter().flatten());
        env.find(|variable| variable["name"] == name)?["value"].as_str()
    };
    let mode = value("FLINT_MODE").and_then(|mode| serde_json::from_value(json!(mode)).ok());
    let timeout = value("FLINT_TIMEOUT_MS").and_then(|millis| millis.parse().ok());
    (mode, timeout.map(Duration::from_millis))
}

/// What has to be fetched for the package, should it be lost: the source as it was at that moment, so that it is the same for ever. None
/// of what the Function itself has, and of what a build made.
fn origin(function: &Function, package: &Package) -> Option<Value> {
    if package.source.as_ref().is_none_or(|source| source.starts_with("build ")) {
        return None;
    }
    let mut source = function.spec.source.clone()?;
    if let Some(resolved) = &package.resolved {
        if let Some(git) = &mut source.git {
            git.revision = Some(resolved.clone());
        }
        if let Some(oci) = &mut source.oci {
            let reference: flint_image::Reference = oci.reference.parse().ok()?;
            oci.reference = reference.clone_with_digest(resolved.clone()).whole();
        }
    }
    Some(json!(source))
}

/// Name of the ConfigMap with a package: revisions with the same code share it.
pub(crate) fn package_map_name(function: &Function, digest: &str) -> String {
    let (_, name) = names(function);
    let hex = digest.strip_prefix("sha256:").unwrap_or(digest);
    format!("{name}-code-{}", hex.get(..HASH_LENGTH).unwrap_or(hex))
}

/// The Secret with the key that the instances of a namespace's functions derive theirs from, owned by some of those. Written, never read.
pub(crate) fn key_secret(settings: &Settings, namespace: &str, name: &str, owners: &[&Function]) -> Manifest {
    let key = wire::namespace_key(settings.master_key.bytes(), namespace);
    let owners: Vec<_> = owners.iter().filter_map(|owner| owner.owner_ref(&())).collect();
    Manifest::new::<Secret>(json!({
        "metadata": {
            "name": name,
            "namespace": namespace,
            "labels": {labels::PART_OF: labels::PART_OF_FLINT, labels::MANAGED_BY: labels::FIELD_MANAGER},
            "ownerReferences": owners,
        },
        "type": "Opaque",
        "data": {"key": BASE64_STANDARD.encode(key)},
    }))
}

/// The Service by which pods reach the function: another name of the gateway.
pub(crate) fn service(settings: &Settings, function: &Function) -> Manifest {
    let (_, name) = names(function);
    Manifest::new::<Service>(json!({
        "metadata": metadata(function, name, None),
        "spec": {"type": "ExternalName", "externalName": settings.gateway_service},
    }))
}

fn names(function: &Function) -> (&str, &str) {
    let meta = &function.metadata;
    (meta.namespace.as_deref().unwrap_or_default(), meta.name.as_deref().unwrap_or_default())
}

fn metadata(function: &Function, name: &str, revision: Option<&str>) -> Value {
    let (namespace, function_name) = names(function);
    let mut all = pod::labels(function, revision.unwrap_or(function_name));
    if revision.is_none()
        && let Some(all) = all.as_object_mut()
    {
        all.remove(labels::REVISION);
    }
    json!({
        "name": name,
        "namespace": namespace,
        "labels": all,
        "ownerReferences": function.controller_owner_ref(&()).into_iter().collect::<Vec<_>>(),
    })
}

/// Hashes a value so that the order of fields does not matter, whatever the map type keeps.
fn feed(hasher: &mut Sha256, value: &Value) {
    match value {
        Value::Object(fields) => {
            let mut fields: Vec<_> = fields.iter().collect();
            fields.sort_unstable_by_key(|(name, _)| *name);
            hasher.update(b"{");
            for (name, value) in fields {
                hasher.update(name.as_bytes());
                hasher.update(b"\0");
                feed(hasher, value);
            }
            hasher.update(b"}");
        }
        Value::Array(items) => {
            hasher.update(b"[");
            for item in items {
                feed(hasher, item);
                hasher.update(b",");
            }
            hasher.update(b"]");
        }
        scalar => hasher.update(scalar.to_string()),
    }
}

#[cfg(test)]
mod tests;
