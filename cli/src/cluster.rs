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
            let why = match &error {
                kube::config::KubeconfigError::ReadConfig(error, path) => {
                    format!("{}: {error}", path.display())
                }
                other => other.to_string(),
            };
            Error::usage("no cluster is configured")
                .because(why)
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
        let known: Vec<_> = kubeconfig.contexts.iter().map(|known| known.name.clone()).collect();
        if let Some(wanted) = global.context.as_ref().filter(|wanted| !known.contains(wanted)) {
            return Err(Error::usage(format!("the kubeconfig has no context {wanted}"))
                .try_this(format!("one of {}", known.join(", "))));
        }
        let options = KubeConfigOptions { context: global.context.clone(), ..KubeConfigOptions::default() };
        let mut config = Config::from_custom_kubeconfig(kubeconfig, &options).await.map_err(unreadable)?;
        config.connect_timeout = Some(PATIENCE);
        let namespace = global.namespace.clone().unwrap_or_else(|| config.default_namespace.clone());
        let client = Client::try_from(config)
            .map_err(|error| Error::usage("the kubeconfig cannot be used").because(error))?;
        Ok(Self { client, namespace, context })
    }

    /// The same cluster, in the namespace that the function is in.
    #[must_use]
    pub fn within(&self, function: &Function) -> Self {
        let namespace = function.metadata.namespace.clone().unwrap_or_else(|| self.namespace.clone());
        Self { namespace, ..self.clone() }
    }

    /// The functions of the namespace.
    #[must_use]
    pub fn functions(&self) -> Api<Function> {
        Api::namespaced(self.client.clone(), &self.namespace)
    }
}

/// An answer of the API server's, or that there was none, as a failure of the command, `doing` what ("list functions").
#[must_use]
pub fn failure(doing: &str, error: kube::Error) -> Error {
    let message = format!("cannot {doing}");
    let kube::Error::Api(status) = &error else {
        return Error::platform(message)
            .because(innermost(&error))
            .try_this("is the cluster up? `flint doctor` looks at it piece by piece");
    };
    let said = status.message.clone();
    let of_ours = doing_with_ours(status);
    let missing = status.details.as_ref().map(|details| details.kind.as_str());
    match status.code {
        // The path itself is unknown, not an object: the kind is not installed.
        404 if said.contains("could not find the requested resource") || said.contains("page not found") => {
            let text = if of_ours { "Flint is not installed on this cluster" } else { "the cluster does not have this" };
            Error::platform(text).because(message).try_this(crate::system::INSTALL)
        }
        404 if missing == Some("namespaces") => {
            Error::not_found(message).because(said).try_this("kubectl create namespace NAME, or give another one with -n")
        }
        404 => Error::not_found(message).because(said),
        401 => Error::denied(message)
            .because("the cluster does not know you: the kubeconfig's token or certificate is wrong or has expired")
            .try_this("log in again, or use another context: --context NAME"),
        403 => Error::denied(message)
            .because(said)
            .try_this("ask for the right, or use another context: `flint doctor` lists what is missing"),
        400 | 409 | 422 => Error::usage(message).because(said),
        _ => Error::platform(message).because(said),
    }
}

/// Whether another attempt may succeed: nobody answered, or who answered was busy.
#[must_use]
pub fn is_away(error: &kube::Error) -> bool {
    match error {
        kube::Error::Api(status) => status.code == 429 || status.code >= 500,
        kube::Error::HyperError(_) | kube::Error::Service(_) | kube::Error::ReadEvents(_) => true,
        _ => false,
    }
}

/// The last of an error's causes, which says the most: "Connection refused", not "client error".
#[must_use]
pub fn innermost(error: &(dyn std::error::Error + 'static)) -> String {
    let mut last = error;
    while let Some(cause) = last.source() {
        last = cause;
    }
    last.to_string()
}

fn doing_with_ours(status: &kube::core::Status) -> bool {
    // The API server names no group when it does not know the path.
    status
        .details
        .as_ref()
        .is_none_or(|details| details.group.is_empty() || details.group == flint_api::GROUP)
}

#[cfg(test)]
mod tests {
    use flint_testing::apiserver::ApiServer;
    use kube::api::ListParams;

    use super::*;
    use crate::error::{DENIED, NOT_FOUND, PLATFORM, USAGE};

    async fn failed(code: u16, reason: &str, message: &str) -> Error {
        let server = ApiServer::new();
        server.fail("GET", "/functions", code, reason, message);
        let functions: Api<Function> = Api::namespaced(server.client(), "shop");
        failure("list functions", functions.list(&ListParams::default()).await.unwrap_err())
    }

    #[tokio::test]
    async fn a_cluster_without_the_kinds_has_no_flint() {
        let error = failed(404, "NotFound", "the server could not find the requested resource").await;
        assert_eq!(
            (error.code(), error.to_string().as_str()),
            (PLATFORM, "Flint is not installed on this cluster")
        );
        assert!(error.remedy().is_some_and(|remedy| remedy.starts_with("helm install")));
    }

    #[tokio::test]
    async fn every_answer_has_its_exit_code() {
        assert_eq!(failed(404, "NotFound", "functions \"x\" not found").await.code(), NOT_FOUND);
        assert_eq!(failed(403, "Forbidden", "no").await.code(), DENIED);
        assert_eq!(failed(401, "Unauthorized", "no").await.code(), DENIED);
        assert_eq!(failed(422, "Invalid", "spec.timeout: no").await.code(), USAGE);
        assert_eq!(failed(500, "InternalError", "etcd").await.code(), PLATFORM);
    }
}
