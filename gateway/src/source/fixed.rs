//! A file of functions with fixed instances: for benchmarks and for a gateway without Kubernetes.

use std::{net::SocketAddr, path::Path, sync::Arc};

use anyhow::Context;
use flint_api::{Duration, Mode};
use jiff::Timestamp;
use serde::Deserialize;
use tokio::sync::mpsc;

use super::Source;
use crate::{
    function::{Key, Seen},
    index::{Event, Pod, PodName},
};

/// The file, read.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Fixed {
    /// The functions.
    pub functions: Vec<Entry>,
}

/// A function and its instances.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Entry {
    /// The name.
    pub name: String,
    /// The namespace; `default` if none.
    #[serde(default = "default_namespace")]
    pub namespace: String,
    /// How the watchdog speaks to the code; http if nothing else is said.
    #[serde(default = "default_mode")]
    pub mode: Mode,
    /// The timeout; 30 s if nothing else is said.
    #[serde(default = "default_timeout")]
    pub timeout: Duration,
    /// Requests at a time per instance; no limit if nothing else is said.
    #[serde(default)]
    pub concurrency: u32,
    /// API Gateway v1.0 events.
    #[serde(default)]
    pub event_v1: bool,
    /// IP:PORT of each instance.
    #[serde(default)]
    pub instances: Vec<SocketAddr>,
}

// === impl Fixed ===

impl Fixed {
    /// Reads a file, JSON or YAML by its content.
    ///
    /// # Errors
    /// It cannot be read, or says something else.
    pub fn read(path: &Path) -> anyhow::Result<Self> {
        let text =
            std::fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
        // Every JSON document is YAML too.
        serde_saphyr::from_str(&text).with_context(|| format!("{} is no table of functions", path.display()))
    }
}

impl Source for Fixed {
    async fn run(self, events: mpsc::Sender<Event>) -> anyhow::Result<()> {
        for entry in self.functions {
            for event in entry.events() {
                if events.send(event).await.is_err() {
                    return Ok(());
                }
            }
        }
        // Nobody listening is no failure of the file's.
        let _ = events.send(Event::Complete).await;
        events.closed().await;
        Ok(())
    }
}

// === impl Entry ===

impl Entry {
    fn events(self) -> impl Iterator<Item = Event> {
        let Self { name, namespace, mode, timeout, concurrency, event_v1, instances } = self;
        // There is one revision, which has the function's name.
        let seen = Seen {
            key: Key::new(&namespace, &name),
            mode,
            timeout: timeout.get(),
            concurrency,
            revision: Some(name.clone()),
            traffic: Arc::default(),
            event_v1,
            blocked: None,
            schedules: Arc::default(),
            created: Timestamp::UNIX_EPOCH,
        };
        let pods = instances.into_iter().enumerate().map(move |(number, address)| {
            let pod = PodName { namespace: namespace.clone(), name: format!("{name}-{number}") };
            Event::Pod(Pod {
                uid: pod.name.clone(),
                name: pod,
                function: name.clone(),
                revision: name.clone(),
                address: Some(address),
                ready: true,
                ending: false,
                limit: None,
            })
        });
        std::iter::once(Event::Function(seen)).chain(pods)
    }
}

fn default_namespace() -> String {
    flint_core::route::DEFAULT_NAMESPACE.to_owned()
}

fn default_mode() -> Mode {
    Mode::Http
}

fn default_timeout() -> Duration {
    flint_api::effective::DEFAULT_TIMEOUT
}
