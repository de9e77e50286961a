//! What a Function adds to its pods: mounts and the overlay.

use std::collections::BTreeMap;

use kube::KubeSchema;
use serde::{Deserialize, Serialize};

use crate::rules::{invalid, object_name};

/// A Secret or ConfigMap as files.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Mount {
    /// Its name.
    #[schemars(length(max = 253))]
    #[x_kube(validation = object_name("Secret or ConfigMap of the same namespace", "db"))]
    pub name: String,
    /// Absolute path of the folder.
    #[schemars(length(max = 512))]
    #[x_kube(
        validation = invalid(
            "self.matches('^(/[^/: ]+)+$') && !self.contains('..')",
            "write an absolute path, such as /var/run/secrets/db: no '..', ':' or '/' at the end, and not / itself"
        ),
        validation = invalid(
            "!(self + '/').matches('^/(var/task|flint|proc|sys|dev)/')",
            "/var/task holds the code, /flint the watchdog, and /proc, /sys and /dev are the system's: mount elsewhere, \
             such as /var/run/secrets/db"
        )
    )]
    pub mount_path: String,
}

/// An overlay on the function's pods, merged as `kubectl apply` would (strategic merge by name).
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Template {
    /// Labels and annotations to add.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub metadata: Option<TemplateMetadata>,
    /// Fields of a core/v1 PodSpec: serviceAccountName, nodeSelector, tolerations, affinity, runtimeClassName, volumes, …
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "crate::schema::any_object")]
    pub spec: Option<serde_json::Value>,
}

/// Labels and annotations for the pods.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct TemplateMetadata {
    /// Labels to add; `flint.dev/` and `app.kubernetes.io/` ones are Flint's.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(length(max = 64))]
    #[x_kube(validation = invalid(
        "self.all(key, !key.startsWith('flint.dev/') && !key.startsWith('app.kubernetes.io/'))",
        "labels of flint.dev/ and app.kubernetes.io/ tell Flint which pods are whose: choose keys of your own"
    ))]
    pub labels: BTreeMap<String, String>,
    /// Annotations to add; `flint.dev/` ones are Flint's.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(length(max = 64))]
    #[x_kube(validation = invalid(
        "self.all(key, !key.startsWith('flint.dev/'))",
        "annotations of flint.dev/ on pods are Flint's: choose keys of your own"
    ))]
    pub annotations: BTreeMap<String, String>,
}
