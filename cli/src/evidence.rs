//! What tells why a function is as it is: events about it and its objects, and the last words of its instances.

use flint_api::labels;
use jiff::Timestamp;
use k8s_openapi::api::core::v1::{Event, Pod};
use kube::{
    Api, ResourceExt,
    api::{ListParams, LogParams},
};
use serde::Serialize;
use serde_json::Value;

use crate::cluster::Cluster;

/// An event, as far as people want to know it.
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
pub struct Happening {
    /// When it happened last.
    pub time: Option<Timestamp>,
    /// Whether something is wrong.
    pub warning: bool,
    /// What sort of thing, in CamelCase.
    pub reason: String,
    /// What happened.
    pub message: String,
    /// To which object: `Pod/hello-3f9c2a71-x2x4z`.
    pub object: String,
    /// How often.
    pub count: i32,
}

/// Lines read of a log's end: an instance that fails writes its reason last.
const TAIL: i64 = 60;

/// The events of a function and of its revisions' objects, the newest last. Nobody's rights are needed for the rest, so who may not read
/// them sees none.
pub async fn events(cluster: &Cluster, function: &str, revisions: &[String]) -> Vec<Happening> {
    let events: Api<Event> = Api::namespaced(cluster.client.clone(), &cluster.namespace);
    let Ok(list) = events.list(&ListParams::default()).await else { return Vec::new() };
    let mut found: Vec<_> =
        list.items.iter().filter(|event| is_about(event, function, revisions)).map(Happening::of).collect();
    found.sort_by_key(|happening| happening.time);
    found
}

/// The last `lines` of what an instance of the revision wrote, errors before anything else; of the instance before, where the present one
/// has written nothing.
pub async fn last_words(cluster: &Cluster, revision: &str, lines: usize) -> Vec<String> {
    for pod in pods(cluster, labels::REVISION, revision).await.iter().rev() {
        for previous in [false, true] {
            let words = last(&log(cluster, pod, previous, Some(TAIL)).await, lines);
            if !words.is_empty() {
                return words;
            }
        }
    }
    Vec::new()
}

/// The last line with an error that the newest instance of a revision wrote.
pub async fn last_error(cluster: &Cluster, revision: &str) -> Option<String> {
    for pod in pods(cluster, labels::REVISION, revision).await.iter().rev() {
        let log = log(cluster, pod, false, Some(TAIL)).await;
        let error = log.lines().rev().filter_map(message).find(|(error, _)| *error);
        if let Some((_, text)) = error {
            return Some(text);
        }
    }
    None
}

/// How long the code of a revision took to initialize, as one of its instances wrote when it was ready.
pub async fn init_ms(cluster: &Cluster, revision: &str) -> Option<f64> {
    for pod in pods(cluster, labels::REVISION, revision).await {
        let found = init_of(&log(cluster, &pod, false, None).await);
        if found.is_some() {
            return found;
        }
    }
    None
}

/// The pods with a label, the oldest first; none for who may not read them.
pub async fn pods(cluster: &Cluster, label: &str, value: &str) -> Vec<Pod> {
    let pods: Api<Pod> = Api::namespaced(cluster.client.clone(), &cluster.namespace);
    let selector = ListParams::default().labels(&format!("{label}={value}"));
    let mut pods = pods.list(&selector).await.map(|list| list.items).unwrap_or_default();
    pods.sort_by_key(ResourceExt::creation_timestamp);
    pods
}

/// The end of a pod's log, or its beginning where no `tail` is given.
async fn log(cluster: &Cluster, pod: &Pod, previous: bool, tail: Option<i64>) -> String {
    let pods: Api<Pod> = Api::namespaced(cluster.client.clone(), &cluster.namespace);
    let containers = pod.spec.as_ref().map_or(&[][..], |spec| &spec.containers);
    // Beside a user's image it is the watchdog that knows when the code was ready, and the code that knows why it failed.
    let ready_line =
        tail.is_none() && containers.iter().any(|container| container.name == labels::WATCHDOG_CONTAINER);
    let container = if ready_line { labels::WATCHDOG_CONTAINER } else { labels::FUNCTION_CONTAINER };
    let params = LogParams {
        container: Some(container.to_owned()),
        previous,
        tail_lines: tail,
        limit_bytes: Some(128 * 1024),
        ..LogParams::default()
    };
    pods.logs(&pod.name_any(), &params).await.unwrap_or_default()
}

/// What the lines say, without the watchdog's own course of things.
fn last(log: &str, lines: usize) -> Vec<String> {
    let parsed: Vec<_> = log.lines().filter_map(message).collect();
    let errors: Vec<_> = parsed.iter().filter(|(error, _)| *error).collect();
    let chosen: Vec<_> = if errors.is_empty() { parsed.iter().collect() } else { errors };
    let from = chosen.len().saturating_sub(lines);
    chosen[from..].iter().map(|(_, text)| text.clone()).collect()
}

/// Whether a line tells of an error, and what it says; none for the watchdog's own lines.
fn message(line: &str) -> Option<(bool, String)> {
    let Ok(Value::Object(fields)) = serde_json::from_str::<Value>(line) else {
        return (!line.trim().is_empty()).then(|| (false, line.to_owned()));
    };
    let text = fields.get("message")?.as_str()?.to_owned();
    let level = fields.get("level").and_then(Value::as_str).unwrap_or("info");
    let own =
        ["listening", "package unpacked", "ready", "announced", "draining", "ended"].contains(&text.as_str());
    (!own && !text.trim().is_empty() && !text.starts_with("REPORT ")).then(|| (level == "error", text))
}

fn init_of(log: &str) -> Option<f64> {
    let lines = log.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    lines.filter(|line| line["message"] == "ready").find_map(|line| line["initMs"].as_f64())
}

/// About the Function itself, or about an object whose name begins with one of its revisions'.
fn is_about(event: &Event, function: &str, revisions: &[String]) -> bool {
    let object = &event.involved_object;
    let (kind, name) =
        (object.kind.as_deref().unwrap_or_default(), object.name.as_deref().unwrap_or_default());
    let of_revision = |revision: &String| {
        name.strip_prefix(revision.as_str()).is_some_and(|rest| rest.is_empty() || rest.starts_with('-'))
    };
    (kind == "Function" && name == function) || (kind != "Function" && revisions.iter().any(of_revision))
}

// === impl Happening ===

impl Happening {
    fn of(event: &Event) -> Self {
        let object = &event.involved_object;
        let series = event.series.as_ref();
        let time = series
            .and_then(|series| series.last_observed_time.as_ref())
            .map(|time| time.0)
            .or(event.last_timestamp.as_ref().map(|time| time.0))
            .or(event.event_time.as_ref().map(|time| time.0))
            .or(event.first_timestamp.as_ref().map(|time| time.0));
        let name = object.name.as_deref().unwrap_or_default();
        Self {
            time,
            warning: event.type_.as_deref() == Some("Warning"),
            reason: event.reason.clone().unwrap_or_default(),
            message: event.message.clone().unwrap_or_default().trim().to_owned(),
            object: format!("{}/{name}", object.kind.as_deref().unwrap_or_default()),
            count: series.and_then(|series| series.count).or(event.count).unwrap_or(1),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn event(kind: &str, name: &str) -> Event {
        let event = json!({"metadata": {}, "involvedObject": {"kind": kind, "name": name}});
        serde_json::from_value(event).unwrap()
    }

    #[test]
    fn events_of_a_function_are_told_from_those_of_its_namesakes() {
        let revisions = ["hello-3f9c2a71".to_owned()];
        let about = |kind, name| is_about(&event(kind, name), "hello", &revisions);
        assert!(about("Function", "hello"));
        assert!(about("Pod", "hello-3f9c2a71-7d9f-x2x4z"));
        assert!(about("Deployment", "hello-3f9c2a71"));
        assert!(!about("Function", "hello-3f9c2a71"));
        assert!(!about("Pod", "hello-world-3f9c2a71-7d9f-x2x4z"));
    }

    #[test]
    fn the_last_words_are_the_errors() {
        let log = concat!(
            r#"{"time":"…","level":"info","message":"listening"}"#,
            "\n",
            r#"{"time":"…","level":"info","message":"loading the model"}"#,
            "\n",
            r#"{"time":"…","level":"error","message":"[ERROR] Runtime.ImportModuleError: No module named 'numpy'"}"#,
            "\n",
            r#"{"time":"…","level":"info","message":"draining"}"#,
            "\n",
        );
        assert_eq!(last(log, 5), ["[ERROR] Runtime.ImportModuleError: No module named 'numpy'"]);
        assert_eq!(last("starting\npanic: no port\n", 1), ["panic: no port"]);
        assert!(last(r#"{"level":"info","message":"ready","initMs":61.4}"#, 5).is_empty());
    }

    #[test]
    fn the_ready_line_tells_how_long_the_code_took() {
        let log = "{\"message\":\"listening\"}\n{\"message\":\"ready\",\"initMs\":61.40}\n";
        assert_eq!(init_of(log), Some(61.4));
        assert_eq!(init_of("not JSON"), None);
    }
}
