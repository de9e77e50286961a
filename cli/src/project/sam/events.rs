//! Events of a function: routes and schedules are done, and the others listed.

use super::intrinsics::Intrinsics;
use crate::project::{
    EventFormat, Note, Route,
    draft::name_of,
    routes,
    schema::closest,
    tree::{Entry, Node},
};

/// The events of one function.
pub(super) struct Events<'a> {
    pub(super) function: &'a str,
    pub(super) intrinsics: &'a mut Intrinsics,
    pub(super) routes: Vec<Route>,
    /// As a Function has them.
    pub(super) schedules: Vec<Node>,
    pub(super) notes: &'a mut Vec<Note>,
}

/// Other events there are.
const OTHERS: &[&str] = &[
    "AlexaSkill",
    "CloudWatchEvent",
    "CloudWatchLogs",
    "Cognito",
    "DocumentDB",
    "DynamoDB",
    "EventBridgeRule",
    "IoTRule",
    "Kinesis",
    "MQ",
    "MSK",
    "S3",
    "SelfManagedKafka",
    "SNS",
    "SQS",
];
const DONE: &[&str] = &["Api", "HttpApi", "Schedule", "ScheduleV2"];

// === impl Events ===

impl Events<'_> {
    pub(super) fn event(&mut self, entry: &Entry) {
        let kind = entry.value.get("Type").and_then(Node::scalar).unwrap_or_default();
        let empty = Node::map(&entry.spot);
        let properties = entry.value.get("Properties").unwrap_or(&empty);
        match kind {
            "Api" => self.http(entry, properties, EventFormat::V1),
            "HttpApi" => self.http(entry, properties, EventFormat::V2),
            "Schedule" => self.schedule(entry, properties, "Schedule"),
            "ScheduleV2" => self.schedule(entry, properties, "ScheduleExpression"),
            other if OTHERS.contains(&other) => {
                let message = format!(
                    "{}, {other}: Flint has no such event source; the function is there, and nothing but requests and schedules calls it",
                    entry.key
                );
                self.notes.push(Note::warning(&entry.spot.place(), message));
            }
            other => {
                let hint =
                    closest(other, &[OTHERS, DONE].concat()).map(|meant| format!(": did you mean {meant}?"));
                let message =
                    format!("{}: there is no event of Type {other}{}", entry.key, hint.unwrap_or_default());
                self.notes.push(Note::error(&entry.spot.place(), message));
            }
        }
    }

    fn http(&mut self, entry: &Entry, properties: &Node, event: EventFormat) {
        let key = &entry.key;
        let format = properties.get("PayloadFormatVersion").and_then(Node::scalar);
        let event = if format == Some("1.0") { EventFormat::V1 } else { event };
        for property in properties.entries() {
            let message = match property.key.as_str() {
                "Path" | "Method" | "ApiId" | "RestApiId" | "PayloadFormatVersion" => continue,
                "Auth" => format!("{key}: requests are not authorized here: anybody may call this route"),
                other => format!("{key}: {other} is not honoured on this route"),
            };
            self.notes.push(Note::warning(&property.spot.place(), message));
        }
        let mut part = |name: &str| {
            let node = properties.get(name)?.clone();
            self.intrinsics.known(&node, &format!("{key}.{name}"))
        };
        // An HttpApi event without a path takes what no other route does.
        let path = part("Path").unwrap_or_else(|| Node::text(&entry.spot, "$default"));
        let method = part("Method");
        let method = method.as_ref().and_then(Node::scalar).unwrap_or("ANY");
        let path_text = path.scalar().unwrap_or_default();
        match routes::route(&path.spot, method, path_text, self.function, event) {
            Ok(route) => self.routes.push(route),
            Err(note) => self.notes.push(note),
        }
    }

    fn schedule(&mut self, entry: &Entry, properties: &Node, expression: &str) {
        let key = &entry.key;
        let mut part = |name: &str| {
            let node = properties.get(name)?.clone();
            self.intrinsics.known(&node, &format!("{key}.{name}"))
        };
        let Some(cron) = part(expression) else {
            let message = format!("{key} has no {expression}: write one, such as rate(5 minutes)");
            return self.notes.push(Note::error(&entry.spot.place(), message));
        };
        let disabled = part("State").is_some_and(|state| state.scalar() == Some("DISABLED"))
            || part("Enabled").is_some_and(|enabled| enabled.as_bool() == Some(false));
        let (zone, input) = (part("ScheduleExpressionTimezone"), part("Input"));
        for property in properties.entries() {
            let name = property.key.as_str();
            let done = ["State", "Enabled", "Input", "ScheduleExpressionTimezone", "Name", "Description"];
            if name != expression && !done.contains(&name) {
                let message = format!("{key}: {name} is not honoured of a schedule");
                self.notes.push(Note::warning(&property.spot.place(), message));
            }
        }
        // The input is JSON in a text; the function gets what it says.
        let input = input.map(|input| match input.scalar().map(serde_json::from_str) {
            Some(Ok(value)) => Node::from_json(&input.spot, &value),
            _ => input,
        });
        let schedule = Node::map(&cron.spot)
            .with("name", Node::text(&entry.spot, name_of(key)))
            .with("cron", cron)
            .with_any("timeZone", zone)
            .with_any("input", input)
            .with_any("enabled", disabled.then(|| Node::plain(&entry.spot, "false")));
        self.schedules.push(schedule);
    }
}
