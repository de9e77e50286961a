//! Numbers as people read them, and as scripts do.

use std::time::Duration;

use jiff::Timestamp;
use serde::Serialize;

use super::{
    Key, Numbers, Window,
    numbers::{Histogram, PHASES},
};
use crate::{output::Table, text};

/// One function's numbers, for scripts.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Facts {
    namespace: String,
    function: String,
    instances: f64,
    in_flight: f64,
    queue: f64,
    window_seconds: f64,
    /// Of the window.
    recent: Part,
    since: Option<String>,
    /// Since the gateways started.
    all: Part,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Part {
    requests: f64,
    requests_per_second: Option<f64>,
    errors: Option<f64>,
    retries: f64,
    duration_seconds: Quantiles,
    waited: f64,
    wait_seconds: Quantiles,
    cold_starts: f64,
    cold_part: Option<f64>,
    cold_p50_seconds: Cold,
}

#[derive(Debug, Serialize)]
struct Quantiles {
    p50: Option<f64>,
    p95: Option<f64>,
    p99: Option<f64>,
}

#[derive(Debug, Serialize)]
struct Cold {
    start: Option<f64>,
    forward: Option<f64>,
    answer: Option<f64>,
}

/// What is said where nothing is known.
const NONE: &str = "-";

/// All about one function.
#[must_use]
pub fn one(key: &Key, window: &Window, now: Timestamp) -> String {
    let none = Numbers::default();
    let recent = window.recent.get(key).unwrap_or(&none);
    let all = window.all.get(key).unwrap_or(&none);
    let age = window.since.map_or_else(|| "the start".to_owned(), |since| text::age(Some(since), now));
    let last = format!("LAST {}", text::span(window.length.try_into().unwrap_or_default()));
    let mut table = Table::new(["", &last, &format!("LAST {age}")]);
    let mut row = |name: &str, of: &dyn Fn(&Numbers) -> String| {
        table.row([name.to_owned(), of(recent), of(all)]);
    };
    row("requests", &|numbers| count(numbers.requests()));
    row("errors (5xx)", &|numbers| percent(numbers.errors()));
    row("duration p50", &|numbers| seconds(numbers.duration.quantile(0.5)));
    row("duration p95", &|numbers| seconds(numbers.duration.quantile(0.95)));
    row("duration p99", &|numbers| seconds(numbers.duration.quantile(0.99)));
    row("waited for an instance", &|numbers| count(numbers.wait.count()));
    row("  wait p50", &|numbers| seconds(numbers.wait.quantile(0.5)));
    row("cold starts", &|numbers| percent(numbers.cold_part()));
    for (phase, name) in PHASES.iter().enumerate() {
        row(&format!("  {name} p50"), &|numbers| seconds(numbers.cold[phase].quantile(0.5)));
    }
    row("retries", &|numbers| count(numbers.retries));
    let rate = recent.requests() / window.length.as_secs_f64().max(f64::MIN_POSITIVE);
    let (namespace, function) = key;
    format!(
        "{function} in {namespace}: {} requests/s, {} in flight, {} queued, {}\n\n{table}\n\n\
         As {} counted; times are estimated from their histograms.",
        rounded(rate),
        count(all.in_flight),
        count(all.queue),
        text::count(whole(all.instances), "instance"),
        text::count(window.gateways, "gateway"),
    )
}

/// A line per function, the busiest first; with a head of what all of them do.
#[must_use]
pub fn top(window: &Window, namespace: Option<&str>) -> String {
    let mut rows: Vec<_> = shown(window, namespace).collect();
    let busy = |numbers: &Numbers| (numbers.requests(), numbers.in_flight, numbers.instances);
    // Names are in order already, and the sort keeps it.
    rows.sort_by(|(_, a, _), (_, b, _)| busy(b).partial_cmp(&busy(a)).unwrap_or(std::cmp::Ordering::Equal));
    let length = window.length.as_secs_f64().max(f64::MIN_POSITIVE);
    let sum = |of: fn(&Numbers) -> f64| rows.iter().map(|(_, recent, _)| of(recent)).sum::<f64>();
    let head = format!(
        "{} with {}: {} requests/s, {} in flight, {} queued, over the last {}",
        text::count(rows.len(), "function"),
        text::count(whole(sum(|numbers| numbers.instances)), "instance"),
        rounded(sum(Numbers::requests) / length),
        count(sum(|numbers| numbers.in_flight)),
        count(sum(|numbers| numbers.queue)),
        text::span(window.length.try_into().unwrap_or_default()),
    );
    let mut table = Table::new([
        "NAMESPACE",
        "NAME",
        "REQ/S",
        "ERRORS",
        "P50",
        "P95",
        "COLD",
        "IN FLIGHT",
        "QUEUE",
        "INSTANCES",
        "TOTAL",
    ]);
    for ((namespace, function), recent, all) in &rows {
        table.row([
            namespace.clone(),
            function.clone(),
            rounded(recent.requests() / length),
            percent(recent.errors()),
            seconds(recent.duration.quantile(0.5)),
            seconds(recent.duration.quantile(0.95)),
            percent(recent.cold_part()),
            count(recent.in_flight),
            count(recent.queue),
            count(recent.instances),
            count(all.requests()),
        ]);
    }
    format!("{head}\n\n{table}")
}

/// One function's numbers for scripts.
#[must_use]
pub fn facts(key: &Key, window: &Window) -> Facts {
    let none = Numbers::default();
    let recent = window.recent.get(key).unwrap_or(&none);
    let all = window.all.get(key).unwrap_or(&none);
    let (namespace, function) = key.clone();
    Facts {
        namespace,
        function,
        instances: all.instances,
        in_flight: all.in_flight,
        queue: all.queue,
        window_seconds: window.length.as_secs_f64(),
        recent: Part::of(recent, Some(window.length)),
        since: window.since.map(|since| since.to_string()),
        all: Part::of(all, None),
    }
}

/// Every function's numbers for scripts, in the order of their names.
#[must_use]
pub fn all_facts(window: &Window, namespace: Option<&str>) -> Vec<Facts> {
    shown(window, namespace).map(|(key, _, _)| facts(key, window)).collect()
}

fn shown<'a>(
    window: &'a Window,
    namespace: Option<&'a str>,
) -> impl Iterator<Item = (&'a Key, &'a Numbers, &'a Numbers)> {
    let wanted = move |key: &Key| namespace.is_none_or(|namespace| key.0 == namespace);
    let rows = window.all.iter().filter(move |(key, _)| wanted(key));
    rows.filter_map(|(key, all)| Some((key, window.recent.get(key)?, all)))
}

fn seconds(seconds: Option<f64>) -> String {
    match seconds {
        None => NONE.to_owned(),
        Some(seconds) if seconds < 0.01 => format!("{:.1} ms", seconds * 1e3),
        Some(seconds) if seconds < 1.0 => format!("{:.0} ms", seconds * 1e3),
        Some(seconds) => format!("{seconds:.1} s"),
    }
}

fn percent(part: Option<f64>) -> String {
    match part {
        None => NONE.to_owned(),
        Some(0.0) => "0 %".to_owned(),
        // A few among many are not none.
        Some(part) if part < 0.001 => "<0.1 %".to_owned(),
        Some(part) => format!("{:.1} %", part * 100.0),
    }
}

fn rounded(rate: f64) -> String {
    if rate == 0.0 || rate >= 10.0 { format!("{rate:.0}") } else { format!("{rate:.1}") }
}

fn count(number: f64) -> String {
    format!("{number:.0}")
}

/// Counts come as floats, and are whole.
#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
fn whole(number: f64) -> usize {
    number as usize
}

// === impl Part ===

impl Part {
    fn of(numbers: &Numbers, length: Option<Duration>) -> Self {
        let p50 = |histogram: &Histogram| histogram.quantile(0.5);
        let [start, forward, answer] = &numbers.cold;
        Self {
            requests: numbers.requests(),
            requests_per_second: length
                .map(|length| numbers.requests() / length.as_secs_f64().max(f64::MIN_POSITIVE)),
            errors: numbers.errors(),
            retries: numbers.retries,
            duration_seconds: Quantiles::of(&numbers.duration),
            waited: numbers.wait.count(),
            wait_seconds: Quantiles::of(&numbers.wait),
            cold_starts: numbers.cold_starts(),
            cold_part: numbers.cold_part(),
            cold_p50_seconds: Cold { start: p50(start), forward: p50(forward), answer: p50(answer) },
        }
    }
}

// === impl Quantiles ===

impl Quantiles {
    fn of(histogram: &Histogram) -> Self {
        let at = |quantile| histogram.quantile(quantile);
        Self { p50: at(0.5), p95: at(0.95), p99: at(0.99) }
    }
}

#[cfg(test)]
mod tests {
    use super::{
        super::{Counted, Reading, numbers},
        *,
    };

    fn reading(requests: u32, cold: u32) -> Reading {
        let text = format!(
            r#"
flint_gateway_requests_total{{namespace="shop",function="cart",code="2xx"}} {requests}
flint_gateway_requests_total{{namespace="shop",function="cart",code="5xx"}} 1
flint_gateway_retries_total{{namespace="shop",function="cart"}} 3
flint_gateway_in_flight_requests{{namespace="shop",function="cart"}} 2
flint_gateway_queue_length{{namespace="shop",function="cart"}} 4
flint_gateway_instances{{namespace="shop",function="cart"}} 5
flint_gateway_request_duration_seconds_bucket{{namespace="shop",function="cart",le="0.005"}} {requests}
flint_gateway_request_duration_seconds_bucket{{namespace="shop",function="cart",le="0.25"}} {most}
flint_gateway_request_duration_seconds_bucket{{namespace="shop",function="cart",le="+Inf"}} {most}
flint_gateway_cold_start_seconds_bucket{{namespace="shop",function="cart",phase="start",le="0.25"}} {cold}
flint_gateway_cold_start_seconds_bucket{{namespace="shop",function="cart",phase="start",le="+Inf"}} {cold}
flint_gateway_requests_total{{namespace="default",function="idle",code="2xx"}} 12
flint_gateway_instances{{namespace="default",function="idle"}} 0
"#,
            most = requests + 1,
        );
        let counted =
            Counted { since: Timestamp::from_second(1_700_000_000).ok(), functions: numbers::read(&text) };
        Reading { gateways: [("flint-gateway-a".to_owned(), counted)].into() }
    }

    fn window() -> Window {
        reading(1_040, 3).window(&reading(1_000, 2), Duration::from_secs(2))
    }

    #[test]
    fn one_function_for_people_and_for_scripts() {
        let key = ("shop".to_owned(), "cart".to_owned());
        let now = Timestamp::from_second(1_700_007_260).unwrap();
        insta::assert_snapshot!(one(&key, &window(), now));
        insta::assert_snapshot!(serde_json::to_string_pretty(&facts(&key, &window())).unwrap());
    }

    #[test]
    fn all_functions_the_busiest_first() {
        insta::assert_snapshot!(top(&window(), None));
    }

    #[test]
    fn one_namespaces_functions() {
        insta::assert_snapshot!(top(&window(), Some("default")));
        assert_eq!(all_facts(&window(), Some("default")).len(), 1);
    }

    #[test]
    fn numbers_are_as_exact_as_anybody_needs() {
        let times = [None, Some(0.0031), Some(0.0315), Some(1.25)].map(seconds);
        assert_eq!(times, ["-", "3.1 ms", "32 ms", "1.2 s"]);
        assert_eq!(
            [None, Some(0.0), Some(0.0001), Some(0.125)].map(percent),
            ["-", "0 %", "<0.1 %", "12.5 %"]
        );
        assert_eq!([0.0, 0.5, 12.5].map(rounded), ["0", "0.5", "12"]);
    }
}
