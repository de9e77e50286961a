//! Paths of the Kubernetes API, taken apart.

use serde_json::Value;

/// What a path names: a collection, an object, or a subresource of one.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Path {
    /// `v1`, or `GROUP/VERSION`.
    pub(super) api: String,
    /// The resource.
    pub(super) plural: String,
    /// The namespace; none for cluster-scoped objects, and for collections over all namespaces.
    pub(super) namespace: Option<String>,
    /// The object's name.
    pub(super) name: Option<String>,
    /// `status`, `scale`, …
    pub(super) subresource: Option<String>,
}

/// The resource's name in paths: what Kubernetes' own kinds and ours all follow.
pub(super) fn plural(kind: &str) -> String {
    format!("{}s", kind.to_ascii_lowercase())
}

// === impl Path ===

impl Path {
    pub(super) fn parse(path: &str) -> Option<Self> {
        let mut segments = path.trim_matches('/').split('/').map(str::to_owned);
        let api = match segments.next()?.as_str() {
            "api" => segments.next()?,
            "apis" => format!("{}/{}", segments.next()?, segments.next()?),
            _ => return None,
        };
        let mut plural = segments.next()?;
        let mut namespace = None;
        let mut name = segments.next();
        if plural == "namespaces"
            && let Some(resource) = segments.next()
        {
            (namespace, plural, name) = (name, resource, segments.next());
        }
        Some(Self { api, plural, namespace, name, subresource: segments.next() })
    }

    /// Where an object lives.
    pub(super) fn of(object: &Value) -> Self {
        let text = |value: &Value| value.as_str().map(str::to_owned);
        Self {
            api: text(&object["apiVersion"]).unwrap_or_default(),
            plural: plural(object["kind"].as_str().unwrap_or_default()),
            namespace: text(&object["metadata"]["namespace"]),
            name: text(&object["metadata"]["name"]),
            subresource: None,
        }
    }

    pub(super) fn group(&self) -> &str {
        self.api.split_once('/').map_or("", |(group, _)| group)
    }

    /// The object that a subresource is of.
    pub(super) fn object(&self) -> Self {
        Self { subresource: None, ..self.clone() }
    }

    /// Whether the collection `self` holds the object at `path`.
    pub(super) fn holds(&self, path: &Self) -> bool {
        self.api == path.api
            && self.plural == path.plural
            && (self.namespace.is_none() || self.namespace == path.namespace)
    }
}
