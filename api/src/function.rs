//! The Function kind: code or a container, how it runs, and what became of it.
// The derive macros put a private copy of each type beside it, which the lint takes for ours.
#![allow(unreachable_pub)]

use k8s_openapi::api::core::v1::{EnvFromSource, EnvVar, ResourceRequirements};
use kube::{CustomResource, KubeSchema};
use serde::{Deserialize, Serialize};

use crate::{
    Duration, Mode,
    rules::{duration, forbidden, free_port, image, invalid, invalid_at, object_name, required},
};

mod build;
mod pod;
mod scaling;
mod schedule;
mod source;
mod status;
mod traffic;

pub use build::{BuildOutput, BuildSettings};
pub use pod::{Mount, Template, TemplateMetadata};
pub use scaling::{Scaling, ScalingMetric};
pub use schedule::Schedule;
pub use source::{Archive, Git, NameRef, Oci, Source};
pub use status::{
    CanaryPhase, CanaryStatus, Condition, FunctionStatus, PackageStatus, ScheduleStatus, SourceStatus,
    TrafficStatus, VersionStatus,
};
pub use traffic::{Canary, RevisionRef, Sticky, TrafficTarget};

/// Either runtime, handler and source, for code, or image, for a container that serves HTTP; the rest applies to both.
#[derive(CustomResource, KubeSchema, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[kube(
    group = "flint.dev",
    version = "v1alpha1",
    kind = "Function",
    doc = "A function: code in a runtime, or a container that serves HTTP, that has a URL and scales with its requests.",
    plural = "functions",
    shortname = "fn",
    category = "flint",
    category = "all",
    namespaced,
    status = "FunctionStatus",
    derive = "PartialEq",
    scale(
        spec_replicas_path = ".spec.scaling.minReplicas",
        status_replicas_path = ".status.replicas",
        label_selector_path = ".status.selector"
    ),
    validation = invalid_at(
        ".metadata.name",
        "self.metadata.name.size() <= 49",
        "a Function's name has at most 49 characters, so that its revisions' and pods' names fit: write a shorter metadata.name"
    ),
    validation = invalid_at(
        ".metadata.name",
        "self.metadata.name.matches('^[a-z]([-a-z0-9]*[a-z0-9])?$')",
        "a Function gets a Service of its name: write metadata.name with lower-case letters, digits and '-', beginning with a letter"
    ),
    validation = invalid_at(
        ".metadata.name",
        "self.metadata.name != 'kubernetes'",
        "a Function gets a Service of its name, and kubernetes is the API server's: write another metadata.name"
    ),
    printcolumn(name = "Runtime", type_ = "string", json_path = ".status.runtime"),
    printcolumn(name = "Ready", type_ = "string", json_path = r#".status.conditions[?(@.type=="Ready")].status"#),
    printcolumn(name = "Replicas", type_ = "integer", json_path = ".status.replicas"),
    printcolumn(name = "URL", type_ = "string", json_path = ".status.url"),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp"),
    printcolumn(name = "Reason", type_ = "string", priority = 1, json_path = r#".status.conditions[?(@.type=="Ready")].reason"#)
)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = invalid(
        "has(self.runtime) || has(self.image)",
        "write either runtime with handler and source, for code, or image, for a container that serves HTTP"
    ),
    validation = forbidden(
        ".image", "!has(self.runtime) || !has(self.image)",
        "runtime and image exclude each other: keep runtime for code, or image for a container"
    ),
    validation = required(
        ".source", "!has(self.runtime) || has(self.source)",
        "a runtime needs code: write source with one of inline, configMap, archive, git and oci"
    ),
    validation = required(
        ".handler", "!has(self.runtime) || has(self.handler) || self.runtime.startsWith('provided')",
        "write handler, what the runtime calls, such as app.handler for the function handler in app.py"
    ),
    validation = forbidden(
        ".source", "!has(self.image) || has(self.runtime) || !has(self.source)",
        "an image brings its own code: remove source, or write runtime in the place of image"
    ),
    validation = forbidden(
        ".handler", "!has(self.image) || has(self.runtime) || !has(self.handler)",
        "an image has no handler: remove it, or write runtime and source in the place of image"
    ),
    validation = forbidden(
        ".build", "!has(self.image) || has(self.runtime) || !has(self.build)",
        "an image is built already: remove build, or write runtime and source in the place of image"
    ),
    validation = forbidden(
        ".port", "has(self.image) || !has(self.port)",
        "port goes with image only: remove it (a Runtime names the port of its own program)"
    ),
    validation = forbidden(
        ".mode", "has(self.image) || !has(self.mode)",
        "mode goes with image only: remove it (a Runtime says how its own code is spoken to)"
    ),
    validation = forbidden(
        ".port", "!has(self.mode) || self.mode != 'lambda' || !has(self.port)",
        "an image in lambda mode serves no port, it asks for its work: remove port, or write mode: http"
    ),
    validation = forbidden(
        ".command", "has(self.image) || !has(self.command)",
        "command goes with image only: remove it, or name the program in handler"
    ),
    validation = forbidden(
        ".args", "has(self.image) || !has(self.args)",
        "args go with image only: remove them, or pass settings by env"
    ),
    validation = forbidden(
        ".runtimeImage", "has(self.runtime) || !has(self.runtimeImage)",
        "runtimeImage goes with runtime only: remove it, image says what the function runs"
    ),
    validation = invalid_at(
        ".configMaps", "!has(self.secrets) || !has(self.configMaps) || \
         self.secrets.all(s, !self.configMaps.exists(c, c.mountPath == s.mountPath))",
        "a Secret and a ConfigMap are mounted at the same path: give each its own mountPath"
    ),
    validation = invalid_at(
        ".scaling.target", "!has(self.scaling) || !has(self.scaling.target) || self.scaling.target <= 1.0 || \
         (has(self.scaling.metric) && self.scaling.metric == 'rps') || (has(self.concurrency) && self.concurrency == 0)",
        "scaling.target is a share of concurrency: write a number above 0 and up to 1, such as 0.7, \
         or set concurrency to 0 for a target in requests, or metric to rps"
    )
)]
pub struct FunctionSpec {
    /// Name of a Runtime: with `handler` and `source`, the function is code.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 253))]
    #[x_kube(validation = object_name("Runtime", "python3.11"))]
    pub runtime: Option<String>,
    /// Pins the image of the runtime: the function keeps it when the Runtime gets another. Without it, a change of the Runtime's
    /// image makes a new revision.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 512))]
    #[x_kube(validation = image())]
    pub runtime_image: Option<String>,
    /// What the runtime calls, such as `app.handler`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 256))]
    #[x_kube(validation = invalid("self != ''", "write what the runtime calls, such as app.handler, or remove handler"))]
    pub handler: Option<String>,
    /// Where the code comes from; exactly one of its fields.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<Source>,
    /// How the source becomes what pods run: settings of builds, for a source that names dependencies which it does not bring, and
    /// whether a package or an image comes of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub build: Option<BuildSettings>,
    /// A container image that serves HTTP, in the place of runtime, handler and source.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 512))]
    #[x_kube(validation = image())]
    pub image: Option<String>,
    /// How the image is spoken to: `http`, the default, or `lambda` for an image that is made for AWS Lambda, whose program asks for
    /// its work at AWS_LAMBDA_RUNTIME_API.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[x_kube(validation = invalid("self != 'process'", "an image is spoken to by http or lambda: write one of them, or remove mode"))]
    pub mode: Option<Mode>,
    /// The port that the container serves. Default 8080.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 65535))]
    #[x_kube(validation = free_port())]
    pub port: Option<u16>,
    /// Overrides the image's entry point.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64))]
    pub command: Vec<String>,
    /// Overrides the image's arguments.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 256))]
    pub args: Vec<String>,
    /// Environment variables, as in a Pod.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "crate::schema::env")]
    pub env: Vec<EnvVar>,
    /// Environment from whole ConfigMaps and Secrets, as in a Pod.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "crate::schema::env_from")]
    pub env_from: Vec<EnvFromSource>,
    /// Secrets to mount. A volume makes cold starts about 300 ms longer.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(
        length(max = 16),
        extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["mountPath"])
    )]
    pub secrets: Vec<Mount>,
    /// ConfigMaps to mount. A volume makes cold starts about 300 ms longer.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(
        length(max = 16),
        extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["mountPath"])
    )]
    pub config_maps: Vec<Mount>,
    /// Resources of one instance. With a memory limit and no CPU limit, CPU follows memory: 1769Mi is one core.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "crate::schema::resources")]
    pub resources: Option<ResourceRequirements>,
    /// The one timeout, 1s to 15m: gateway, watchdog and the pod's grace period derive from it. Default 30s.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[x_kube(validation = duration("1s", "15m"))]
    pub timeout: Option<Duration>,
    /// Requests one instance works on at a time; 0 is no limit. Default 1 for lambda and process, 100 for http.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 10000))]
    pub concurrency: Option<u32>,
    /// How the number of instances follows the requests.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scaling: Option<Scaling>,
    /// Who gets the requests: revisions by number, and `latest`, with weights that make 100. Default: the latest that was ready.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16), extend("x-kubernetes-list-type" = "atomic"))]
    #[x_kube(
        validation = invalid(
            "self.size() == 0 || (self.size() == 1 && !has(self[0].weight)) || \
             self.map(one, has(one.weight) ? one.weight : 0).sum() == 100",
            "the weights must make 100 together: write, for example, 90 and 10"
        ),
        validation = invalid(
            "self.all(one, !has(one.alias) || self.exists_one(other, has(other.alias) && other.alias == one.alias))",
            "two entries have the same alias: an alias names one revision"
        )
    )]
    pub traffic: Vec<TrafficTarget>,
    /// What keeps a client with one revision while several get requests. Without it, each request is for itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sticky: Option<Sticky>,
    /// How a new revision is tried out. Without it, a new one that is ready takes over at once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub canary: Option<Canary>,
    /// Revisions kept beside those that are in use, so that traffic can go back to them. Default 10.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 100))]
    pub revision_history_limit: Option<u32>,
    /// Times at which the function is called; at most 32.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    // No map by name, though it is one: server-side apply fails on a double key before the rules can say what is wrong.
    #[schemars(length(max = 32), extend("x-kubernetes-list-type" = "atomic"))]
    #[x_kube(validation = invalid(
        "self.all(one, self.exists_one(other, other.name == one.name))",
        "two schedules have the same name: give each a name of its own"
    ))]
    pub schedules: Vec<Schedule>,
    /// An overlay on the function's pods.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub template: Option<Template>,
}
