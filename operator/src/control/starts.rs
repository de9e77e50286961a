//! Tells the gateways of functions that cannot start, so that nobody waits for what will not come.

use std::{collections::HashMap, sync::Arc, time::Duration};

use flint_api::{Function, FunctionStatus, labels};
use flint_control::v1::{OperatorMessage, operator_message::Message};
use jiff::Timestamp;
use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::{
    Control,
    failures::{Failing, Whose},
};
use crate::{
    startability::{is_ready, judge},
    stores::Stores,
};

/// A failure must last this long before those who wait are sent away: nodes and registries stumble, and try again.
const STEADY: Duration = Duration::from_secs(1);
/// Who waits for a revision is reported ten times a second.
const LATELY: Duration = Duration::from_secs(5);

/// Looks again at each function that somebody waits for or that the gateways believe to be failing, whenever something
/// about it changes or a request waits (which gateways report ten times a second), and broadcasts what is news. Runs until
/// `shutdown`; only the leader has gateways.
pub(crate) async fn watch_starts(stores: Stores, control: Arc<Control>, shutdown: CancellationToken) {
    let watched = stores.subscribe();
    let demand = control.wake.subscribe();
    // Since when a function seems to fail; bounded by the functions that somebody waits for.
    let mut seeming: HashMap<Whose, Instant> = HashMap::new();
    loop {
        let key = tokio::select! {
            () = shutdown.cancelled() => return,
            key = demand.next() => key,
            key = watched.next() => key,
        };
        let told = control.failures.of(&key);
        let called = control
            .demand
            .called(&key, LATELY)
            .into_iter()
            .map(|(revision, _)| (key.clone(), Some(revision)));
        let mut all: Vec<Whose> = told.iter().cloned().chain(called).chain([(key.clone(), None)]).collect();
        all.sort_unstable();
        all.dedup();
        for whose in all {
            look(&stores, &control, &whose, told.contains(&whose), &mut seeming);
        }
    }
}

fn look(
    stores: &Stores,
    control: &Control,
    whose: &Whose,
    told: bool,
    seeming: &mut HashMap<Whose, Instant>,
) {
    let (key, revision) = whose;
    let waiting = match revision {
        // Whoever waits for the function at all may wait for this.
        None => control.demand.read(key).waiting,
        Some(revision) => control.demand.read_of(key, |of| of == revision).waiting,
    };
    if !told && waiting == 0 {
        seeming.remove(whose);
        return;
    }
    let failing = failing(stores, control, whose);
    if failing.is_none() {
        seeming.remove(whose);
    } else if !told && seeming.entry(whose.clone()).or_insert_with(Instant::now).elapsed() < STEADY {
        return;
    }
    for state in control.failures.set(whose, failing) {
        tracing::info!(function = %key, revision = state.revision, failing = state.failing, reason = state.reason, "startability changed");
        control.gateways.broadcast(&OperatorMessage { message: Some(Message::StartState(state)) });
    }
}

/// Why the function has no instance and will get none. It has some while any instance of the revision that gets traffic is
/// ready, or has called home.
fn failing(stores: &Stores, control: &Control, (key, other): &Whose) -> Option<Failing> {
    let function = stores.function(key)?;
    let status = function.status.as_ref()?;
    let main = status.revision.as_ref().or(status.latest_revision.as_ref());
    let revision = other.as_ref().or(main);
    let deployed = revision.and_then(|name| Some((name, stores.deployments.find(&key.namespace, name)?)));
    let Some((revision, deployment)) = deployed else {
        return other.is_none().then(|| undeployed(&function, status)).flatten();
    };
    let mut pods = stores.pods.of(key);
    pods.retain(|pod| {
        pod.labels().get(labels::REVISION) == Some(revision) && pod.metadata.deletion_timestamp.is_none()
    });
    if control.instances.count(key, revision) > 0 || pods.iter().any(|pod| is_ready(pod)) {
        return None;
    }
    let now = Timestamp::now();
    let failure = judge(Some(&deployment), pods.iter().map(|pod| &**pod), now)?;
    let is_starting = |pod: &Pod| judge(None, [pod], now).is_none();
    if failure.is_lack_of_room() && pods.iter().any(|pod| is_starting(pod)) {
        // There is room for some, and some will do.
        return None;
    }
    Some(Failing { revision: revision.clone(), reason: failure.reason.to_owned(), message: failure.message })
}

/// What the reconciler says of a function that it made no Deployment for: the Runtime does not exist, the source is wrong, …
fn undeployed(function: &Function, status: &FunctionStatus) -> Option<Failing> {
    let ready = status.conditions.iter().find(|condition| condition.type_ == "Ready")?;
    let speaks_of_this = ready.observed_generation == function.metadata.generation;
    (speaks_of_this && ready.status == "False").then(|| Failing {
        revision: status.revision.clone().unwrap_or_default(),
        reason: ready.reason.clone(),
        message: ready.message.clone(),
    })
}

#[cfg(test)]
mod tests;
