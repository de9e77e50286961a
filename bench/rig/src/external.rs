//! Any other platform, by its URL and a command that brings its function to zero: so that peers stand beside our numbers, taken by
//! the same rig on the same machine.

use std::{path::PathBuf, process::Command, time::Duration};

use anyhow::{Context, bail};
use clap::Args;
use rand::Rng;
use serde::Serialize;
use tokio::time::Instant;

use crate::{
    cluster::{Url, call, call_until_ok},
    load::{Shape, Target, run},
    plot::{Figure, Shape as Drawn},
    process::usage,
    report::{Machine, Report, Times, median, now},
};

/// Another platform: its warm requests, and with a way to bring it to zero its cold starts.
#[derive(Debug, Args)]
pub(crate) struct External {
    /// Its name, for the results.
    #[arg(long)]
    name: String,
    /// The function's URL, http://HOST[:PORT]/PATH.
    #[arg(long)]
    url: String,
    /// The `host` that requests ask for, where it is another than the URL's.
    #[arg(long)]
    host: Option<String>,
    /// Processes that stand between client and function, whose CPU is accounted, their children included.
    #[arg(long = "process", value_delimiter = ',')]
    processes: Vec<u32>,
    /// Client connections, a row for each.
    #[arg(long, value_delimiter = ',', default_values_t = [1, 16, 64])]
    connections: Vec<usize>,
    /// Windows for each number of connections; the median counts.
    #[arg(long, default_value_t = 3)]
    windows: usize,
    /// Length of a window in seconds.
    #[arg(long, default_value_t = 4.0)]
    seconds: f64,
    /// Requests per second for an open load; without it the loop is closed.
    #[arg(long)]
    rate: Option<f64>,
    /// A command line that brings the function to zero and ends once it is there, run by `sh`: cold starts are measured with it.
    #[arg(long)]
    scale_to_zero: Option<String>,
    /// Cold starts.
    #[arg(long, short, default_value_t = 20)]
    n: usize,
    /// The longest pause before a start, in seconds. Pauses are random: equal ones align with the kubelet's ticks.
    #[arg(long, default_value_t = 2.0)]
    gap: f64,
    /// What a start may take, in seconds.
    #[arg(long, default_value_t = 120.0)]
    patience: f64,
    /// Where results are written.
    #[arg(long, default_value = "bench/results")]
    results: PathBuf,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Warm {
    connections: usize,
    requests_per_second: f64,
    /// Of the processes that were named.
    cpu_micros_per_request: Option<f64>,
    latency_ms: Vec<Times>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Cold {
    first_ms: Times,
    second_ms: Times,
    first_samples_ms: Vec<f64>,
    second_samples_ms: Vec<f64>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Results {
    name: String,
    rate: Option<f64>,
    warm: Vec<Warm>,
    #[serde(skip_serializing_if = "Option::is_none")]
    cold: Option<Cold>,
}

/// How often a window with failed requests is repeated before the run is given up.
const REPEATS: usize = 5;

// === impl External ===

impl External {
    pub(crate) fn run(self) -> anyhow::Result<()> {
        let machine = Machine::here();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let url = runtime.block_on(self.resolved())?;
        let patience = Duration::from_secs_f64(self.patience);
        runtime.block_on(call_until_ok(&url, patience))?;
        println!(
            "{:>12} {:>10} {:>12} {:>9} {:>9} {:>9}",
            "connections", "req/s", "CPU µs/req", "p50 ms", "p99 ms", "p99.9 ms"
        );
        let mut warm = Vec::new();
        for &connections in &self.connections {
            warm.push(self.warm(&url, connections)?);
        }
        let cold = match &self.scale_to_zero {
            Some(command) => Some(runtime.block_on(self.cold(&url, command, patience))?),
            None => None,
        };
        let mut figures = Vec::new();
        let p99 = |warm: &Warm| median(warm.latency_ms.iter().map(|times| times.p99));
        let bars =
            warm.iter().map(|warm| (warm.connections.to_string(), vec![("p99".to_owned(), p99(warm))]));
        figures.push(Figure::new("p99 latency, by connections", "ms", Drawn::Bars(bars.collect())));
        if let Some(cold) = &cold {
            let samples: [(&str, &[f64]); 2] =
                [("first request", &cold.first_samples_ms), ("second request", &cold.second_samples_ms)];
            figures.push(Figure::shares("Cold starts", "ms", &samples));
        }
        let benchmark = format!("external-{}", self.name);
        let results = Results { name: self.name, rate: self.rate, warm, cold };
        Report { benchmark: &benchmark, date: now(), machine, results }.write_with(&self.results, &figures)
    }

    async fn resolved(&self) -> anyhow::Result<Url> {
        let rest = self.url.strip_prefix("http://").context("the URL begins with http://")?;
        let (host, path) = rest.split_once('/').unwrap_or((rest, ""));
        let mut url = Url::of(&format!("http://{host}"), format!("/{path}")).await?;
        if let Some(host) = &self.host {
            url.host.clone_from(host);
        }
        Ok(url)
    }

    fn warm(&self, url: &Url, connections: usize) -> anyhow::Result<Warm> {
        let target = Target { address: url.address, host: url.host.clone(), path: url.path.clone() };
        let shape = Shape {
            connections,
            rate: self.rate,
            warm_up: Duration::from_millis(700),
            time: Duration::from_secs_f64(self.seconds),
        };
        let (mut rates, mut costs, mut latency_ms) = (Vec::new(), Vec::new(), Vec::new());
        let mut invalid = 0;
        while rates.len() < self.windows {
            let mut edges = Vec::new();
            let cpu = || self.processes.iter().map(|process| usage(*process).cpu).sum::<f64>();
            let load = run(&target, shape, || edges.push(cpu()))?;
            if load.failed > 0 || load.requests == 0 {
                invalid += 1;
                if invalid >= REPEATS {
                    bail!(
                        "{REPEATS} windows had failed requests: {} of {} in the last",
                        load.failed,
                        load.failed + load.requests
                    );
                }
                continue;
            }
            rates.push(load.requests as f64 / load.seconds);
            latency_ms.push(Times::of(&load.latency));
            if let ([before, after], false) = (&edges[..], self.processes.is_empty()) {
                costs.push((after - before) * 1e6 / load.requests as f64);
            }
        }
        let middle = |of: fn(&Times) -> f64| median(latency_ms.iter().map(of));
        let cost = (!costs.is_empty()).then(|| median(costs));
        let requests_per_second = median(rates);
        println!(
            "{connections:>12} {requests_per_second:>10.0} {:>12} {:>9.3} {:>9.3} {:>9.3}",
            cost.map_or_else(|| "-".into(), |cost| format!("{cost:.1}")),
            middle(|times| times.p50),
            middle(|times| times.p99),
            middle(|times| times.p999)
        );
        Ok(Warm { connections, requests_per_second, cpu_micros_per_request: cost, latency_ms })
    }

    async fn cold(&self, url: &Url, command: &str, patience: Duration) -> anyhow::Result<Cold> {
        let (mut first, mut second) = (Vec::new(), Vec::new());
        for round in 1..=self.n {
            let status = Command::new("sh").args(["-c", command]).status().context("cannot run sh")?;
            if !status.success() {
                bail!("{command:?} ended with {status}");
            }
            let pause = 0.5 + rand::rng().random::<f64>() * self.gap;
            tokio::time::sleep(Duration::from_secs_f64(pause)).await;
            for samples in [&mut first, &mut second] {
                let start = Instant::now();
                let status = call(url, patience).await?;
                if status != 200 {
                    bail!("round {round}: {} answered {status}", self.url);
                }
                samples.push(start.elapsed().as_secs_f64() * 1000.0);
            }
            let last = |samples: &[f64]| samples.last().copied().unwrap_or(f64::NAN);
            println!("round {round:3}: {:8.1} ms, then {:6.1} ms", last(&first), last(&second));
        }
        let (first_ms, second_ms) = (Times::of_samples(&first), Times::of_samples(&second));
        println!(
            "cold start: p50 {:.1} ms, p95 {:.1} ms, max {:.1} ms",
            first_ms.p50, first_ms.p95, first_ms.max
        );
        Ok(Cold { first_ms, second_ms, first_samples_ms: first, second_samples_ms: second })
    }
}
