//! What a Function asks of the autoscaler, in the terms of `flint_core::scale`: the operator and the local platform go by it.

use flint_api::{Effective, ScalingMetric, effective::DEFAULT_UNLIMITED_TARGET};
use flint_core::scale::{DEFAULT_BURST_CAPACITY, Metric, PANIC_WINDOW_SHARE, Spec};

/// The autoscaler's view of a Function with these settings.
#[must_use]
pub fn spec(effective: &Effective) -> Spec {
    let window = effective.window.get();
    Spec {
        metric: match effective.metric {
            ScalingMetric::Concurrency => Metric::Concurrency,
            ScalingMetric::Rps => Metric::Rps,
        },
        target: effective.target,
        capacity: effective.capacity,
        concurrency: match effective.concurrency {
            // No limit: as many as it should carry, in the only unit that counts requests at a time.
            0 if effective.metric == ScalingMetric::Concurrency => effective.target,
            0 => DEFAULT_UNLIMITED_TARGET,
            limit => f64::from(limit),
        },
        min: effective.min_replicas,
        max: effective.max_replicas,
        window,
        scale_to_zero_after: effective.scale_to_zero_after.get(),
        // The panic window's length: a dip shorter than what starts a panic sends nobody home.
        scale_down_delay: window.mul_f64(PANIC_WINDOW_SHARE),
        burst: DEFAULT_BURST_CAPACITY,
    }
}

#[cfg(test)]
mod tests {
    use flint_api::{Function, FunctionSpec, Scaling};

    use super::*;

    fn asked(concurrency: Option<u32>, metric: ScalingMetric) -> Spec {
        let scaling = Scaling { metric: Some(metric), ..Scaling::default() };
        let function = FunctionSpec { concurrency, scaling: Some(scaling), ..FunctionSpec::default() };
        spec(&Effective::new(&Function::new("hello", function), None))
    }

    #[test]
    fn a_queue_is_shared_out_by_the_limit_of_an_instance() {
        assert_eq!(asked(Some(4), ScalingMetric::Concurrency).concurrency.to_bits(), 4.0_f64.to_bits());
        assert_eq!(asked(Some(4), ScalingMetric::Rps).concurrency.to_bits(), 4.0_f64.to_bits());
    }

    #[test]
    fn without_a_limit_an_instance_takes_what_it_should_carry() {
        for metric in [ScalingMetric::Concurrency, ScalingMetric::Rps] {
            assert_eq!(asked(Some(0), metric).concurrency.to_bits(), DEFAULT_UNLIMITED_TARGET.to_bits());
        }
    }

    #[test]
    fn nobody_goes_for_a_dip_shorter_than_what_starts_a_panic() {
        let spec = asked(None, ScalingMetric::Concurrency);
        assert_eq!(spec.scale_down_delay, spec.window / 10);
    }
}
