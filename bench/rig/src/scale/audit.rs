//! Who asked the API server for what, by its audit log.

use std::{
    collections::BTreeMap,
    fs::File,
    io::{BufRead, BufReader, Seek, SeekFrom},
    path::Path,
};

use anyhow::Context;
use serde::Deserialize;

/// What is written to the log from some moment on.
pub(super) struct Reader {
    file: BufReader<File>,
}

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

// === impl Reader ===

impl Reader {
    /// From now on.
    pub(super) fn at_end(log: &Path) -> anyhow::Result<Self> {
        let mut file = File::open(log).with_context(|| format!("cannot read {}", log.display()))?;
        file.seek(SeekFrom::End(0))?;
        Ok(Self { file: BufReader::new(file) })
    }

    /// Requests of Flint's own programs so far, by program, verb and kind. A watch counts when it begins.
    pub(super) fn counted(self) -> anyhow::Result<BTreeMap<String, f64>> {
        let mut counts = BTreeMap::new();
        for line in self.file.lines() {
            // The log may be cut off by a new one at any moment.
            let Ok(entry) = serde_json::from_str::<Entry>(&line?) else { continue };
            if let Some(what) = entry.what() {
                *counts.entry(what).or_insert(0.0) += 1.0;
            }
        }
        Ok(counts)
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
