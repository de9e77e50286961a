//! From a source to its first answer, by kind of source, and what a large package adds to a cold start.
//!
//! Everything is made in namespaces of the run's own, which go at its end, however it ends. Each round brings code that no round had
//! before, so that nothing of it is cached; an archive and a repository, which are the caller's, are fetched anew all the same.

use std::{collections::BTreeMap, path::PathBuf, time::Duration};

use anyhow::{Context as _, ensure};
use clap::Args;
use flint_api::Function;
use k8s_openapi::api::core::v1::{ConfigMap, Namespace, Pod, ServiceAccount};
use kube::{
    Api, Client,
    api::{DeleteParams, PostParams},
};
use rand::Rng;
use serde::Serialize;
use serde_json::{Value, json};
use tokio::time::Instant;

use crate::{
    cluster::{Url, call, call_until_ok, client, none},
    payload,
    report::{Machine, Report, Times, now},
};

/// From a source to its first answer, and cold starts by size of the package.
#[derive(Debug, Args)]
pub(crate) struct Sources {
    /// The gateway's URL.
    #[arg(long, env = "FLINT_URL")]
    url: String,
    /// A registry that this machine pushes to and the operator fetches from without credentials: HOST/PREFIX.
    #[arg(long)]
    registry: String,
    /// Whether functions may become images here (builds.images.registry of the chart).
    #[arg(long)]
    images: bool,
    /// An archive of Python code (app.handler) to fetch: its https URL, '#' and its SHA-256.
    #[arg(long, value_parser = archive)]
    archive: Option<Value>,
    /// A folder of a repository with such code: its https URL, '#', a branch, '#' and the folder.
    #[arg(long, value_parser = git)]
    git: Option<Value>,
    /// What a requirements.txt names, such as six==1.17.0; builds are measured where it is given.
    #[arg(long)]
    requirement: Option<String>,
    /// Rounds of each kind; builds with an empty cache have three at most.
    #[arg(long, short, default_value_t = 10)]
    n: usize,
    /// Cold starts of each size; 0 leaves them out.
    #[arg(long, default_value_t = 20)]
    starts: usize,
    /// The sizes of packages to start from, in MB; ratios are to the first.
    #[arg(long, value_delimiter = ',', default_value = "1,50")]
    sizes: Vec<usize>,
    /// Functions of each size that take turns, so that a start does not wait for the last one's instance to go.
    #[arg(long, default_value_t = 4, value_parser = clap::value_parser!(u16).range(1..=64))]
    copies: u16,
    /// What the result is called.
    #[arg(long, default_value = "sources")]
    name: String,
    /// What a round may take, in seconds.
    #[arg(long, default_value_t = 300.0)]
    patience: f64,
    /// Where results are written.
    #[arg(long, default_value = "bench/results")]
    results: PathBuf,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Results {
    runtime: &'static str,
    /// From the creation of the Function to its first 200, by kind of source.
    first_answer: BTreeMap<String, Measured>,
    cold_starts: Vec<Start>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Measured {
    ms: Times,
    samples_ms: Vec<f64>,
}

/// Cold starts with packages of one size.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Start {
    package_bytes: usize,
    unpacked_bytes: usize,
    /// package, or image.
    output: &'static str,
    ms: Times,
    /// The median over that of the first size as a package.
    ratio_p50: f64,
    samples_ms: Vec<f64>,
}

/// The cluster, and a namespace to work in.
struct Site {
    client: Client,
    namespace: String,
    gateway: String,
    patience: Duration,
}

const CODE: &str = "def handler(event, context):\n    return \"hello\"\n";
/// Builds with an empty cache, each in a namespace of its own.
const MOST_COLD: usize = 3;

// === impl Sources ===

impl Sources {
    pub(crate) async fn run(self) -> anyhow::Result<()> {
        let machine = Machine::here();
        let site = Site {
            client: client().await?,
            namespace: format!("flint-bench-sources-{}", std::process::id()),
            gateway: self.url.clone(),
            patience: Duration::from_secs_f64(self.patience),
        };
        site.begin().await?;
        let outcome = self.measure(&site).await;
        site.end().await?;
        let results = outcome?;
        println!("\n{:28} {:>8} {:>8} {:>8}", "ms", "p50", "p95", "max");
        for (kind, Measured { ms, .. }) in &results.first_answer {
            println!("{kind:28} {:>8.0} {:>8.0} {:>8.0}", ms.p50, ms.p95, ms.max);
        }
        for Start { package_bytes, output, ms, ratio_p50, .. } in &results.cold_starts {
            let kind = format!("cold start, {output} {:.1} MB", *package_bytes as f64 / 1e6);
            println!("{kind:28} {:>8.0} {:>8.0} {:>8.0}   ratio {ratio_p50:.2}", ms.p50, ms.p95, ms.max);
        }
        Report { benchmark: &self.name, date: now(), machine, results }.write(&self.results)
    }

    async fn measure(&self, site: &Site) -> anyhow::Result<Results> {
        let mut samples: BTreeMap<String, Vec<f64>> = BTreeMap::new();
        // In turns, so that what else the machine does hits all of them.
        for round in 0..self.n {
            for (kind, spec) in self.kinds(site, round).await? {
                let took = site.first_answer(&format!("{kind}-{round}"), spec).await?;
                println!("round {round:3}: {kind:12} {took:6.0} ms");
                samples.entry(kind.to_owned()).or_default().push(took);
            }
        }
        if let Some(requirement) = &self.requirement {
            for round in 0..self.n.min(MOST_COLD) {
                let fresh = site.beside(&format!("cold-{round}"));
                fresh.begin().await?;
                let took = fresh.first_answer("built", built(requirement, &fresh.namespace)).await;
                fresh.end().await?;
                samples.entry("built, empty cache".to_owned()).or_default().push(took?);
            }
            // The first of the namespace fills the cache.
            site.first_answer("built-first", built(requirement, "first")).await?;
            for round in 0..self.n {
                let spec = built(requirement, &round.to_string());
                let took = site.first_answer(&format!("built-{round}"), spec).await?;
                samples.entry("built, warm cache".to_owned()).or_default().push(took);
            }
        }
        let first_answer = samples
            .into_iter()
            .map(|(kind, samples_ms)| (kind, Measured { ms: Times::of_samples(&samples_ms), samples_ms }));
        let first_answer = first_answer.collect();
        Ok(Results { runtime: "python3.11", first_answer, cold_starts: self.starts(site).await? })
    }

    /// A spec of each kind of source, with code that is new.
    async fn kinds(&self, site: &Site, round: usize) -> anyhow::Result<Vec<(&'static str, Value)>> {
        let code = format!("{CODE}# {} {round}\n", site.namespace);
        let map = format!("code-{round}");
        let object = serde_json::from_value(json!({"metadata": {"name": map}, "data": {"app.py": code}}))?;
        let maps: Api<ConfigMap> = Api::namespaced(site.client.clone(), &site.namespace);
        maps.create(&PostParams::default(), &object).await?;
        let package = payload::package(&code, 0, 0)?.bytes;
        let artifact = payload::push(&self.registry, &format!("{}-{round}", site.namespace), package).await?;
        let inline = json!({"source": {"inline": {"app.py": code}}});
        let mut kinds = vec![
            ("inline", inline),
            ("configMap", json!({"source": {"configMap": {"name": map}}})),
            ("oci", json!({"source": {"oci": {"reference": artifact}}})),
        ];
        if self.images {
            let inline = json!({"inline": {"app.py": format!("{code}# in an image\n")}});
            kinds.push(("image", json!({"source": inline, "build": {"output": "image"}})));
        }
        kinds
            .extend(self.archive.clone().map(|archive| ("archive", json!({"source": {"archive": archive}}))));
        kinds.extend(self.git.clone().map(|git| ("git", json!({"source": {"git": git}}))));
        Ok(kinds)
    }

    async fn starts(&self, site: &Site) -> anyhow::Result<Vec<Start>> {
        let mut sized = Vec::new();
        if self.starts == 0 {
            return Ok(Vec::new());
        }
        for megabytes in &self.sizes {
            let package = payload::package(CODE, *megabytes, *megabytes as u64)?;
            let (bytes, unpacked) = (package.bytes.len(), package.unpacked);
            let name = format!("start-{megabytes}");
            let artifact = format!("{}-{name}", site.namespace);
            let artifact = payload::push(&self.registry, &artifact, package.bytes).await?;
            let source = json!({"oci": {"reference": artifact}});
            for output in ["package", "image"].into_iter().take(1 + usize::from(self.images)) {
                let mut copies = Vec::new();
                for copy in 0..self.copies {
                    let name = format!("{name}-{output}-{copy}");
                    site.create(&name, json!({"source": source, "build": {"output": output}})).await?;
                    let url = site.url(&name).await?;
                    call_until_ok(&url, site.patience).await?;
                    copies.push((name, url));
                }
                sized.push((copies, bytes, unpacked, output, Vec::new()));
            }
        }
        for round in 1..=self.starts {
            for (copies, bytes, _, output, samples) in &mut sized {
                let (name, url) = &copies[round % copies.len()];
                site.at_zero(name).await?;
                let pause = 0.5 + rand::rng().random::<f64>();
                tokio::time::sleep(Duration::from_secs_f64(pause)).await;
                let start = Instant::now();
                let status = call(url, site.patience).await?;
                let took = milliseconds(start);
                ensure!(status == 200, "round {round}: {name} answered {status}");
                println!("start {round:3}: {output} {:5.1} MB {took:6.0} ms", *bytes as f64 / 1e6);
                samples.push(took);
            }
        }
        let first = sized.first().map_or(f64::NAN, |(.., samples)| Times::of_samples(samples).p50);
        let starts = sized.into_iter().map(|(_, package_bytes, unpacked_bytes, output, samples_ms)| {
            let ms = Times::of_samples(&samples_ms);
            Start { package_bytes, unpacked_bytes, output, ms, ratio_p50: ms.p50 / first, samples_ms }
        });
        Ok(starts.collect())
    }
}

// === impl Site ===

impl Site {
    fn beside(&self, name: &str) -> Self {
        let (client, gateway) = (self.client.clone(), self.gateway.clone());
        Self { client, namespace: format!("{}-{name}", self.namespace), gateway, patience: self.patience }
    }

    async fn begin(&self) -> anyhow::Result<()> {
        let namespace = serde_json::from_value(json!({"metadata": {"name": self.namespace}}))?;
        Api::<Namespace>::all(self.client.clone()).create(&PostParams::default(), &namespace).await?;
        // Pods are refused until it is there.
        let accounts: Api<ServiceAccount> = Api::namespaced(self.client.clone(), &self.namespace);
        let start = Instant::now();
        while accounts.get_opt("default").await?.is_none() {
            ensure!(start.elapsed() < self.patience, "the namespace gets no service account");
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        Ok(())
    }

    async fn end(&self) -> anyhow::Result<()> {
        let namespaces = Api::<Namespace>::all(self.client.clone());
        namespaces.delete(&self.namespace, &DeleteParams::default()).await?;
        Ok(())
    }

    async fn create(&self, name: &str, mut spec: Value) -> anyhow::Result<()> {
        spec["runtime"] = json!("python3.11");
        spec["handler"] = json!("app.handler");
        spec["scaling"] = json!({"window": "6s", "scaleToZeroAfter": "1s"});
        let function =
            serde_json::from_value(json!({"apiVersion": "flint.dev/v1alpha1", "kind": "Function",
            "metadata": {"name": name, "namespace": self.namespace}, "spec": spec}))?;
        let functions: Api<Function> = Api::namespaced(self.client.clone(), &self.namespace);
        functions.create(&PostParams::default(), &function).await.context("the function is refused")?;
        Ok(())
    }

    /// From the creation of a function to its first 200, in milliseconds; the function goes.
    async fn first_answer(&self, name: &str, spec: Value) -> anyhow::Result<f64> {
        let name = name.to_lowercase();
        let url = self.url(&name).await?;
        let start = Instant::now();
        self.create(&name, spec).await?;
        call_until_ok(&url, self.patience).await.with_context(|| name.clone())?;
        let took = milliseconds(start);
        let functions: Api<Function> = Api::namespaced(self.client.clone(), &self.namespace);
        functions.delete(&name, &DeleteParams::default()).await?;
        self.at_zero(&name).await?;
        Ok(took)
    }

    async fn at_zero(&self, name: &str) -> anyhow::Result<()> {
        let pods: Api<Pod> = Api::namespaced(self.client.clone(), &self.namespace);
        none(&pods, &format!("flint.dev/function={name}"), self.patience).await
    }

    async fn url(&self, name: &str) -> anyhow::Result<Url> {
        Url::of(&self.gateway, format!("/function/{name}.{}", self.namespace)).await
    }
}

fn built(requirement: &str, mark: &str) -> Value {
    let code = format!("{CODE}# {mark}\n");
    json!({"source": {"inline": {"app.py": code, "requirements.txt": requirement}}})
}

fn archive(text: &str) -> Result<Value, String> {
    let (url, sha256) = text.split_once('#').ok_or("write URL#SHA256")?;
    Ok(json!({"url": url, "sha256": sha256}))
}

fn git(text: &str) -> Result<Value, String> {
    let mut parts = text.splitn(3, '#');
    match (parts.next(), parts.next(), parts.next()) {
        (Some(url), Some(revision), Some(path)) => {
            Ok(json!({"url": url, "revision": revision, "path": path}))
        }
        _ => Err("write URL#BRANCH#FOLDER".to_owned()),
    }
}

fn milliseconds(start: Instant) -> f64 {
    start.elapsed().as_secs_f64() * 1000.0
}
