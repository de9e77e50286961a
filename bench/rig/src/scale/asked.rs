//! Who asked the API server for what, by its audit log.

use std::collections::BTreeMap;

use serde::Deserialize;

use crate::audit::Gathered;

/// Requests of Flint's own programs, by program, verb and kind. A watch counts when it begins.
pub(super) type Counts = BTreeMap<String, f64>;

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Entry {
    stage: String,
    verb: String,
    #[serde(default)]
    user_agent: String,
    object_ref: Option<Object>,
}

#[derive(Deserialize)]
struct Object {
    resource: String,
    #[serde(default)]
    subresource: String,
}

// === impl Counts ===

impl Gathered for Counts {
    fn line(&mut self, line: &str) {
        let entry = serde_json::from_str::<Entry>(line).ok();
        if let Some(what) = entry.and_then(|entry| entry.what()) {
            *self.entry(what).or_insert(0.0) += 1.0;
        }
    }
}

// === impl Entry ===

impl Entry {
    fn what(&self) -> Option<String> {
        let Self { stage, verb, user_agent, object_ref } = self;
        let program = user_agent.split([' ', '/']).next().filter(|name| name.starts_with("flint-"))?;
        let counts = if verb == "watch" { stage == "ResponseStarted" } else { stage == "ResponseComplete" };
        let object = object_ref.as_ref();
        let kind = object.map_or("", |object| &object.resource);
        let part = object.map(|object| object.subresource.as_str()).filter(|part| !part.is_empty());
        let part = part.map(|part| format!("/{part}")).unwrap_or_default();
        counts.then(|| format!("{program} {verb} {kind}{part}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_of_ours_are_told_by_what_they_ask() {
        let entry = |text: &str| serde_json::from_str::<Entry>(text).unwrap().what();
        let ours = r#"{"stage":"ResponseComplete","verb":"patch","userAgent":"flint-operator/0.1.0","objectRef":{"resource":"functions","subresource":"status"}}"#;
        assert_eq!(entry(ours).as_deref(), Some("flint-operator patch functions/status"));
        let others = r#"{"stage":"ResponseComplete","verb":"get","userAgent":"kubelet/v1.33"}"#;
        assert_eq!(entry(others), None);
        let ends = r#"{"stage":"ResponseComplete","verb":"watch","userAgent":"flint-gateway/0.1.0"}"#;
        assert_eq!(entry(ends), None);
    }
}
