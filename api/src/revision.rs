//! The Revision kind: one state of a function, as it was and as it can be started again.
// The derive macros put a private copy of each type beside it, which the lint takes for ours.
#![allow(unreachable_pub)]
// Two columns may well be of one type.
#![allow(clippy::duplicated_attributes)]

use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::{Condition, rules::invalid};

/// Everything that shapes the pods of one state of a function. Made by the operator, and never changed.
#[derive(CustomResource, KubeSchema, Clone, Debug, PartialEq, Serialize, Deserialize)]
#[kube(
    group = "flint.dev",
    version = "v1alpha1",
    kind = "Revision",
    doc = "One state of a function: made by the operator with each change of what its pods are made from, numbered, and kept so that traffic can go back to it.",
    plural = "revisions",
    shortname = "rev",
    category = "flint",
    category = "all",
    namespaced,
    status = "RevisionStatus",
    derive = "PartialEq",
    printcolumn(name = "Function", type_ = "string", json_path = ".spec.function"),
    printcolumn(name = "Number", type_ = "integer", json_path = ".spec.number"),
    printcolumn(
        name = "Ready",
        type_ = "string",
        json_path = r#".status.conditions[?(@.type=="Ready")].status"#
    ),
    printcolumn(name = "Traffic", type_ = "string", json_path = ".status.traffic"),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp"),
    printcolumn(name = "Image", type_ = "string", priority = 1, json_path = ".spec.image")
)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = invalid(
    "self == oldSelf",
    "a Revision never changes: change its Function, which makes a new one"
))]
pub struct RevisionSpec {
    /// The Function.
    #[schemars(length(max = 63))]
    pub function: String,
    /// Counted per function: 1, 2, 3, …
    #[schemars(range(min = 1))]
    pub number: u32,
    /// The Runtime, where the function is code.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 253))]
    pub runtime: Option<String>,
    /// The image that the function's container runs.
    #[schemars(length(max = 512))]
    pub image: String,
    /// The code, where there is any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub package: Option<RevisionPackage>,
    /// The template of its pods.
    #[schemars(schema_with = "crate::schema::any_object")]
    pub template: Value,
}

/// The code of a revision.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct RevisionPackage {
    /// sha256:HEX
    #[schemars(length(max = 80))]
    pub digest: String,
    /// Its size.
    pub bytes: i64,
    /// The image that holds it, where one was made.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 512))]
    pub image: Option<String>,
    /// Of a source in git: the commit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 80))]
    pub commit: Option<String>,
    /// The source that gives the same package again, with the commit or digest that it was at; where it was fetched and not built.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "crate::schema::any_object")]
    pub origin: Option<Value>,
    /// What it was fetched as, where it was.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 4096))]
    pub source: Option<String>,
}

/// What became of a Revision.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct RevisionStatus {
    /// Ready: True once an instance of it was, False while it cannot start, Unknown before.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["type"]))]
    pub conditions: Vec<Condition>,
    /// Its share of the requests and its aliases, such as `90% prod`; empty where it has none.
    #[serde(default)]
    pub traffic: String,
}
