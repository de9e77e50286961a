//! Where the time of a cold start goes: the API server's audit log and the watchdog's own log, put on one line of time.
//!
//! Both have the machine's clock. The phases follow each other without a gap, so that they add up to what the client measured.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::{audit::Gathered, report::Times};

/// What the phases are called, in their order.
const NAMES: [&str; 9] = [
    "request, gateway, operator: until the API server has the scale",
    "the scale is written",
    "Deployment and ReplicaSet: until the pod is asked for",
    "the pod is written",
    "the scheduler: until the pod is bound",
    "kubelet and containerd: until the watchdog's first instruction",
    "the watchdog listens, fetches the package and unpacks it",
    "the child starts and is ready",
    "the announcement, the request and its answer",
];

/// What the API server was asked for in a namespace.
pub(crate) struct Asked {
    namespace: String,
    events: Vec<Event>,
}

/// One start, as the client saw it, and what the instance logged.
#[derive(Clone, Debug)]
pub(crate) struct Start {
    pub(crate) sent: Timestamp,
    pub(crate) answered: Timestamp,
    pub(crate) pod: String,
    pub(crate) log: String,
}

/// One phase over all starts.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Phase {
    name: &'static str,
    ms: Times,
}

/// What the account says: each phase over all starts, and the slowest starts phase by phase.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Account {
    phases: Vec<Phase>,
    /// Milliseconds of each phase, the slowest start first.
    slowest: Vec<Vec<f64>>,
    /// Starts that are not in it, by what of them is not in the logs.
    unaccounted: BTreeMap<&'static str, usize>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Event {
    verb: String,
    object_ref: Option<Object>,
    request_received_timestamp: Timestamp,
    stage_timestamp: Timestamp,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Object {
    resource: String,
    subresource: String,
    namespace: String,
    name: String,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Line {
    time: Timestamp,
    message: String,
    #[serde(default)]
    since_start_ms: f64,
}

/// As many of the slowest starts are told one by one.
const SLOWEST: usize = 10;

// === impl Asked ===

impl Asked {
    pub(crate) fn new(namespace: &str) -> Self {
        Self { namespace: namespace.to_owned(), events: Vec::new() }
    }

    /// Puts the starts of functions of the namespace on one line of time.
    pub(crate) fn account(&mut self, starts: &[Start]) -> Account {
        self.events.sort_by_key(|event| event.request_received_timestamp);
        let (mut rows, mut unaccounted) = (Vec::new(), BTreeMap::new());
        for start in starts {
            match row(start, &self.events) {
                Ok(row) => rows.push(row),
                Err(Missing(what)) => *unaccounted.entry(what).or_insert(0) += 1,
            }
        }
        let phases = NAMES.iter().enumerate().map(|(column, &name)| {
            let samples: Vec<f64> = rows.iter().map(|row| row[column]).collect();
            Phase { name, ms: Times::of_samples(&samples) }
        });
        let phases = phases.collect();
        rows.sort_by(|one, other| other.iter().sum::<f64>().total_cmp(&one.iter().sum()));
        let slowest = rows.iter().take(SLOWEST).map(|row| row.to_vec()).collect();
        Account { phases, slowest, unaccounted }
    }
}

impl Gathered for Asked {
    fn line(&mut self, line: &str) {
        if !line.contains(&self.namespace) {
            return;
        }
        let Ok(event) = serde_json::from_str::<Event>(line) else { return };
        if event.object_ref.as_ref().is_some_and(|object| object.namespace == self.namespace) {
            self.events.push(event);
        }
    }
}

// === impl Account ===

impl Account {
    /// As a table.
    pub(crate) fn print(&self) {
        println!("\n{:66} {:>8} {:>8} {:>8}", "ms", "p50", "p95", "max");
        for Phase { name, ms } in &self.phases {
            println!("{name:66} {:>8.1} {:>8.1} {:>8.1}", ms.p50, ms.p95, ms.max);
        }
        println!("\nthe slowest, phase by phase:");
        for row in &self.slowest {
            let row: Vec<String> = row.iter().map(|ms| format!("{ms:7.1}")).collect();
            println!("{}", row.join(" "));
        }
        for (what, starts) in &self.unaccounted {
            println!("{starts} starts are not in the account: {what} is not in the logs");
        }
    }
}

/// A mark of a start that is not in the logs.
struct Missing(&'static str);

/// The phases of one start.
fn row(start: &Start, events: &[Event]) -> Result<[f64; NAMES.len()], Missing> {
    let find = |verb: &str, resource: &str, subresource: &str, name: Option<&str>| {
        events.iter().find(|event| {
            let Some(object) = &event.object_ref else { return false };
            event.verb == verb
                && (object.resource.as_str(), object.subresource.as_str()) == (resource, subresource)
                && name.is_none_or(|name| object.name == name)
                && event.request_received_timestamp >= start.sent
                && event.request_received_timestamp <= start.answered
        })
    };
    let scale = find("patch", "deployments", "scale", None).ok_or(Missing("its scale"))?;
    let created = find("create", "pods", "", None).ok_or(Missing("its pod"))?;
    let bound =
        find("create", "pods", "binding", Some(&start.pod)).ok_or(Missing("where its pod was bound"))?;
    let line = |message: &str| {
        let lines = start.log.lines().filter_map(|line| serde_json::from_str::<Line>(line).ok());
        lines.into_iter().find(|line| line.message == message)
    };
    let listening = line("listening").ok_or(Missing("that it listened"))?;
    let ready = line("ready").ok_or(Missing("that it was ready"))?;
    let first = listening.time - jiff::SignedDuration::from_secs_f64(listening.since_start_ms / 1000.0);
    let unpacked = line("package unpacked").map_or(listening.time, |line| line.time);
    let marks = [
        start.sent,
        scale.request_received_timestamp,
        scale.stage_timestamp,
        created.request_received_timestamp,
        created.stage_timestamp,
        bound.stage_timestamp,
        first,
        unpacked,
        ready.time,
        start.answered,
    ];
    let mut row = [0.0; NAMES.len()];
    for (phase, pair) in row.iter_mut().zip(marks.windows(2)) {
        *phase = pair[1].duration_since(pair[0]).as_secs_f64() * 1000.0;
    }
    Ok(row)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(verb: &str, resource: &str, subresource: &str, received: &str, done: &str) -> String {
        let object = serde_json::json!({
            "resource": resource, "subresource": subresource, "namespace": "shop", "name": "pod-1",
        });
        serde_json::json!({
            "verb": verb, "objectRef": object,
            "requestReceivedTimestamp": format!("2026-01-01T00:00:00.{received}Z"),
            "stageTimestamp": format!("2026-01-01T00:00:00.{done}Z"),
        })
        .to_string()
    }

    #[test]
    fn the_phases_add_up_to_what_the_client_saw() {
        let mut asked = Asked::new("shop");
        for line in [
            event("patch", "deployments", "scale", "005000", "010000"),
            event("create", "pods", "", "030000", "035000"),
            event("create", "pods", "binding", "040000", "045000"),
            "{\"half a line".to_owned(),
        ] {
            asked.line(&line);
        }
        let line = |millis: u32, message: &str| {
            let time = format!("2026-01-01T00:00:00.{millis:03}Z");
            serde_json::json!({"time": time, "message": message, "sinceStartMs": 2.0}).to_string()
        };
        let start = Start {
            sent: "2026-01-01T00:00:00Z".parse().unwrap(),
            answered: "2026-01-01T00:00:00.200Z".parse().unwrap(),
            pod: "pod-1".into(),
            log: [line(152, "listening"), line(160, "package unpacked"), line(180, "ready")].join("\n"),
        };
        let account = asked.account(std::slice::from_ref(&start));
        let row = &account.slowest[0];
        assert_eq!(row, &[5.0, 5.0, 20.0, 5.0, 10.0, 105.0, 10.0, 20.0, 20.0]);
        assert_eq!(row.iter().sum::<f64>(), 200.0);
        let without = Start { log: String::new(), ..start };
        assert_eq!(asked.account(&[without]).unaccounted, BTreeMap::from([("that it listened", 1)]));
    }
}
