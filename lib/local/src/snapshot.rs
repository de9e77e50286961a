//! The platform at one moment, for a table of functions.

use std::time::Duration;

use flint_core::{route::DEFAULT_NAMESPACE, schedule::Schedule};
use jiff::Timestamp;
use serde::Serialize;
use tokio::time::Instant;

use crate::{Key, Reason, event::millis, served::Served, world::World};

/// A function at one moment.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Function {
    /// Its namespace and name.
    pub key: Key,
    /// Where it is called, whatever routes it has.
    pub url: String,
    /// Its routes, as `METHOD PATH`.
    pub routes: Vec<String>,
    /// The revision that gets requests.
    pub revision: String,
    /// Why the latest revision does not come up, where it does not.
    pub failing: Option<Reason>,
    /// Its processes.
    pub instances: Vec<Instance>,
    /// Requests that wait for an instance.
    pub waiting: u32,
    /// Requests that instances work on.
    pub in_flight: u32,
    /// Its schedules.
    pub schedules: Vec<Firing>,
}

/// A process at one moment.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Instance {
    /// Its name.
    pub name: String,
    /// Its revision.
    pub revision: String,
    /// The watchdog's process id.
    pub pid: u32,
    /// Whether it can be called.
    pub state: State,
    /// How long it has been there.
    #[serde(rename = "ageMs", serialize_with = "millis")]
    pub age: Duration,
}

/// What an instance is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum State {
    /// Not ready yet.
    Starting,
    /// It can be called.
    Ready,
    /// It finishes what it has, and goes.
    Ending,
}

/// When a schedule fires.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Firing {
    /// Its name.
    pub name: String,
    /// Its expression.
    pub cron: String,
    /// Its time zone; UTC where there is none.
    pub time_zone: Option<String>,
    /// The next time; none where it is off, over, or cannot be read.
    pub next: Option<Timestamp>,
    /// What is wrong with the expression, where something is.
    pub problem: Option<String>,
}

// === impl World ===

impl World {
    /// The functions at this moment, by name.
    pub(crate) fn snapshot(&self) -> Vec<Function> {
        self.functions.iter().map(|(key, served)| self.function(key, served)).collect()
    }

    fn function(&self, key: &Key, served: &Served) -> Function {
        let now = Instant::now();
        let instances = served.processes.iter().map(|(name, process)| Instance {
            name: name.clone(),
            revision: process.revision.clone(),
            pid: process.pid,
            state: process.state,
            age: now - process.started,
        });
        let name = match key.namespace.as_str() {
            DEFAULT_NAMESPACE => key.name.clone(),
            namespace => format!("{}.{namespace}", key.name),
        };
        Function {
            key: key.clone(),
            url: format!("http://{}/function/{name}", self.place.gateway),
            routes: self.routes.get(key).cloned().unwrap_or_default(),
            revision: served.serving.clone(),
            failing: served.failing.as_ref().map(|failing| failing.reason.clone()),
            instances: instances.collect(),
            waiting: served.scaling.waiting(),
            in_flight: served.scaling.in_flight(),
            schedules: served
                .spec
                .schedules
                .iter()
                .map(|schedule| firing(schedule, served.created))
                .collect(),
        }
    }
}

/// The next time, by the clock that the gateway's scheduler goes by.
fn firing(schedule: &flint_api::Schedule, created: Timestamp) -> Firing {
    let read = Schedule::parse(&schedule.cron, schedule.time_zone.as_deref());
    let (next, problem) = match read {
        Ok(_) if schedule.enabled == Some(false) => (None, None),
        Ok(read) => (read.anchored_at(created).next_after(Timestamp::now()), None),
        Err(error) => (None, Some(error.to_string())),
    };
    let flint_api::Schedule { name, cron, time_zone, .. } = schedule.clone();
    Firing { name, cron, time_zone, next, problem }
}
