//! What the operator counts of its own work.

use std::{collections::HashMap, sync::Arc, time::Duration};

use parking_lot::Mutex;
use prometheus::{Histogram, HistogramOpts, IntCounterVec, IntGauge, IntGaugeVec, Opts, Registry};

use crate::key::Key;

/// Counters and gauges; clones share them.
#[derive(Clone)]
pub(crate) struct Metrics {
    reconciles: IntCounterVec,
    duration: Histogram,
    functions: IntGaugeVec,
    leader: IntGauge,
    /// The readiness that each function is counted under.
    counted: Arc<Mutex<HashMap<Key, String>>>,
}

// === impl Metrics ===

impl Metrics {
    /// Registers the metrics.
    ///
    /// # Errors
    /// When the registry has metrics of those names.
    pub(crate) fn new(registry: &Registry) -> Result<Self, prometheus::Error> {
        let reconciles = IntCounterVec::new(
            Opts::new("flint_operator_reconciles_total", "Times a Function was looked at, by how it ended."),
            &["result"],
        )?;
        let duration = Histogram::with_opts(
            HistogramOpts::new(
                "flint_operator_reconcile_duration_seconds",
                "Time of one look at a Function, writes included.",
            )
            .buckets(vec![0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0]),
        )?;
        let functions = IntGaugeVec::new(
            Opts::new("flint_functions", "Functions by the status of their condition Ready."),
            &["ready"],
        )?;
        let leader =
            IntGauge::new("flint_operator_leader", "1 on the operator that leads, 0 on the others.")?;
        registry.register(Box::new(reconciles.clone()))?;
        registry.register(Box::new(duration.clone()))?;
        registry.register(Box::new(functions.clone()))?;
        registry.register(Box::new(leader.clone()))?;
        for ready in ["True", "False", "Unknown"] {
            functions.with_label_values(&[ready]).set(0);
        }
        Ok(Self { reconciles, duration, functions, leader, counted: Arc::default() })
    }

    /// A Function was looked at.
    pub(crate) fn reconciled(&self, took: Duration, well: bool) {
        self.reconciles.with_label_values(&[if well { "ok" } else { "error" }]).inc();
        self.duration.observe(took.as_secs_f64());
    }

    /// The status of a function's condition Ready.
    pub(crate) fn function(&self, key: &Key, ready: &str) {
        let mut counted = self.counted.lock();
        if let Some(before) = counted.insert(key.clone(), ready.to_owned()) {
            self.functions.with_label_values(&[&before]).dec();
        }
        self.functions.with_label_values(&[ready]).inc();
    }

    /// The function does not exist any more.
    pub(crate) fn gone(&self, key: &Key) {
        if let Some(before) = self.counted.lock().remove(key) {
            self.functions.with_label_values(&[&before]).dec();
        }
    }

    /// Whether this operator leads.
    pub(crate) fn leads(&self, leads: bool) {
        self.leader.set(i64::from(leads));
    }
}
