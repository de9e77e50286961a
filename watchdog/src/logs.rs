//! The log: one JSON object a line, with the same first fields on every line.

mod lines;
mod sink;
mod stream;
mod tail;
mod text;

use std::fmt::Write as _;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use flint_core::json::push_text;
use serde_json::{Map, Value};

pub use self::lines::{Piece, Splitter};
pub use self::sink::{Output, Sink};
pub use self::stream::{ChildStream, Origin, Pipes, Pump};
pub use self::tail::{Attribution, Tail};

pub(crate) use self::text::{push_millis, push_number};
use crate::config::Identity;

/// How much a line matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// For whoever works on the watchdog.
    Debug,
    /// The ordinary course of things.
    Info,
    /// Something went wrong and was dealt with.
    Warn,
    /// Somebody has to look.
    Error,
}

/// A field of a line, beside the ones that every line has.
#[derive(Clone, Copy, Debug)]
pub enum Field<'a> {
    /// Text.
    Text(&'a str),
    /// A whole number.
    Count(u64),
    /// A time, shown in milliseconds to two places.
    Millis(Duration),
}

/// Writes lines; cheap to clone.
#[derive(Clone)]
pub struct Logger {
    sink: Sink,
    level: Level,
    /// The fields that are the same on every line, rendered once.
    identity: Arc<str>,
}

// === impl Logger ===

impl Logger {
    /// A logger for one instance.
    #[must_use]
    pub fn new(sink: Sink, level: Level, identity: &Identity) -> Self {
        let mut rendered = String::new();
        for (name, value) in [
            ("function", &identity.function),
            ("namespace", &identity.namespace),
            ("revision", &identity.revision),
        ] {
            if !value.is_empty() {
                let _ = write!(rendered, ",\"{name}\":{}", Value::from(value.as_str()));
            }
        }
        Self { sink, level, identity: rendered.into() }
    }

    /// A line of the watchdog's own.
    pub fn log(&self, level: Level, request_id: Option<&str>, message: &str, fields: &[(&str, Field<'_>)]) {
        self.compose(level, request_id, |line| {
            push_text(line, message);
            for (name, field) in fields {
                line.extend_from_slice(b",\"");
                line.extend_from_slice(name.as_bytes());
                line.extend_from_slice(b"\":");
                match field {
                    Field::Text(text) => push_text(line, text),
                    Field::Count(count) => push_number(line, *count),
                    Field::Millis(time) => push_millis(line, *time),
                }
            }
        });
    }

    /// The same, its message (a text in quotes) and its fields written by the caller.
    pub(crate) fn compose(&self, level: Level, request_id: Option<&str>, rest: impl FnOnce(&mut Vec<u8>)) {
        if level < self.level {
            return;
        }
        self.line(level.as_str(), request_id, |line| {
            rest(line);
            // A function may write the same words.
            line.extend_from_slice(b",\"source\":\"watchdog\"");
        });
    }

    /// A line without a request.
    pub fn say(&self, level: Level, message: &str) {
        self.log(level, None, message, &[]);
    }

    /// A line of the child's, as it is. `piece` counts the pieces of a line that is too long for one object.
    pub fn relay(&self, origin: Origin, request_id: Option<&str>, text: &str, piece: Option<Piece>) {
        if piece.is_none() && text.starts_with('{') && self.relay_object(request_id, text) {
            return;
        }
        self.line(level_of(text), request_id, |line| {
            push_text(line, text);
            if origin == Origin::Stderr {
                line.extend_from_slice(b",\"stream\":\"stderr\"");
            }
            if let Some(piece) = piece {
                line.extend_from_slice(b",\"part\":");
                push_number(line, piece.number.into());
                line.extend_from_slice(if piece.last { b",\"last\":true" } else { b",\"last\":false" });
            }
        });
    }

    /// Bytes dropped because nobody read the log.
    #[must_use]
    pub fn dropped(&self) -> u64 {
        self.sink.dropped()
    }

    /// Waits until the log has room, so that a child that writes faster than the log is read waits too.
    pub async fn room(&self) {
        self.sink.room().await;
    }

    /// Writes what is pending before the end.
    pub fn flush(&self) {
        self.sink.flush();
    }

    /// A line that is a JSON object keeps its fields and gets ours where it has none of that name.
    fn relay_object(&self, request_id: Option<&str>, text: &str) -> bool {
        let Ok(theirs) = serde_json::from_str::<Map<String, Value>>(text) else { return false };
        let named = |names: &[&str]| names.iter().find_map(|name| theirs.get(*name)).and_then(Value::as_str);
        let level = named(&["level", "severity"]).map_or("info", normalized);
        let message =
            ["message", "msg"].iter().find_map(|name| theirs.get(*name)).map_or_else(String::new, text_of);
        let id = named(&["requestId", "aws_request_id", "request_id", "AWSRequestId"]).or(request_id);
        self.line(level, id, |line| {
            push_text(line, &message);
            for (name, value) in &theirs {
                if !matches!(
                    name.as_str(),
                    "level" | "message" | "requestId" | "function" | "namespace" | "revision" | "time"
                ) {
                    line.push(b',');
                    push_text(line, name);
                    line.push(b':');
                    // Writing a value into memory cannot fail.
                    let _ = serde_json::to_writer(&mut *line, value);
                }
            }
        });
        true
    }

    /// Writes a line: what all have, up to its message, and the rest.
    fn line(&self, level: &str, request_id: Option<&str>, rest: impl FnOnce(&mut Vec<u8>)) {
        self.sink.push(|line, stamp| {
            line.extend_from_slice(b"{\"time\":\"");
            stamp.push(line);
            line.extend_from_slice(b"\",\"level\":\"");
            line.extend_from_slice(level.as_bytes());
            line.push(b'"');
            line.extend_from_slice(self.identity.as_bytes());
            if let Some(id) = request_id {
                line.extend_from_slice(b",\"requestId\":");
                push_text(line, id);
            }
            line.extend_from_slice(b",\"message\":");
            rest(line);
            line.extend_from_slice(b"}\n");
        });
    }
}

fn text_of(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

/// The level that the text begins with, as Python's and Node's clients write it: `[ERROR]`.
fn level_of(text: &str) -> &'static str {
    let Some((name, _)) =
        text.strip_prefix('[').and_then(|rest| rest.get(..rest.len().min(12))?.split_once(']'))
    else {
        return "info";
    };
    if name.bytes().all(|byte| byte.is_ascii_uppercase()) { normalized(name) } else { "info" }
}

fn normalized(level: &str) -> &'static str {
    match level.to_ascii_lowercase().as_str() {
        "trace" | "debug" => "debug",
        "warn" | "warning" => "warn",
        "error" | "critical" | "fatal" | "emergency" | "alert" | "panic" => "error",
        _ => "info",
    }
}

// === impl Level ===

impl Level {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Debug => "debug",
            Self::Info => "info",
            Self::Warn => "warn",
            Self::Error => "error",
        }
    }
}

impl FromStr for Level {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        match text {
            "trace" | "debug" => Ok(Self::Debug),
            "info" => Ok(Self::Info),
            "warn" => Ok(Self::Warn),
            "error" => Ok(Self::Error),
            _ => Err(()),
        }
    }
}

#[cfg(test)]
mod tests;
