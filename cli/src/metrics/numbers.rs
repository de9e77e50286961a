//! What a gateway counts of one function, and what can be told from it.

use std::collections::BTreeMap;

use super::{
    Key,
    text::{Sample, samples},
};

/// The numbers of one function.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Numbers {
    /// Answers by class of status, from 1xx to 5xx.
    pub classes: [f64; 5],
    /// From a request's arrival to the end of its answer.
    pub duration: Histogram,
    /// How long requests waited for an instance, of those that did.
    pub wait: Histogram,
    /// Of requests that found no instance: `start`, `forward`, `answer`.
    pub cold: [Histogram; 3],
    /// Attempts after the first.
    pub retries: f64,
    /// Requests with instances, now.
    pub in_flight: f64,
    /// Requests that wait for an instance, now.
    pub queue: f64,
    /// Instances that may get requests, now.
    pub instances: f64,
}

/// Counts under bounds, as Prometheus has them.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Histogram {
    /// Upper bound in seconds, and how many are at or below it; in order, the last bound infinite.
    buckets: Vec<(f64, f64)>,
}

/// The phases of a cold start, in order.
pub const PHASES: [&str; 3] = ["start", "forward", "answer"];
const CLASSES: [&str; 5] = ["1xx", "2xx", "3xx", "4xx", "5xx"];

/// The numbers by function, out of a gateway's `/metrics`.
#[must_use]
pub fn read(text: &str) -> BTreeMap<Key, Numbers> {
    let mut functions: BTreeMap<Key, Numbers> = BTreeMap::new();
    for sample in samples(text) {
        let (Some(namespace), Some(function)) = (sample.label("namespace"), sample.label("function")) else {
            continue;
        };
        functions.entry((namespace.to_owned(), function.to_owned())).or_default().take(&sample);
    }
    functions
}

// === impl Numbers ===

impl Numbers {
    fn take(&mut self, sample: &Sample<'_>) {
        let Some(name) = sample.name.strip_prefix("flint_gateway_") else { return };
        let place = |names: &[&str], label: &str| {
            let value = sample.label(label)?;
            names.iter().position(|name| *name == value)
        };
        match name {
            "requests_total" => {
                if let Some(class) = place(&CLASSES, "code") {
                    self.classes[class] = sample.value;
                }
            }
            "retries_total" => self.retries = sample.value,
            "in_flight_requests" => self.in_flight = sample.value,
            "queue_length" => self.queue = sample.value,
            "instances" => self.instances = sample.value,
            "request_duration_seconds_bucket" => self.duration.take(sample),
            "queue_wait_seconds_bucket" => self.wait.take(sample),
            "cold_start_seconds_bucket" => {
                if let Some(phase) = place(&PHASES, "phase") {
                    self.cold[phase].take(sample);
                }
            }
            _ => {}
        }
    }

    /// Adds another gateway's. Each gateway has requests of its own, but all see the same instances.
    pub fn add(&mut self, other: &Self) {
        for (class, more) in self.classes.iter_mut().zip(other.classes) {
            *class += more;
        }
        self.retries += other.retries;
        self.in_flight += other.in_flight;
        self.queue += other.queue;
        self.instances = self.instances.max(other.instances);
        self.duration.add(&other.duration);
        self.wait.add(&other.wait);
        for (phase, more) in self.cold.iter_mut().zip(&other.cold) {
            phase.add(more);
        }
    }

    /// What was counted since `before`, by the same gateway.
    #[must_use]
    pub fn less(&self, before: &Self) -> Self {
        let mut classes = self.classes;
        for (class, before) in classes.iter_mut().zip(before.classes) {
            *class = (*class - before).max(0.0);
        }
        Self {
            classes,
            retries: (self.retries - before.retries).max(0.0),
            duration: self.duration.less(&before.duration),
            wait: self.wait.less(&before.wait),
            cold: std::array::from_fn(|phase| self.cold[phase].less(&before.cold[phase])),
            ..self.clone()
        }
    }

    /// Answers, whatever their status.
    #[must_use]
    pub fn requests(&self) -> f64 {
        self.classes.iter().sum()
    }

    /// Which part of the answers was a 5xx; none without answers.
    #[must_use]
    pub fn errors(&self) -> Option<f64> {
        part(self.classes[4], self.requests())
    }

    /// Requests that found no instance.
    #[must_use]
    pub fn cold_starts(&self) -> f64 {
        self.cold[0].count()
    }

    /// Which part of the requests found no instance; none without requests.
    #[must_use]
    pub fn cold_part(&self) -> Option<f64> {
        part(self.cold_starts(), self.requests())
    }
}

fn part(some: f64, all: f64) -> Option<f64> {
    (all > 0.0).then(|| (some / all).min(1.0))
}

// === impl Histogram ===

impl Histogram {
    fn take(&mut self, sample: &Sample<'_>) {
        let bound = match sample.label("le") {
            Some("+Inf") => f64::INFINITY,
            Some(bound) => match bound.parse() {
                Ok(bound) => bound,
                Err(_) => return,
            },
            None => return,
        };
        let place = self.buckets.partition_point(|(other, _)| *other < bound);
        match self.buckets.get_mut(place) {
            // Starts from zero are told apart by what the instance came from: here they are one.
            Some((known, value)) if *known <= bound => *value += sample.value,
            _ => self.buckets.insert(place, (bound, sample.value)),
        }
    }

    fn add(&mut self, other: &Self) {
        self.combine(other, |mine, others| mine + others);
    }

    fn less(&self, before: &Self) -> Self {
        let mut less = self.clone();
        less.combine(before, |mine, before| (mine - before).max(0.0));
        less
    }

    /// Gateways of one version have the same bounds. Of two versions, the bounds that both have are kept.
    fn combine(&mut self, other: &Self, with: impl Fn(f64, f64) -> f64) {
        if other.buckets.is_empty() {
            return;
        }
        if self.buckets.is_empty() {
            self.buckets = other.buckets.iter().map(|(bound, count)| (*bound, with(0.0, *count))).collect();
            return;
        }
        let theirs = |bound: f64| other.buckets.iter().find(|(other, _)| *other == bound);
        self.buckets.retain(|(bound, _)| theirs(*bound).is_some());
        for (bound, count) in &mut self.buckets {
            if let Some((_, others)) = theirs(*bound) {
                *count = with(*count, *others);
            }
        }
    }

    /// How many were counted.
    #[must_use]
    pub fn count(&self) -> f64 {
        self.buckets.last().map_or(0.0, |(_, count)| *count)
    }

    /// A quantile in seconds, estimated within its bucket as Prometheus' `histogram_quantile` does. Above the last bound it is
    /// that bound: nothing more is known. None where nothing was counted.
    #[must_use]
    pub fn quantile(&self, quantile: f64) -> Option<f64> {
        let count = self.count();
        if count <= 0.0 {
            return None;
        }
        let rank = quantile * count;
        let at = self.buckets.iter().position(|(_, below)| *below >= rank)?;
        let (lower, below) = at.checked_sub(1).map_or((0.0, 0.0), |before| self.buckets[before]);
        let (upper, within) = self.buckets[at];
        if upper.is_infinite() {
            return Some(lower);
        }
        Some(
            lower
                + (upper - lower)
                    * ((rank - below) / (within - below).max(f64::MIN_POSITIVE)).clamp(0.0, 1.0),
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn histogram(buckets: &[(f64, f64)]) -> Histogram {
        Histogram { buckets: buckets.to_vec() }
    }

    #[test]
    fn a_quantile_is_estimated_within_its_bucket() {
        let histogram = histogram(&[(0.005, 50.0), (0.025, 90.0), (f64::INFINITY, 100.0)]);
        assert_eq!(histogram.quantile(0.25), Some(0.0025));
        assert!((histogram.quantile(0.7).unwrap() - 0.015).abs() < 1e-9);
        assert_eq!(histogram.quantile(0.99), Some(0.025));
        assert_eq!(Histogram::default().quantile(0.5), None);
    }

    #[test]
    fn an_empty_first_bucket_is_passed_over() {
        let histogram = histogram(&[(1.0, 0.0), (2.0, 10.0), (f64::INFINITY, 10.0)]);
        assert_eq!(histogram.quantile(0.5), Some(1.5));
    }

    #[test]
    fn all_of_a_functions_samples_are_read() {
        let text = r#"
flint_gateway_requests_total{namespace="shop",function="cart",code="2xx"} 90
flint_gateway_requests_total{namespace="shop",function="cart",code="5xx"} 10
flint_gateway_retries_total{namespace="shop",function="cart"} 3
flint_gateway_in_flight_requests{namespace="shop",function="cart"} 2
flint_gateway_queue_length{namespace="shop",function="cart"} 4
flint_gateway_instances{namespace="shop",function="cart"} 5
flint_gateway_request_duration_seconds_bucket{namespace="shop",function="cart",le="0.005"} 100
flint_gateway_request_duration_seconds_bucket{namespace="shop",function="cart",le="+Inf"} 100
flint_gateway_cold_start_seconds_bucket{namespace="shop",function="cart",phase="start",from="pod",le="0.25"} 15
flint_gateway_cold_start_seconds_bucket{namespace="shop",function="cart",phase="start",from="pod",le="+Inf"} 15
flint_gateway_cold_start_seconds_bucket{namespace="shop",function="cart",phase="start",from="pool",le="0.25"} 5
flint_gateway_cold_start_seconds_bucket{namespace="shop",function="cart",phase="start",from="pool",le="+Inf"} 5
flint_gateway_functions 7
"#;
        let functions = read(text);
        assert_eq!(functions.len(), 1);
        let numbers = &functions[&("shop".to_owned(), "cart".to_owned())];
        assert_eq!((numbers.requests(), numbers.errors(), numbers.retries), (100.0, Some(0.1), 3.0));
        assert_eq!((numbers.in_flight, numbers.queue, numbers.instances), (2.0, 4.0, 5.0));
        assert_eq!((numbers.cold_starts(), numbers.cold_part()), (20.0, Some(0.2)));
        assert_eq!(numbers.duration.quantile(0.5), Some(0.0025));
    }

    #[test]
    fn instances_are_the_same_for_all_gateways_and_requests_are_not() {
        let mut one = Numbers { instances: 3.0, in_flight: 2.0, ..Numbers::default() };
        one.add(&Numbers { instances: 2.0, in_flight: 1.0, ..Numbers::default() });
        assert_eq!((one.instances, one.in_flight), (3.0, 3.0));
    }

    #[test]
    fn what_was_counted_between_is_told() {
        let before = histogram(&[(1.0, 4.0), (f64::INFINITY, 5.0)]);
        let after = histogram(&[(1.0, 4.0), (f64::INFINITY, 7.0)]);
        assert_eq!(after.less(&before), histogram(&[(1.0, 0.0), (f64::INFINITY, 2.0)]));
        assert_eq!(after.less(&Histogram::default()), after);
    }
}
