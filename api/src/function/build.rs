//! How a function's code with dependencies becomes a package.

use k8s_openapi::api::core::v1::{EnvFromSource, EnvVar, ResourceRequirements};
use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{Duration, rules::duration};

/// Settings of a function's builds, beside those of the installation. Another value is another build.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct BuildSettings {
    /// What becomes of the code. `image` needs a registry for images, which the installation has or has not. Default package.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub output: Option<BuildOutput>,
    /// Environment of the build command, as in a Pod: package indexes, credentials from Secrets, flags of tools.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "crate::schema::env")]
    pub env: Vec<EnvVar>,
    /// Environment from whole ConfigMaps and Secrets, as in a Pod.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "crate::schema::env_from")]
    pub env_from: Vec<EnvFromSource>,
    /// Resources of the build's pod. Default: the installation's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "crate::schema::resources")]
    pub resources: Option<ResourceRequirements>,
    /// How long a build may take, all attempts together, 10s to 6h. Default: the installation's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[x_kube(validation = duration("10s", "6h"))]
    pub timeout: Option<Duration>,
}

/// What becomes of the code: a package that pods fetch when they start, which is the default; or an image with the package on top of the
/// runtime's, which nodes pull and keep.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum BuildOutput {
    /// A package that pods fetch when they start.
    #[default]
    Package,
    /// An image with the package on top of the runtime's.
    Image,
}
