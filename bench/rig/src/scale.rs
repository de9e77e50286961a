//! Ten thousand functions: what they cost operator, gateway and API server, with instances left out of it.
//!
//! No pod is started: the functions wait for their first requests (`scaling.initialReplicas: 0`), which never come. So what is measured is
//! Flint's own work, not the node's.

use std::{path::PathBuf, time::Duration};

use anyhow::{Context, bail};
use clap::Args;
use flint_api::Function;
use k8s_openapi::api::core::v1::{Namespace, Pod};
use kube::{
    Api, Client, ResourceExt,
    api::{DeleteParams, ListParams, PostParams},
};
use serde::Serialize;
use serde_json::json;
use tokio::time::Instant;

use crate::{
    audit::Audit,
    cluster::{Url, client},
    plot::{Figure, Shape},
    report::{Machine, Report, Times, now},
};

mod asked;
mod watched;

use asked::Counts;
pub(crate) use watched::is_known;
use watched::{Part, Settled, Work, at_once};

/// Many functions on a cluster: what operator, gateway and API server do for them.
#[derive(Debug, Args)]
pub(crate) struct Scale {
    /// The gateway's URL.
    #[arg(long, env = "FLINT_URL")]
    url: String,
    /// Functions.
    #[arg(long, default_value_t = 2000)]
    functions: usize,
    /// Where they are made: a namespace of their own, deleted in the end.
    #[arg(long, default_value = "flint-bench-scale")]
    namespace: String,
    /// Where Flint is.
    #[arg(long, default_value = "flint-system")]
    system: String,
    /// Changes that are timed until the gateway knows of them.
    #[arg(long, default_value_t = 20)]
    changes: usize,
    /// How long all are watched at rest, in seconds.
    #[arg(long, default_value_t = 30.0)]
    rest: f64,
    /// The API server's audit log, for its requests at rest.
    #[arg(long, env = "FLINT_AUDIT_LOG")]
    audit_log: Option<PathBuf>,
    /// What making them may take, in seconds; ten thousand took nine minutes on two cores that they shared with the API server.
    #[arg(long, default_value_t = 3600.0)]
    patience: f64,
    /// Where results are written.
    #[arg(long, default_value = "bench/results")]
    results: PathBuf,
}

#[derive(Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
struct Results {
    functions: usize,
    /// From the first creation to the last function that the operator has said all of.
    made: Phase,
    /// From the end of the old operator's pod to the last function looked at by a new one, which finds all as it should be.
    operator_cold: Phase,
    /// The same of a gateway: until it knows all.
    gateway_cold: Phase,
    rest: Phase,
    /// From the deletion of the namespace until it is gone, and operator and gateway have nothing left to do.
    deleted: Phase,
    /// From the API server's word that a function was made to the gateway's that it knows it.
    change_ms: Option<Times>,
    /// By program, verb and kind: what making all took, for one function.
    requests_for_each: Vec<(String, f64)>,
    /// What a new operator asked and wrote that found all as it should be.
    requests_of_a_new_operator: Vec<(String, f64)>,
    /// While nothing happened; for one hour.
    requests_at_rest_per_hour: Vec<(String, f64)>,
    /// While all were deleted.
    requests_while_deleted: Vec<(String, f64)>,
    /// Functions that the operator had said all of, by seconds.
    progress: Vec<(f64, f64)>,
}

/// What some time cost.
#[derive(Clone, Copy, Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
struct Phase {
    seconds: f64,
    operator_cpu_seconds: f64,
    operator_mib: f64,
    gateway_cpu_seconds: f64,
    gateway_mib: f64,
}

/// Requests of the rig that are under way at a time.
const AT_A_TIME: usize = 32;
/// Nothing was written for so long: all is as it should be.
const QUIET: Duration = Duration::from_secs(3);

// === impl Scale ===

impl Scale {
    pub(crate) async fn run(self) -> anyhow::Result<()> {
        let machine = Machine::here();
        let client = client().await?;
        let namespaces: Api<Namespace> = Api::all(client.clone());
        let namespace = serde_json::from_value(json!({"metadata": {"name": self.namespace}}))?;
        namespaces
            .create(&PostParams::default(), &namespace)
            .await
            .context("the namespace is there already: delete it, or give another by --namespace")?;
        let audit = self.audit_log.clone().map(|log| Audit::follow(log, Counts::new())).transpose()?;
        let outcome = self.measure(&client, audit.as_ref()).await;
        let deleted = self.delete(&client, audit.as_ref()).await;
        let mut results = outcome?;
        (results.deleted, results.requests_while_deleted) = deleted?;
        let figure = Figure::new(
            format!("{} functions applied at once", results.functions),
            "settled",
            Shape::Lines {
                along: "seconds".into(),
                series: vec![("functions".into(), results.progress.clone())],
            },
        );
        Report { benchmark: "scale", date: now(), machine, results }.write_with(&self.results, &[figure])
    }

    async fn measure(&self, client: &Client, audit: Option<&Audit<Counts>>) -> anyhow::Result<Results> {
        let mut results = Results { functions: self.functions, ..Results::default() };
        let patience = Duration::from_secs_f64(self.patience);
        let settled = Settled::watch(client, &self.namespace);
        self.make(client, &settled, patience, &mut results).await?;
        self.wait_for_rest(&settled, patience).await?;
        results.requests_for_each = told(audit, "for each function", 1.0 / self.functions as f64)?;
        results.rest = self.rest().await?;
        results.requests_at_rest_per_hour = told(audit, "in an hour at rest", 3600.0 / self.rest)?;
        results.change_ms = Some(self.changes(client).await?);
        self.wait_for_rest(&settled, patience).await?;
        let _of_the_changes = audit.map(|audit| audit.with(std::mem::take)).transpose()?;
        (results.operator_cold, _) = self.cold(client, "operator", patience).await?;
        results.requests_of_a_new_operator = told(audit, "of a new operator", 1.0)?;
        (_, results.gateway_cold) = self.cold(client, "gateway", patience).await?;
        Ok(results)
    }

    /// Makes all, and waits until the operator has said all of each.
    async fn make(
        &self,
        client: &Client,
        settled: &Settled,
        patience: Duration,
        results: &mut Results,
    ) -> anyhow::Result<()> {
        let before = Snapshot::take()?;
        let functions: Api<Function> = Api::namespaced(client.clone(), &self.namespace);
        let making = at_once(AT_A_TIME, 0..self.functions, async |number| {
            let function = self.function(&format!("f-{number:05}"))?;
            functions.create(&PostParams::default(), &function).await.context("a function is refused")?;
            Ok(())
        });
        let start = Instant::now();
        let watching = async {
            loop {
                let count = settled.functions();
                results.progress.push((start.elapsed().as_secs_f64(), count as f64));
                if count >= self.functions {
                    return Ok(());
                }
                if start.elapsed() > patience {
                    bail!("{count} of {} functions are settled after {patience:?}", self.functions);
                }
                tokio::time::sleep(Duration::from_millis(500)).await;
            }
        };
        tokio::try_join!(making, watching)?;
        results.made = before.until_now()?;
        results.made.print(&format!("{} functions made", self.functions));
        Ok(())
    }

    /// Waits until nothing is written any more.
    async fn wait_for_rest(&self, settled: &Settled, patience: Duration) -> anyhow::Result<()> {
        let start = Instant::now();
        while settled.quiet_for() < QUIET {
            if start.elapsed() > patience {
                bail!("something is still written after {patience:?}");
            }
            tokio::time::sleep(Duration::from_millis(250)).await;
        }
        Ok(())
    }

    /// How long the gateway takes to know of one function more.
    async fn changes(&self, client: &Client) -> anyhow::Result<Times> {
        let functions: Api<Function> = Api::namespaced(client.clone(), &self.namespace);
        let mut samples = Vec::new();
        for number in 0..self.changes {
            let name = format!("change-{number}");
            let url =
                Url::of(&self.url, format!("/2015-03-31/functions/{name}.{}/invocations", self.namespace))
                    .await?;
            functions.create(&PostParams::default(), &self.function(&name)?).await?;
            let start = Instant::now();
            while !watched::is_known(&url).await? {
                if start.elapsed() > Duration::from_secs(30) {
                    bail!("the gateway does not know {name} after 30 s");
                }
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
            samples.push(start.elapsed().as_secs_f64() * 1000.0);
        }
        let times = Times::of_samples(&samples);
        println!(
            "a change at the gateway: p50 {:.0} ms, p95 {:.0} ms, max {:.0} ms",
            times.p50, times.p95, times.max
        );
        Ok(times)
    }

    async fn rest(&self) -> anyhow::Result<Phase> {
        let before = Snapshot::take()?;
        tokio::time::sleep(Duration::from_secs_f64(self.rest)).await;
        let phase = before.until_now()?;
        phase.print("at rest");
        Ok(phase)
    }

    /// Deletes the namespace with all that is in it, and waits until that has happened and nobody has work with it any more.
    async fn delete(
        &self,
        client: &Client,
        audit: Option<&Audit<Counts>>,
    ) -> anyhow::Result<(Phase, Vec<(String, f64)>)> {
        let _of_before = audit.map(|audit| audit.with(std::mem::take)).transpose()?;
        let namespaces: Api<Namespace> = Api::all(client.clone());
        let (before, patience) = (Snapshot::take()?, Duration::from_secs_f64(self.patience));
        namespaces.delete(&self.namespace, &DeleteParams::default()).await.context("the namespace stays")?;
        while namespaces.get_metadata_opt(&self.namespace).await?.is_some() {
            if before.at.elapsed() > patience {
                bail!("the namespace is still there after {patience:?}");
            }
            tokio::time::sleep(Duration::from_millis(500)).await;
        }
        let mut work = Work::new();
        while work.busy().elapsed() < QUIET && before.at.elapsed() < patience {
            tokio::time::sleep(Work::LOOK).await;
            work.look(Part::running(watched::OPERATOR)?.cpu() + Part::running(watched::GATEWAY)?.cpu());
        }
        let phase = Phase { seconds: (work.busy() - before.at).as_secs_f64(), ..before.until_now()? };
        phase.print("all deleted");
        Ok((phase, told(audit, "while all were deleted", 1.0)?))
    }

    /// Ends a part's pods, and measures those that come in their place until they have nothing left to do.
    async fn cold(&self, client: &Client, part: &str, patience: Duration) -> anyhow::Result<(Phase, Phase)> {
        let pods: Api<Pod> = Api::namespaced(client.clone(), &self.system);
        let name = if part == "operator" { watched::OPERATOR } else { watched::GATEWAY };
        let old = Part::running(name)?;
        let selector = ListParams::default().labels(&format!("app.kubernetes.io/component={part}"));
        let start = Instant::now();
        for pod in pods.list(&selector).await? {
            pods.delete(&pod.name_any(), &DeleteParams::default().grace_period(1)).await?;
        }
        // At rest once it has used next to nothing for some seconds.
        let mut work = Work::new();
        loop {
            tokio::time::sleep(Work::LOOK).await;
            let new = Part::running(name)?.without(&old);
            let cpu = new.cpu();
            work.look(cpu);
            if new.is_there() && work.busy().elapsed() > QUIET {
                let phase = Phase {
                    seconds: (work.busy() - start).as_secs_f64(),
                    operator_cpu_seconds: cpu,
                    operator_mib: new.resident_mib(),
                    gateway_cpu_seconds: cpu,
                    gateway_mib: new.resident_mib(),
                };
                println!(
                    "{part} from cold: {:.1} s, {cpu:.1} s of CPU, {:.1} MiB",
                    phase.seconds,
                    new.resident_mib()
                );
                let (mut operator, mut gateway) = (phase, phase);
                (operator.gateway_cpu_seconds, operator.gateway_mib) = (0.0, 0.0);
                (gateway.operator_cpu_seconds, gateway.operator_mib) = (0.0, 0.0);
                return Ok((operator, gateway));
            }
            if start.elapsed() > patience {
                bail!("the {part} is not at rest after {patience:?}");
            }
        }
    }

    fn function(&self, name: &str) -> anyhow::Result<Function> {
        let code = format!("def handler(event, context):\n    return {{\"name\": \"{name}\"}}\n");
        Ok(serde_json::from_value(json!({
            "apiVersion": "flint.dev/v1alpha1", "kind": "Function",
            "metadata": {"name": name, "namespace": self.namespace},
            "spec": {
                "runtime": "python3.11", "handler": "app.handler", "source": {"inline": {"app.py": code}},
                "scaling": {"initialReplicas": 0},
            },
        }))?)
    }
}

/// What Flint's programs asked the API server for since that was told last, times `factor`.
fn told(audit: Option<&Audit<Counts>>, when: &str, factor: f64) -> anyhow::Result<Vec<(String, f64)>> {
    let Some(audit) = audit else { return Ok(Vec::new()) };
    let counts: Vec<_> =
        audit.with(std::mem::take)?.into_iter().map(|(what, count)| (what, count * factor)).collect();
    println!("requests to the API server {when}:");
    for (what, count) in &counts {
        let digits = if *count < 10.0 { 3 } else { 0 };
        println!("  {count:>10.digits$}  {what}");
    }
    Ok(counts)
}

/// What both parts have used so far, and when that was.
struct Snapshot {
    at: Instant,
    operator: Part,
    gateway: Part,
}

// === impl Snapshot ===

impl Snapshot {
    fn take() -> anyhow::Result<Self> {
        let (operator, gateway) = (Part::running(watched::OPERATOR)?, Part::running(watched::GATEWAY)?);
        Ok(Self { at: Instant::now(), operator, gateway })
    }

    fn until_now(&self) -> anyhow::Result<Phase> {
        let now = Self::take()?;
        Ok(Phase {
            seconds: (now.at - self.at).as_secs_f64(),
            operator_cpu_seconds: now.operator.cpu() - self.operator.cpu(),
            operator_mib: now.operator.resident_mib(),
            gateway_cpu_seconds: now.gateway.cpu() - self.gateway.cpu(),
            gateway_mib: now.gateway.resident_mib(),
        })
    }
}

// === impl Phase ===

impl Phase {
    fn print(&self, what: &str) {
        let Self { seconds, operator_cpu_seconds, operator_mib, gateway_cpu_seconds, gateway_mib } = self;
        println!(
            "{what}: {seconds:.1} s; operator {operator_cpu_seconds:.2} s of CPU, {operator_mib:.1} MiB; gateway {gateway_cpu_seconds:.2} s, {gateway_mib:.1} MiB"
        );
    }
}
