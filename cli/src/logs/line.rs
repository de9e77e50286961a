//! A line of a container's log, and what the watchdog says in it.

use std::sync::Arc;

use clap::ValueEnum;
use jiff::Timestamp;
use serde_json::{Map, Value};

/// The container of a pod that wrote a line.
#[derive(Clone, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct Origin {
    /// The pod's name.
    pub pod: String,
    /// The container's name.
    pub container: String,
}

/// A line of a container's log.
#[derive(Clone, Debug, PartialEq)]
pub struct Line {
    /// When the container's runtime read it.
    pub time: Timestamp,
    /// Who wrote it.
    pub origin: Arc<Origin>,
    /// The line as it was written.
    pub text: String,
    /// What it says, where it is one of the watchdog's or looks like one.
    pub entry: Option<Entry>,
}

/// What a line of JSON says.
#[derive(Clone, Debug, PartialEq)]
pub struct Entry {
    /// How much it matters.
    pub level: Level,
    /// The request it belongs to.
    pub request: Option<String>,
    /// The revision of the instance.
    pub revision: Option<String>,
    /// The text.
    pub message: String,
    /// The report of an invocation, where it is one.
    pub report: Option<Report>,
    /// Every other field.
    pub fields: Map<String, Value>,
}

/// The report of an invocation that is over.
#[derive(Clone, Debug, PartialEq)]
pub struct Report {
    /// Time at the function, in milliseconds.
    pub duration: f64,
    /// Time to initialize, in milliseconds, on the first invocation.
    pub init: Option<f64>,
    /// The most memory used so far, in MiB.
    pub used: Option<u64>,
    /// The memory limit, in MiB.
    pub limit: Option<u64>,
    /// `success`, `error`, `timeout` or `gone`.
    pub status: String,
}

/// How much a line matters.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd, ValueEnum)]
pub enum Level {
    /// For whoever works on the code.
    Debug,
    /// The ordinary course of things.
    Info,
    /// Something went wrong and was dealt with.
    Warn,
    /// Somebody has to look.
    Error,
}

/// What an entry shows elsewhere, or what says nothing new.
const SHOWN: [&str; 12] = [
    "time",
    "level",
    "severity",
    "function",
    "namespace",
    "revision",
    "requestId",
    "message",
    "msg",
    "stream",
    "part",
    "last",
];

// === impl Line ===

impl Line {
    /// Reads a line as the API server sends it with `timestamps`: a time, a space, the text. None where there is no time.
    #[must_use]
    pub fn parse(origin: &Arc<Origin>, raw: &[u8]) -> Option<Self> {
        let raw = String::from_utf8_lossy(raw);
        let (time, text) = raw.split_once(' ').unwrap_or((&raw, ""));
        let time = time.parse().ok()?;
        let text = text.trim_end_matches(['\r', '\n']);
        Some(Self { time, origin: Arc::clone(origin), text: text.to_owned(), entry: Entry::parse(text) })
    }

    /// The request it belongs to.
    #[must_use]
    pub fn request(&self) -> Option<&str> {
        self.entry.as_ref()?.request.as_deref()
    }

    /// What is read in it: the message, or the line itself.
    #[must_use]
    pub fn message(&self) -> &str {
        self.entry.as_ref().map_or(&self.text, |entry| &entry.message)
    }

    /// How much it matters; a line that does not say is ordinary.
    #[must_use]
    pub fn level(&self) -> Level {
        self.entry.as_ref().map_or(Level::Info, |entry| entry.level)
    }
}

// === impl Entry ===

impl Entry {
    /// Reads a JSON object with a message; anything else is no entry.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        if !text.starts_with('{') {
            return None;
        }
        let mut fields: Map<String, Value> = serde_json::from_str(text).ok()?;
        let message = fields.get("message").or_else(|| fields.get("msg"))?.as_str()?.to_owned();
        let owned = |name: &str| fields.get(name).and_then(Value::as_str).map(str::to_owned);
        let level = owned("level").or_else(|| owned("severity"));
        let level = Level::named(level.as_deref().unwrap_or_default());
        let (request, revision) = (owned("requestId"), owned("revision"));
        let report = Report::take(&mut fields);
        fields.retain(|name, _| !SHOWN.contains(&name.as_str()));
        Some(Self { level, request, revision, message, report, fields })
    }
}

// === impl Report ===

impl Report {
    /// Takes a report's fields out of a line's, where they are all there.
    fn take(fields: &mut Map<String, Value>) -> Option<Self> {
        fields.get("billedDurationMs")?;
        let report = Self {
            duration: fields.get("durationMs")?.as_f64()?,
            init: fields.get("initDurationMs").and_then(Value::as_f64),
            used: fields.get("maxMemoryUsedMB").and_then(Value::as_u64),
            limit: fields.get("memorySizeMB").and_then(Value::as_u64),
            status: fields.get("status")?.as_str()?.to_owned(),
        };
        for name in
            ["durationMs", "billedDurationMs", "initDurationMs", "maxMemoryUsedMB", "memorySizeMB", "status"]
        {
            fields.remove(name);
        }
        Some(report)
    }

    /// Whether the function answered.
    #[must_use]
    pub fn is_success(&self) -> bool {
        self.status == "success"
    }
}

// === impl Level ===

impl Level {
    /// The level of that name, in anybody's words; an unknown one is ordinary.
    fn named(name: &str) -> Self {
        match name.to_ascii_lowercase().as_str() {
            "trace" | "debug" => Self::Debug,
            "warn" | "warning" => Self::Warn,
            "error" | "critical" | "fatal" | "panic" => Self::Error,
            _ => Self::Info,
        }
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// A line of `container` in `pod`.
    pub(in crate::logs) fn line(pod: &str, raw: &str) -> Line {
        let origin = Arc::new(Origin { pod: pod.to_owned(), container: "function".to_owned() });
        Line::parse(&origin, raw.as_bytes()).unwrap()
    }

    #[test]
    fn a_report_is_read_with_its_numbers() {
        let text = r#"2026-11-21T14:03:07.123456789Z {"time":"2026-11-21T14:03:07.123Z","level":"info","function":"hello","namespace":"shop","revision":"hello-3f9c2a71","requestId":"8f5e","message":"REPORT RequestId: 8f5e","durationMs":12.34,"billedDurationMs":74,"memorySizeMB":128,"maxMemoryUsedMB":39,"initDurationMs":61.50,"status":"success"}"#;
        let line = line("hello-x", text);
        assert_eq!(line.request(), Some("8f5e"));
        let entry = line.entry.unwrap();
        assert_eq!(entry.revision.as_deref(), Some("hello-3f9c2a71"));
        let report = entry.report.unwrap();
        assert_eq!((report.duration, report.init), (12.34, Some(61.5)));
        assert_eq!((report.used, report.limit, report.is_success()), (Some(39), Some(128), true));
        assert!(entry.fields.is_empty(), "{:?}", entry.fields);
    }

    #[test]
    fn what_is_no_json_is_a_line_as_it_is() {
        for text in ["plain", "{broken", "{\"no\":\"message\"}", "[1]", ""] {
            let line = line("p", &format!("2026-11-21T14:03:07Z {text}"));
            assert_eq!((line.message(), line.level()), (text, Level::Info));
            assert_eq!(line.entry, None);
        }
    }

    #[test]
    fn other_loggers_words_are_understood() {
        let line =
            line("p", r#"2026-11-21T14:03:07Z {"severity":"WARNING","msg":"hot","temperature":41,"time":1}"#);
        assert_eq!((line.message(), line.level()), ("hot", Level::Warn));
        assert_eq!(Value::from(line.entry.unwrap().fields), serde_json::json!({"temperature": 41}));
    }

    #[test]
    fn a_line_without_a_time_is_none_of_a_log() {
        let origin = Arc::new(Origin { pod: "p".to_owned(), container: "function".to_owned() });
        assert_eq!(Line::parse(&origin, b"unable to retrieve container logs"), None);
    }
}
