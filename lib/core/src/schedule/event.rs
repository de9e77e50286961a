//! The event of a schedule that names no input of its own.

use jiff::{Timestamp, Unit};
use serde_json::{Value, json};

/// EventBridge's scheduled event, as functions written for it expect: the due time to the second, and the schedule as the
/// one resource. `id` is the firing's, the same when it is repeated.
#[must_use]
pub fn scheduled_event(id: &str, due: Timestamp, resource: &str) -> Value {
    json!({
        "version": "0",
        "id": id,
        "detail-type": "Scheduled Event",
        "source": "aws.events",
        "account": "",
        "time": due.round(Unit::Second).unwrap_or(due).to_string(),
        "region": "",
        "resources": [resource],
        "detail": {},
    })
}
