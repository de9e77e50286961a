//! What the benchmarks on a cluster share: its API, and HTTP calls timed to the last byte.

use std::{net::SocketAddr, time::Duration};

use anyhow::{Context, bail};
use k8s_openapi::api::core::v1::Pod;
use kube::{Api, Client, api::ListParams};
use tokio::time::Instant;

use crate::wire::{Wire, get};

/// A URL as far as the benchmarks need it.
#[derive(Clone, Debug)]
pub(crate) struct Url {
    pub(crate) address: SocketAddr,
    pub(crate) host: String,
    pub(crate) path: String,
}

/// Connects with `$KUBECONFIG`.
pub(crate) async fn client() -> anyhow::Result<Client> {
    // The only provider in this program; a second installation cannot be.
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    Client::try_default().await.context("no cluster: set KUBECONFIG")
}

/// Waits until no pod has the label, so that the next start is from zero.
pub(crate) async fn none(pods: &Api<Pod>, selector: &str, patience: Duration) -> anyhow::Result<()> {
    let start = Instant::now();
    let list = ListParams::default().labels(selector);
    while !pods.list_metadata(&list).await?.items.is_empty() {
        if start.elapsed() > patience {
            bail!("there are still pods of {selector} after {patience:?}");
        }
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    Ok(())
}

/// One call on a connection of its own; its status.
pub(crate) async fn call(url: &Url, patience: Duration) -> anyhow::Result<u16> {
    let request = get(&url.host, &url.path);
    let answer = tokio::time::timeout(patience, async {
        let mut wire = Wire::connect(url.address).await?;
        wire.call(&request).await
    })
    .await
    .with_context(|| format!("no answer from {} within {patience:?}", url.address))??;
    Ok(answer.status)
}

/// Calls every few milliseconds until 200.
pub(crate) async fn call_until_ok(url: &Url, patience: Duration) -> anyhow::Result<()> {
    let start = Instant::now();
    loop {
        // Somebody who does not take the connection is tried again soon, not waited for.
        if matches!(call(url, Duration::from_secs(5)).await, Ok(200)) {
            return Ok(());
        }
        if start.elapsed() > patience {
            bail!("no 200 from {}{} within {patience:?}", url.address, url.path);
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// Waits until so many pods wait in pools and are ready.
pub(crate) async fn waiting(pods: &Api<Pod>, count: usize, patience: Duration) -> anyhow::Result<()> {
    let start = Instant::now();
    let list = ListParams::default().labels("flint.dev/pool");
    loop {
        let waiting = pods.list(&list).await?.items;
        let ready = waiting.iter().filter(|pod| is_ready(pod)).count();
        if ready >= count {
            return Ok(());
        }
        if start.elapsed() > patience {
            bail!(
                "{ready} and not {count} pods wait in pools after {patience:?}: set spec.pool.size of the Runtime"
            );
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

/// Whether the pod's status says so.
pub(crate) fn is_ready(pod: &Pod) -> bool {
    let conditions = pod.status.as_ref().and_then(|status| status.conditions.as_deref());
    let mut conditions = conditions.unwrap_or_default().iter();
    conditions.any(|condition| condition.type_ == "Ready" && condition.status == "True")
}

/// The time since then, in milliseconds.
pub(crate) fn milliseconds(since: Instant) -> f64 {
    since.elapsed().as_secs_f64() * 1000.0
}

// === impl Url ===

impl Url {
    /// `http://HOST:PORT`, with another path.
    pub(crate) async fn of(url: &str, path: String) -> anyhow::Result<Self> {
        let host = url.strip_prefix("http://").context("the URL begins with http://")?.trim_end_matches('/');
        let with_port = if host.contains(':') { host.to_owned() } else { format!("{host}:80") };
        let address = tokio::net::lookup_host(&with_port)
            .await
            .with_context(|| format!("{host} is not known"))?
            .next()
            .with_context(|| format!("{host} has no address"))?;
        Ok(Self { address, host: host.to_owned(), path })
    }
}
