//! The floor of a cold start: what plain Kubernetes needs from a Deployment at zero to the first answer at its pod's own address.

use std::{collections::BTreeSet, net::SocketAddr, time::Duration};

use anyhow::{Context, bail};
use clap::Args;
use k8s_openapi::api::{apps::v1::Deployment, core::v1::Pod};
use kube::{
    Api, Client,
    api::{DeleteParams, ListParams, Patch, PatchParams},
};
use serde_json::json;
use tokio::{task::JoinSet, time::Instant};

use crate::cluster::{Url, call_until_ok, milliseconds, none};

/// Names its Deployment and pods.
const NAME: &str = "flint-bench-floor";

/// What plain Kubernetes runs.
#[derive(Clone, Debug, Args)]
pub(crate) struct FloorImage {
    /// An image that serves HTTP on its own, for plain Kubernetes.
    #[arg(long)]
    pub(crate) floor_image: String,
    /// Its command, where the image's own is not the one.
    #[arg(long, value_delimiter = ' ')]
    floor_command: Vec<String>,
    /// Its port.
    #[arg(long, default_value_t = 8080)]
    floor_port: u16,
}

/// The label that all of them have.
const LABEL: &str = "flint-bench";
/// How often the addresses of many are asked for: often enough for seconds, seldom enough not to be what is measured.
const LOOK: Duration = Duration::from_millis(50);

/// A Deployment of plain Kubernetes, to be started and stopped.
pub(crate) struct Floor {
    name: String,
    deployments: Api<Deployment>,
    pods: Api<Pod>,
    port: u16,
    patience: Duration,
}

// === impl Floor ===

impl Floor {
    /// Makes the Deployment, at zero.
    pub(crate) async fn make(
        client: &Client,
        namespace: &str,
        image: &FloorImage,
        patience: Duration,
    ) -> anyhow::Result<Self> {
        Self::named(NAME.to_owned(), client, namespace, image, patience).await
    }

    async fn named(
        name: String,
        client: &Client,
        namespace: &str,
        image: &FloorImage,
        patience: Duration,
    ) -> anyhow::Result<Self> {
        let mut container = json!({
            "name": "floor", "image": image.floor_image,
            "securityContext": {
                "runAsNonRoot": true, "runAsUser": 65532, "allowPrivilegeEscalation": false,
                "capabilities": {"drop": ["ALL"]}, "seccompProfile": {"type": "RuntimeDefault"},
            },
        });
        if !image.floor_command.is_empty() {
            container["command"] = json!(image.floor_command);
        }
        // The quickest pod that plain Kubernetes has: no probe, no token, hence no volume.
        let deployment: Deployment = serde_json::from_value(json!({
            "apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": name},
            "spec": {
                "replicas": 0, "selector": {"matchLabels": {"app": name}},
                "template": {
                    "metadata": {"labels": {"app": name, LABEL: NAME}},
                    "spec": {
                        "terminationGracePeriodSeconds": 1, "enableServiceLinks": false,
                        "automountServiceAccountToken": false, "containers": [container],
                    },
                },
            },
        }))?;
        let deployments: Api<Deployment> = Api::namespaced(client.clone(), namespace);
        let apply = PatchParams::apply("flint-bench").force();
        let made = deployments.patch(&name, &apply, &Patch::Apply(&deployment)).await;
        made.context("the floor cannot be made")?;
        let pods = Api::namespaced(client.clone(), namespace);
        Ok(Self { name, deployments, pods, port: image.floor_port, patience })
    }

    /// Scales to one, and waits for the first answer at the pod's own address. In milliseconds.
    pub(crate) async fn start(&self) -> anyhow::Result<f64> {
        let start = Instant::now();
        self.scale(1).await?;
        let list = ListParams::default().labels(&format!("app={}", self.name));
        let address = loop {
            let pods = self.pods.list(&list).await?;
            let address = pods.items.into_iter().find_map(|pod| pod.status?.pod_ip);
            if let Some(address) = address {
                break address;
            }
            if start.elapsed() > self.patience {
                bail!("the floor's pod has no address after {:?}", self.patience);
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        };
        let address = SocketAddr::new(address.parse()?, self.port);
        let url = Url { address, host: address.to_string(), path: "/".into() };
        call_until_ok(&url, self.patience).await?;
        Ok(milliseconds(start))
    }

    /// Scales to zero, and waits until the pod is gone.
    pub(crate) async fn stop(&self) -> anyhow::Result<()> {
        self.scale(0).await?;
        none(&self.pods, &format!("app={}", self.name), self.patience).await
    }

    /// Removes the Deployment.
    pub(crate) async fn remove(&self) -> anyhow::Result<()> {
        self.deployments.delete(&self.name, &DeleteParams::default()).await?;
        Ok(())
    }

    async fn scale(&self, replicas: i32) -> anyhow::Result<()> {
        let scale = json!({"spec": {"replicas": replicas}});
        self.deployments.patch_scale(&self.name, &PatchParams::default(), &Patch::Merge(&scale)).await?;
        Ok(())
    }
}

/// Many of them, to be started in the same moment.
pub(crate) struct Floors(Vec<Floor>);

// === impl Floors ===

impl Floors {
    /// Makes `count` Deployments, at zero.
    pub(crate) async fn make(
        count: usize,
        client: &Client,
        namespace: &str,
        image: &FloorImage,
        patience: Duration,
    ) -> anyhow::Result<Self> {
        let mut floors = Vec::new();
        for number in 1..=count {
            let name = format!("{NAME}-{number}");
            floors.push(Floor::named(name, client, namespace, image, patience).await?);
        }
        Ok(Self(floors))
    }

    /// Scales all of them to one, and waits for the first answer of each at its pod's own address. In milliseconds.
    pub(crate) async fn start(&self) -> anyhow::Result<Vec<f64>> {
        let Some(Floor { pods, port, patience, .. }) = self.0.first() else { return Ok(Vec::new()) };
        let start = Instant::now();
        for scaled in futures::future::join_all(self.0.iter().map(|floor| floor.scale(1))).await {
            scaled?;
        }
        let list = ListParams::default().labels(&format!("{LABEL}={NAME}"));
        let mut seen = BTreeSet::new();
        let mut calls = JoinSet::new();
        while seen.len() < self.0.len() {
            for pod in pods.list(&list).await?.items {
                let Some(address) = pod.status.and_then(|status| status.pod_ip) else { continue };
                if !seen.insert(address.clone()) {
                    continue;
                }
                let (port, patience) = (*port, *patience);
                calls.spawn(async move {
                    let address = SocketAddr::new(address.parse()?, port);
                    let url = Url { address, host: address.to_string(), path: "/".into() };
                    call_until_ok(&url, patience).await?;
                    anyhow::Ok(milliseconds(start))
                });
            }
            if start.elapsed() > *patience {
                bail!("{} of {} pods have an address after {patience:?}", seen.len(), self.0.len());
            }
            tokio::time::sleep(LOOK).await;
        }
        let mut samples = Vec::new();
        while let Some(called) = calls.join_next().await {
            samples.push(called??);
        }
        Ok(samples)
    }

    /// Scales all of them to zero, and waits until the pods are gone.
    pub(crate) async fn stop(&self) -> anyhow::Result<()> {
        for floor in &self.0 {
            floor.scale(0).await?;
        }
        for floor in &self.0 {
            floor.stop().await?;
        }
        Ok(())
    }

    /// Removes the Deployments.
    pub(crate) async fn remove(&self) -> anyhow::Result<()> {
        for floor in &self.0 {
            floor.remove().await?;
        }
        Ok(())
    }
}
