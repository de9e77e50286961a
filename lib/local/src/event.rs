//! What a platform tells of itself, in order: to a terminal, a page, or a test.

use std::{sync::Arc, time::Duration};

use jiff::Timestamp;
use serde::{Deserialize, Serialize, Serializer};
use serde_json::{Map, Value};
use tokio::sync::broadcast;

use crate::{Invocation, Key};

/// An event, with its number and its time.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Told {
    /// Counts up from 1; [`crate::Platform::replay`] takes it.
    pub id: u64,
    /// When it was told.
    pub time: Timestamp,
    /// What happened.
    #[serde(flatten)]
    pub event: Event,
}

/// What happened.
#[derive(Clone, Debug, Serialize)]
#[serde(tag = "kind", rename_all = "camelCase", rename_all_fields = "camelCase")]
pub enum Event {
    /// A process is being started.
    InstanceStarting {
        /// Whose it is.
        function: Key,
        /// Its name.
        instance: String,
        /// Its revision.
        revision: String,
    },
    /// It can be called.
    InstanceReady {
        /// Whose it is.
        function: Key,
        /// Its name.
        instance: String,
        /// Its revision.
        revision: String,
        /// From the start of its process to its readiness.
        #[serde(rename = "initMs", serialize_with = "millis")]
        init: Duration,
    },
    /// Its process is gone.
    InstanceEnded {
        /// Whose it was.
        function: Key,
        /// Its name.
        instance: String,
        /// Its revision.
        revision: String,
        /// Why.
        reason: Ended,
    },
    /// A line that a function, or the watchdog on its behalf, wrote.
    Log(Log),
    /// A request is over.
    Invocation(Box<Invocation>),
    /// A schedule was fired, by the clock or by [`crate::Platform::fire`], and its call is over.
    ScheduleFired {
        /// Whose it is.
        function: Key,
        /// Its name.
        schedule: String,
        /// When it was due.
        due: Timestamp,
        /// How the call ended.
        status: u16,
    },
    /// A function is new, or another revision of it gets the requests.
    FunctionUpdated {
        /// Which one.
        function: Key,
        /// The revision that gets requests from here on.
        revision: String,
        /// From [`crate::Platform::update`] to now.
        #[serde(rename = "tookMs", serialize_with = "millis")]
        took: Duration,
    },
    /// A revision does not come up. An older one that runs keeps the requests.
    FunctionFailed {
        /// Which function.
        function: Key,
        /// The revision that does not come up.
        revision: String,
        /// Why.
        reason: Reason,
        /// Whether an older revision serves in its place.
        older_serves: bool,
    },
    /// A function is not served any more.
    FunctionRemoved {
        /// Which one.
        function: Key,
    },
    /// Something that the platform cannot do here, and what follows from it.
    Notice {
        /// The function that it is about, if it is about one.
        function: Option<Key>,
        /// A sentence for people.
        message: String,
    },
}

/// A line of a log.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Log {
    /// Whose it is.
    pub function: Key,
    /// The instance.
    pub instance: String,
    /// debug, info, warn or error.
    pub level: String,
    /// The request that it belongs to, where that is known.
    pub request_id: Option<String>,
    /// The line. Its end is cut off beyond 64 KiB.
    pub message: String,
    /// What else there was in a line that is a JSON object.
    #[serde(skip_serializing_if = "Map::is_empty")]
    pub fields: Map<String, Value>,
}

/// Why an instance is gone.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "why", rename_all = "camelCase")]
pub enum Ended {
    /// There was too little to do.
    ScaledDown,
    /// Another revision has its place.
    Replaced,
    /// Its function was removed, or the platform stops.
    Stopped,
    /// It never became ready, or could not go on.
    Failed(Reason),
}

/// Why something failed: the runtime's own words where there are any.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Reason {
    /// Such as `Runtime.ImportModuleError`.
    pub error_type: String,
    /// A sentence.
    #[serde(rename = "errorMessage")]
    pub message: String,
    /// The innermost frames, where there are any.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub stack_trace: Vec<String>,
}

/// A listener: what was told lately, and what is told from now on, without a gap.
pub struct Events {
    /// The latest events, oldest first.
    pub past: Vec<Arc<Told>>,
    /// Those that follow. A listener who is too slow is told how many it missed.
    pub live: broadcast::Receiver<Arc<Told>>,
}

// === impl Reason ===

impl Reason {
    /// A reason without a stack.
    #[must_use]
    pub fn new(error_type: impl Into<String>, message: impl Into<String>) -> Self {
        Self { error_type: error_type.into(), message: message.into(), stack_trace: Vec::new() }
    }
}

impl std::fmt::Display for Reason {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { error_type, message, stack_trace: _ } = self;
        match (error_type.as_str(), message.as_str()) {
            ("", message) => f.write_str(message),
            (error_type, "") => f.write_str(error_type),
            (error_type, message) => write!(f, "{error_type}: {message}"),
        }
    }
}

/// Milliseconds with three places, as the access log has them.
pub(crate) fn millis<S: Serializer>(time: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_f64(time.as_micros() as f64 / 1000.0)
}
