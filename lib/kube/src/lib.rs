//! How Flint uses the Kubernetes API: leases, server-side apply, events, watches that nothing stops, and what objects ask of
//! the pure core.

pub mod apply;
pub mod events;
pub mod lease;
pub mod scaling;
pub mod watch;

pub use apply::{Applier, Created, Manifest};
pub use events::{Events, last_said};
pub use lease::Lease;
pub use watch::WatchMetrics;

/// The cause of a refusal that Kubernetes names where a namespace is being deleted.
const ENDING: &str = "NamespaceTerminating";

/// What can go wrong at the API server.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// No API server is known.
    #[error("cannot find the API server")]
    Config(#[source] kube::config::InferConfigError),
    /// The configuration names an API server that cannot be talked to.
    #[error("cannot talk to the API server")]
    Client(#[source] Box<kube::Error>),
    /// An object could not be applied.
    #[error("cannot apply {object}")]
    Apply {
        /// Kind and name.
        object: String,
        /// What the API server said.
        #[source]
        source: Box<kube::Error>,
    },
    /// An object could not be created.
    #[error("cannot create {object}")]
    Create {
        /// Kind and name.
        object: String,
        /// What the API server said.
        #[source]
        source: Box<kube::Error>,
    },
    /// A status could not be written.
    #[error("cannot write the status of {object}")]
    Status {
        /// Kind and name.
        object: String,
        /// What the API server said.
        #[source]
        source: Box<kube::Error>,
    },
    /// An object could not be deleted.
    #[error("cannot delete {object}")]
    Delete {
        /// Kind and name.
        object: String,
        /// What the API server said.
        #[source]
        source: Box<kube::Error>,
    },
    /// The scale of an object could not be changed.
    #[error("cannot scale {object}")]
    Scale {
        /// Kind and name.
        object: String,
        /// What the API server said.
        #[source]
        source: Box<kube::Error>,
    },
    /// An object could not be read.
    #[error("cannot read {object}")]
    Get {
        /// Kind and name.
        object: String,
        /// What the API server said.
        #[source]
        source: Box<kube::Error>,
    },
    /// An object of ours does not have the shape of its kind.
    #[error("{object} has no valid shape")]
    Shape {
        /// Kind and name.
        object: String,
        /// Where it is wrong.
        #[source]
        source: serde_json::Error,
    },
}

/// A client of the API server that this process belongs to (in a pod) or that `$KUBECONFIG` names, under a name of its own in the
/// API server's audit log.
///
/// # Errors
/// When no API server can be found, or its address or credentials are of no use.
pub async fn client(user_agent: &'static str) -> Result<kube::Client, Error> {
    let mut config = kube::Config::infer().await.map_err(Error::Config)?;
    config.headers.push((http::header::USER_AGENT, http::HeaderValue::from_static(user_agent)));
    kube::Client::try_from(config).map_err(|source| Error::Client(Box::new(source)))
}

// === impl Error ===

impl Error {
    /// What the API server answered, where it did.
    #[must_use]
    pub fn status(&self) -> Option<&kube::core::Status> {
        match self {
            Self::Apply { source, .. }
            | Self::Create { source, .. }
            | Self::Status { source, .. }
            | Self::Delete { source, .. }
            | Self::Scale { source, .. }
            | Self::Get { source, .. } => match source.as_ref() {
                kube::Error::Api(status) => Some(status),
                _ => None,
            },
            Self::Config(_) | Self::Client(_) | Self::Shape { .. } => None,
        }
    }

    /// Whether the API server refused the object itself, so that trying again is of no use before it changes.
    #[must_use]
    pub fn is_refusal(&self) -> bool {
        self.status().is_some_and(|status| {
            matches!(status.code, 400 | 422) || (status.code == 403 && status.reason == "Forbidden")
        })
    }

    /// Whether the API server takes nothing because the namespace is on its way out.
    #[must_use]
    pub fn is_ending(&self) -> bool {
        let causes = self.status().and_then(|status| status.details.as_ref()).map(|details| &details.causes);
        causes.is_some_and(|causes| causes.iter().any(|cause| cause.reason == ENDING))
    }
}
