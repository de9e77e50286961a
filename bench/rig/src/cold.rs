//! A cold start beside what plain Kubernetes needs for one, round by round on the same node.

use std::{net::SocketAddr, path::PathBuf, time::Duration};

use anyhow::{Context, bail};
use clap::Args;
use flint_api::Function;
use k8s_openapi::api::{apps::v1::Deployment, core::v1::Pod};
use kube::{
    Api, Client,
    api::{DeleteParams, ListParams, Patch, PatchParams},
};
use rand::Rng;
use serde::Serialize;
use serde_json::json;
use tokio::time::Instant;

use crate::{
    cluster::{Url, call, call_until_ok, client, none},
    report::{Machine, Report, Times, now},
};

/// Names the floor's Deployment and pods.
const FLOOR: &str = "flint-bench-floor";

/// From zero to the first answer, beside plain Kubernetes.
#[derive(Debug, Args)]
pub(crate) struct Cold {
    /// The gateway's URL.
    #[arg(long, env = "FLINT_URL")]
    url: String,
    /// Namespace of the function; the floor's Deployment is made there too.
    #[arg(long, default_value = "default")]
    function_namespace: String,
    /// The function: at zero between calls, so with a short `scaleToZeroAfter`. A trivial one.
    #[arg(long)]
    function_name: String,
    /// An image that serves HTTP on its own, for plain Kubernetes.
    #[arg(long)]
    floor_image: String,
    /// Its command, where the image's own is not the one.
    #[arg(long, value_delimiter = ' ')]
    floor_command: Vec<String>,
    /// Its port.
    #[arg(long, default_value_t = 8080)]
    floor_port: u16,
    /// Rounds.
    #[arg(long, short, default_value_t = 30)]
    n: usize,
    /// The longest pause before a start, in seconds. Pauses are random: equal ones align with the kubelet's ticks.
    #[arg(long, default_value_t = 2.0)]
    gap: f64,
    /// What a start may take, and a function on its way to zero, in seconds.
    #[arg(long, default_value_t = 120.0)]
    patience: f64,
    /// The function starts from a warm pool: one that is filled is waited for before each start, and the starts that came from it are
    /// counted.
    #[arg(long)]
    pool: bool,
    /// Where results are written.
    #[arg(long, default_value = "bench/results")]
    results: PathBuf,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Results {
    function: String,
    runtime: String,
    floor_image: String,
    flint_ms: Times,
    floor_ms: Times,
    /// Flint ÷ plain Kubernetes.
    ratio_p50: f64,
    ratio_p95: f64,
    flint_samples_ms: Vec<f64>,
    floor_samples_ms: Vec<f64>,
    /// The request after each start.
    second_ms: Times,
    /// Starts from a warm pool, with `--pool`.
    #[serde(skip_serializing_if = "Option::is_none")]
    from_pool: Option<usize>,
}

/// What the rounds gave, in milliseconds.
#[derive(Default)]
struct Rounds {
    runtime: String,
    flint: Vec<f64>,
    second: Vec<f64>,
    floor: Vec<f64>,
    from_pool: usize,
}

struct Floor {
    deployments: Api<Deployment>,
    pods: Api<Pod>,
    port: u16,
    patience: Duration,
}

// === impl Cold ===

impl Cold {
    pub(crate) async fn run(self) -> anyhow::Result<()> {
        let machine = Machine::here();
        let client = client().await?;
        let floor = self.floor(&client).await?;
        let outcome = self.rounds(&client, &floor).await;
        floor.remove().await?;
        let Rounds { runtime, flint, second, floor: plain, from_pool } = outcome?;
        let (flint_ms, floor_ms) = (Times::of_samples(&flint), Times::of_samples(&plain));
        let second_ms = Times::of_samples(&second);
        let results = Results {
            function: format!("{}/{}", self.function_namespace, self.function_name),
            runtime,
            floor_image: self.floor_image,
            flint_ms,
            floor_ms,
            ratio_p50: flint_ms.p50 / floor_ms.p50,
            ratio_p95: flint_ms.p95 / floor_ms.p95,
            flint_samples_ms: flint,
            floor_samples_ms: plain,
            second_ms,
            from_pool: self.pool.then_some(from_pool),
        };
        println!("\n{:20} {:>8} {:>8} {:>8} {:>8}", "ms", "p50", "p95", "min", "max");
        for (name, times) in
            [("Flint", flint_ms), ("Flint, second", second_ms), ("plain Kubernetes", floor_ms)]
        {
            println!("{name:20} {:>8.1} {:>8.1} {:>8.1} {:>8.1}", times.p50, times.p95, times.min, times.max);
        }
        if self.pool {
            println!("{from_pool} of {} starts came from the pool", self.n);
        }
        println!("{:20} {:>8.2} {:>8.2}", "ratio", results.ratio_p50, results.ratio_p95);
        let kind = if self.pool { "pool-start" } else { "cold-start" };
        let benchmark = format!("{kind}-{}", self.function_name.trim_start_matches("bench-"));
        Report { benchmark: &benchmark, date: now(), machine, results }.write(&self.results)
    }

    async fn rounds(&self, client: &Client, floor: &Floor) -> anyhow::Result<Rounds> {
        let patience = Duration::from_secs_f64(self.patience);
        let functions: Api<Function> = Api::namespaced(client.clone(), &self.function_namespace);
        let function = functions.get(&self.function_name).await.context("the function is not there")?;
        let pods: Api<Pod> = Api::namespaced(client.clone(), &self.function_namespace);
        let selector = format!("flint.dev/function={}", self.function_name);
        let path = format!("/function/{}.{}", self.function_name, self.function_namespace);
        let url = Url::of(&self.url, path).await?;
        // Once unmeasured: the image is pulled, caches are filled.
        call(&url, patience).await?;
        floor.start().await?;
        let mut rounds =
            Rounds { runtime: function.spec.runtime.unwrap_or_else(|| "image".into()), ..Rounds::default() };
        for round in 1..=self.n {
            floor.stop().await?;
            none(&pods, &selector, patience).await?;
            if self.pool {
                filled(&pods, patience).await?;
            }
            self.pause().await;
            let start = Instant::now();
            let status = call(&url, patience).await?;
            let took = milliseconds(start);
            if status != 200 {
                bail!("round {round}: the function answered {status}");
            }
            rounds.flint.push(took);
            let second = Instant::now();
            call(&url, patience).await?;
            rounds.second.push(milliseconds(second));

            self.pause().await;
            let claimed = ListParams::default().labels(&format!("{selector},flint.dev/from-pool"));
            rounds.from_pool += usize::from(!pods.list(&claimed).await?.items.is_empty());
            let floor_took = floor.start().await?;
            rounds.floor.push(floor_took);
            println!("round {round:3}: Flint {took:6.1} ms, plain Kubernetes {floor_took:6.0} ms");
        }
        Ok(rounds)
    }

    async fn floor(&self, client: &Client) -> anyhow::Result<Floor> {
        let mut container = json!({
            "name": "floor", "image": self.floor_image,
            "securityContext": {
                "runAsNonRoot": true, "runAsUser": 65532, "allowPrivilegeEscalation": false,
                "capabilities": {"drop": ["ALL"]}, "seccompProfile": {"type": "RuntimeDefault"},
            },
        });
        if !self.floor_command.is_empty() {
            container["command"] = json!(self.floor_command);
        }
        // The quickest pod that plain Kubernetes has: no probe, no token, hence no volume.
        let deployment: Deployment = serde_json::from_value(json!({
            "apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": FLOOR},
            "spec": {
                "replicas": 0, "selector": {"matchLabels": {"app": FLOOR}},
                "template": {
                    "metadata": {"labels": {"app": FLOOR}},
                    "spec": {
                        "terminationGracePeriodSeconds": 1, "enableServiceLinks": false,
                        "automountServiceAccountToken": false, "containers": [container],
                    },
                },
            },
        }))?;
        let deployments: Api<Deployment> = Api::namespaced(client.clone(), &self.function_namespace);
        let apply = PatchParams::apply("flint-bench").force();
        deployments
            .patch(FLOOR, &apply, &Patch::Apply(&deployment))
            .await
            .context("the floor cannot be made")?;
        Ok(Floor {
            deployments,
            pods: Api::namespaced(client.clone(), &self.function_namespace),
            port: self.floor_port,
            patience: Duration::from_secs_f64(self.patience),
        })
    }

    async fn pause(&self) {
        let seconds = 0.5 + rand::rng().random::<f64>() * self.gap;
        tokio::time::sleep(Duration::from_secs_f64(seconds)).await;
    }
}

// === impl Floor ===

impl Floor {
    /// Scales to one, and waits for the first answer at the pod's own address. In milliseconds.
    async fn start(&self) -> anyhow::Result<f64> {
        let start = Instant::now();
        self.scale(1).await?;
        let list = ListParams::default().labels(&format!("app={FLOOR}"));
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

    async fn stop(&self) -> anyhow::Result<()> {
        self.scale(0).await?;
        none(&self.pods, &format!("app={FLOOR}"), self.patience).await
    }

    async fn scale(&self, replicas: i32) -> anyhow::Result<()> {
        let scale = json!({"spec": {"replicas": replicas}});
        self.deployments.patch_scale(FLOOR, &PatchParams::default(), &Patch::Merge(&scale)).await?;
        Ok(())
    }

    async fn remove(&self) -> anyhow::Result<()> {
        self.deployments.delete(FLOOR, &DeleteParams::default()).await?;
        Ok(())
    }
}

/// Waits until a pod waits in a pool and is ready, and a moment more for the gateways to hear of it.
async fn filled(pods: &Api<Pod>, patience: Duration) -> anyhow::Result<()> {
    let start = Instant::now();
    let list = ListParams::default().labels("flint.dev/pool");
    loop {
        let waiting = pods.list(&list).await?.items;
        let ready = waiting.iter().filter(|pod| {
            let conditions = pod.status.as_ref().and_then(|status| status.conditions.as_deref());
            conditions
                .unwrap_or_default()
                .iter()
                .any(|condition| condition.type_ == "Ready" && condition.status == "True")
        });
        if ready.count() > 0 {
            tokio::time::sleep(Duration::from_millis(500)).await;
            return Ok(());
        }
        if start.elapsed() > patience {
            bail!("no pod waits in a pool after {patience:?}: set spec.pool.size of the Runtime");
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

fn milliseconds(start: Instant) -> f64 {
    start.elapsed().as_secs_f64() * 1000.0
}
