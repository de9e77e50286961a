//! What control counts: gateways, announcements, refusals, and how long starts take.

use std::time::Duration;

use prometheus::{Histogram, HistogramOpts, IntCounter, IntCounterVec, IntGauge, Opts, Registry};

/// Control's metrics.
#[derive(Clone, Debug)]
pub(crate) struct Metrics {
    gateways: IntGauge,
    refused: IntCounterVec,
    announcements: IntCounter,
    announcements_refused: IntCounterVec,
    init: Histogram,
    start: Histogram,
}

/// From a warm interpreter to an image pull.
const START_SECONDS: [f64; 14] =
    [0.01, 0.025, 0.05, 0.1, 0.15, 0.2, 0.3, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0, 60.0];

// === impl Metrics ===

impl Metrics {
    /// Registers them.
    ///
    /// # Errors
    /// When the registry has metrics of those names.
    pub(crate) fn new(registry: &Registry) -> Result<Self, prometheus::Error> {
        let histogram = |name: &str, help: &str| {
            Histogram::with_opts(HistogramOpts::new(name, help).buckets(START_SECONDS.to_vec()))
        };
        let metrics = Self {
            gateways: IntGauge::new("flint_control_gateways", "Gateways that are connected.")?,
            refused: IntCounterVec::new(
                Opts::new("flint_control_refused_total", "Streams that were refused, by reason."),
                &["reason"],
            )?,
            announcements: IntCounter::new(
                "flint_announcements_total",
                "Instances that called home and were believed.",
            )?,
            announcements_refused: IntCounterVec::new(
                Opts::new(
                    "flint_announcements_refused_total",
                    "Announcements that were not believed, by reason.",
                ),
                &["reason"],
            )?,
            init: histogram(
                "flint_instance_init_seconds",
                "Time from the watchdog's start to the child's readiness, as instances announce it.",
            )?,
            start: histogram(
                "flint_scale_written_to_announced_seconds",
                "Time from the written scale of a function at zero to its first instance's call home.",
            )?,
        };
        registry.register(Box::new(metrics.gateways.clone()))?;
        registry.register(Box::new(metrics.refused.clone()))?;
        registry.register(Box::new(metrics.announcements.clone()))?;
        registry.register(Box::new(metrics.announcements_refused.clone()))?;
        registry.register(Box::new(metrics.init.clone()))?;
        registry.register(Box::new(metrics.start.clone()))?;
        Ok(metrics)
    }

    /// An announcement was not believed.
    pub(crate) fn announcement_refused(&self, reason: &str) {
        self.announcements_refused.with_label_values(&[reason]).inc();
    }

    pub(super) fn announced(&self, init: Duration, start: Option<Duration>) {
        self.announcements.inc();
        self.init.observe(init.as_secs_f64());
        if let Some(start) = start {
            self.start.observe(start.as_secs_f64());
        }
    }

    pub(super) fn refused(&self, reason: &str) {
        self.refused.with_label_values(&[reason]).inc();
    }

    pub(super) fn gateways(&self, number: usize) {
        self.gateways.set(i64::try_from(number).unwrap_or(i64::MAX));
    }
}
