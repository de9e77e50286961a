//! Cold starts by language, with the time of the function's own initialization told apart from the platform's.

use std::{collections::BTreeMap, path::PathBuf, time::Duration};

use anyhow::{Context, bail};
use clap::Args;
use flint_api::Function;
use k8s_openapi::api::core::v1::Pod;
use kube::{
    Api, Client,
    api::{ListParams, LogParams},
};
use rand::Rng;
use serde::Serialize;
use serde_json::Value;
use tokio::time::Instant;

use crate::{
    cluster::{Url, call, client, none},
    report::{Machine, Report, Times, now},
};

/// From zero to the first answer of one function in each language, and what of it was the language's own start.
#[derive(Debug, Args)]
pub(crate) struct Languages {
    /// The gateway's URL.
    #[arg(long, env = "FLINT_URL")]
    url: String,
    /// Namespace of the functions.
    #[arg(long, default_value = "default")]
    namespace: String,
    /// The functions: trivial ones, at zero between calls.
    #[arg(long, value_delimiter = ',', required = true)]
    functions: Vec<String>,
    /// Rounds, each of which starts every function once.
    #[arg(long, short, default_value_t = 15)]
    n: usize,
    /// The longest pause before a start, in seconds.
    #[arg(long, default_value_t = 1.0)]
    gap: f64,
    /// What a start may take, and a function on its way to zero, in seconds.
    #[arg(long, default_value_t = 120.0)]
    patience: f64,
    /// Where results are written.
    #[arg(long, default_value = "bench/results")]
    results: PathBuf,
}

#[derive(Debug, Default)]
struct Samples {
    runtime: String,
    total: Vec<f64>,
    init: Vec<f64>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Language {
    runtime: String,
    /// From the request to its answer.
    total_ms: Times,
    /// The language's own start and the loading of the code: `initDurationMs` of the report.
    init_ms: Times,
    /// The rest: scheduling, the pod, the package, the way.
    platform_ms: Times,
    total_samples_ms: Vec<f64>,
    init_samples_ms: Vec<f64>,
}

// === impl Languages ===

impl Languages {
    pub(crate) async fn run(self) -> anyhow::Result<()> {
        let machine = Machine::here();
        let client = client().await?;
        let patience = Duration::from_secs_f64(self.patience);
        let functions: Api<Function> = Api::namespaced(client.clone(), &self.namespace);
        let mut all: BTreeMap<String, Samples> = BTreeMap::new();
        for name in &self.functions {
            let function = functions.get(name).await.with_context(|| format!("{name} is not there"))?;
            // Once unmeasured: the image is pulled, caches are filled.
            call(&self.url_of(name).await?, patience).await?;
            let runtime = function.spec.runtime.unwrap_or_else(|| "image".into());
            all.insert(name.clone(), Samples { runtime, ..Samples::default() });
        }
        // All languages in each round, so that whatever else the machine does hits all of them.
        for round in 1..=self.n {
            for (name, samples) in &mut all {
                let (total, init) = self.start(&client, name, patience).await?;
                println!("round {round:3}: {name:20} {total:7.1} ms, init {init:7.1} ms");
                samples.total.push(total);
                samples.init.push(init);
            }
        }
        let results: BTreeMap<_, _> =
            all.into_iter().map(|(name, samples)| (name, Language::of(samples))).collect();
        println!("\n{:20} {:>9} {:>9} {:>9} {:>9}", "ms, p50", "total", "init", "platform", "p95");
        for (name, language) in &results {
            let Language { total_ms, init_ms, platform_ms, .. } = language;
            println!(
                "{name:20} {:>9.1} {:>9.1} {:>9.1} {:>9.1}",
                total_ms.p50, init_ms.p50, platform_ms.p50, total_ms.p95
            );
        }
        Report { benchmark: "languages", date: now(), machine, results }.write(&self.results)
    }

    async fn url_of(&self, name: &str) -> anyhow::Result<Url> {
        Url::of(&self.url, format!("/function/{name}.{}", self.namespace)).await
    }

    /// One start: milliseconds to the answer, and of the initialization.
    async fn start(&self, client: &Client, name: &str, patience: Duration) -> anyhow::Result<(f64, f64)> {
        let pods: Api<Pod> = Api::namespaced(client.clone(), &self.namespace);
        let selector = format!("flint.dev/function={name}");
        none(&pods, &selector, patience).await?;
        let pause = 0.5 + rand::rng().random::<f64>() * self.gap;
        tokio::time::sleep(Duration::from_secs_f64(pause)).await;
        let url = self.url_of(name).await?;
        let start = Instant::now();
        let status = call(&url, patience).await?;
        let total = start.elapsed().as_secs_f64() * 1000.0;
        if status != 200 {
            bail!("{name} answered {status}");
        }
        Ok((total, reported(&pods, &selector, patience).await?))
    }
}

/// `initDurationMs` of the first report in the log of the only instance; it is written after the answer.
async fn reported(pods: &Api<Pod>, selector: &str, patience: Duration) -> anyhow::Result<f64> {
    let (start, list) = (Instant::now(), ListParams::default().labels(selector));
    loop {
        for pod in pods.list(&list).await?.items {
            let name = pod.metadata.name.unwrap_or_default();
            // One that is about to go, or has not begun, has no log to read.
            let log = pods.logs(&name, &LogParams::default()).await.unwrap_or_default();
            let mut lines = log.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
            if let Some(init) = lines.find_map(|line| line["initDurationMs"].as_f64()) {
                return Ok(init);
            }
        }
        if start.elapsed() > patience {
            bail!("no report of {selector} after {patience:?}");
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

// === impl Language ===

impl Language {
    fn of(samples: Samples) -> Self {
        let Samples { runtime, total, init } = samples;
        let platform: Vec<_> = total.iter().zip(&init).map(|(total, init)| total - init).collect();
        Self {
            runtime,
            total_ms: Times::of_samples(&total),
            init_ms: Times::of_samples(&init),
            platform_ms: Times::of_samples(&platform),
            total_samples_ms: total,
            init_samples_ms: init,
        }
    }
}
