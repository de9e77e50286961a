//! Which revisions of a function get its requests, and how a new one is tried out.

use std::borrow::Cow;

use kube::KubeSchema;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};
use serde_json::Value;

use crate::{
    Duration,
    rules::{duration, invalid},
};

/// A share of the requests.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct TrafficTarget {
    /// A revision's number, or `latest`: the newest that was ready, now and after every update.
    #[x_kube(validation = invalid(
        "self == 'latest' || (int(self) >= 1 && int(self) <= 999999999)",
        "write a revision's number, such as 3 (kubectl get revisions shows them), or latest"
    ))]
    pub revision: RevisionRef,
    /// Percent of the requests, 0 to 100; may be left out where there is one entry, and is 0 otherwise.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 100))]
    pub weight: Option<u32>,
    /// A name by which this revision is called whatever its weight, such as prod or canary: /function/NAME:ALIAS, the header
    /// X-Flint-Qualifier, or the qualifier of Lambda's Invoke.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 64))]
    #[x_kube(validation = invalid(
        "self.matches('^[a-zA-Z0-9_-]*[a-zA-Z_-][a-zA-Z0-9_-]*$') && self != 'latest'",
        "write letters, digits, '-' and '_', not only digits and not latest, such as prod"
    ))]
    pub alias: Option<String>,
}

/// A revision by its number, or the latest.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum RevisionRef {
    /// The newest that was ready.
    #[default]
    Latest,
    /// The one with that number.
    Number(u32),
}

/// What keeps a client with the revision that it got first; exactly one of the fields.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = invalid("has(self.header) != has(self.cookie)", "write either header or cookie"))]
pub struct Sticky {
    /// Requests with the same value of this header go to the same revision, such as X-User-Id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 64))]
    #[x_kube(validation = invalid("self.matches('^[A-Za-z0-9_-]+$')", "write a header's name, such as X-User-Id"))]
    pub header: Option<String>,
    /// The same by this cookie, which a client that has none is given with its first answer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 64))]
    #[x_kube(validation = invalid("self.matches('^[A-Za-z0-9_-]+$')", "write a cookie's name, such as flint-revision"))]
    pub cookie: Option<String>,
}

/// How a new revision is tried out on a part of the requests before it gets all that `latest` has. One that breaks a bound
/// loses them again at once.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Canary {
    /// Percents of the latest revision's requests that the new one gets, one after the other, rising. Default [10, 50].
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 20), inner(range(min = 1, max = 99)))]
    #[x_kube(validation = invalid("self.isSorted()", "write the steps in rising order, such as [5, 25, 50]"))]
    pub steps: Vec<u32>,
    /// How long each step lasts at least, 1s to 24h. Default 60s.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[x_kube(validation = duration("1s", "24h"))]
    pub interval: Option<Duration>,
    /// Requests that a step must have seen before the next one begins. Default 20.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 1_000_000))]
    pub min_requests: Option<u32>,
    /// Percent of requests that may fail: answers of 500 and above, errors, timeouts. Default 5.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[x_kube(validation = invalid("self >= 0.0 && self <= 100.0", "write a percentage from 0 to 100, such as 1.5"))]
    pub max_error_percent: Option<f64>,
    /// Time within which 95 of 100 requests must be answered, 1ms to 15m. Without it, latency is no bound.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[x_kube(validation = duration("1ms", "15m"))]
    pub max_latency: Option<Duration>,
}

const LATEST: &str = "latest";

// === impl TrafficTarget ===

impl TrafficTarget {
    /// Its weight among `all` the entries.
    #[must_use]
    pub fn weight(&self, all: &[Self]) -> u32 {
        self.weight.unwrap_or(if all.len() == 1 { 100 } else { 0 })
    }
}

// === impl RevisionRef ===

impl Serialize for RevisionRef {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Latest => serializer.serialize_str(LATEST),
            Self::Number(number) => serializer.serialize_u32(*number),
        }
    }
}

impl<'de> Deserialize<'de> for RevisionRef {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let number = match Value::deserialize(deserializer)? {
            Value::String(text) if text == LATEST => return Ok(Self::Latest),
            // A number in quotes is one all the same.
            Value::String(text) => text.parse().ok(),
            Value::Number(number) => number.as_u64().and_then(|number| u32::try_from(number).ok()),
            _ => None,
        };
        number
            .filter(|number| *number > 0)
            .map(Self::Number)
            .ok_or_else(|| D::Error::custom("a revision is a number or latest"))
    }
}

impl JsonSchema for RevisionRef {
    fn schema_name() -> Cow<'static, str> {
        "RevisionRef".into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({"x-kubernetes-int-or-string": true})
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_revision_is_a_number_or_the_latest() {
        for (value, revision) in [
            (json!("latest"), Some(RevisionRef::Latest)),
            (json!(3), Some(RevisionRef::Number(3))),
            (json!("3"), Some(RevisionRef::Number(3))),
            (json!(0), None),
            (json!("newest"), None),
            (json!(-1), None),
        ] {
            assert_eq!(serde_json::from_value::<RevisionRef>(value.clone()).ok(), revision, "{value}");
        }
        assert_eq!(json!([RevisionRef::Latest, RevisionRef::Number(7)]), json!(["latest", 7]));
    }

    #[test]
    fn a_lone_entry_has_all_the_weight() {
        let lone = [TrafficTarget::default()];
        assert_eq!(lone[0].weight(&lone), 100);
        let two = [TrafficTarget { weight: Some(100), ..TrafficTarget::default() }, TrafficTarget::default()];
        assert_eq!(two[1].weight(&two), 0);
    }
}
