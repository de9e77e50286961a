//! The name of a function within the cluster.

use std::fmt;

use flint_api::{Function, labels};
use kube::{Resource, ResourceExt, runtime::reflector::ObjectRef};

/// A function's namespace and name.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Key {
    /// Its namespace.
    pub(crate) namespace: String,
    /// Its name.
    pub(crate) name: String,
}

// === impl Key ===

impl Key {
    /// The function of that name.
    pub(crate) fn new(namespace: &str, name: &str) -> Self {
        Self { namespace: namespace.to_owned(), name: name.to_owned() }
    }

    /// The function itself.
    pub(crate) fn of(function: &Function) -> Self {
        Self { namespace: function.namespace().unwrap_or_default(), name: function.name_any() }
    }

    /// The function that an object says it belongs to, by its label.
    pub(crate) fn owner<K: Resource>(object: &K) -> Option<Self> {
        let meta = object.meta();
        let name = meta.labels.as_ref()?.get(labels::FUNCTION)?;
        Some(Self::new(meta.namespace.as_deref()?, name))
    }

    /// How stores address the function.
    pub(crate) fn reference(&self) -> ObjectRef<Function> {
        ObjectRef::new(&self.name).within(&self.namespace)
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.namespace, self.name)
    }
}
