//! Fires schedules: one gateway at a time, elected by a Lease, calls functions when they are due.
//!
//! A firing is stored (through the operator, in the Function's status) before it is made and marked as done after it. The
//! next holder of the Lease finds what was begun and not done, and makes it again with the same request id: at least once. While
//! the operator is away firings go on; the holder remembers what it could not store and says it again until it is stored.
//!
//! At shutdown nothing new is fired, what is under way ends, and only then is the Lease given up: the next holder then
//! finds everything done, and repeats nothing.

mod roster;

use std::{collections::HashMap, sync::Arc, sync::atomic::Ordering, time::Duration};

use bytes::Bytes;
use flint_control::v1::{Firing, FunctionRef};
use flint_core::{firing, schedule::scheduled_event};
use http::StatusCode;
use jiff::Timestamp;
use parking_lot::Mutex;
use tokio::{
    sync::{Semaphore, mpsc, oneshot},
    task::JoinSet,
    time::{MissedTickBehavior, interval, timeout},
};
use tokio_util::sync::CancellationToken;

use crate::{app::Schedules, call::ScheduledCall, function::Key};

pub use roster::{Due, Roster};

/// Firings under way at a time; more wait for the next look, a moment later.
const AT_A_TIME: usize = 64;
/// How often schedules are looked at. Their resolution is a minute; half a second late is on time.
const LOOK: Duration = Duration::from_millis(500);
/// How long a firing waits to be stored before it is made all the same.
const STORING: Duration = Duration::from_secs(2);
/// How often what could not be stored is said again.
const AGAIN: Duration = Duration::from_secs(5);
/// How long firings under way may take to end at shutdown; the workers' own drain bounds them too.
const LAST: Duration = Duration::from_secs(60);

/// Fires what is due, for as long as `held` says that it is this gateway's office.
pub async fn run(schedules: Schedules, held: impl Fn() -> bool, stop: CancellationToken) {
    let Schedules { tables, hub, firings, calls, gateway: _ } = schedules;
    let memory = Arc::new(Memory { firings, unstored: Mutex::default() });
    let room = Arc::new(Semaphore::new(AT_A_TIME));
    let mut roster = Roster::default();
    let mut under_way = JoinSet::new();
    let mut look = interval(LOOK);
    look.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut again = interval(AGAIN);
    again.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            () = stop.cancelled() => break,
            Some(_) = under_way.join_next() => continue,
            _ = again.tick() => memory.say_again(),
            _ = look.tick() => {
                let in_office = held();
                hub.totals.scheduler_leader.store(in_office.into(), Ordering::Relaxed);
                if !in_office {
                    // What others fire meanwhile is found in the status.
                    roster = Roster::default();
                    continue;
                }
                let table = tables.load();
                let look = roster.look(table.iter(), Timestamp::now(), room.available_permits());
                hub.totals.firings_skipped.fetch_add(look.skipped, Ordering::Relaxed);
                for due in look.due {
                    let Ok(permit) = Arc::clone(&room).try_acquire_owned() else { break };
                    hub.totals.firings.fetch_add(1, Ordering::Relaxed);
                    let (memory, calls) = (Arc::clone(&memory), calls.clone());
                    under_way.spawn(async move {
                        let _permit = permit;
                        fire(due, &memory, &calls).await;
                    });
                }
            }
        }
    }
    hub.totals.scheduler_leader.store(0, Ordering::Relaxed);
    let _ = timeout(LAST, async { while under_way.join_next().await.is_some() {} }).await;
}

async fn fire(due: Due, memory: &Memory, calls: &mpsc::Sender<ScheduledCall>) {
    let Due { function, schedule, input, due, .. } = due;
    let key = function.seen.key.clone();
    let request_id = firing::id(&key.namespace, &key.name, &schedule, due);
    let said = Said { key: key.clone(), schedule: schedule.clone(), due, outcome: None };
    if !memory.store(&said, STORING).await {
        tracing::warn!(function = %key, schedule, %due, "a firing could not be stored before it is made");
    }
    let event = input.unwrap_or_else(|| {
        let resource = format!("flint.dev/{}/{}/{schedule}", key.namespace, key.name);
        scheduled_event(&request_id, due, &resource)
    });
    let (answered, answer) = oneshot::channel();
    let call = ScheduledCall { function, event: Bytes::from(event.to_string()), request_id, answered };
    let status = match calls.send(call).await {
        Ok(()) => answer.await.ok(),
        Err(_) => None,
    };
    // Without an answer the workers are gone: it stays not done, and the next holder repeats it.
    let Some(status) = status else { return };
    if !status.is_success() {
        tracing::warn!(function = %key, schedule, %due, status = status.as_u16(), "a scheduled call failed");
    }
    let said = Said { outcome: Some(status), ..said };
    if !memory.store(&said, STORING).await {
        memory.remember(said);
    }
}

/// What is to be said of a firing.
#[derive(Clone)]
struct Said {
    key: Key,
    schedule: String,
    due: Timestamp,
    outcome: Option<StatusCode>,
}

/// What could not be stored yet: the latest firing of each schedule.
struct Memory {
    firings: mpsc::Sender<(Firing, oneshot::Sender<()>)>,
    unstored: Mutex<HashMap<(Key, String), Said>>,
}

// === impl Memory ===

impl Memory {
    /// Whether it was stored within the time.
    async fn store(&self, said: &Said, patience: Duration) -> bool {
        let (told, stored) = oneshot::channel();
        let storing =
            async { self.firings.send((said.message(), told)).await.is_ok() && stored.await.is_ok() };
        timeout(patience, storing).await.unwrap_or(false)
    }

    fn remember(&self, said: Said) {
        let mut unstored = self.unstored.lock();
        let name = (said.key.clone(), said.schedule.clone());
        if unstored.get(&name).is_none_or(|known| known.due <= said.due) {
            unstored.insert(name, said);
        }
    }

    /// Says again what is not stored; what then is, is forgotten.
    fn say_again(self: &Arc<Self>) {
        let unstored: Vec<_> = self.unstored.lock().values().cloned().collect();
        if unstored.is_empty() {
            return;
        }
        let memory = Arc::clone(self);
        tokio::spawn(async move {
            for said in unstored {
                if !memory.store(&said, AGAIN / 2).await {
                    // The operator is away: the rest would wait in vain too.
                    return;
                }
                let mut unstored = memory.unstored.lock();
                let name = (said.key, said.schedule);
                if unstored.get(&name).is_some_and(|known| known.due == said.due) {
                    unstored.remove(&name);
                }
            }
        });
    }
}

// === impl Said ===

impl Said {
    fn message(&self) -> Firing {
        Firing {
            function: Some(FunctionRef {
                namespace: self.key.namespace.clone(),
                name: self.key.name.clone(),
            }),
            schedule: self.schedule.clone(),
            due: self.due.to_string(),
            done: self.outcome.is_some(),
            status: self.outcome.map_or(0, |status| u32::from(status.as_u16())),
        }
    }
}
