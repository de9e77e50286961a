//! Turns the counts into Prometheus' families when somebody asks.

use std::{
    collections::HashMap,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use prometheus::{
    core::Desc,
    proto::{
        Bucket, Counter, Gauge, Histogram as ProtoHistogram, LabelPair, Metric, MetricFamily, MetricType,
    },
};

use super::{BOUNDS, Counts, Histogram};
use crate::{function::Function, hub::Hub, live::Live, table::Tables};

/// A collector over all functions of the table.
#[derive(Debug)]
pub struct Collector {
    tables: Arc<Tables>,
    hub: Arc<Hub>,
    desc: Desc,
}

/// Families by the place of their first mention, each with its metrics.
#[derive(Default)]
struct Families(Vec<MetricFamily>);

const CLASSES: [&str; 5] = ["1xx", "2xx", "3xx", "4xx", "5xx"];
const FAILINGS: [&str; 3] = ["function_failed", "timeout", "cut_off"];
const STARTS: [&str; 2] = ["pod", "pool"];
const PHASES: [&str; 3] = ["start", "forward", "answer"];

const REQUESTS: &str = "flint_gateway_requests_total";
const ERRORS: &str = "flint_gateway_function_errors_total";
const RETRIES: &str = "flint_gateway_retries_total";
const DURATION: &str = "flint_gateway_request_duration_seconds";
const WAIT: &str = "flint_gateway_queue_wait_seconds";
const COLD: &str = "flint_gateway_cold_start_seconds";
const QUEUE: &str = "flint_gateway_queue_length";
const IN_FLIGHT: &str = "flint_gateway_in_flight_requests";
const INSTANCES: &str = "flint_gateway_instances";
const FUNCTIONS: &str = "flint_gateway_functions";

// === impl Collector ===

impl Collector {
    /// A collector.
    ///
    /// # Errors
    /// Never, with the names as they are.
    pub fn new(tables: Arc<Tables>, hub: Arc<Hub>) -> prometheus::Result<Self> {
        // The registry wants one description to tell collectors apart; families are made as functions come and go.
        let desc =
            Desc::new(FUNCTIONS.into(), "Functions in the routing table.".into(), vec![], HashMap::new())?;
        Ok(Self { tables, hub, desc })
    }

    fn totals(&self, families: &mut Families) {
        let totals = &self.hub.totals;
        let load = |number: &AtomicU64| number.load(Ordering::Relaxed) as f64;
        families.counter(
            "flint_gateway_unrouted_requests_total",
            "Requests whose address is no function's.",
            vec![],
            load(&totals.unrouted),
        );
        families.counter(
            "flint_gateway_access_log_dropped_total",
            "Lines of the access log that were dropped because standard output was too slow.",
            vec![],
            load(&totals.log_dropped),
        );
        for (by, number) in [
            ("watch", &totals.by_watch),
            ("announcement", &totals.by_announcement),
            ("probe", &totals.by_probe),
        ] {
            families.counter(
                "flint_gateway_instances_found_total",
                "Instances, by what told of them first.",
                vec![label("by", by)],
                load(number),
            );
        }
        for (why, number) in
            [("refused", &totals.announcements_refused), ("expired", &totals.announcements_expired)]
        {
            families.counter(
                "flint_gateway_announcements_dropped_total",
                "Announced instances that were not believed, or never confirmed.",
                vec![label("why", why)],
                load(number),
            );
        }
        for (outcome, number) in
            [("won", &totals.claims_won), ("lost", &totals.claims_lost), ("failed", &totals.claims_failed)]
        {
            families.counter(
                "flint_gateway_pool_claims_total",
                "Claims of pods that waited in warm pools.",
                vec![label("outcome", outcome)],
                load(number),
            );
        }
        families.gauge(
            "flint_gateway_pool_tickets",
            "Functions that can start from a warm pool.",
            vec![],
            load(&totals.pool_tickets),
        );
        families.gauge(
            "flint_gateway_control_connected",
            "1 while the stream to the operator is open.",
            vec![],
            load(&totals.control_connected),
        );
        families.gauge(
            "flint_gateway_scheduler_leader",
            "1 while this gateway fires the schedules.",
            vec![],
            load(&totals.scheduler_leader),
        );
        families.counter(
            "flint_gateway_schedule_firings_total",
            "Firings of schedules made by this gateway.",
            vec![],
            load(&totals.firings),
        );
        families.counter(
            "flint_gateway_schedule_firings_skipped_total",
            "Firings that were missed and are too old to be made up for.",
            vec![],
            load(&totals.firings_skipped),
        );
    }
}

impl prometheus::core::Collector for Collector {
    fn desc(&self) -> Vec<&Desc> {
        vec![&self.desc]
    }

    fn collect(&self) -> Vec<MetricFamily> {
        let mut families = Families::default();
        let table = self.tables.load();
        families.gauge(FUNCTIONS, "Functions in the routing table.", vec![], table.len() as f64);
        for function in table.iter() {
            families.function(function, &self.hub.revisions.of(function.live.key()));
        }
        self.totals(&mut families);
        families.0
    }
}

// === impl Families ===

impl Families {
    /// `others` are its revisions beside the one that the traffic goes to: they are told of as one.
    fn function(&mut self, function: &Function, others: &[Arc<Live>]) {
        let live = &function.live;
        let labels = || vec![label("namespace", &live.key().namespace), label("function", &live.key().name)];
        let counts = live.metrics.get();
        let sum =
            |count: fn(&Live) -> usize| count(live) + others.iter().map(|other| count(other)).sum::<usize>();
        let instances = sum(|live| live.instances().len());
        if instances > 0 || sum(|live| usize::from(live.demand.arrived() > 0)) > 0 {
            self.gauge(INSTANCES, "Instances that may get requests.", labels(), instances as f64);
            self.gauge(QUEUE, "Requests that wait for an instance.", labels(), sum(Live::waiting) as f64);
            self.gauge(IN_FLIGHT, "Requests that are with instances.", labels(), sum(Live::in_flight) as f64);
        }
        if let Some(counts) = counts {
            self.counts(counts, &labels);
        }
    }

    fn counts(&mut self, counts: &Counts, labels: &dyn Fn() -> Vec<LabelPair>) {
        let with = |name, value| {
            let mut labels = labels();
            labels.push(label(name, value));
            labels
        };
        for (class, count) in CLASSES.iter().zip(&counts.classes) {
            let count = count.load(Ordering::Relaxed);
            if count > 0 {
                self.counter(
                    REQUESTS,
                    "Requests by the class of their status.",
                    with("code", class),
                    count as f64,
                );
            }
        }
        // Zeros too: an alert on the first error needs the series before it.
        for (failing, count) in FAILINGS.iter().zip(&counts.failing) {
            self.counter(
                ERRORS,
                "Requests that the function failed, whatever their status.",
                with("type", failing),
                count.load(Ordering::Relaxed) as f64,
            );
        }
        let retries = counts.retries.load(Ordering::Relaxed);
        self.counter(RETRIES, "Attempts after the first.", labels(), retries as f64);
        let help = "Time from a request's arrival to the end of its answer.";
        self.histogram(DURATION, help, labels(), &counts.duration);
        self.histogram(
            WAIT,
            "Time that requests waited for an instance, of those that did.",
            labels(),
            &counts.wait,
        );
        for (start, phases) in STARTS.iter().zip(&counts.cold) {
            for (phase, histogram) in PHASES.iter().zip(phases) {
                let help = "Time of requests that found no instance at all, by phase and by what the instance came from.";
                let mut labels = with("phase", phase);
                labels.push(label("from", start));
                self.histogram(COLD, help, labels, histogram);
            }
        }
    }

    fn counter(&mut self, name: &str, help: &str, labels: Vec<LabelPair>, value: f64) {
        let mut counter = Counter::default();
        counter.set_value(value);
        let mut metric = Metric::from_label(labels);
        metric.set_counter(counter);
        self.push(name, help, MetricType::COUNTER, metric);
    }

    fn gauge(&mut self, name: &str, help: &str, labels: Vec<LabelPair>, value: f64) {
        let mut gauge = Gauge::default();
        gauge.set_value(value);
        let mut metric = Metric::from_label(labels);
        metric.set_gauge(gauge);
        self.push(name, help, MetricType::GAUGE, metric);
    }

    fn histogram(&mut self, name: &str, help: &str, labels: Vec<LabelPair>, histogram: &Histogram) {
        let counts = histogram.buckets.each_ref().map(|count| count.load(Ordering::Relaxed));
        if counts.iter().all(|count| *count == 0) {
            return;
        }
        let mut proto = ProtoHistogram::default();
        let mut below = 0;
        let buckets = BOUNDS.iter().zip(counts).map(|(bound, count)| {
            below += count;
            let mut bucket = Bucket::default();
            bucket.set_upper_bound(*bound as f64 / 1e6);
            bucket.set_cumulative_count(below);
            bucket
        });
        proto.set_bucket(buckets.collect());
        proto.set_sample_count(counts.iter().sum());
        proto.set_sample_sum(histogram.sum.load(Ordering::Relaxed) as f64 / 1e6);
        let mut metric = Metric::from_label(labels);
        metric.set_histogram(proto);
        self.push(name, help, MetricType::HISTOGRAM, metric);
    }

    fn push(&mut self, name: &str, help: &str, kind: MetricType, metric: Metric) {
        // A dozen names: a search is cheaper than a map.
        let place = self.0.iter().position(|family| family.name() == name).unwrap_or_else(|| {
            let mut family = MetricFamily::default();
            family.set_name(name.to_owned());
            family.set_help(help.to_owned());
            family.set_field_type(kind);
            self.0.push(family);
            self.0.len() - 1
        });
        if let Some(family) = self.0.get_mut(place) {
            family.mut_metric().push(metric);
        }
    }
}

fn label(name: &str, value: &str) -> LabelPair {
    let mut pair = LabelPair::default();
    pair.set_name(name.to_owned());
    pair.set_value(value.to_owned());
    pair
}
