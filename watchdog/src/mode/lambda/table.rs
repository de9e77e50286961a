//! The table: which invocations wait, which child works on which, and who is free. No I/O, one lock around it.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderValue, Response};
use tokio::sync::oneshot;
use tokio::time::Instant;

use super::outcome::Kind;
use crate::answer::Answer;
use crate::child::Handle;
use crate::logs::{Attribution, Pipes, Tail};
use crate::termination::Failure;
use crate::ticket::{Ticket, Worker};

/// A request on its way to a child.
pub(super) struct Invocation {
    pub(super) id: Arc<str>,
    pub(super) event: Bytes,
    pub(super) kind: Kind,
    pub(super) deadline_ms: u128,
    pub(super) trace: Option<HeaderValue>,
    pub(super) client_context: Option<HeaderValue>,
    pub(super) tail: Option<Arc<Tail>>,
    pub(super) ticket: Ticket,
    pub(super) reply: oneshot::Sender<Response<Answer>>,
}

/// What a child gets of an invocation.
#[derive(Clone, Debug)]
pub(super) struct Event {
    pub(super) id: Arc<str>,
    pub(super) event: Bytes,
    pub(super) deadline_ms: u128,
    pub(super) trace: Option<HeaderValue>,
    pub(super) client_context: Option<HeaderValue>,
}

/// An invocation that a child works on.
pub(super) struct InFlight {
    pub(super) invocation: Invocation,
    /// A streamed answer has begun: `invocation.reply` is used up by whoever streams.
    pub(super) streaming: bool,
}

/// One child.
pub(super) struct ChildEntry {
    pub(super) number: u64,
    pub(super) handle: Handle,
    pub(super) started: Instant,
    /// Time to the first poll.
    pub(super) init: Option<Duration>,
    /// It has been given an invocation: the first one's report shows the time to initialize.
    pub(super) used: bool,
    /// It gets nothing new.
    pub(super) retiring: bool,
    /// The watchdog ended it.
    pub(super) killed: bool,
    /// It may take several at once.
    pub(super) several: bool,
    pub(super) init_error: Option<Failure>,
    pub(super) in_flight: HashMap<Arc<str>, InFlight>,
    /// When its last invocation was over.
    pub(super) idle_since: Instant,
    pub(super) attribution: Arc<Attribution>,
    pub(super) pipes: Pipes,
    pub(super) polls: VecDeque<(u64, oneshot::Sender<Event>)>,
}

/// The table.
#[derive(Default)]
pub(super) struct Table {
    pub(super) pending: VecDeque<Invocation>,
    pub(super) children: Vec<ChildEntry>,
    /// Children under way to the table.
    pub(super) starting: usize,
    pub(super) growing: bool,
    pub(super) stopping: bool,
    armed: Option<Instant>,
    next: u64,
}

/// A child that has answered polls again within a moment; one that has not after this long will not.
const STUCK: Duration = Duration::from_secs(1);

/// What a sweep found.
#[derive(Default)]
pub(super) struct Overdue {
    /// Invocations whose deadline has passed, with whether a child had them.
    pub(super) invocations: Vec<(Invocation, bool)>,
    /// Children to be ended for it.
    pub(super) ended: Vec<Handle>,
    /// The next deadline.
    pub(super) next: Option<Instant>,
    /// A child was taken out of service and works on.
    pub(super) retired: bool,
}

// === impl Table ===

impl Table {
    /// A number for a child or a poll.
    pub(super) fn number(&mut self) -> u64 {
        self.next += 1;
        self.next
    }

    /// Puts an invocation in line. An id that is in use already gets `number` added: a client may send one twice.
    pub(super) fn enqueue(&mut self, mut invocation: Invocation, number: usize) {
        let used = self.pending.iter().any(|other| other.id == invocation.id)
            || self.children.iter().any(|child| child.in_flight.contains_key(&invocation.id));
        if used {
            invocation.id = format!("{}.{number}", invocation.id).into();
        }
        self.pending.push_back(invocation);
    }

    /// Notes the deadline that is waited for; `true` when it is earlier than the one before.
    pub(super) fn arm(&mut self, deadline: Instant) -> bool {
        let earlier = self.armed.is_none_or(|armed| deadline < armed);
        if earlier {
            self.armed = Some(deadline);
        }
        earlier
    }

    /// Hands out what can be handed out. `true` when invocations wait and no child is free.
    pub(super) fn dispatch(&mut self) -> bool {
        while !self.pending.is_empty() {
            let Some(child) =
                self.children.iter_mut().find(|child| !child.retiring && !child.polls.is_empty())
            else {
                return true;
            };
            let (Some((_, poll)), Some(invocation)) = (child.polls.pop_front(), self.pending.pop_front())
            else {
                return true;
            };
            if let Err(invocation) = child.hand(invocation, poll) {
                // The poll's connection went away in this moment.
                self.pending.push_front(*invocation);
            }
        }
        false
    }

    pub(super) fn child(&mut self, number: u64) -> Option<&mut ChildEntry> {
        self.children.iter_mut().find(|child| child.number == number)
    }

    pub(super) fn remove(&mut self, number: u64) -> Option<ChildEntry> {
        let at = self.children.iter().position(|child| child.number == number)?;
        Some(self.children.remove(at))
    }

    /// Parks a poll. A client that takes one at a time and polls without having answered has lost the one before.
    pub(super) fn park(&mut self, number: u64, poll: oneshot::Sender<Event>, now: Instant) -> Option<Parked> {
        let token = self.number();
        let child = self.child(number)?;
        let first = child.init.is_none();
        if first {
            child.init = Some(now.saturating_duration_since(child.started));
        }
        let lost = if child.several {
            Vec::new()
        } else {
            child.polls.clear();
            child.in_flight.drain().map(|(_, lost)| lost).collect()
        };
        child.polls.push_back((token, poll));
        let init = child.init.unwrap_or_default();
        let waiting = self.dispatch();
        Some(Parked { token, first_init: first.then_some(init), lost, waiting })
    }

    /// Takes a poll back whose connection went away; an event that it got and nobody saw goes back in line.
    pub(super) fn unpark(&mut self, number: u64, token: u64, unseen: Option<&Event>) -> bool {
        if let Some(child) = self.child(number) {
            child.polls.retain(|(other, _)| *other != token);
            let unseen = unseen.and_then(|event| child.in_flight.remove(&event.id));
            if let Some(unseen) = unseen {
                child.attribution.end(&unseen.invocation.ticket.id);
                self.pending.push_front(unseen.invocation);
            }
        }
        self.dispatch()
    }

    /// Takes an invocation away from its child: whoever has it answers it.
    pub(super) fn take(&mut self, number: u64, id: &str) -> Option<InFlight> {
        let child = self.child(number)?;
        child.idle_since = Instant::now();
        child.in_flight.remove(id)
    }

    /// Whether any child can take requests, now or after the ones it works on.
    pub(super) fn is_ready(&self) -> bool {
        self.children.iter().any(|child| child.init.is_some() && !child.retiring)
    }

    pub(super) fn is_childless(&self) -> bool {
        self.children.is_empty() && self.starting == 0
    }

    /// How many more children would help, of `limit` at most.
    pub(super) fn wanted(&self, limit: usize) -> usize {
        let free = self
            .children
            .iter()
            .filter(|child| !child.retiring)
            .map(|child| child.polls.len())
            .sum::<usize>();
        let coming = self.starting
            + self.children.iter().filter(|child| child.init.is_none() && !child.retiring).count();
        let alive = self.children.iter().filter(|child| !child.retiring).count() + self.starting;
        let wanted = self.pending.len().saturating_sub(free + coming);
        wanted.min(limit.saturating_sub(alive))
    }

    /// No child gets anything any more, and none is started.
    pub(super) fn retire_all(&mut self) -> Vec<Handle> {
        self.stopping = true;
        self.children
            .iter_mut()
            .map(|child| {
                child.retiring = true;
                child.killed = true;
                child.handle
            })
            .collect()
    }

    /// Takes out what is overdue, and decides which children end for it.
    pub(super) fn sweep(&mut self, now: Instant) -> Overdue {
        let mut overdue = Overdue::default();
        let (late, pending): (VecDeque<_>, VecDeque<_>) =
            self.pending.drain(..).partition(|invocation| invocation.ticket.deadline <= now);
        self.pending = pending;
        // It waited for a child that has nothing to do and does not poll: that one is stuck.
        let stuck = !late.is_empty();
        overdue.invocations.extend(late.into_iter().map(|invocation| (invocation, false)));
        for child in &mut self.children {
            let ids: Vec<_> = child
                .in_flight
                .iter()
                .filter(|(_, in_flight)| in_flight.invocation.ticket.deadline <= now)
                .map(|(id, _)| id.clone())
                .collect();
            let timed_out = !ids.is_empty();
            if timed_out {
                child.idle_since = now;
            }
            overdue.invocations.extend(
                ids.iter().filter_map(|id| child.in_flight.remove(id)).map(|late| (late.invocation, true)),
            );
            let idle_and_stuck = stuck
                && child.init.is_some()
                && child.in_flight.is_empty()
                && child.polls.is_empty()
                && now.saturating_duration_since(child.idle_since) >= STUCK;
            if (timed_out || idle_and_stuck) && !child.retiring {
                child.retiring = true;
                overdue.retired = true;
            }
            if child.retiring && child.in_flight.is_empty() && !child.killed {
                child.killed = true;
                overdue.ended.push(child.handle);
            }
        }
        let pending = self.pending.iter().map(|invocation| invocation.ticket.deadline);
        let in_flight = self.children.iter().flat_map(|child| child.in_flight.values());
        overdue.next = pending.chain(in_flight.map(|in_flight| in_flight.invocation.ticket.deadline)).min();
        self.armed = overdue.next;
        overdue
    }

    /// Children that work on nothing any more and are to end.
    pub(super) fn end_if_retired(&mut self, number: u64) -> Option<Handle> {
        let child = self.child(number)?;
        let over = child.retiring && child.in_flight.is_empty() && !child.killed && child.init.is_some();
        if over {
            child.killed = true;
        }
        over.then_some(child.handle)
    }
}

/// A poll in the table.
pub(super) struct Parked {
    pub(super) token: u64,
    /// It was the child's first: how long it took.
    pub(super) first_init: Option<Duration>,
    /// What the child had and will not answer.
    pub(super) lost: Vec<InFlight>,
    /// Invocations wait and no child is free.
    pub(super) waiting: bool,
}

// === impl ChildEntry ===

impl ChildEntry {
    fn hand(
        &mut self,
        mut invocation: Invocation,
        poll: oneshot::Sender<Event>,
    ) -> Result<(), Box<Invocation>> {
        let event = Event {
            id: invocation.id.clone(),
            event: invocation.event.clone(),
            deadline_ms: invocation.deadline_ms,
            trace: invocation.trace.clone(),
            client_context: invocation.client_context.clone(),
        };
        if poll.send(event).is_err() {
            return Err(Box::new(invocation));
        }
        let init = if self.used { None } else { self.init };
        self.used = true;
        let worker = Worker {
            attribution: self.attribution.clone(),
            pipes: Some(self.pipes.clone()),
            tail: invocation.tail.clone(),
        };
        invocation.ticket.begin(init, worker);
        self.in_flight.insert(invocation.id.clone(), InFlight { invocation, streaming: false });
        Ok(())
    }
}

#[cfg(test)]
mod tests;
