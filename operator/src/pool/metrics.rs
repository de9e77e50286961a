//! What is counted of warm pools.

use prometheus::{IntCounter, IntGaugeVec, Opts, Registry};

/// The pools' metrics.
#[derive(Clone, Debug)]
pub(crate) struct Metrics {
    waiting: IntGaugeVec,
    claims: IntCounter,
}

// === impl Metrics ===

impl Metrics {
    /// Registers them.
    ///
    /// # Errors
    /// When the registry has metrics of those names.
    pub(crate) fn new(registry: &Registry) -> Result<Self, prometheus::Error> {
        let metrics = Self {
            waiting: IntGaugeVec::new(
                Opts::new("flint_pool_waiting", "Pods that wait in a warm pool and can be claimed."),
                &["namespace", "pool"],
            )?,
            claims: IntCounter::new(
                "flint_pool_claims_total",
                "Pods from warm pools that became a function's.",
            )?,
        };
        registry.register(Box::new(metrics.waiting.clone()))?;
        registry.register(Box::new(metrics.claims.clone()))?;
        Ok(metrics)
    }

    /// So many wait.
    pub(crate) fn waiting(&self, namespace: &str, pool: &str, count: usize) {
        self.waiting.with_label_values(&[namespace, pool]).set(i64::try_from(count).unwrap_or(i64::MAX));
    }

    /// The pool is gone.
    pub(crate) fn gone(&self, namespace: &str, pool: &str) {
        // One that never had a pod has no series.
        let _ = self.waiting.remove_label_values(&[namespace, pool]);
    }

    /// A pod was claimed.
    pub(crate) fn claimed(&self) {
        self.claims.inc();
    }
}
