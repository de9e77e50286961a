//! Many functions at zero are called in the same moment: how long each waits, beside what one start takes on plain Kubernetes.

use std::{path::PathBuf, time::Duration};

use clap::Args;
use k8s_openapi::api::core::v1::Pod;
use kube::{Api, Client, ResourceExt, api::ListParams};
use serde::Serialize;
use tokio::{task::JoinSet, time::Instant};

use crate::{
    cluster::{Url, call, client, milliseconds, none, waiting},
    copies::Copies,
    floor::{Floor, FloorImage},
    report::{Machine, Report, Times, now},
};

/// Different functions that are woken at once.
#[derive(Debug, Args)]
pub(crate) struct Burst {
    /// The gateway's URL.
    #[arg(long, env = "FLINT_URL")]
    url: String,
    /// Namespace of the function; the floor's Deployment is made there too.
    #[arg(long, default_value = "default")]
    function_namespace: String,
    /// The function that is copied.
    #[arg(long)]
    function_name: String,
    /// So many functions are called at once. The copies are made and removed.
    #[arg(long, default_value_t = 50)]
    functions: usize,
    /// So many pods wait in the pool before each round; 0 without one.
    #[arg(long, default_value_t = 0)]
    pool: usize,
    #[command(flatten)]
    floor: FloorImage,
    /// Starts of the floor, before the rounds.
    #[arg(long, default_value_t = 10)]
    floor_starts: usize,
    /// Rounds.
    #[arg(long, short, default_value_t = 2)]
    n: usize,
    /// What a start may take, and functions on their way to zero, in seconds.
    #[arg(long, default_value_t = 180.0)]
    patience: f64,
    /// Where results are written.
    #[arg(long, default_value = "bench/results")]
    results: PathBuf,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Results {
    function: String,
    functions: usize,
    pool: usize,
    floor_image: String,
    flint_ms: Times,
    floor_ms: Times,
    /// Flint's burst ÷ one start of plain Kubernetes.
    ratio_p95: f64,
    /// Calls that were not answered with 200.
    failed: usize,
    /// Starts from the pool, over all rounds.
    from_pool: usize,
    samples_ms: Vec<f64>,
}

/// Gateways hear of pods that wait a moment after the API server does.
const HEARD: Duration = Duration::from_millis(700);

// === impl Burst ===

impl Burst {
    pub(crate) async fn run(self) -> anyhow::Result<()> {
        let machine = Machine::here();
        let client = client().await?;
        let patience = Duration::from_secs_f64(self.patience);
        let namespace = &self.function_namespace;
        let floor = Floor::make(&client, namespace, &self.floor, patience).await?;
        let plain = self.plain(&floor).await;
        floor.remove().await?;
        let plain = plain?;
        let copies = Copies::make(&client, namespace, &self.function_name, self.functions, patience).await?;
        let outcome = self.rounds(&client, &copies).await;
        copies.remove().await?;
        let (samples, failed, from_pool) = outcome?;
        let (flint_ms, floor_ms) = (Times::of_samples(&samples), Times::of_samples(&plain));
        let ratio_p95 = flint_ms.p95 / floor_ms.p50;
        println!("\n{:24} {:>8} {:>8} {:>8} {:>8}", "ms", "p50", "p95", "min", "max");
        for (name, times) in [("Flint, all at once", flint_ms), ("plain Kubernetes, one", floor_ms)] {
            println!("{name:24} {:>8.1} {:>8.1} {:>8.1} {:>8.1}", times.p50, times.p95, times.min, times.max);
        }
        println!(
            "p95 of the burst is {ratio_p95:.2} of one start; {failed} calls failed; {from_pool} starts came from the pool"
        );
        let results = Results {
            function: format!("{namespace}/{}", self.function_name),
            functions: self.functions,
            pool: self.pool,
            floor_image: self.floor.floor_image,
            flint_ms,
            floor_ms,
            ratio_p95,
            failed,
            from_pool,
            samples_ms: samples,
        };
        let benchmark = format!("burst-{}", self.function_name.trim_start_matches("bench-"));
        Report { benchmark: &benchmark, date: now(), machine, results }.write(&self.results)
    }

    async fn plain(&self, floor: &Floor) -> anyhow::Result<Vec<f64>> {
        let mut samples = Vec::new();
        for _ in 0..=self.floor_starts {
            samples.push(floor.start().await?);
            floor.stop().await?;
        }
        // The first one fills caches.
        samples.remove(0);
        Ok(samples)
    }

    /// Milliseconds of all calls, how many failed, and how many came from the pool.
    async fn rounds(&self, client: &Client, copies: &Copies) -> anyhow::Result<(Vec<f64>, usize, usize)> {
        let patience = Duration::from_secs_f64(self.patience);
        let pods: Api<Pod> = Api::namespaced(client.clone(), &self.function_namespace);
        let (mut samples, mut failed, mut from_pool) = (Vec::new(), 0, 0);
        for round in 1..=self.n {
            none(&pods, "flint.dev/function", patience).await?;
            waiting(&pods, self.pool, patience).await?;
            tokio::time::sleep(HEARD).await;
            let mut calls = JoinSet::new();
            for name in copies.names() {
                let path = format!("/function/{name}.{}", self.function_namespace);
                let url = Url::of(&self.url, path).await?;
                calls.spawn(async move {
                    let start = Instant::now();
                    let status = call(&url, patience).await;
                    (milliseconds(start), status)
                });
            }
            let mut round_samples = Vec::new();
            while let Some(called) = calls.join_next().await {
                let (took, status) = called?;
                round_samples.push(took);
                failed += usize::from(!matches!(status, Ok(200)));
            }
            let list = ListParams::default().labels("flint.dev/from-pool");
            let claimed = pods.list(&list).await?.items.iter().map(ResourceExt::name_any).count();
            from_pool += claimed;
            let times = Times::of_samples(&round_samples);
            println!(
                "round {round}: p50 {:.0}, p95 {:.0}, slowest {:.0} ms; {claimed} from the pool",
                times.p50, times.p95, times.max
            );
            samples.extend(round_samples);
        }
        Ok((samples, failed, from_pool))
    }
}
