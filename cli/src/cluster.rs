//! The cluster, as the user's own kubeconfig reaches it and with the user's own permissions.

use std::time::Duration;

use flint_api::Function;
use kube::{
    Api, Client, Config,
    config::{KubeConfigOptions, Kubeconfig},
};

use crate::{args::Global, error::Error};

/// A connection to a cluster.
#[derive(Clone)]
pub struct Cluster {
    /// The client.
    pub client: Client,
    /// The namespace that commands mean.
    pub namespace: String,
    /// The context's name, for people.
    pub context: String,
}

/// An API server that does not answer within this time is away, and the user wants to know.
const PATIENCE: Duration = Duration::from_secs(10);

// === impl Cluster ===

impl Cluster {
    /// Reads the kubeconfig; nothing is asked of the cluster yet.
    ///
    /// # Errors
    /// When there is no kubeconfig, or it does not have what the flags name.
    pub async fn connect(global: &Global) -> Result<Self, Error> {
        let unreadable = |error: kube::config::KubeconfigError| {
            Error::usage("no cluster is configured")
                .because(error)
                .try_this("set KUBECONFIG or give --kubeconfig; without a cluster there is `flint dev`")
        };
        let kubeconfig = match &global.kubeconfig {
            Some(path) => Kubeconfig::read_from(path),
            None => Kubeconfig::read(),
        };
        let kubeconfig = kubeconfig.map_err(unreadable)?;
        let context = global
            .context
            .clone()
            .or_else(|| kubeconfig.current_context.clone())
            .unwrap_or_else(|| "default".to_owned());
        let options = KubeConfigOptions { context: global.context.clone(), ..KubeConfigOptions::default() };
        let mut config = Config::from_custom_kubeconfig(kubeconfig, &options).await.map_err(unreadable)?;
        config.connect_timeout = Some(PATIENCE);
        let namespace = global.namespace.clone().unwrap_or_else(|| config.default_namespace.clone());
        let client = Client::try_from(config)
            .map_err(|error| Error::usage("the kubeconfig cannot be used").because(error))?;
        Ok(Self { client, namespace, context })
    }

    /// The functions of the namespace.
    #[must_use]
    pub fn functions(&self) -> Api<Function> {
        Api::namespaced(self.client.clone(), &self.namespace)
    }
}

/// An answer of the API server's as a failure of the command, `doing` what ("list functions").
#[must_use]
pub fn failure(doing: &str, error: kube::Error) -> Error {
    let message = format!("cannot {doing}");
    match &error {
        kube::Error::Api(status) if status.code == 404 => Error::not_found(message).because(error),
        kube::Error::Api(status) if matches!(status.code, 401 | 403) => Error::denied(message)
            .because(error)
            .try_this("ask for the right, or use another context: `flint doctor` lists what is missing"),
        kube::Error::Api(status) if matches!(status.code, 400 | 409 | 422) => {
            Error::usage(message).because(error)
        }
        kube::Error::Api(_) => Error::platform(message).because(error),
        _ => Error::platform(message)
            .because(error)
            .try_this("is the cluster up? `flint doctor` looks at it piece by piece"),
    }
}
