//! What the status says of schedules: the last firing, before it is made and after it, and the next.
//!
//! Firings come from the gateways, several at a time and again when an answer was lost, and each is one write of the whole list.
//! So the list of a function is held here while its leader leads, and writes of one function follow one another. It has a field
//! manager of its own: the reconciler's status never carries it, and neither undoes the other.

use std::{collections::HashMap, sync::Arc};

use flint_api::{Function, Schedule as Spec, ScheduleStatus};
use flint_control::v1::Firing;
use flint_core::schedule::Schedule;
use flint_kube::Applier;
use jiff::Timestamp;
use kube::{Client, ResourceExt};
use parking_lot::Mutex;
use serde_json::json;

use crate::{
    function::problem::{self, Problem},
    key::Key,
    stores::Stores,
};

/// The schedules' part of every Function's status. For the leader alone.
pub(crate) struct Schedules {
    stores: Stores,
    applier: Applier,
    /// By function; bounded by them, see [`Schedules::forget`].
    entries: Mutex<HashMap<Key, Arc<tokio::sync::Mutex<Entry>>>>,
}

#[derive(Default)]
struct Entry {
    uid: String,
    stored: Vec<ScheduleStatus>,
}

/// The field manager of `status.schedules`.
const FIELD_MANAGER: &str = "flint-schedules";

// === impl Schedules ===

impl Schedules {
    /// Nothing known yet.
    pub(crate) fn new(client: Client, stores: Stores) -> Self {
        Self { stores, applier: Applier::new(client, FIELD_MANAGER), entries: Mutex::default() }
    }

    /// Stores a firing before it is made (`done` is false) or after it. One that is older than what is stored, or whose schedule is
    /// gone, has nothing to be stored.
    ///
    /// # Errors
    /// When the API server does not take it: the gateway sends it again.
    pub(crate) async fn store_firing(&self, firing: &Firing) -> anyhow::Result<()> {
        let Some(function) = firing.function.as_ref() else { anyhow::bail!("a firing of no function") };
        let key = Key::new(&function.namespace, &function.name);
        let due: Timestamp = firing.due.parse()?;
        let Some(function) = self.stores.function(&key) else { return Ok(()) };
        self.update(&key, &function, due, |entry| {
            if entry.name != firing.schedule || entry.last_firing.is_some_and(|last| last > due) {
                return;
            }
            if entry.last_firing == Some(due) && entry.last_done {
                return;
            }
            entry.last_firing = Some(due);
            entry.last_done = firing.done;
            entry.last_status = firing.done.then_some(i32::try_from(firing.status).unwrap_or(0));
        })
        .await?;
        Ok(())
    }

    /// Brings the list in line with the spec. Gives the time of the next firing, after which to look again.
    ///
    /// # Errors
    /// When the API server does not take it.
    pub(crate) async fn sync(
        &self,
        key: &Key,
        function: &Function,
        now: Timestamp,
    ) -> Result<Option<Timestamp>, flint_kube::Error> {
        let stored = function.status.as_ref().is_some_and(|status| !status.schedules.is_empty());
        if function.spec.schedules.is_empty() && !stored {
            return Ok(None);
        }
        self.update(key, function, now, |_| ()).await
    }

    /// The function is gone.
    pub(crate) fn forget(&self, key: &Key) {
        self.entries.lock().remove(key);
    }

    async fn update(
        &self,
        key: &Key,
        function: &Function,
        now: Timestamp,
        change: impl Fn(&mut ScheduleStatus),
    ) -> Result<Option<Timestamp>, flint_kube::Error> {
        let entry = Arc::clone(self.entries.lock().entry(key.clone()).or_default());
        let mut entry = entry.lock().await;
        let uid = function.uid().unwrap_or_default();
        if entry.uid != uid {
            let stored = function.status.as_ref().map(|status| status.schedules.clone()).unwrap_or_default();
            *entry = Entry { uid, stored };
        }
        let wanted: Vec<_> = function
            .spec
            .schedules
            .iter()
            .map(|spec| {
                let known = entry.stored.iter().find(|known| known.name == spec.name).cloned();
                let mut status = known.unwrap_or_else(|| ScheduleStatus {
                    name: spec.name.clone(),
                    ..ScheduleStatus::default()
                });
                change(&mut status);
                status.next_firing =
                    next_firing(function, spec, now.max(status.last_firing.unwrap_or(Timestamp::MIN)));
                status
            })
            .collect();
        if wanted != entry.stored {
            let status = if wanted.is_empty() { json!({}) } else { json!({"schedules": wanted}) };
            self.applier.status::<Function>(&key.namespace, &key.name, &status).await?;
            entry.stored = wanted;
        }
        Ok(entry.stored.iter().filter_map(|status| status.next_firing).min())
    }
}

/// When a schedule fires next; none when it is off, done with, or none at all. Rates count from the Function's creation, in the
/// gateway as here.
fn next_firing(function: &Function, spec: &Spec, after: Timestamp) -> Option<Timestamp> {
    if spec.enabled == Some(false) {
        return None;
    }
    let schedule = Schedule::parse(&spec.cron, spec.time_zone.as_deref()).ok()?;
    let created = function.metadata.creation_timestamp.as_ref().map_or(Timestamp::UNIX_EPOCH, |time| time.0);
    schedule.anchored_at(created).next_after(after)
}

/// The first schedule that cannot be read, and why.
pub(crate) fn problem(function: &Function) -> Option<Problem> {
    function.spec.schedules.iter().find_map(|spec| {
        let error = Schedule::parse(&spec.cron, spec.time_zone.as_deref()).err()?;
        Some(Problem::beside(problem::SCHEDULE_INVALID, format!("spec.schedules[{}]: {error}.", spec.name)))
    })
}

#[cfg(test)]
mod tests;
