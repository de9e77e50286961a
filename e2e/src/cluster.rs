//! The cluster under test: its API, the gateway's URL, and where images are.

use anyhow::{Context, Result};
use kube::Client;

/// Namespace that the chart is installed in.
pub const SYSTEM: &str = "flint-system";

/// The cluster under test, as `make e2e` names it in the environment.
#[derive(Clone)]
pub struct Cluster {
    /// The Kubernetes API, as the administrator.
    pub client: Client,
    /// An HTTP client that does not follow redirects.
    pub http: reqwest::Client,
    /// The gateway's URL as this host reaches it (`FLINT_URL`).
    pub url: String,
    /// Where the cluster pulls images from (`FLINT_REGISTRY`), such as `127.0.0.1:5000`.
    pub registry: String,
    /// The images' tag (`FLINT_TAG`).
    pub tag: String,
}

impl Cluster {
    /// Connects with `$KUBECONFIG`.
    ///
    /// # Errors
    /// When the kubeconfig is missing or wrong.
    pub async fn connect() -> Result<Self> {
        // Fails when it is installed already, which is as good.
        let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
        let client =
            Client::try_default().await.context("no cluster: run `make cluster` or set KUBECONFIG")?;
        let http = reqwest::Client::builder().redirect(reqwest::redirect::Policy::none()).build()?;
        let variable = |name: &str, default: &str| std::env::var(name).unwrap_or_else(|_| default.to_owned());
        Ok(Self {
            client,
            http,
            url: variable("FLINT_URL", "http://127.0.0.1:30080").trim_end_matches('/').to_owned(),
            registry: variable("FLINT_REGISTRY", "127.0.0.1:5000"),
            tag: variable("FLINT_TAG", "dev"),
        })
    }

    /// An image of this project by its short name.
    #[must_use]
    pub fn image(&self, name: &str) -> String {
        format!("{}/{name}:{}", self.registry, self.tag)
    }

    /// Whether the node is this machine, so that its processes can be killed: `FLINT_E2E_LOCAL_NODE=1`.
    #[must_use]
    pub fn node_is_local(&self) -> bool {
        std::env::var("FLINT_E2E_LOCAL_NODE").is_ok_and(|value| value == "1")
    }
}
