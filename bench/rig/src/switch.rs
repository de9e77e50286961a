//! From the change of one field to the first answer of another version: what a promotion or a way back takes.

use std::{path::PathBuf, time::Duration};

use anyhow::{Context, bail};
use clap::Args;
use flint_api::Function;
use kube::{
    Api,
    api::{DeleteParams, Patch, PatchParams, PostParams},
};
use memchr::memmem;
use serde::Serialize;
use serde_json::{Value, json};
use tokio::time::{Instant, sleep};

use crate::{
    cluster::{Url, client},
    report::{Machine, Report, Times, now},
    wire::{Wire, get},
};

/// Moves all requests between two versions that have instances, and waits for the first answer of the other.
#[derive(Debug, Args)]
pub(crate) struct Switch {
    /// The gateway's URL.
    #[arg(long, env = "FLINT_URL")]
    url: String,
    /// Where the function is made, and removed again.
    #[arg(long, default_value = "default")]
    namespace: String,
    /// How often.
    #[arg(long, short, default_value_t = 20)]
    n: usize,
    /// What a step may take, in seconds.
    #[arg(long, default_value_t = 120.0)]
    patience: f64,
    /// Where results are written.
    #[arg(long, default_value = "bench/results")]
    results: PathBuf,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Results {
    runtime: &'static str,
    /// From the request that changes the field to the first answer of the other version.
    ms: Times,
    samples_ms: Vec<f64>,
    requests: usize,
    failed: usize,
}

/// Somebody who calls all the time.
struct Caller {
    wire: Wire,
    request: Vec<u8>,
    requests: usize,
    failed: usize,
}

// === impl Switch ===

impl Switch {
    pub(crate) async fn run(self) -> anyhow::Result<()> {
        let machine = Machine::here();
        let functions: Api<Function> = Api::namespaced(client().await?, &self.namespace);
        let name = format!("flint-bench-switch-{}", std::process::id());
        let created = functions.create(&PostParams::default(), &self.function(&name)?).await;
        created.context("the function is refused")?;
        let outcome = self.measure(&functions, &name).await;
        functions.delete(&name, &DeleteParams::default()).await?;
        let results = outcome?;
        println!(
            "\none field to the first answer of the other version: p50 {:.0} ms, p95 {:.0} ms, max {:.0} ms; {} of {} requests failed",
            results.ms.p50, results.ms.p95, results.ms.max, results.failed, results.requests
        );
        Report { benchmark: "switch", date: now(), machine, results }.write(&self.results)
    }

    async fn measure(&self, functions: &Api<Function>, name: &str) -> anyhow::Result<Results> {
        let url = Url::of(&self.url, format!("/function/{name}.{}", self.namespace)).await?;
        let wire = Wire::connect(url.address).await?;
        let mut caller = Caller { wire, request: get(&url.host, &url.path), requests: 0, failed: 0 };
        let patience = Duration::from_secs_f64(self.patience);
        // Nothing is counted before both versions have instances.
        caller.call_until("version 1", patience).await?;
        change(functions, name, json!({"source": {"inline": {"app.py": code(2)}}})).await?;
        caller.call_until("version 2", patience).await?;
        change(
            functions,
            name,
            json!({"traffic": [{"revision": 1, "weight": 50}, {"revision": 2, "weight": 50}]}),
        )
        .await?;
        caller.call_until("version 1", patience).await?;
        (caller.requests, caller.failed) = (0, 0);

        let mut samples = Vec::new();
        for round in 1..=self.n {
            let to = if round % 2 == 0 { 1 } else { 2 };
            let from = Instant::now();
            change(functions, name, json!({"traffic": [{"revision": to}]})).await?;
            caller.call_until(&format!("version {to}"), patience).await?;
            let took = from.elapsed().as_secs_f64() * 1000.0;
            println!("round {round:3}: {took:6.1} ms");
            samples.push(took);
            // Past what the operator does behind a switch, and at no steady rhythm.
            let pause = Instant::now();
            while pause.elapsed() < Duration::from_millis(700 + 37 * (round as u64 % 11)) {
                caller.call().await?;
            }
        }
        let ms = Times::of_samples(&samples);
        let (requests, failed) = (caller.requests, caller.failed);
        Ok(Results { runtime: "python3.11", ms, samples_ms: samples, requests, failed })
    }

    fn function(&self, name: &str) -> anyhow::Result<Function> {
        Ok(serde_json::from_value(json!({
            "apiVersion": "flint.dev/v1alpha1", "kind": "Function",
            "metadata": {"name": name, "namespace": self.namespace},
            "spec": {
                "runtime": "python3.11", "handler": "app.handler", "source": {"inline": {"app.py": code(1)}},
                "scaling": {"scaleToZeroAfter": "10m", "window": "5m"},
            },
        }))?)
    }
}

// === impl Caller ===

impl Caller {
    /// One call; the answer stays in the wire.
    async fn call(&mut self) -> anyhow::Result<u16> {
        let answer = self.wire.call(&self.request).await?;
        self.requests += 1;
        self.failed += usize::from(answer.status != 200);
        sleep(Duration::from_millis(1)).await;
        Ok(answer.status)
    }

    async fn call_until(&mut self, word: &str, patience: Duration) -> anyhow::Result<()> {
        let start = Instant::now();
        loop {
            if self.call().await? == 200 && memmem::find(self.wire.received(), word.as_bytes()).is_some() {
                return Ok(());
            }
            if start.elapsed() > patience {
                bail!("no answer of {word} within {patience:?}");
            }
        }
    }
}

async fn change(functions: &Api<Function>, name: &str, spec: Value) -> anyhow::Result<()> {
    let patch = Patch::Merge(json!({"spec": spec}));
    functions.patch(name, &PatchParams::default(), &patch).await.context("the change is refused")?;
    Ok(())
}

fn code(version: u32) -> String {
    format!("def handler(event, context):\n    return 'version {version}'\n")
}
