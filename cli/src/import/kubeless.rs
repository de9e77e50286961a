//! Kubeless: Function objects with their code in them, and CronJobTriggers.

use super::{Draft, Node, Note, at, environment_of_container, inline, named, rest, text};
use crate::project::{known_runtime, seconds};

const READ: &[&str] = &[
    "runtime",
    "handler",
    "function",
    "function-content-type",
    "timeout",
    "deps",
    "checksum",
    "deployment",
    "horizontalPodAutoscaler",
    "service",
];

pub(super) fn read(documents: &[Node], notes: &mut Vec<Note>) -> Vec<Draft> {
    let mut drafts: Vec<Draft> = Vec::new();
    for document in documents {
        match text(document, &["kind"]) {
            Some("Function") => drafts.extend(function(document, notes)),
            Some("CronJobTrigger") => {}
            kind => notes.push(Note::warning(
                &document.spot.place(),
                format!("{} is not translated", kind.unwrap_or("this")),
            )),
        }
    }
    for document in documents.iter().filter(|document| text(document, &["kind"]) == Some("CronJobTrigger")) {
        let function = text(document, &["spec", "function-name"]).unwrap_or_default();
        let draft =
            drafts.iter_mut().find(|draft| draft.object.deepest("metadata.name").scalar() == Some(function));
        match (draft, at(document, &["spec", "schedule"]), at(document, &["metadata", "name"])) {
            (Some(draft), Some(cron), Some(name)) => {
                let schedule = Node::map(&cron.spot).with("name", name.clone()).with("cron", cron.clone());
                let schedule = schedule.with_any("input", at(document, &["spec", "payload"]).cloned());
                draft.schedule(schedule);
            }
            _ => notes.push(Note::warning(
                &document.spot.place(),
                format!(
                    "the CronJobTrigger of {function} is not translated: its function is not in this file"
                ),
            )),
        }
    }
    drafts
}

fn function(object: &Node, notes: &mut Vec<Note>) -> Option<Draft> {
    let mut draft = named(object)?;
    let spec = object.get("spec")?;
    let written = spec.get("runtime")?;
    let name = written.scalar().unwrap_or_default();
    // Node's versions have no `.x` there.
    let lambda = if name.starts_with("nodejs") { "nodejs20.x".to_owned() } else { name.to_owned() };
    match known_runtime(&lambda) {
        Ok(known) => draft.spec("runtime", Node::text(&written.spot, known.runtime)),
        Err(message) => {
            notes.push(Note::error(&written.spot.place(), message));
            return None;
        }
    }
    let node = name.starts_with("nodejs");
    notes.push(Note::warning(
        &spec.spot.place(),
        "the code is called with another event: Kubeless has the body in event.data, and here it is API Gateway's event, with the body in event.body",
    ));
    let handler = spec.get("handler");
    if let Some(handler) = handler {
        draft.spec("handler", handler.clone());
    }
    let module =
        handler.and_then(Node::scalar).and_then(|handler| handler.split('.').next()).unwrap_or("handler");
    match (text(spec, &["function-content-type"]).unwrap_or("text"), spec.get("function")) {
        ("text", Some(code)) => {
            draft.spec("source", inline(&format!("{module}.{}", if node { "js" } else { "py" }), code))
        }
        ("url+zip" | "url", Some(url)) => {
            let message = format!(
                "the code is at {}: name it in source.archive, with its SHA-256",
                url.scalar().unwrap_or_default()
            );
            notes.push(Note::warning(&url.spot.place(), message));
        }
        (kind, _) => {
            let message = format!(
                "code as {kind} is not translated: unpack it, and write source.inline or source.archive"
            );
            notes.push(Note::warning(&spec.spot.place(), message));
        }
    }
    if let Some(timeout) = spec.get("timeout") {
        draft.spec("timeout", seconds(timeout));
    }
    if let Some(deps) = spec.get("deps") {
        let message = "dependencies are not installed: put them beside the code, or into an archive or image";
        notes.push(Note::warning(&deps.spot.place(), message));
    }
    if let Some(pod) = at(spec, &["deployment", "spec", "template", "spec"]) {
        let container = pod.get("containers").and_then(|containers| containers.items().first());
        if let Some(container) = container {
            environment_of_container(container, &mut draft);
            rest(
                container,
                &["name", "image", "env", "envFrom", "resources"],
                "spec.deployment…containers[0].",
                notes,
            );
        }
        rest(pod, &["containers"], "spec.deployment…spec.", notes);
    }
    if let Some(scaler) = at(spec, &["horizontalPodAutoscaler", "spec"]) {
        let scaling =
            Node::map(&scaler.spot).with_any("minReplicas", scaler.get("minReplicas").cloned()).with_any(
                "maxReplicas",
                scaler.get("maxReplicas").filter(|most| most.scalar() != Some("0")).cloned(),
            );
        if !scaling.entries().is_empty() {
            draft.spec("scaling", scaling);
        }
        if let Some(metrics) = scaler.get("metrics") {
            notes.push(Note::warning(
                &metrics.spot.place(),
                "metrics are not translated: instances follow requests",
            ));
        }
    }
    rest(spec, READ, "spec.", notes);
    Some(draft)
}
