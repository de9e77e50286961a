//! How the number of instances follows the requests.

use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{
    Duration,
    rules::{duration, invalid, invalid_at},
};

/// How the number of instances follows the requests.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = invalid_at(
    ".minReplicas", "!has(self.minReplicas) || self.minReplicas <= (has(self.maxReplicas) ? self.maxReplicas : 100)",
    "minReplicas is above maxReplicas (100 where it is not written): lower minReplicas or raise maxReplicas"
))]
pub struct Scaling {
    /// Instances kept without traffic. Default 0.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 10000))]
    pub min_replicas: Option<u32>,
    /// The most instances. Default 100.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 10000))]
    pub max_replicas: Option<u32>,
    /// Instances that a new revision starts to show that it can: 1, or 0 to start none before the first request. With 0 the function
    /// is Ready untried, and a mistake is seen by the first request. What has shown that it can serve is never replaced untried, and
    /// neither is anything where `traffic` is set. Default 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 1))]
    pub initial_replicas: Option<u32>,
    /// What is measured. Default concurrency.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub metric: Option<ScalingMetric>,
    /// With `concurrency`: the share of an instance's concurrency to aim at, 0.7 by default, or where concurrency is 0 the
    /// number per instance, 100 by default. With `rps`: requests per second per instance, 200 by default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[x_kube(validation = invalid(
        "self >= 0.01 && self <= 1000000.0",
        "write a number from 0.01 to 1000000: a share of concurrency such as 0.7, or requests per instance"
    ))]
    pub target: Option<f64>,
    /// Time over which demand is averaged, 6s to 1h. Default 60s.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[x_kube(validation = duration("6s", "1h"))]
    pub window: Option<Duration>,
    /// Time without requests after which the last instance goes, 1s to 24h. Default 60s.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[x_kube(validation = duration("1s", "24h"))]
    pub scale_to_zero_after: Option<Duration>,
}

/// What the autoscaler measures: requests at the same time, which is the default, or requests per second.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum ScalingMetric {
    /// Requests at the same time.
    #[default]
    Concurrency,
    /// Requests per second.
    Rps,
}
