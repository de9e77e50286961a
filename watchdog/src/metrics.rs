//! What the watchdog counts, in Prometheus' text form.

use std::fmt::Write as _;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use crate::config::Identity;

/// Upper bounds of the duration's buckets, in seconds: from a hot handler to a long job.
const BUCKETS: [f64; 12] = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0, 30.0];

/// The counters of one instance.
#[derive(Debug, Default)]
pub struct Metrics {
    /// Answers by the hundreds of their status; 0 when there was none.
    answers: [AtomicU64; 6],
    buckets: [AtomicU64; BUCKETS.len() + 1],
    duration_us: AtomicU64,
    refused_busy: AtomicU64,
    refused_draining: AtomicU64,
    timeouts: AtomicU64,
    failures: AtomicU64,
    restarts: AtomicU64,
    init_us: AtomicU64,
}

/// What is not counted but looked at.
#[derive(Clone, Copy, Debug)]
pub struct Gauges {
    /// Requests being worked on.
    pub in_flight: usize,
    /// The limit; 0 is none.
    pub concurrency: usize,
    /// Whether requests can be taken.
    pub ready: bool,
    /// Children alive.
    pub children: usize,
    /// The most memory used so far.
    pub memory_peak: Option<u64>,
    /// Lines that the log had no room for.
    pub log_dropped: u64,
}

// === impl Metrics ===

impl Metrics {
    /// A request has been answered.
    pub fn answered(&self, status: u16, took: Duration) {
        self.answers[usize::from(status / 100).min(5)].fetch_add(1, Ordering::Relaxed);
        let seconds = took.as_secs_f64();
        let bucket = BUCKETS.iter().position(|bound| seconds <= *bound).unwrap_or(BUCKETS.len());
        self.buckets[bucket].fetch_add(1, Ordering::Relaxed);
        self.duration_us.fetch_add(micros(took), Ordering::Relaxed);
    }

    /// A request was refused: over the limit.
    pub fn refused_busy(&self) {
        self.refused_busy.fetch_add(1, Ordering::Relaxed);
    }

    /// A request was refused: the instance is going.
    pub fn refused_draining(&self) {
        self.refused_draining.fetch_add(1, Ordering::Relaxed);
    }

    /// The deadline ended a request.
    pub fn timed_out(&self) {
        self.timeouts.fetch_add(1, Ordering::Relaxed);
    }

    /// The function raised, crashed or answered nonsense.
    pub fn failed(&self) {
        self.failures.fetch_add(1, Ordering::Relaxed);
    }

    /// A child was started again.
    pub fn restarted(&self) {
        self.restarts.fetch_add(1, Ordering::Relaxed);
    }

    /// A child became ready.
    pub fn initialized(&self, took: Duration) {
        self.init_us.store(micros(took), Ordering::Relaxed);
    }

    /// Everything, as text.
    #[must_use]
    pub fn render(&self, identity: &Identity, gauges: Gauges) -> String {
        let mut page = Page::default();
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        page.head("info", "gauge", "Whose instance this is; always 1.");
        let _ = writeln!(
            page.0,
            "flint_watchdog_info{{namespace=\"{}\",function=\"{}\",revision=\"{}\",version=\"{}\"}} 1",
            identity.namespace,
            identity.function,
            identity.revision,
            env!("CARGO_PKG_VERSION")
        );
        page.single("ready", "gauge", "Whether requests can be taken.", u64::from(gauges.ready));
        page.single("in_flight", "gauge", "Requests being worked on.", gauges.in_flight as u64);
        page.single(
            "concurrency_limit",
            "gauge",
            "Requests at a time; 0 is no limit.",
            gauges.concurrency as u64,
        );
        page.single("children", "gauge", "Children alive.", gauges.children as u64);
        page.head("requests_total", "counter", "Requests answered, by class of status.");
        for (class, counter) in self.answers.iter().enumerate() {
            let code = if class == 0 { "none".to_owned() } else { format!("{class}xx") };
            let _ = writeln!(page.0, "flint_watchdog_requests_total{{code=\"{code}\"}} {}", read(counter));
        }
        page.head("refused_total", "counter", "Requests refused before anything was processed.");
        for (reason, counter) in
            [("too_many_requests", &self.refused_busy), ("draining", &self.refused_draining)]
        {
            let _ = writeln!(page.0, "flint_watchdog_refused_total{{reason=\"{reason}\"}} {}", read(counter));
        }
        self.render_durations(&mut page);
        page.single("timeouts_total", "counter", "Requests that their deadline ended.", read(&self.timeouts));
        page.single(
            "failures_total",
            "counter",
            "Requests that the function failed: it raised, crashed or answered nonsense.",
            read(&self.failures),
        );
        page.single("restarts_total", "counter", "Children started again.", read(&self.restarts));
        page.head("init_seconds", "gauge", "From the child's start to its readiness, the last time.");
        let _ = writeln!(page.0, "flint_watchdog_init_seconds {}", seconds(read(&self.init_us)));
        page.single(
            "log_lines_dropped_total",
            "counter",
            "Lines that the log had no room for.",
            gauges.log_dropped,
        );
        if let Some(peak) = gauges.memory_peak {
            page.single("memory_peak_bytes", "gauge", "The most memory used so far.", peak);
        }
        page.0
    }

    fn render_durations(&self, page: &mut Page) {
        page.head("request_duration_seconds", "histogram", "Time at the function.");
        let mut total = 0;
        for (at, counter) in self.buckets.iter().enumerate() {
            total += counter.load(Ordering::Relaxed);
            let bound = BUCKETS.get(at).map_or_else(|| "+Inf".to_owned(), f64::to_string);
            let _ =
                writeln!(page.0, "flint_watchdog_request_duration_seconds_bucket{{le=\"{bound}\"}} {total}");
        }
        let sum = seconds(self.duration_us.load(Ordering::Relaxed));
        let _ = writeln!(page.0, "flint_watchdog_request_duration_seconds_sum {sum}");
        let _ = writeln!(page.0, "flint_watchdog_request_duration_seconds_count {total}");
    }
}

// === impl Page ===

#[derive(Default)]
struct Page(String);

impl Page {
    fn head(&mut self, name: &str, kind: &str, help: &str) {
        let _ = writeln!(self.0, "# HELP flint_watchdog_{name} {help}\n# TYPE flint_watchdog_{name} {kind}");
    }

    fn single(&mut self, name: &str, kind: &str, help: &str, value: u64) {
        self.head(name, kind, help);
        let _ = writeln!(self.0, "flint_watchdog_{name} {value}");
    }
}

fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}

fn seconds(micros: u64) -> f64 {
    Duration::from_micros(micros).as_secs_f64()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_are_counted_by_class_and_their_times_in_buckets() {
        let metrics = Metrics::default();
        metrics.answered(200, Duration::from_micros(800));
        metrics.answered(204, Duration::from_millis(4));
        metrics.answered(502, Duration::from_secs(60));
        metrics.restarted();
        let identity = Identity {
            namespace: "shop".to_owned(),
            function: "thumbnail".to_owned(),
            revision: "r".to_owned(),
            pod: String::new(),
            uid: String::new(),
            ip: None,
        };
        let gauges = Gauges {
            in_flight: 2,
            concurrency: 4,
            ready: true,
            children: 1,
            memory_peak: Some(1024),
            log_dropped: 0,
        };
        let page = metrics.render(&identity, gauges);
        for line in [
            "flint_watchdog_info{namespace=\"shop\",function=\"thumbnail\",revision=\"r\",version=\"0.1.0\"} 1",
            "flint_watchdog_in_flight 2",
            "flint_watchdog_requests_total{code=\"2xx\"} 2",
            "flint_watchdog_requests_total{code=\"5xx\"} 1",
            "flint_watchdog_request_duration_seconds_bucket{le=\"0.001\"} 1",
            "flint_watchdog_request_duration_seconds_bucket{le=\"30\"} 2",
            "flint_watchdog_request_duration_seconds_bucket{le=\"+Inf\"} 3",
            "flint_watchdog_request_duration_seconds_count 3",
            "flint_watchdog_restarts_total 1",
            "flint_watchdog_memory_peak_bytes 1024",
        ] {
            assert!(page.lines().any(|shown| shown == line), "{line} is not in\n{page}");
        }
    }
}
