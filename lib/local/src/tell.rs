//! The one place that numbers events, keeps the latest, and tells them to whoever listens.

use std::{collections::VecDeque, sync::Arc};

use jiff::Timestamp;
use parking_lot::Mutex;
use tokio::sync::broadcast;

use crate::{Event, Events, Recorded, Told};

/// Tells events.
pub(crate) struct Teller {
    inner: Mutex<Inner>,
    live: broadcast::Sender<Arc<Told>>,
}

struct Inner {
    last: u64,
    past: VecDeque<Arc<Told>>,
    recorded: usize,
}

/// A page's worth of events.
const PAST: usize = 1000;
/// Bodies of past events, in bytes: some hundred ordinary requests, or the last hundred of the largest.
const RECORDED: usize = 16 * 1024 * 1024;
/// Events that a listener may be behind; who is slower hears how many were left out.
const LIVE: usize = 256;

// === impl Teller ===

impl Teller {
    pub(crate) fn new() -> Arc<Self> {
        let inner = Inner { last: 0, past: VecDeque::new(), recorded: 0 };
        Arc::new(Self { inner: Mutex::new(inner), live: broadcast::Sender::new(LIVE) })
    }

    /// Tells an event.
    pub(crate) fn tell(&self, event: Event) {
        let mut inner = self.inner.lock();
        inner.last += 1;
        let told = Arc::new(Told { id: inner.last, time: Timestamp::now(), event });
        inner.recorded += recorded(&told);
        inner.past.push_back(Arc::clone(&told));
        while inner.past.len() > PAST || inner.recorded > RECORDED {
            let Some(gone) = inner.past.pop_front() else { break };
            inner.recorded -= recorded(&gone);
        }
        // With the lock held: a listener gets each event either among the past or live. Nobody may be listening.
        let _ = self.live.send(told);
    }

    /// What is past and what will come.
    pub(crate) fn listen(&self) -> Events {
        let inner = self.inner.lock();
        Events { past: inner.past.iter().cloned().collect(), live: self.live.subscribe() }
    }

    /// A past event, if it is not too long ago.
    pub(crate) fn past(&self, id: u64) -> Option<Arc<Told>> {
        let inner = self.inner.lock();
        let first = inner.past.front()?.id;
        inner.past.get(usize::try_from(id.checked_sub(first)?).ok()?).cloned()
    }
}

fn recorded(told: &Told) -> usize {
    let Event::Invocation(invocation) = &told.event else { return 0 };
    let length = |part: &Option<Recorded>| part.as_ref().map_or(0, |part| part.body.len());
    length(&invocation.request) + length(&invocation.answer)
}
