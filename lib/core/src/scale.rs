//! The autoscaler's decision: from what was measured, how many instances a function should have.
//!
//! # The algorithm
//!
//! It is the one that Knative Serving documents for its pod autoscaler. Demand (requests at a time, or per second) is
//! averaged over two windows that end now: the *stable* window, a minute by default, and the *panic* window, a tenth of
//! it. Each average divided by the demand that one instance should carry is a number of instances. The stable one rules
//! while all is calm: it is slow, and forgets a short peak. When the panic one reaches twice the number that is ready,
//! the function is being overrun, and the higher of all numbers seen rules until a whole stable window has passed
//! without such a peak: in panic nobody is sent home. One decision multiplies the ready number by a thousand at most, so
//! nothing really holds an ascent, and halves it at most, so a descent takes several decisions.
//!
//! On top of that come the numbers of the Function: never less than the minimum, never more than the maximum.
//!
//! # Zero
//!
//! Without a ready instance there is nothing to average: requests do not run, they wait, for as long as a start takes,
//! and an average over their waiting would ask for instances that nobody needs once the first one is there. So from zero
//! the *queue* decides: as many instances as its requests fill, at once, growing with every later report and not
//! shrinking while anybody waits. The windows begin [`SETTLING`] after the first ready instance: until then what gateways
//! report is still of the time in which requests waited, and one that waited alone would look like an instance that
//! is busy all the time and needs another beside it.
//!
//! The way down to zero has its own clock. A function that had no demand for its idle time is at rest, whatever the
//! averages remember (with a window of an hour, one request for an hour) and in panic or not: nobody is there to be
//! overrun by. Its instances go by halves, and the last one goes too, but not within [`LAST_INSTANCE_GRACE`] of the last
//! rise: an instance that took longer to start than its client was willing to wait still gets the chance to serve the
//! client's next attempt. Before the idle time is over, one instance stays even if the averages ask for none.
//!
//! # What is not known
//!
//! Missing data is not zero demand. While a gateway is silent the number there is stays; only from zero what the others
//! say still counts, for what is known is the least there is. And a decision that comes to life beside instances it has
//! not started (the operator was restarted, or the lease moved) begins in panic: it cannot send anybody home before it has
//! watched for a whole stable window. Minimum and maximum hold even then.
//!
//! Time is passed in, as the time since any fixed moment. A moment before an earlier one is taken for that one.

use std::time::Duration;

mod average;
mod peak;
mod share;

use average::Average;
use peak::Peak;

pub use share::Share;

/// Share of the stable window that the panic window has; Knative's `panic-window-percentage`.
pub const PANIC_WINDOW_SHARE: f64 = 0.1;
/// Panic begins where the panic window asks for this many times the ready instances; Knative's `panic-threshold-percentage`.
pub const PANIC_THRESHOLD: f64 = 2.0;
/// One decision multiplies the ready instances by this at most; Knative's `max-scale-up-rate`.
pub const MAX_SCALE_UP_RATE: f64 = 1000.0;
/// One decision divides the ready instances by this at most; Knative's `max-scale-down-rate`.
pub const MAX_SCALE_DOWN_RATE: f64 = 2.0;
/// Spare capacity, in the metric's unit, below which a burst would queue; Knative's `target-burst-capacity`.
pub const DEFAULT_BURST_CAPACITY: f64 = 211.0;
/// No instance goes for want of demand within this time of the last rise, or of the autoscaler's own start: long enough for
/// a client that gave up to try again, and for every gateway to have connected again.
pub const LAST_INSTANCE_GRACE: Duration = Duration::from_secs(10);

/// After the first instance is ready, the queue goes on to decide for so long: two reports of a gateway, of which the second has
/// no moment in it from before.
pub const SETTLING: Duration = Duration::from_secs(2);

/// What is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Metric {
    /// Requests at the same time, those that wait included.
    Concurrency,
    /// Requests that arrive per second.
    Rps,
}

/// What the Function asks of the autoscaler.
#[derive(Clone, Debug, PartialEq)]
pub struct Spec {
    /// What is measured.
    pub metric: Metric,
    /// Demand that one instance should carry, in the metric's unit.
    pub target: f64,
    /// Demand that one instance can carry at most, in the metric's unit; for the spare capacity.
    pub capacity: f64,
    /// Requests one instance works on at a time, at least 1: how many of a queue it takes.
    pub concurrency: f64,
    /// The least instances.
    pub min: u32,
    /// The most instances.
    pub max: u32,
    /// The stable window.
    pub window: Duration,
    /// Time without demand after which the last instance goes.
    pub scale_to_zero_after: Duration,
    /// A lower number must have been right for this long; zero for Knative's default.
    pub scale_down_delay: Duration,
    /// Spare capacity to keep, in the metric's unit; only reported, see [`Decision::excess`].
    pub burst: f64,
}

/// Demand at one moment, summed over all gateways.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Sample {
    /// Requests at the same time, those that wait included.
    pub concurrency: f64,
    /// Requests that arrive per second.
    pub rps: f64,
}

/// What is seen at the moment of a decision.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Seen {
    /// Instances that are asked for at present.
    pub present: u32,
    /// Instances that are ready.
    pub ready: u32,
    /// Requests that wait for an instance.
    pub waiting: u32,
    /// Whether every gateway has been heard lately.
    pub known: bool,
}

/// How many instances there should be, and why.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Decision {
    /// Instances there should be, within minimum and maximum.
    pub desired: u32,
    /// What settled it.
    pub reason: Reason,
    /// Whether the function is in panic.
    pub panicking: bool,
    /// Demand averaged over the stable window, where there is data.
    pub stable: f64,
    /// Demand averaged over the panic window, where there is data.
    pub panic: f64,
    /// Knative's excess burst capacity: capacity of the ready instances less the burst to keep room for and the panic
    /// window's demand. Below zero, a burst of that size would queue.
    pub excess: f64,
}

/// What settled a decision.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Reason {
    /// A gateway is silent, or nothing was measured yet: the number stays.
    NoData,
    /// No instance is ready, or the first has not been for long: the queue decided.
    Activation,
    /// The stable window decided.
    Stable,
    /// The highest number of this panic decided.
    Panic,
    /// A lower number has not been right for long enough.
    Delay,
    /// Kept for the idle time, or its grace.
    LastInstance,
    /// Without demand for the idle time: half of them, and then none.
    Idle,
    /// The minimum raised it.
    Min,
    /// The maximum lowered it.
    Max,
}

/// The memory of one function's autoscaler.
#[derive(Clone, Debug)]
pub struct Scaler {
    metric: Metric,
    average: Average,
    /// When the windows begin; none while no instance is ready.
    settled_at: Option<Duration>,
    peak: Peak,
    /// Since when the function is in panic; moved forward while the peak lasts.
    panic_since: Option<Duration>,
    panic_highest: u32,
    last_demand: Option<Duration>,
    last_rise: Option<Duration>,
}

// === impl Spec ===

impl Spec {
    /// The panic window.
    #[must_use]
    pub fn panic_window(&self) -> Duration {
        self.window.mul_f64(PANIC_WINDOW_SHARE)
    }

    fn within(&self, number: u32) -> u32 {
        number.max(self.min).min(self.max.max(self.min))
    }
}

// === impl Sample ===

impl Sample {
    fn of(self, metric: Metric) -> f64 {
        let value = match metric {
            Metric::Concurrency => self.concurrency,
            Metric::Rps => self.rps,
        };
        if value.is_finite() { value.max(0.0) } else { 0.0 }
    }

    fn is_demand(self) -> bool {
        self.of(Metric::Concurrency) > 0.0 || self.of(Metric::Rps) > 0.0
    }
}

// === impl Reason ===

impl Reason {
    /// Every reason.
    pub const ALL: [Self; 9] = [
        Self::NoData,
        Self::Activation,
        Self::Stable,
        Self::Panic,
        Self::Delay,
        Self::LastInstance,
        Self::Idle,
        Self::Min,
        Self::Max,
    ];

    /// As metrics have it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::NoData => "no_data",
            Self::Activation => "activation",
            Self::Stable => "stable",
            Self::Panic => "panic",
            Self::Delay => "delay",
            Self::LastInstance => "last_instance",
            Self::Idle => "idle",
            Self::Min => "min",
            Self::Max => "max",
        }
    }
}

// === impl Scaler ===

impl Scaler {
    /// An autoscaler that begins now, beside instances that may be there already.
    #[must_use]
    pub fn new(now: Duration, seen: &Seen, spec: &Spec) -> Self {
        let running = seen.present > 0 || seen.ready > 0;
        Self {
            metric: spec.metric,
            average: Average::default(),
            // Others that ran before we looked have settled.
            settled_at: (seen.ready > 0).then_some(now),
            peak: Peak::default(),
            panic_since: (seen.ready > 1).then_some(now),
            panic_highest: if seen.ready > 1 { seen.ready } else { 0 },
            last_demand: running.then_some(now),
            last_rise: running.then_some(now),
        }
    }

    /// Takes in what was measured. Several samples of one second count as their mean.
    ///
    /// Without a ready instance, and for [`SETTLING`] after the first, a sample proves demand and is not averaged.
    pub fn record(&mut self, now: Duration, ready: u32, sample: Sample, spec: &Spec) {
        if sample.is_demand() {
            self.demand_at(now);
        }
        if self.metric != spec.metric {
            self.metric = spec.metric;
            self.average = Average::default();
        }
        if !self.settles(now, ready) {
            self.average.record(now, sample.of(spec.metric), spec.window);
        }
    }

    /// How many instances there should be now.
    pub fn decide(&mut self, now: Duration, seen: &Seen, spec: &Spec) -> Decision {
        if seen.waiting > 0 {
            self.demand_at(now);
        }
        let stable = self.average.over(now, spec.window);
        let panic = self.average.over(now, spec.panic_window());
        let (wanted, reason) = self.wanted(now, seen, spec, stable.zip(panic));
        let desired = spec.within(wanted);
        if desired > seen.present {
            self.last_rise = Some(now);
        }
        let panic = panic.unwrap_or(0.0);
        Decision {
            desired,
            reason: match desired {
                more if more > wanted => Reason::Min,
                less if less < wanted => Reason::Max,
                _ => reason,
            },
            panicking: self.panic_since.is_some(),
            stable: stable.unwrap_or(0.0),
            panic,
            excess: excess(seen, spec, panic),
        }
    }

    /// Whether there is nothing left to remember: forgetting this autoscaler changes no later decision.
    #[must_use]
    pub fn is_idle(&self, now: Duration, seen: &Seen, spec: &Spec) -> bool {
        seen.present == 0 && seen.ready == 0 && seen.waiting == 0 && self.demand_is_over(now, spec)
    }

    fn wanted(
        &mut self,
        now: Duration,
        seen: &Seen,
        spec: &Spec,
        averages: Option<(f64, f64)>,
    ) -> (u32, Reason) {
        if self.settles(now, seen.ready) && seen.waiting > 0 {
            let filled = whole(f64::from(seen.waiting) / spec.concurrency.max(1.0));
            return (filled.max(seen.present), Reason::Activation);
        }
        if !seen.known {
            return (seen.present, Reason::NoData);
        }
        if self.demand_is_over(now, spec) {
            self.panic_since = None;
            self.panic_highest = 0;
            return (seen.ready / 2, Reason::Idle);
        }
        let Some((stable, panic)) = averages else {
            return (seen.present, Reason::NoData);
        };
        match self.knative(now, seen, spec, stable, panic) {
            (0, _) => (1, Reason::LastInstance),
            decided => decided,
        }
    }

    /// Knative's formulas.
    fn knative(&mut self, now: Duration, seen: &Seen, spec: &Spec, stable: f64, panic: f64) -> (u32, Reason) {
        let ready = f64::from(seen.ready.max(1));
        let target = spec.target.max(0.01);
        let most = (MAX_SCALE_UP_RATE * ready).ceil();
        let least = (ready / MAX_SCALE_DOWN_RATE).floor();
        let by_stable = (stable / target).ceil();
        let by_panic = (panic / target).ceil();

        if by_panic / ready >= PANIC_THRESHOLD {
            self.panic_since = Some(now);
        } else if self.panic_since.is_some_and(|since| since + spec.window < now) {
            self.panic_since = None;
            self.panic_highest = 0;
        }
        let by_stable = whole(by_stable.clamp(least, most));
        let by_panic = whole(by_panic.clamp(least, most));
        let (number, reason) = if self.panic_since.is_some() {
            self.panic_highest = self.panic_highest.max(by_stable).max(by_panic);
            (self.panic_highest, Reason::Panic)
        } else {
            (by_stable, Reason::Stable)
        };
        match self.peak.max(now, number, spec.scale_down_delay) {
            delayed if delayed > number => (delayed, Reason::Delay),
            number => (number, reason),
        }
    }

    /// Whether nobody is ready, or nobody was a moment ago.
    fn settles(&mut self, now: Duration, ready: u32) -> bool {
        if ready == 0 {
            self.settled_at = None;
            return true;
        }
        now < *self.settled_at.get_or_insert(now + SETTLING)
    }

    fn demand_is_over(&self, now: Duration, spec: &Spec) -> bool {
        let past =
            |since: Option<Duration>, length| since.is_none_or(|since| now.saturating_sub(since) >= length);
        past(self.last_demand, spec.scale_to_zero_after) && past(self.last_rise, LAST_INSTANCE_GRACE)
    }

    fn demand_at(&mut self, now: Duration) {
        self.last_demand = self.last_demand.max(Some(now));
    }
}

fn excess(seen: &Seen, spec: &Spec, panic: f64) -> f64 {
    if spec.burst == 0.0 {
        0.0
    } else if spec.burst < 0.0 {
        -1.0
    } else {
        (f64::from(seen.ready) * spec.capacity - spec.burst - panic).floor()
    }
}

/// A number of instances; a cast from a float stops at the type's ends.
fn whole(number: f64) -> u32 {
    number.ceil() as u32
}

#[cfg(test)]
mod tests;
