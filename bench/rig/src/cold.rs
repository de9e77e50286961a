//! A cold start beside what plain Kubernetes needs for one, round by round on the same node.

use std::{path::PathBuf, time::Duration};

use anyhow::bail;
use clap::Args;
use flint_api::Function;
use jiff::Timestamp;
use k8s_openapi::api::core::v1::Pod;
use kube::{
    Api, Client, ResourceExt,
    api::{ListParams, LogParams},
};
use rand::Rng;
use serde::Serialize;
use tokio::time::Instant;

use crate::{
    audit::Audit,
    cluster::{Url, call, client, milliseconds, none, waiting},
    copies::Copies,
    floor::{Floor, FloorImage},
    phases::{Account, Asked, Start},
    plot::Figure,
    report::{Machine, Report, Times, now},
};

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
    /// As many functions like it take turns, so that nobody waits for one to be at zero again. The copies are made and removed.
    #[arg(long, default_value_t = 1)]
    copies: usize,
    #[command(flatten)]
    floor: FloorImage,
    /// The floor is measured in every so many rounds.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..))]
    floor_every: u32,
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
    /// The API server's audit log, on this machine: ordinary starts are then accounted for phase by phase.
    #[arg(long, env = "FLINT_AUDIT_LOG")]
    audit_log: Option<PathBuf>,
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
    /// Where the time went, with `--audit-log`.
    #[serde(skip_serializing_if = "Option::is_none")]
    account: Option<Account>,
}

/// What the rounds gave, in milliseconds.
#[derive(Default)]
struct Rounds {
    runtime: String,
    flint: Vec<f64>,
    second: Vec<f64>,
    floor: Vec<f64>,
    from_pool: usize,
    starts: Vec<Start>,
}

/// The operator puts a claim on record a tenth of a second after it.
const RECORDED: Duration = Duration::from_millis(300);
/// The gateways hear of a pod that waits a moment after the API server does.
const HEARD: Duration = Duration::from_millis(500);

/// A start is over before kubelet has looked at its containers, which it does once a second: until then it refuses their logs.
const LOOKS: usize = 12;
/// The pause between two attempts to read a log.
const LOOK_AGAIN: Duration = Duration::from_millis(250);

/// An instance's log; empty where there is none.
async fn log(pods: &Api<Pod>, name: &str) -> String {
    for _ in 0..LOOKS {
        match pods.logs(name, &LogParams::default()).await {
            Ok(log) if !log.is_empty() => return log,
            _ => tokio::time::sleep(LOOK_AGAIN).await,
        }
    }
    String::new()
}

// === impl Cold ===

impl Cold {
    pub(crate) async fn run(self) -> anyhow::Result<()> {
        let machine = Machine::here();
        let client = client().await?;
        let patience = self.patience();
        let namespace = &self.function_namespace;
        // What came from a pool has no start of its own in the logs.
        let audit_log = self.audit_log.clone().filter(|_| !self.pool);
        let audit = audit_log.map(|log| Audit::follow(log, Asked::new(namespace))).transpose()?;
        let copies = Copies::make(&client, namespace, &self.function_name, self.copies, patience).await?;
        let floor = Floor::make(&client, namespace, &self.floor, patience).await?;
        let outcome = self.rounds(&client, &copies, &floor).await;
        floor.remove().await?;
        copies.remove().await?;
        let Rounds { runtime, flint, second, floor: plain, from_pool, starts } = outcome?;
        let account = audit.map(|audit| audit.with(|asked| asked.account(&starts))).transpose()?;
        let (flint_ms, floor_ms) = (Times::of_samples(&flint), Times::of_samples(&plain));
        let second_ms = Times::of_samples(&second);
        println!("\n{:20} {:>8} {:>8} {:>8} {:>8}", "ms", "p50", "p95", "min", "max");
        for (name, times) in
            [("Flint", flint_ms), ("Flint, second", second_ms), ("plain Kubernetes", floor_ms)]
        {
            println!("{name:20} {:>8.1} {:>8.1} {:>8.1} {:>8.1}", times.p50, times.p95, times.min, times.max);
        }
        let (ratio_p50, ratio_p95) = (flint_ms.p50 / floor_ms.p50, flint_ms.p95 / floor_ms.p95);
        println!("{:20} {ratio_p50:>8.2} {ratio_p95:>8.2}", "ratio");
        if self.pool {
            println!("{from_pool} of {} starts came from the pool", self.n);
        }
        if let Some(account) = &account {
            account.print();
        }
        let results = Results {
            function: format!("{namespace}/{}", self.function_name),
            runtime,
            floor_image: self.floor.floor_image,
            flint_ms,
            floor_ms,
            ratio_p50,
            ratio_p95,
            flint_samples_ms: flint,
            floor_samples_ms: plain,
            second_ms,
            from_pool: self.pool.then_some(from_pool),
            account,
        };
        let kind = if self.pool { "pool-start" } else { "cold-start" };
        let benchmark = format!("{kind}-{}", self.function_name.trim_start_matches("bench-"));
        let samples =
            [("Flint", &results.flint_samples_ms[..]), ("plain Kubernetes", &results.floor_samples_ms[..])];
        let figure = Figure::shares("From the request to its answer", "ms", &samples);
        Report { benchmark: &benchmark, date: now(), machine, results }.write_with(&self.results, &[figure])
    }

    async fn rounds(&self, client: &Client, copies: &Copies, floor: &Floor) -> anyhow::Result<Rounds> {
        let patience = self.patience();
        let functions: Api<Function> = Api::namespaced(client.clone(), &self.function_namespace);
        let function = functions.get(&self.function_name).await?;
        let pods: Api<Pod> = Api::namespaced(client.clone(), &self.function_namespace);
        // Once unmeasured: the image is pulled, caches are filled.
        call(&self.address(&self.function_name).await?, patience).await?;
        floor.start().await?;
        let mut rounds =
            Rounds { runtime: function.spec.runtime.unwrap_or_else(|| "image".into()), ..Rounds::default() };
        for round in 1..=self.n {
            let floor_is_due = (round - 1).is_multiple_of(self.floor_every as usize);
            let name = &copies.names()[round % copies.names().len()];
            let selector = format!("flint.dev/function={name}");
            let url = self.address(name).await?;
            if floor_is_due {
                floor.stop().await?;
            }
            none(&pods, &selector, patience).await?;
            if self.pool {
                self.filled(&pods).await?;
            }
            self.pause().await;
            let sent = Timestamp::now();
            let start = Instant::now();
            let status = call(&url, patience).await?;
            let took = milliseconds(start);
            let answered = Timestamp::now();
            if status != 200 {
                bail!("round {round}: the function answered {status}");
            }
            rounds.flint.push(took);
            let second = Instant::now();
            call(&url, patience).await?;
            rounds.second.push(milliseconds(second));

            tokio::time::sleep(RECORDED).await;
            let list = ListParams::default().labels(&selector);
            for pod in pods.list(&list).await?.items {
                if pod.labels().contains_key("flint.dev/from-pool") {
                    rounds.from_pool += 1;
                } else if self.audit_log.is_some() && !self.pool {
                    let log = log(&pods, &pod.name_any()).await;
                    rounds.starts.push(Start { sent, answered, pod: pod.name_any(), log });
                }
            }
            if floor_is_due {
                self.pause().await;
                let floor_took = floor.start().await?;
                rounds.floor.push(floor_took);
                println!("round {round:3}: Flint {took:6.1} ms, plain Kubernetes {floor_took:6.0} ms");
            } else {
                println!("round {round:3}: Flint {took:6.1} ms");
            }
        }
        Ok(rounds)
    }

    /// Waits until a pod waits in a pool, and the gateways know one.
    async fn filled(&self, pods: &Api<Pod>) -> anyhow::Result<()> {
        // Of two that are ready the gateways know one at least: they are made one after the other.
        let several = self.copies > 1;
        waiting(pods, if several { 2 } else { 1 }, self.patience()).await?;
        if !several {
            tokio::time::sleep(HEARD).await;
        }
        Ok(())
    }

    async fn address(&self, function: &str) -> anyhow::Result<Url> {
        Url::of(&self.url, format!("/function/{function}.{}", self.function_namespace)).await
    }

    fn patience(&self) -> Duration {
        Duration::from_secs_f64(self.patience)
    }

    async fn pause(&self) {
        let seconds = 0.5 + rand::rng().random::<f64>() * self.gap;
        tokio::time::sleep(Duration::from_secs_f64(seconds)).await;
    }
}
