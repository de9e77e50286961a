//! What the gateway is told: functions, routes and processes, in the form that a cluster's watches have.

use std::{collections::HashSet, net::SocketAddr, sync::Arc, time::Duration};

use flint_core::{
    event::Format,
    paths::{Paths, Pattern},
};
use flint_gateway::{
    function::{Blocked, Key, Scheduled, Seen},
    index::{Event, Pod, PodName},
    source::Source,
    table::{Lead, Routes, Table, Tables},
};
use tokio::{
    sync::mpsc,
    time::{sleep, timeout},
};

use crate::{Error, Project, Reason, State, served::Served};

/// How often it is looked whether the gateway has taken over what it was told, and for how long: it is a matter of
/// microseconds, unless the gateway has ended.
const LOOK: Duration = Duration::from_millis(1);
const SHOWN: Duration = Duration::from_secs(2);

/// The gateway's source: whatever is sent to it.
pub(crate) struct Told(pub(crate) mpsc::Receiver<Event>);

impl Source for Told {
    async fn run(mut self, events: mpsc::Sender<Event>) -> anyhow::Result<()> {
        while let Some(event) = self.0.recv().await {
            if events.send(event).await.is_err() {
                break;
            }
        }
        Ok(())
    }
}

/// Waits until the gateway's table is as `is_so` wants it. The gateway has a task of its own for what it is told: whoever is
/// told next must not find it behind.
pub(crate) async fn shown(tables: &Tables, is_so: impl Fn(&Table) -> bool) {
    let shown = async {
        while !is_so(&tables.load()) {
            sleep(LOOK).await;
        }
    };
    // A gateway that has ended takes nothing over any more.
    let _ = timeout(SHOWN, shown).await;
}

/// A function as the gateway sees it.
pub(crate) fn function(served: &Served) -> Event {
    let spec = &served.spec;
    let schedules = spec.schedules.iter().map(|schedule| Scheduled {
        name: schedule.name.clone(),
        cron: schedule.cron.clone(),
        time_zone: schedule.time_zone.clone(),
        input: schedule.input.clone(),
        enabled: schedule.enabled.unwrap_or(true),
        last: None,
        last_done: false,
        next: None,
    });
    Event::Function(Seen {
        key: spec.key.clone(),
        mode: spec.effective.mode,
        timeout: spec.effective.timeout.get(),
        concurrency: spec.effective.concurrency,
        revision: Some(served.serving.clone()),
        traffic: Arc::default(),
        event_v1: spec.event == Format::V1,
        // An older revision that serves can.
        blocked: spec.blocked.clone().filter(|_| served.serving == served.latest),
        schedules: schedules.collect(),
        created: served.created,
    })
}

/// A process as the gateway sees it.
pub(crate) fn process(
    key: &Key,
    name: &str,
    revision: &str,
    address: Option<SocketAddr>,
    state: State,
    concurrency: u32,
) -> Event {
    Event::Pod(Pod {
        name: pod(key, name),
        uid: name.to_owned(),
        function: key.name.clone(),
        revision: revision.to_owned(),
        address,
        ready: state == State::Ready,
        ending: state == State::Ending,
        limit: Some(concurrency),
    })
}

/// A process that is gone.
pub(crate) fn process_gone(key: &Key, name: &str) -> Event {
    Event::PodGone(pod(key, name))
}

/// Whether a revision can start.
pub(crate) fn start(key: &Key, revision: &str, reason: Option<&Reason>) -> Event {
    let blocked =
        reason.map(|reason| Blocked { reason: reason.error_type.clone(), message: reason.to_string() });
    Event::Start { key: key.clone(), revision: revision.to_owned(), blocked }
}

/// The routes of a project.
///
/// # Errors
/// The project contradicts itself.
pub(crate) fn routes(project: &Project) -> Result<Arc<Routes>, Error> {
    let mut functions = HashSet::new();
    for spec in &project.functions {
        if !functions.insert(&spec.key) {
            return Err(Error::Twice(spec.key.to_string()));
        }
    }
    let mut entries = Vec::with_capacity(project.routes.len());
    for route in &project.routes {
        let invalid = |problem: String| Error::Route { path: route.path.clone(), problem };
        let pattern = Pattern::parse(&route.path).map_err(|error| invalid(error.to_string()))?;
        if !functions.contains(&route.function) {
            let function = route.function.to_string();
            return Err(Error::RouteNowhere { path: route.path.clone(), function });
        }
        let event_v1 = route.event.map(|event| event == Format::V1);
        let lead = Lead::new(route.method.as_ref(), &pattern, route.function.clone(), event_v1)
            .ok_or_else(|| invalid("it has control characters in it: remove them".to_owned()))?;
        entries.push((route.method.clone(), pattern, lead));
    }
    Ok(Arc::new(Paths::new(entries)))
}

fn pod(key: &Key, name: &str) -> PodName {
    PodName { namespace: key.namespace.clone(), name: name.to_owned() }
}
