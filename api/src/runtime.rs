//! The Runtime kind: what a Function with code runs in.
// The derive macros put a private copy of each type beside it, which the lint takes for ours.
#![allow(unreachable_pub)]
// Two columns may well be of one type.
#![allow(clippy::duplicated_attributes)]

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{EnvVar, ResourceRequirements};
use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::rules::{forbidden, free_port, image, images, invalid, required};

/// How the watchdog speaks to the function's code.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Mode {
    /// The AWS Lambda Runtime API on loopback.
    Lambda,
    /// A port that serves HTTP.
    Http,
    /// One program per request: body on stdin, answer from stdout.
    Process,
}

/// An image and a way to start code in it.
#[derive(CustomResource, KubeSchema, Clone, Debug, PartialEq, Serialize, Deserialize)]
#[kube(
    group = "flint.dev",
    version = "v1alpha1",
    kind = "Runtime",
    doc = "What functions with code run in: an image with an interpreter or nothing but the watchdog, and how code is started in it.",
    plural = "runtimes",
    shortname = "rt",
    category = "flint",
    category = "all",
    printcolumn(name = "Mode", type_ = "string", json_path = ".spec.mode"),
    printcolumn(name = "Image", type_ = "string", json_path = ".spec.image"),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp")
)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = required(
        ".command", "has(self.command) && self.command.size() > 0",
        "write the program to start in /var/task, such as [python3, -m, awslambdaric, '{handler}'] or [./bootstrap]"
    ),
    validation = forbidden(
        ".port", "!has(self.port) || self.mode == 'http'",
        "port is what an http runtime's program serves: remove it, or write mode: http"
    )
)]
pub struct RuntimeSpec {
    /// How the watchdog speaks to the code.
    pub mode: Mode,
    /// The image, with the watchdog in it at /flint/watchdog.
    #[schemars(length(max = 512))]
    #[x_kube(validation = image())]
    pub image: String,
    /// The child to start in /var/task. `{handler}` in an item stands for the Function's handler.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64), inner(length(max = 4096)))]
    #[x_kube(validation = invalid("self.all(item, item != '')", "an item of command is empty: remove it"))]
    pub command: Vec<String>,
    /// http mode: the port that the child serves. Default 8080.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 65535))]
    #[x_kube(validation = free_port())]
    pub port: Option<u16>,
    /// How a source that names dependencies becomes a package. Without it a source brings its dependencies along.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub build: Option<Build>,
    /// Warm instances kept per namespace: pods that wait with everything up but the function.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pool: Option<Pool>,
    /// Resources of functions that name none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "crate::schema::resources")]
    pub resources: Option<ResourceRequirements>,
    /// Environment of every function in this runtime; a Function's own wins.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "crate::schema::env")]
    pub env: Vec<EnvVar>,
}

/// How a source with dependencies becomes a package: a command that runs in the source's folder, and what is there afterwards is the
/// package. Another value builds the runtime's functions anew.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Build {
    /// The image that builds: any with the tools in it.
    #[schemars(length(max = 512))]
    #[x_kube(validation = image())]
    pub image: String,
    /// Other images for some of the manifests, by the file's name, such as Cargo.toml: where one language of several has a
    /// toolchain of its own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "crate::schema::images")]
    #[x_kube(validation = images())]
    pub images: Option<BTreeMap<String, String>>,
    /// The command that builds. Default: /flint/build of the image.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64), inner(length(max = 32768)))]
    #[x_kube(validation = invalid("self.all(item, item != '')", "an item of command is empty: remove it"))]
    pub command: Vec<String>,
    /// The files that name dependencies which the command can fetch, such as requirements.txt. Default: all that Flint knows.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 32), inner(length(max = 255)))]
    pub manifests: Vec<String>,
}

/// Warm instances kept per namespace: pods that wait with everything up but the function.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Pool {
    /// How many instances wait in each namespace that has functions of the runtime which may be at zero. 0 is no pool.
    #[schemars(range(min = 0, max = 100))]
    pub size: u32,
    /// How many may wait while they are wanted often: one more for each that was claimed within a minute. Default: the size.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 100))]
    pub max: Option<u32>,
    /// A program that is loaded ahead and becomes the function's process. It writes the line "ready" to its standard output, reads one
    /// line of JSON from its standard input (argv, cwd, env), and becomes that. Empty: the function's process is started when a
    /// pod is claimed.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64), inner(length(max = 4096)))]
    pub command: Vec<String>,
}
