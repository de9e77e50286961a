//! A Function's settings with every default filled in: what operator and gateway both go by.

use crate::{Duration, Function, Mode, Runtime, ScalingMetric};

/// A Function's settings with every default filled in.
#[derive(Clone, Debug, PartialEq)]
pub struct Effective {
    /// How the watchdog speaks to the code.
    pub mode: Mode,
    /// The one timeout.
    pub timeout: Duration,
    /// Requests one instance works on at a time; 0 is no limit.
    pub concurrency: u32,
    /// Instances kept without traffic.
    pub min_replicas: u32,
    /// The most instances.
    pub max_replicas: u32,
    /// What the autoscaler measures.
    pub metric: ScalingMetric,
    /// Demand per instance to aim at, in the metric's unit (requests at a time, or per second).
    pub target: f64,
    /// What one instance can take at most, in the metric's unit; Knative's "total".
    pub capacity: f64,
    /// Time over which demand is averaged.
    pub window: Duration,
    /// Time without requests after which the last instance goes.
    pub scale_to_zero_after: Duration,
}

/// The timeout of a Function that names none.
pub const DEFAULT_TIMEOUT: Duration = Duration::from_secs(30);
/// The most instances of a Function that names no number.
pub const DEFAULT_MAX_REPLICAS: u32 = 100;
/// The averaging window of a Function that names none; Knative's stable window.
pub const DEFAULT_WINDOW: Duration = Duration::from_secs(60);
/// The idle time of a Function that names none.
pub const DEFAULT_SCALE_TO_ZERO_AFTER: Duration = Duration::from_secs(60);
/// Share of an instance's concurrency to aim at; Knative's default utilization.
pub const DEFAULT_UTILIZATION: f64 = 0.7;
/// Requests at a time per instance where there is no limit; Knative's default.
pub const DEFAULT_UNLIMITED_TARGET: f64 = 100.0;
/// Requests per second per instance; Knative's default.
pub const DEFAULT_RPS_TARGET: f64 = 200.0;

impl Effective {
    /// Fills in the defaults. `runtime` is the Runtime that the Function names; without one (an image) the mode is
    /// the Function's own, or http.
    #[must_use]
    pub fn new(function: &Function, runtime: Option<&Runtime>) -> Self {
        let spec = &function.spec;
        let mode = runtime.map_or(spec.mode.unwrap_or(Mode::Http), |runtime| runtime.spec.mode);
        let concurrency = spec.concurrency.unwrap_or(match mode {
            Mode::Lambda | Mode::Process => 1,
            Mode::Http => 100,
        });
        let scaling = spec.scaling.clone().unwrap_or_default();
        let metric = scaling.metric.unwrap_or_default();
        let (target, capacity) = match (metric, concurrency) {
            (ScalingMetric::Rps, _) => {
                let target = scaling.target.unwrap_or(DEFAULT_RPS_TARGET);
                (target, target / DEFAULT_UTILIZATION)
            }
            (ScalingMetric::Concurrency, 0) => {
                let target = scaling.target.unwrap_or(DEFAULT_UNLIMITED_TARGET);
                (target, target / DEFAULT_UTILIZATION)
            }
            (ScalingMetric::Concurrency, limit) => {
                (f64::from(limit) * scaling.target.unwrap_or(DEFAULT_UTILIZATION), f64::from(limit))
            }
        };
        let min_replicas = scaling.min_replicas.unwrap_or(0);
        Self {
            mode,
            timeout: spec.timeout.unwrap_or(DEFAULT_TIMEOUT),
            concurrency,
            min_replicas,
            max_replicas: scaling.max_replicas.unwrap_or(DEFAULT_MAX_REPLICAS).max(min_replicas).max(1),
            metric,
            target: target.max(0.01),
            capacity,
            window: scaling.window.unwrap_or(DEFAULT_WINDOW),
            scale_to_zero_after: scaling.scale_to_zero_after.unwrap_or(DEFAULT_SCALE_TO_ZERO_AFTER),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{FunctionSpec, RuntimeSpec, Scaling};

    fn function(spec: FunctionSpec) -> Function {
        Function::new("thumbnail", spec)
    }

    fn runtime(mode: Mode) -> Runtime {
        let spec = RuntimeSpec {
            mode,
            image: "python:3.11".into(),
            command: vec!["python3".into()],
            port: None,
            build: None,
            pool: None,
            resources: None,
            env: Vec::new(),
        };
        Runtime::new("python3.11", spec)
    }

    fn scaled(concurrency: Option<u32>, scaling: Scaling) -> Effective {
        let spec = FunctionSpec { concurrency, scaling: Some(scaling), ..FunctionSpec::default() };
        Effective::new(&function(spec), Some(&runtime(Mode::Lambda)))
    }

    #[test]
    fn a_function_that_says_nothing_gets_the_defaults() {
        let effective = Effective::new(&function(FunctionSpec::default()), Some(&runtime(Mode::Lambda)));
        let expected = Effective {
            mode: Mode::Lambda,
            timeout: Duration::from_secs(30),
            concurrency: 1,
            min_replicas: 0,
            max_replicas: 100,
            metric: ScalingMetric::Concurrency,
            target: 0.7,
            capacity: 1.0,
            window: Duration::from_secs(60),
            scale_to_zero_after: Duration::from_secs(60),
        };
        assert_eq!(effective, expected);
    }

    #[test]
    fn concurrency_follows_the_mode() {
        let concurrency = |runtime: Option<&Runtime>| {
            Effective::new(&function(FunctionSpec::default()), runtime).concurrency
        };
        assert_eq!(concurrency(Some(&runtime(Mode::Lambda))), 1);
        assert_eq!(concurrency(Some(&runtime(Mode::Process))), 1);
        assert_eq!(concurrency(Some(&runtime(Mode::Http))), 100);
        assert_eq!(concurrency(None), 100, "an image serves HTTP");
        let spec = FunctionSpec { mode: Some(Mode::Lambda), ..FunctionSpec::default() };
        assert_eq!(Effective::new(&function(spec), None).concurrency, 1, "unless it is made for Lambda");
    }

    #[test]
    fn a_target_is_a_share_of_the_concurrency() {
        let effective = scaled(Some(20), Scaling { target: Some(0.5), ..Scaling::default() });
        assert_eq!((effective.target, effective.capacity), (10.0, 20.0));
    }

    #[test]
    fn without_a_limit_a_target_is_a_number_of_requests() {
        assert_eq!(scaled(Some(0), Scaling::default()).target, 100.0);
        let effective = scaled(Some(0), Scaling { target: Some(70.0), ..Scaling::default() });
        assert!((effective.target, effective.capacity) == (70.0, 70.0 / 0.7), "{effective:?}");
    }

    #[test]
    fn a_rate_is_per_instance_whatever_the_concurrency() {
        let rps = |target| Scaling { metric: Some(ScalingMetric::Rps), target, ..Scaling::default() };
        assert_eq!(scaled(None, rps(None)).target, 200.0);
        assert_eq!(scaled(Some(50), rps(Some(35.0))).target, 35.0);
    }

    #[test]
    fn the_most_is_never_below_the_least() {
        // `kubectl scale` writes minReplicas alone.
        let effective =
            scaled(None, Scaling { min_replicas: Some(3), max_replicas: Some(2), ..Scaling::default() });
        assert_eq!((effective.min_replicas, effective.max_replicas), (3, 3));
    }
}
