//! From `kubectl apply` of inline code to the first 200: what somebody waits who tries a change.

use std::{path::PathBuf, time::Duration};

use anyhow::Context;
use clap::Args;
use flint_api::Function;
use k8s_openapi::api::core::v1::Pod;
use kube::{
    Api,
    api::{DeleteParams, PostParams},
};
use serde::Serialize;
use serde_json::json;
use tokio::time::Instant;

use crate::{
    cluster::{Url, call_until_ok, client, none},
    report::{Machine, Report, Times, now},
};

/// Applies a new Function and waits for its first answer.
#[derive(Debug, Args)]
pub(crate) struct Apply {
    /// The gateway's URL.
    #[arg(long, env = "FLINT_URL")]
    url: String,
    /// Where the functions are made, and removed again.
    #[arg(long, default_value = "default")]
    namespace: String,
    /// How often.
    #[arg(long, short, default_value_t = 10)]
    n: usize,
    /// What a round may take, in seconds.
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
    ms: Times,
    samples_ms: Vec<f64>,
}

// === impl Apply ===

impl Apply {
    pub(crate) async fn run(self) -> anyhow::Result<()> {
        let machine = Machine::here();
        let client = client().await?;
        let functions: Api<Function> = Api::namespaced(client.clone(), &self.namespace);
        let pods: Api<Pod> = Api::namespaced(client, &self.namespace);
        let patience = Duration::from_secs_f64(self.patience);
        let mut samples = Vec::new();
        for round in 1..=self.n {
            let name = format!("flint-bench-apply-{}-{round}", std::process::id());
            let function = function(&name, &self.namespace)?;
            let url = Url::of(&self.url, format!("/function/{name}.{}", self.namespace)).await?;
            let start = Instant::now();
            functions.create(&PostParams::default(), &function).await.context("the function is refused")?;
            let outcome = call_until_ok(&url, patience).await;
            let took = start.elapsed().as_secs_f64() * 1000.0;
            functions.delete(&name, &DeleteParams::default()).await?;
            outcome?;
            println!("round {round:3}: {took:6.0} ms");
            samples.push(took);
            none(&pods, &format!("flint.dev/function={name}"), patience).await?;
        }
        let ms = Times::of_samples(&samples);
        println!(
            "\napply to the first 200: p50 {:.0} ms, p95 {:.0} ms, max {:.0} ms",
            ms.p50, ms.p95, ms.max
        );
        let results = Results { runtime: "python3.11", ms, samples_ms: samples };
        Report { benchmark: "apply", date: now(), machine, results }.write(&self.results)
    }
}

fn function(name: &str, namespace: &str) -> anyhow::Result<Function> {
    // Code that no round had before, so that nothing of it is cached.
    let code = format!("def handler(event, context):\n    return {{\"name\": \"{name}\"}}\n");
    Ok(serde_json::from_value(json!({
        "apiVersion": "flint.dev/v1alpha1", "kind": "Function",
        "metadata": {"name": name, "namespace": namespace},
        "spec": {"runtime": "python3.11", "handler": "app.handler", "source": {"inline": {"app.py": code}}},
    }))?)
}
