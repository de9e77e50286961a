//! The task that keeps the index: it takes in events, lets hints expire, and probes pods that are waited for.

use std::{collections::HashSet, time::Duration};

use tokio::{
    sync::mpsc,
    task::JoinSet,
    time::{MissedTickBehavior, interval},
};

use crate::{
    clock::Clock,
    index::{Event, Hint, Index, PodName},
    probe,
};

/// Events that are taken in at once: a burst of changes makes one new table, not hundreds.
const BURST: usize = 1024;
/// Events that may wait to be taken in, before those who tell of them wait too.
pub const EVENTS: usize = 4096;
/// Probes under way at a time; more pods than these take turns.
const PROBES: usize = 64;
/// How often hints are looked at; they live for ten seconds.
const EXPIRY: Duration = Duration::from_millis(500);

/// Keeps the index until nobody can tell of anything any more. `complete` is called when a source has told all there is.
pub async fn keep(mut index: Index, clock: Clock, mut events: mpsc::Receiver<Event>, complete: impl Fn()) {
    let hub = index.hub();
    let mut burst = Vec::with_capacity(BURST);
    let mut probes = JoinSet::new();
    let mut probed: HashSet<PodName> = HashSet::new();
    let mut probe_round = interval(probe::EVERY);
    probe_round.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut expiry = interval(EXPIRY);
    expiry.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            count = events.recv_many(&mut burst, BURST) => {
                if count == 0 {
                    return;
                }
                let is_complete = burst.contains(&Event::Complete);
                burst.drain(..).for_each(|event| index.apply(event));
                index.settle();
                if is_complete {
                    complete();
                }
            }
            Some(answer) = probes.join_next() => {
                let Ok((hint, ready)): Result<(Hint, bool), _> = answer else { continue };
                probed.remove(&hint.pod);
                if ready {
                    index.apply(Event::Probed(hint));
                    index.settle();
                }
            }
            _ = probe_round.tick(), if index.has_unready() => {
                for hint in index.waited_for() {
                    if probes.len() >= PROBES {
                        break;
                    }
                    if probed.insert(hint.pod.clone()) {
                        probes.spawn(async move {
                            let ready = probe::is_ready(hint.address).await;
                            (hint, ready)
                        });
                    }
                }
            }
            // A revision is called for the first time: it may have instances.
            () = hub.revisions.made.notified() => index.settle_revisions(),
            _ = expiry.tick() => {
                index.expire(clock.now());
                index.sweep_revisions();
                index.settle();
            }
        }
    }
}
