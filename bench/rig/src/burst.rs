//! Many functions at zero are called in the same moment: how long each waits, beside as many Deployments of plain Kubernetes that
//! are scaled to one in the same moment, and beside one alone.

use std::{path::PathBuf, time::Duration};

use clap::Args;
use k8s_openapi::api::core::v1::Pod;
use kube::{Api, Client, ResourceExt, api::ListParams};
use serde::Serialize;
use tokio::{task::JoinSet, time::Instant};

use crate::{
    cluster::{Url, call, client, milliseconds, none, waiting},
    copies::Copies,
    floor::{Floor, FloorImage, Floors},
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
    /// As many Deployments, in the same moment.
    floor_ms: Times,
    /// One Deployment alone.
    floor_one_ms: Times,
    /// Flint's p95 ÷ that of as many Deployments.
    ratio_p95: f64,
    /// Flint's p95 ÷ the median of one Deployment alone.
    ratio_one: f64,
    /// Calls that were not answered with 200.
    failed: usize,
    /// Starts from the pool, over all rounds.
    from_pool: usize,
    samples_ms: Vec<f64>,
    floor_samples_ms: Vec<f64>,
}

/// What the rounds saw.
#[derive(Default)]
struct Seen {
    flint: Vec<f64>,
    plain: Vec<f64>,
    failed: usize,
    from_pool: usize,
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
        let one = self.plain(&floor).await;
        floor.remove().await?;
        let one = one?;
        let floors = Floors::make(self.functions, &client, namespace, &self.floor, patience).await?;
        let copies = Copies::make(&client, namespace, &self.function_name, self.functions, patience).await?;
        let outcome = self.rounds(&client, &copies, &floors).await;
        copies.remove().await?;
        floors.remove().await?;
        let Seen { flint, plain, failed, from_pool } = outcome?;
        let (flint_ms, floor_ms, floor_one_ms) =
            (Times::of_samples(&flint), Times::of_samples(&plain), Times::of_samples(&one));
        let (ratio_p95, ratio_one) = (flint_ms.p95 / floor_ms.p95, flint_ms.p95 / floor_one_ms.p50);
        println!("\n{:29} {:>8} {:>8} {:>8} {:>8}", "ms", "p50", "p95", "min", "max");
        let rows = [
            ("Flint, all at once", flint_ms),
            ("plain Kubernetes, all at once", floor_ms),
            ("plain Kubernetes, one", floor_one_ms),
        ];
        for (name, times) in rows {
            println!("{name:29} {:>8.1} {:>8.1} {:>8.1} {:>8.1}", times.p50, times.p95, times.min, times.max);
        }
        println!(
            "p95 is {ratio_p95:.2} of plain Kubernetes' burst and {ratio_one:.2} of its single start; \
             {failed} calls failed; {from_pool} starts came from the pool"
        );
        let results = Results {
            function: format!("{namespace}/{}", self.function_name),
            functions: self.functions,
            pool: self.pool,
            floor_image: self.floor.floor_image,
            flint_ms,
            floor_ms,
            floor_one_ms,
            ratio_p95,
            ratio_one,
            failed,
            from_pool,
            samples_ms: flint,
            floor_samples_ms: plain,
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

    /// Plain Kubernetes and Flint in turns.
    async fn rounds(&self, client: &Client, copies: &Copies, floors: &Floors) -> anyhow::Result<Seen> {
        let patience = Duration::from_secs_f64(self.patience);
        let pods: Api<Pod> = Api::namespaced(client.clone(), &self.function_namespace);
        let mut seen = Seen::default();
        for round in 1..=self.n {
            none(&pods, "flint.dev/function", patience).await?;
            let plain = floors.start().await?;
            floors.stop().await?;
            let times = Times::of_samples(&plain);
            println!(
                "round {round}: plain Kubernetes p50 {:.0}, p95 {:.0}, slowest {:.0} ms",
                times.p50, times.p95, times.max
            );
            seen.plain.extend(plain);
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
                seen.failed += usize::from(!matches!(status, Ok(200)));
            }
            let list = ListParams::default().labels("flint.dev/from-pool");
            let claimed = pods.list(&list).await?.items.iter().map(ResourceExt::name_any).count();
            seen.from_pool += claimed;
            let times = Times::of_samples(&round_samples);
            println!(
                "round {round}: p50 {:.0}, p95 {:.0}, slowest {:.0} ms; {claimed} from the pool",
                times.p50, times.p95, times.max
            );
            seen.flint.extend(round_samples);
        }
        Ok(seen)
    }
}
