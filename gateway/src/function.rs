//! A function as the data plane knows it: settings that change with its spec, and the state that lives beside them.

use std::{sync::Arc, time::Duration};

use flint_api::Mode;
use jiff::Timestamp;
use serde::Serialize;

use crate::{
    access,
    live::Live,
    split::{Split, Traffic},
};

/// A function's entry in the table. It is immutable: a changed function gets a new entry around the same [`Live`].
#[derive(Debug)]
pub struct Function {
    /// Its settings.
    pub seen: Seen,
    /// What outlives a change of settings: instances, requests, counters.
    pub live: Arc<Live>,
    /// Its other revisions, where there are any that could get requests.
    pub(crate) split: Option<Split>,
    /// What every line of the access log says of it.
    pub(crate) logged: Box<str>,
}

/// What a source of functions tells of one.
#[derive(Clone, Debug, PartialEq)]
pub struct Seen {
    /// Whose it is.
    pub key: Key,
    /// How the watchdog speaks to its code.
    pub mode: Mode,
    /// The one timeout.
    pub timeout: Duration,
    /// Requests per instance where an instance does not say so itself; 0 is no limit.
    pub concurrency: u32,
    /// The revision whose instances get requests; the first of several.
    pub revision: Option<String>,
    /// All that get requests, or can be called.
    pub traffic: Arc<Traffic>,
    /// API Gateway v1.0 events instead of v2.0.
    pub event_v1: bool,
    /// It can never start as it is written, and why.
    pub blocked: Option<Blocked>,
    /// Its schedules.
    pub schedules: Arc<[Scheduled]>,
    /// When it was made: what a schedule's `rate` counts from.
    pub created: Timestamp,
}

/// Why a function cannot start.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Blocked {
    /// CamelCase, for programs.
    pub reason: String,
    /// A sentence for people.
    pub message: String,
}

/// A function's name and namespace.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
pub struct Key {
    /// The namespace.
    pub namespace: String,
    /// The name.
    pub name: String,
}

/// A schedule of a function, and what is known of its firings.
#[derive(Clone, Debug, PartialEq)]
pub struct Scheduled {
    /// Its name.
    pub name: String,
    /// Its expression.
    pub cron: String,
    /// Its IANA time zone; UTC where there is none.
    pub time_zone: Option<String>,
    /// The event, where it is not EventBridge's.
    pub input: Option<serde_json::Value>,
    /// Whether it fires.
    pub enabled: bool,
    /// The due time of the last firing that was stored.
    pub last: Option<Timestamp>,
    /// Whether that one has been answered.
    pub last_done: bool,
    /// The due time that was announced in the status.
    pub next: Option<Timestamp>,
}

// === impl Function ===

impl Function {
    /// An entry.
    #[must_use]
    pub fn new(seen: Seen, live: Arc<Live>) -> Self {
        Self { logged: access::of_function(&seen), seen, live, split: None }
    }

    /// The same with other revisions beside it.
    #[must_use]
    pub(crate) fn with(self, split: Option<Split>) -> Self {
        Self { split, ..self }
    }
}

// === impl Key ===

impl Key {
    /// A key.
    pub fn new(namespace: impl Into<String>, name: impl Into<String>) -> Self {
        Self { namespace: namespace.into(), name: name.into() }
    }
}

impl std::fmt::Display for Key {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}/{}", self.namespace, self.name)
    }
}
