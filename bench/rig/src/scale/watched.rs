//! What `scale` looks at: the functions as the operator says they are, the processes, and what the gateway knows.

use std::{collections::HashSet, fs, sync::Arc, time::Duration};

use flint_api::Function;
use futures::StreamExt;
use kube::{
    Api, Client, ResourceExt,
    runtime::{WatchStreamExt, watcher},
};
use parking_lot::Mutex;
use tokio::time::Instant;

use crate::{cluster::Url, process::usage, wire::Wire};

/// The programs' names, as the kernel has them.
pub(super) const OPERATOR: &str = "flint-operator";
pub(super) const GATEWAY: &str = "flint-gateway";

/// What the watches of a namespace have told.
pub(super) struct Settled {
    state: Arc<Mutex<State>>,
}

struct State {
    settled: HashSet<String>,
    changed: Instant,
}

/// The processes of one program.
#[derive(Clone)]
pub(super) struct Part {
    processes: Vec<u32>,
    cpu: f64,
    resident_kib: u64,
}

// === impl Settled ===

impl Settled {
    pub(super) fn watch(client: &Client, namespace: &str) -> Self {
        let state = State { settled: HashSet::new(), changed: Instant::now() };
        let state = Arc::new(Mutex::new(state));
        let functions: Api<Function> = Api::namespaced(client.clone(), namespace);
        let of_functions = Arc::clone(&state);
        tokio::spawn(async move {
            let config = watcher::Config::default();
            let mut events = watcher(functions, config).default_backoff().touched_objects().boxed();
            while let Some(event) = events.next().await {
                // A watch that breaks begins anew by itself.
                if let Ok(function) = event {
                    of_functions.lock().function(&function);
                }
            }
        });
        Self { state }
    }

    /// How many functions the operator has said all of.
    pub(super) fn functions(&self) -> usize {
        self.state.lock().settled.len()
    }

    /// How long nothing has been written.
    pub(super) fn quiet_for(&self) -> Duration {
        self.state.lock().changed.elapsed()
    }
}

// === impl State ===

impl State {
    fn function(&mut self, function: &Function) {
        self.changed = Instant::now();
        let status = function.status.as_ref();
        let seen = status.and_then(|status| status.observed_generation);
        let is_ready = status.is_some_and(|status| {
            status.conditions.iter().any(|condition| condition.type_ == "Ready" && condition.status == "True")
        });
        if seen == function.metadata.generation && is_ready {
            self.settled.insert(function.name_any());
        }
    }
}

// === impl Part ===

impl Part {
    /// All processes of that name on this machine: the node's, where `make cluster` made it.
    pub(super) fn running(name: &str) -> anyhow::Result<Self> {
        let mut processes = Vec::new();
        for entry in fs::read_dir("/proc")?.flatten() {
            let Some(process) = entry.file_name().to_str().and_then(|name| name.parse().ok()) else {
                continue;
            };
            let comm = fs::read_to_string(entry.path().join("comm")).unwrap_or_default();
            if comm.trim() == name {
                processes.push(process);
            }
        }
        Ok(Self::of(processes))
    }

    fn of(processes: Vec<u32>) -> Self {
        let used: Vec<_> = processes.iter().map(|process| usage(*process)).collect();
        Self {
            cpu: used.iter().map(|usage| usage.cpu).sum(),
            // One of several replicas: the largest.
            resident_kib: used.iter().map(|usage| usage.resident_kib).max().unwrap_or(0),
            processes,
        }
    }

    /// Those that were not there before.
    pub(super) fn without(&self, before: &Self) -> Self {
        Self::of(
            self.processes.iter().copied().filter(|process| !before.processes.contains(process)).collect(),
        )
    }

    pub(super) fn is_there(&self) -> bool {
        !self.processes.is_empty()
    }

    pub(super) fn cpu(&self) -> f64 {
        self.cpu
    }

    pub(super) fn resident_mib(&self) -> f64 {
        self.resident_kib as f64 / 1024.0
    }
}

/// Whether programs are at work, by the CPU that they have used.
pub(super) struct Work {
    cpu: f64,
    busy: Instant,
}

// === impl Work ===

impl Work {
    /// How often it is looked.
    pub(super) const LOOK: Duration = Duration::from_millis(250);
    /// Seconds of CPU between two looks that count as nothing, for reports and Leases: three ticks of the kernel's clock.
    const IDLE: f64 = 0.03;

    /// At work until it was looked.
    pub(super) fn new() -> Self {
        Self { cpu: 0.0, busy: Instant::now() }
    }

    /// Takes in what they have used so far.
    pub(super) fn look(&mut self, cpu: f64) {
        if cpu - self.cpu > Self::IDLE {
            self.busy = Instant::now();
        }
        self.cpu = cpu;
    }

    /// When they were last at work.
    pub(super) fn busy(&self) -> Instant {
        self.busy
    }
}

/// Whether the gateway knows a function, by an Invoke that invokes nothing.
pub(crate) async fn is_known(url: &Url) -> anyhow::Result<bool> {
    let Url { address, host, path } = url;
    let request = format!(
        "POST {path} HTTP/1.1\r\nHost: {host}\r\nX-Amz-Invocation-Type: DryRun\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
    );
    let answer = Wire::connect(*address).await?.call(request.as_bytes()).await?;
    Ok(answer.status == 204)
}

/// Does something for each item, so many at a time; ends with the first error.
pub(super) async fn at_once<T, F: Future<Output = anyhow::Result<()>>>(
    most: usize,
    items: impl IntoIterator<Item = T>,
    work: impl Fn(T) -> F,
) -> anyhow::Result<()> {
    let mut running = futures::stream::iter(items).map(work).buffer_unordered(most);
    while let Some(outcome) = running.next().await {
        outcome?;
    }
    Ok(())
}
