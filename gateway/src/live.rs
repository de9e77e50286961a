//! The living part of a function: its instances, the requests that wait for one, and the counts of both.
//!
//! A request takes a slot of an instance without a lock, by one compare-and-exchange. Only when there is no room does it
//! take the lock of the function's line. A slot that comes back goes to the first in line, not to whoever asks next, and
//! as many are woken as there are slots.
//!
//! The race is between a request that finds no room and joins the line, and a slot that comes back just then. The request
//! first counts itself as waiting and then looks for room once more; the slot is first given back and then the count is
//! looked at. Both are sequentially consistent, so at least one of the two sees the other.
//!
//! A slot that was handed to a request which has gone in the meantime comes back by its destructor. So nothing is ever
//! sent or dropped with the lock held: the destructor may want the lock.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU32, AtomicU64, AtomicUsize, Ordering},
    },
    time::Duration,
};

use arc_swap::{ArcSwap, ArcSwapOption};
use flint_core::{
    admit::{Admission, Situation, admit},
    balance,
    demand::Demand,
    queue::{Place, Queue},
    wire::ErrorCode,
};
use parking_lot::Mutex;
use tokio::sync::oneshot;

use crate::{
    clock::{Micros, micros},
    function::{Blocked, Key},
    hub::Hub,
    instance::Instance,
    metrics::FunctionMetrics,
    outcomes::Outcomes,
};

/// The living part of a function.
#[derive(Debug)]
pub struct Live {
    key: Key,
    /// The revision, where it is another than the one that the traffic goes to.
    revision: Option<Box<str>>,
    hub: Arc<Hub>,
    instances: ArcSwap<Vec<Arc<Instance>>>,
    blocked: ArcSwapOption<Blocked>,
    gone: AtomicBool,
    line: Mutex<Queue<Waiter>>,
    waiting: AtomicUsize,
    /// Until then a claim has the start to itself.
    claims_until: AtomicU64,
    /// Requests that nothing ties to a revision take turns. It outlives the settings: were turns begun anew whenever those change,
    /// a revision with a small share would never have one.
    turn: AtomicU32,
    /// Requests in the gateway, forwarded and waiting.
    pub demand: Demand,
    /// What `/metrics` tells: of the function, whichever its revision.
    pub metrics: Arc<FunctionMetrics>,
    /// How requests ended; counted for revisions that may be on trial.
    pub(crate) outcomes: Outcomes,
}

/// Room for one request at an instance; given back when dropped.
#[derive(Debug)]
pub struct Slot {
    instance: Arc<Instance>,
    /// `None` once it was given back by hand.
    live: Option<Arc<Live>>,
}

/// A place in a function's line; left when dropped.
#[derive(Debug)]
pub struct Ticket {
    live: Arc<Live>,
    place: Place,
    turn: oneshot::Receiver<Turn>,
    /// There was no instance at all when it joined.
    pub cold: bool,
}

/// What an admission ends with.
#[derive(Debug)]
pub enum Admitted {
    /// A slot.
    Slot(Slot),
    /// A place in the line.
    Ticket(Ticket),
}

/// Why a request does not reach an instance: the code, and a sentence for the client.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// The contract's code.
    pub code: ErrorCode,
    /// What is wrong, and what to do.
    pub message: String,
}

/// What one in the line gets in the end.
type Turn = Result<Slot, Refusal>;
type Waiter = oneshot::Sender<Turn>;

// === impl Live ===

impl Live {
    /// A function without instances.
    #[must_use]
    pub fn new(key: Key, hub: Arc<Hub>) -> Self {
        Self {
            key,
            instances: ArcSwap::default(),
            blocked: ArcSwapOption::empty(),
            gone: AtomicBool::new(false),
            line: Mutex::new(Queue::new(hub.queue_capacity)),
            waiting: AtomicUsize::new(0),
            claims_until: AtomicU64::new(0),
            turn: AtomicU32::new(0),
            demand: Demand::default(),
            metrics: Arc::default(),
            outcomes: Outcomes::default(),
            revision: None,
            hub,
        }
    }

    /// A revision beside the one that the traffic goes to, without instances. `metrics` are the function's.
    pub(crate) fn of_revision(
        key: Key,
        revision: &str,
        hub: Arc<Hub>,
        metrics: Arc<FunctionMetrics>,
    ) -> Self {
        Self { revision: Some(revision.into()), metrics, ..Self::new(key, hub) }
    }

    /// The revision, where it is another than the one that the traffic goes to.
    pub fn revision(&self) -> Option<&str> {
        self.revision.as_deref()
    }

    /// From how long on a request counts as slow.
    pub(crate) fn set_slow_after(&self, bound: Option<Duration>) {
        self.outcomes.slow_after(bound.map_or(Micros::MAX, micros));
    }

    /// The turn of one more request among the function's revisions.
    pub(crate) fn next_turn(&self) -> u32 {
        self.turn.fetch_add(1, Ordering::Relaxed)
    }

    /// Whose it is.
    pub fn key(&self) -> &Key {
        &self.key
    }

    /// The instances that may get requests, in the order of this gateway's preference.
    pub fn instances(&self) -> Arc<Vec<Arc<Instance>>> {
        self.instances.load_full()
    }

    /// How many requests wait.
    pub fn waiting(&self) -> usize {
        self.waiting.load(Ordering::Relaxed)
    }

    /// A pod of a warm pool is being claimed: for so long the operator does not hear who waits.
    pub(crate) fn claims_for(&self, time: Duration) {
        self.claims_until.store(self.hub.clock.now() + micros(time), Ordering::Relaxed);
    }

    /// Whether a claim has the start to itself.
    pub(crate) fn is_claiming(&self, now: Micros) -> bool {
        self.claims_until.load(Ordering::Relaxed) > now
    }

    /// How many requests are with instances.
    pub fn in_flight(&self) -> usize {
        (self.demand.present() as usize).saturating_sub(self.waiting())
    }

    /// Takes a slot, or a place in the line. `again`: the request had an instance and lost it, so its turn has come before.
    ///
    /// # Errors
    /// The line is full, or no instance can start.
    pub fn admit(self: &Arc<Self>, again: bool) -> Result<Admitted, Refusal> {
        // The common case: nobody waits and somebody has room.
        if (again || self.waiting.load(Ordering::SeqCst) == 0)
            && let Some(slot) = self.take()
        {
            return Ok(Admitted::Slot(slot));
        }
        self.admit_slowly(again)
    }

    fn admit_slowly(self: &Arc<Self>, again: bool) -> Result<Admitted, Refusal> {
        let mut line = self.line.lock();
        self.waiting.store(line.len() + 1, Ordering::SeqCst);
        let slot = if again || line.is_empty() { self.take() } else { None };
        let blocked = self.blocked.load();
        let situation = Situation {
            room: slot.is_some(),
            ready: self.instances.load().len(),
            waiting: line.len(),
            capacity: self.hub.queue_capacity,
            failing: blocked.is_some(),
            again,
        };
        let admission = if self.gone.load(Ordering::Relaxed) {
            Admission::Refuse(ErrorCode::FunctionNotFound)
        } else {
            admit(situation)
        };
        let ticket = (admission == Admission::Wait).then(|| {
            let (waiter, turn) = oneshot::channel();
            let place = if again { Ok(line.rejoin(waiter)) } else { line.join(waiter) };
            place.map(|place| Ticket { live: Arc::clone(self), place, turn, cold: situation.ready == 0 })
        });
        self.waiting.store(line.len(), Ordering::SeqCst);
        drop(line);
        match (ticket, slot, admission) {
            (Some(Ok(ticket)), ..) => {
                if situation.waiting == 0 {
                    self.hub.ring(self);
                }
                Ok(Admitted::Ticket(ticket))
            }
            (None, Some(slot), Admission::Forward) => Ok(Admitted::Slot(slot)),
            (None, _, Admission::Refuse(code)) => Err(self.refusal(code, blocked.as_deref())),
            _ => Err(self.refusal(ErrorCode::TooManyRequests, None)),
        }
    }

    /// Sets the instances that may get requests, in the order of preference, and lets those in who wait.
    pub fn set_instances(self: &Arc<Self>, instances: Vec<Arc<Instance>>) {
        self.instances.store(Arc::new(instances));
        self.settle();
    }

    /// Sets or clears why no instance can start.
    pub fn set_blocked(self: &Arc<Self>, blocked: Option<Blocked>) {
        self.blocked.store(blocked.map(Arc::new));
        self.settle();
    }

    /// The function is deleted: nobody waits any longer. What is with an instance ends there.
    pub fn set_gone(&self) {
        self.gone.store(true, Ordering::Relaxed);
        self.refuse_all(&self.refusal(ErrorCode::FunctionNotFound, None));
    }

    /// Whether it is deleted.
    pub fn is_gone(&self) -> bool {
        self.gone.load(Ordering::Relaxed)
    }

    /// Gives what room there is to those who wait; tells them if there is no hope.
    pub fn settle(self: &Arc<Self>) {
        self.drain();
        if self.instances.load().is_empty()
            && let Some(blocked) = self.blocked.load_full()
        {
            self.refuse_all(&self.refusal(ErrorCode::NotStartable, Some(&blocked)));
        }
    }

    fn drain(self: &Arc<Self>) {
        loop {
            let (waiter, slot) = {
                let mut line = self.line.lock();
                if line.is_empty() {
                    return;
                }
                let Some(slot) = self.take() else { return };
                let waiter = line.take();
                self.waiting.store(line.len(), Ordering::SeqCst);
                (waiter, slot)
            };
            // A waiter that has just gone leaves its slot for the next, in the next round.
            if let Some(Err(Ok(slot))) = waiter.map(|waiter| waiter.send(Ok(slot))) {
                slot.give_quietly();
            }
        }
    }

    fn refuse_all(&self, refusal: &Refusal) {
        let all = {
            let mut line = self.line.lock();
            self.waiting.store(0, Ordering::SeqCst);
            line.take_all()
        };
        for waiter in all {
            // One that has gone needs no answer.
            let _ = waiter.send(Err(refusal.clone()));
        }
    }

    /// Takes a slot of the best instance with room. Another worker may be quicker, then the choice is made again.
    fn take(self: &Arc<Self>) -> Option<Slot> {
        let clock = self.hub.clock;
        let instances = self.instances.load();
        loop {
            let chosen = balance::choose(instances.iter().map(|instance| instance.load(|| clock.now())))?;
            let instance = instances.get(chosen)?;
            if instance.take() {
                return Some(Slot { instance: Arc::clone(instance), live: Some(Arc::clone(self)) });
            }
        }
    }

    fn refusal(&self, code: ErrorCode, blocked: Option<&Blocked>) -> Refusal {
        let key = &self.key;
        let message = match (code, blocked) {
            (ErrorCode::NotStartable, Some(Blocked { reason, message })) => {
                format!("no instance of {key} can start: {reason}: {message}")
            }
            (ErrorCode::FunctionNotFound, _) => format!("there is no function {key}"),
            (ErrorCode::TooManyRequests, _) => {
                format!("{} requests wait for {key} already", self.hub.queue_capacity)
            }
            _ => format!("no instance of {key} is there"),
        };
        Refusal { code, message }
    }
}

// === impl Slot ===

impl Slot {
    /// The instance that it is at.
    pub fn instance(&self) -> &Arc<Instance> {
        &self.instance
    }

    /// The function whose it is.
    pub fn live(&self) -> Option<Arc<Live>> {
        self.live.clone()
    }

    fn give_quietly(mut self) {
        if self.live.take().is_some() {
            self.instance.give();
        }
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        if let Some(live) = self.live.take() {
            self.instance.give();
            if live.waiting.load(Ordering::SeqCst) > 0 {
                live.drain();
            }
        }
    }
}

// === impl Ticket ===

impl Ticket {
    /// Waits for the turn.
    ///
    /// # Errors
    /// The function is deleted, or no instance can start.
    pub async fn turn(&mut self) -> Result<Slot, Refusal> {
        match (&mut self.turn).await {
            Ok(turn) => turn,
            // Nobody drops a waiter without an answer; were it so, the client could try again.
            Err(_) => Err(self.live.refusal(ErrorCode::TooManyRequests, None)),
        }
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        let left = {
            let mut line = self.live.line.lock();
            let left = line.leave(self.place);
            self.live.waiting.store(line.len(), Ordering::SeqCst);
            left
        };
        drop(left);
    }
}

#[cfg(test)]
mod tests;
