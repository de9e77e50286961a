//! `flint version`: the versions here and on the cluster.

use serde::Serialize;

use super::Context;
use crate::{
    cluster::Cluster,
    error::Error,
    output::Table,
    system::{self, Installed},
};

/// Its arguments.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Only of this program, without asking a cluster
    #[arg(long, env = "FLINT_CLIENT")]
    client: bool,
}

/// The versions.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Versions {
    client: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    kubernetes: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    operator: Option<Installed>,
    #[serde(skip_serializing_if = "Option::is_none")]
    gateway: Option<Installed>,
    /// Why there is nothing to say of the cluster.
    #[serde(skip_serializing_if = "Option::is_none")]
    cluster: Option<String>,
}

/// # Errors
/// Never for want of a cluster: that is said.
pub(super) async fn run(args: Args, context: Context<'_>) -> Result<(), Error> {
    let mut versions = Versions {
        client: env!("CARGO_PKG_VERSION"),
        kubernetes: None,
        operator: None,
        gateway: None,
        cluster: None,
    };
    if !args.client
        && let Err(error) = ask(&mut versions, context).await
    {
        let cause = std::error::Error::source(&error).map(|cause| format!(": {cause}"));
        versions.cluster = Some(format!("{error}{}", cause.unwrap_or_default()));
    }
    context.output.result(&versions, || render(&versions))
}

async fn ask(versions: &mut Versions, context: Context<'_>) -> Result<(), Error> {
    let cluster = Cluster::connect(context.global).await?;
    let version = cluster.client.apiserver_version().await;
    let version =
        version.map_err(|error| crate::cluster::failure("ask the cluster for its version", error))?;
    versions.kubernetes = Some(version.git_version);
    let namespace = system::namespace(&cluster, &[]).await?;
    versions.operator = system::installed(&cluster, &namespace, system::OPERATOR).await?;
    versions.gateway = system::installed(&cluster, &namespace, system::GATEWAY).await?;
    if versions.operator.is_none() && versions.gateway.is_none() {
        versions.cluster = Some(format!("Flint is not installed in {namespace}"));
    }
    Ok(())
}

fn render(versions: &Versions) -> String {
    let mut table = Table::bare();
    table.row(["flint".into(), versions.client.into(), String::new()]);
    for (name, installed) in [("operator", &versions.operator), ("gateway", &versions.gateway)] {
        if let Some(installed) = installed {
            let version = installed.version.clone().unwrap_or_else(|| "?".into());
            table.row([name.into(), version, installed.image.clone().unwrap_or_default()]);
        }
    }
    if let Some(kubernetes) = &versions.kubernetes {
        table.row(["kubernetes".into(), kubernetes.clone(), String::new()]);
    }
    let cluster = versions.cluster.as_ref().map(|why| format!("\ncluster: {why}"));
    format!("{table}{}", cluster.unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn installed(part: &str) -> Option<Installed> {
        Some(Installed {
            version: Some("0.1.0".into()),
            image: Some(format!("ghcr.io/flint-dev/flint-{part}:0.1.0")),
            wanted: 2,
            ready: 2,
            args: Vec::new(),
        })
    }

    #[test]
    fn all_versions_are_in_one_table() {
        let versions = Versions {
            client: "0.1.0",
            kubernetes: Some("v1.34.1".into()),
            operator: installed("operator"),
            gateway: installed("gateway"),
            cluster: None,
        };
        insta::assert_snapshot!(render(&versions));
    }

    #[test]
    fn without_a_cluster_the_client_tells_its_own() {
        let versions = Versions {
            client: "0.1.0",
            kubernetes: None,
            operator: None,
            gateway: None,
            cluster: Some("no cluster is configured".into()),
        };
        insta::assert_snapshot!(render(&versions));
    }
}
