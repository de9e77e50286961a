//! What the scaler counts: its decisions, their effect per function, and the time from a report to the written scale.

use std::time::Duration;

use flint_core::scale::{Decision, Reason};
use prometheus::{
    Gauge, GaugeVec, Histogram, HistogramOpts, IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Opts,
    Registry,
};

use crate::key::Key;

/// The scaler's metrics.
#[derive(Clone, Debug)]
pub(crate) struct Metrics {
    desired: IntGaugeVec,
    panic: IntGaugeVec,
    excess: GaugeVec,
    functions: IntGauge,
    decisions: IntCounterVec,
    writes: IntCounterVec,
    flaps: IntCounter,
    report_to_write: Histogram,
    write: Histogram,
}

/// One function's gauges; they vanish from the registry with this value.
#[derive(Debug)]
pub(super) struct Gauges {
    metrics: Metrics,
    labels: [String; 2],
    desired: IntGauge,
    panic: IntGauge,
    excess: Gauge,
}

/// From a wake-up of a task to an API server that is overrun.
const SECONDS: [f64; 14] =
    [0.000_01, 0.000_05, 0.000_1, 0.000_5, 0.001, 0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.5, 1.0, 5.0];

// === impl Metrics ===

impl Metrics {
    /// Registers them.
    ///
    /// # Errors
    /// When the registry has metrics of those names.
    pub(crate) fn new(registry: &Registry) -> Result<Self, prometheus::Error> {
        const FUNCTION: [&str; 2] = ["namespace", "function"];
        let histogram = |name: &str, help: &str| {
            Histogram::with_opts(HistogramOpts::new(name, help).buckets(SECONDS.to_vec()))
        };
        let metrics = Self {
            desired: IntGaugeVec::new(
                Opts::new("flint_scaler_desired_replicas", "Instances there should be."),
                &FUNCTION,
            )?,
            panic: IntGaugeVec::new(
                Opts::new("flint_scaler_panic", "1 while the function is in panic."),
                &FUNCTION,
            )?,
            excess: GaugeVec::new(
                Opts::new(
                    "flint_scaler_excess_burst_capacity",
                    "Capacity of the ready instances less the burst to keep room for and the panic window's demand.",
                ),
                &FUNCTION,
            )?,
            functions: IntGauge::new("flint_scaler_functions", "Functions that have instances or demand.")?,
            decisions: IntCounterVec::new(
                Opts::new("flint_scaler_decisions_total", "Decisions, by what settled them."),
                &["reason"],
            )?,
            writes: IntCounterVec::new(
                Opts::new("flint_scaler_writes_total", "Scales written to the API server, by result."),
                &["result"],
            )?,
            flaps: IntCounter::new(
                "flint_scaler_flaps_total",
                "Numbers raised within a minute of having been lowered.",
            )?,
            report_to_write: histogram(
                "flint_scaler_report_to_write_seconds",
                "Time from a report of waiting requests to the request that raises a Deployment from zero.",
            )?,
            write: histogram("flint_scaler_write_seconds", "Time the API server takes to write a scale.")?,
        };
        registry.register(Box::new(metrics.desired.clone()))?;
        registry.register(Box::new(metrics.panic.clone()))?;
        registry.register(Box::new(metrics.excess.clone()))?;
        registry.register(Box::new(metrics.functions.clone()))?;
        registry.register(Box::new(metrics.decisions.clone()))?;
        registry.register(Box::new(metrics.writes.clone()))?;
        registry.register(Box::new(metrics.flaps.clone()))?;
        registry.register(Box::new(metrics.report_to_write.clone()))?;
        registry.register(Box::new(metrics.write.clone()))?;
        for reason in Reason::ALL {
            metrics.decisions.with_label_values(&[reason.as_str()]);
        }
        Ok(metrics)
    }

    pub(super) fn gauges(&self, key: &Key) -> Gauges {
        let labels = [key.namespace.clone(), key.name.clone()];
        Gauges {
            desired: self.desired.with_label_values(&labels),
            panic: self.panic.with_label_values(&labels),
            excess: self.excess.with_label_values(&labels),
            metrics: self.clone(),
            labels,
        }
    }

    pub(super) fn functions(&self, number: usize) {
        self.functions.set(i64::try_from(number).unwrap_or(i64::MAX));
    }

    pub(super) fn report_to_write(&self, time: Duration) {
        self.report_to_write.observe(time.as_secs_f64());
    }

    pub(super) fn written(&self, result: &str, time: Duration) {
        self.writes.with_label_values(&[result]).inc();
        self.write.observe(time.as_secs_f64());
    }

    pub(super) fn flapped(&self) {
        self.flaps.inc();
    }
}

// === impl Gauges ===

impl Gauges {
    pub(super) fn decided(&self, decision: &Decision) {
        self.metrics.decisions.with_label_values(&[decision.reason.as_str()]).inc();
        self.desired.set(i64::from(decision.desired));
        self.panic.set(i64::from(decision.panicking));
        self.excess.set(decision.excess);
    }
}

impl Drop for Gauges {
    fn drop(&mut self) {
        // An error says that they are gone already.
        let _ = self.metrics.desired.remove_label_values(&self.labels);
        let _ = self.metrics.panic.remove_label_values(&self.labels);
        let _ = self.metrics.excess.remove_label_values(&self.labels);
    }
}
