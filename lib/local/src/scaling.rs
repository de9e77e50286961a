//! One function's part of the scaler: what the gateway reports goes in, a number of instances comes out.
//!
//! What to decide is `flint_core::scale`'s. When is the operator's rhythm: demand is sampled every second and decided upon
//! every other second; a report of waiting requests decides at once, and only ever raises.

use std::time::Duration;

use flint_control::v1::Demand;
use flint_core::scale::{Scaler, Seen, Share, Spec};

/// Why a function is looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Why {
    /// A second has passed.
    Sample,
    /// Two have.
    Tick,
    /// Requests wait, or an instance came or went.
    Woken,
}

/// What is remembered of a function's demand.
#[derive(Debug, Default)]
pub(crate) struct Scaling {
    share: Share,
    /// None while the function is at rest.
    memory: Option<Scaler>,
    decided: Option<Duration>,
}

/// How often demand is sampled.
pub(crate) const SAMPLE: Duration = Duration::from_secs(1);
/// Every this many samples there is a decision.
pub(crate) const SAMPLES_PER_DECISION: u64 = 2;
/// A queue before instances that are ready is decided upon no more often than this.
const WOKEN_PACE: Duration = Duration::from_millis(500);

// === impl Scaling ===

impl Scaling {
    /// Takes in what the gateway reports.
    pub(crate) fn report(&mut self, now: Duration, demand: &Demand) {
        let Demand { concurrency, queued, in_flight, arrived, elapsed_ms, .. } = *demand;
        self.share.add(now, concurrency, arrived, elapsed_ms, queued, in_flight);
    }

    /// Requests that wait for an instance.
    pub(crate) fn waiting(&self) -> u32 {
        self.share.queued()
    }

    /// Requests that instances work on.
    pub(crate) fn in_flight(&self) -> u32 {
        self.share.in_flight()
    }

    /// Whether there is nothing to look at.
    pub(crate) fn is_at_rest(&self) -> bool {
        self.memory.is_none() && self.share.is_silent()
    }

    /// How many instances there should be, where that is decided now. `present` are asked for and `ready` are ready; `known`:
    /// the gateway has been heard lately.
    pub(crate) fn look(
        &mut self,
        now: Duration,
        why: Why,
        spec: &Spec,
        present: u32,
        ready: u32,
        known: bool,
    ) -> Option<u32> {
        let waiting = self.share.queued();
        let seen = Seen { present, ready: ready.min(present), waiting, known };
        if self.memory.is_none() && present == 0 && spec.min == 0 && self.share.is_silent() {
            return None;
        }
        let memory = self.memory.get_or_insert_with(|| Scaler::new(now, &seen, spec));
        let starting = seen.ready == 0 && waiting > 0;
        let early = self.decided.is_some_and(|decided| now.saturating_sub(decided) < WOKEN_PACE);
        if why == Why::Woken && !starting && early {
            return None;
        }
        if why != Why::Woken || (!starting && waiting > 0) {
            let sample = self.share.take(now);
            if known {
                memory.record(now, seen.ready, sample, spec);
            }
        }
        if why == Why::Sample && waiting == 0 {
            return None;
        }
        let decision = memory.decide(now, &seen, spec);
        self.decided = Some(now);
        let desired = if why == Why::Tick { decision.desired } else { decision.desired.max(present) };
        if desired == 0 && memory.is_idle(now, &seen, spec) {
            self.memory = None;
        }
        Some(desired)
    }
}
