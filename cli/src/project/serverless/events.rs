//! Events of a function: routes and schedules are done, and the others listed.

use crate::project::{
    EventFormat, Note, Route, routes,
    schema::closest,
    short::one_or_many,
    tree::{Entry, Node},
};

/// The events of one function.
pub(super) struct Events<'a> {
    pub(super) function: &'a str,
    pub(super) http_api: EventFormat,
    pub(super) routes: Vec<Route>,
    /// As a Function has them.
    pub(super) schedules: Vec<Node>,
    pub(super) notes: &'a mut Vec<Note>,
}

/// Other events there are.
const OTHERS: &[&str] = &[
    "activemq",
    "alb",
    "alexaSkill",
    "alexaSmartHome",
    "cloudFront",
    "cloudwatchEvent",
    "cloudwatchLog",
    "cognitoUserPool",
    "eventBridge",
    "iot",
    "iotFleetProvisioning",
    "kafka",
    "kinesis",
    "msk",
    "rabbitmq",
    "s3",
    "sns",
    "sqs",
    "stream",
    "websocket",
];
/// What may stand beside method and path.
const HTTP: &[&str] = &["method", "path"];
const SCHEDULE: &[&str] = &["rate", "enabled", "input", "name", "timezone"];

// === impl Events ===

impl Events<'_> {
    pub(super) fn event(&mut self, event: &Node) {
        // `- http` without a colon, and what belongs below it beside it.
        if let Some(name) = event.scalar() {
            return self.bare(name, event);
        }
        let misplaced = event.entries().len() > 1;
        for Entry { key, spot, value } in event.entries() {
            match key.as_str() {
                "http" | "httpApi" | "schedule" if value.is_null() => {
                    let message = if misplaced {
                        format!(
                            "`{key}` says nothing: what follows it is written beside it, and has to be indented below it"
                        )
                    } else {
                        format!("`{key}` says nothing: {}", example(key))
                    };
                    self.notes.push(Note::error(&spot.place(), message));
                    return;
                }
                "http" => self.http(value, EventFormat::V1),
                "httpApi" => self.http(value, self.http_api),
                "schedule" => self.schedule(value),
                other => self.other(other, spot),
            }
        }
    }

    fn bare(&mut self, name: &str, event: &Node) {
        let message = match name {
            "http" | "httpApi" | "schedule" => format!("`{name}` says nothing: {}", example(name)),
            _ => return self.other(name, &event.spot),
        };
        self.notes.push(Note::error(&event.spot.place(), message));
    }

    fn other(&mut self, name: &str, spot: &crate::project::tree::Spot) {
        let known = [OTHERS, &["http", "httpApi", "schedule"]].concat();
        let note = if OTHERS.contains(&name) {
            let message = format!(
                "{name}: Flint has no such event source; the function is there, and nothing but requests and schedules calls it"
            );
            Note::warning(&spot.place(), message)
        } else {
            let hint =
                closest(name, &known).map(|meant| format!(": did you mean {meant}?")).unwrap_or_default();
            Note::error(&spot.place(), format!("there is no event {name}{hint}"))
        };
        self.notes.push(note);
    }

    fn http(&mut self, value: &Node, event: EventFormat) {
        let part = |key: &str| value.get(key).and_then(Node::scalar);
        let (method, path) = match (value.scalar(), part("path")) {
            (Some(text), _) => routes::split(text),
            (None, Some(path)) => (part("method").unwrap_or("ANY"), path),
            (None, None) => {
                let message = format!("there is no path: {}", example("http"));
                return self.notes.push(Note::error(&value.spot.place(), message));
            }
        };
        for entry in value.entries().iter().filter(|entry| !HTTP.contains(&entry.key.as_str())) {
            let message = match entry.key.as_str() {
                "authorizer" | "private" => {
                    format!("{}: requests are not authorized here: anybody may call this route", entry.key)
                }
                "cors" => {
                    "cors: no headers are added: answer OPTIONS and send them from the function".to_owned()
                }
                key => format!("{key} is not honoured on this route"),
            };
            self.notes.push(Note::warning(&entry.spot.place(), message));
        }
        match routes::route(&value.spot, method, path, self.function, event) {
            Ok(route) => self.routes.push(route),
            Err(note) => self.notes.push(note),
        }
    }

    fn schedule(&mut self, value: &Node) {
        let Some(rates) = value.scalar().map(|_| value).or_else(|| value.get("rate")) else {
            let message = format!("there is no rate: {}", example("schedule"));
            return self.notes.push(Note::error(&value.spot.place(), message));
        };
        for entry in value.entries().iter().filter(|entry| !SCHEDULE.contains(&entry.key.as_str())) {
            let key = entry.key.as_str();
            let note = match key {
                "description" | "method" => {
                    Note::remark(&entry.spot.place(), format!("{key} has no effect here"))
                }
                _ => Note::warning(
                    &entry.spot.place(),
                    format!("{key} is not honoured: the event is input, or EventBridge's own"),
                ),
            };
            self.notes.push(note);
        }
        for rate in one_or_many(rates) {
            let name = format!("schedule-{}", self.schedules.len() + 1);
            let name = value.get("name").and_then(Node::scalar).map_or(name.clone(), |own| {
                let own = crate::project::draft::name_of(own);
                let taken =
                    self.schedules.iter().any(|there| there.get("name").and_then(Node::scalar) == Some(&own));
                if taken || own.is_empty() { name } else { own }
            });
            let schedule = Node::map(&rate.spot)
                .with("name", Node::text(&rate.spot, name))
                .with("cron", rate.clone())
                .with_any("timeZone", value.get("timezone").cloned())
                .with_any("input", value.get("input").cloned())
                .with_any("enabled", value.get("enabled").cloned());
            self.schedules.push(schedule);
        }
    }
}

fn example(event: &str) -> &'static str {
    match event {
        "schedule" => "write it as `schedule: rate(5 minutes)`",
        "httpApi" => "write it as `httpApi: GET /users/{id}`",
        _ => "write it as `http: GET /users/{id}`, or with path and method indented below it",
    }
}
