//! OpenFaaS: `stack.yaml` of faas-cli, and Function objects.

use super::{Draft, Node, Note, environment, named, rest, text};
use crate::project::{Entry, name_of};

const READ: &[&str] = &[
    "annotations",
    "constraints",
    "environment",
    "environment_file",
    "handler",
    "image",
    "labels",
    "lang",
    "limits",
    "name",
    "namespace",
    "readOnlyRootFilesystem",
    "requests",
    "secrets",
];

pub(super) fn read(documents: &[Node], notes: &mut Vec<Note>) -> Vec<Draft> {
    let mut drafts = Vec::new();
    for document in documents {
        if text(document, &["kind"]) == Some("Function") {
            if let (Some(draft), Some(spec)) = (named(document), document.get("spec")) {
                drafts.extend(function(draft, spec, notes));
            }
            continue;
        }
        for Entry { key, spot, value } in document.get("functions").map(Node::entries).unwrap_or_default() {
            let name = name_of(key);
            if name != *key {
                notes.push(Note::remark(
                    &spot.place(),
                    format!("{key} is called {name}, which Kubernetes takes as a name"),
                ));
            }
            let mut draft = Draft::new(&Node::text(spot, name));
            if let Some(namespace) = value.get("namespace") {
                draft.metadata("namespace", namespace.clone());
            }
            drafts.extend(function(draft, value, notes));
        }
        rest(
            document,
            &["version", "provider", "functions", "apiVersion", "kind", "metadata", "spec"],
            "",
            notes,
        );
    }
    drafts
}

fn function(mut draft: Draft, spec: &Node, notes: &mut Vec<Note>) -> Option<Draft> {
    let Some(image) = spec.get("image") else {
        notes.push(Note::error(
            &spec.spot.place(),
            "there is no image: faas-cli build makes one, and its name goes into image",
        ));
        return None;
    };
    // A function of OpenFaaS is an image whose watchdog serves HTTP on 8080, which is what an image is here.
    draft.spec("image", Node::text(&image.spot, substituted(image.scalar().unwrap_or_default())));
    if let Some(lang) = spec.get("lang") {
        let message = format!(
            "lang {}: the image is run as it was built; faas-cli goes on building it",
            lang.scalar().unwrap_or_default()
        );
        notes.push(Note::remark(&lang.spot.place(), message));
    }
    if let Some(map) = spec.get("environment") {
        // The image's own watchdog reads it, too.
        if let Some(timeout) = map.get("exec_timeout") {
            draft.spec("timeout", timeout.clone());
        }
        draft.spec("env", environment(map));
    }
    if let Some(file) = spec.get("environment_file") {
        notes.push(Note::warning(
            &file.spot.place(),
            "environment_file is not read: make a ConfigMap of it, and name it in envFrom",
        ));
    }
    let secrets: Vec<Node> = spec
        .get("secrets")
        .map(Node::items)
        .unwrap_or_default()
        .iter()
        .filter_map(|secret| {
            let name = secret.scalar()?;
            let path = format!("/var/openfaas/secrets/{name}");
            Some(
                Node::map(&secret.spot)
                    .with("name", secret.clone())
                    .with("mountPath", Node::text(&secret.spot, path)),
            )
        })
        .collect();
    if let Some(first) = secrets.first() {
        let message = "secrets are mounted as folders here: what was the file NAME is NAME/KEY";
        notes.push(Note::warning(&first.spot.place(), message));
        draft.spec("secrets", Node::list(&first.spot.clone(), secrets));
    }
    let resources = Node::map(&spec.spot)
        .with_any("limits", spec.get("limits").cloned())
        .with_any("requests", spec.get("requests").cloned());
    if !resources.entries().is_empty() {
        draft.spec("resources", resources);
    }
    labels(spec, &mut draft, notes);
    if let Some(constraints) = spec.get("constraints") {
        notes.push(Note::warning(
            &constraints.spot.place(),
            "constraints are not translated: write nodeSelector into template.spec",
        ));
    }
    if let Some(annotations) = spec.get("annotations") {
        for entry in annotations.entries() {
            if entry.key == "schedule" {
                let schedule = Node::map(&entry.spot)
                    .with("name", Node::text(&entry.spot, "schedule"))
                    .with("cron", entry.value.clone());
                draft.schedule(schedule);
            } else if entry.key != "topic" {
                draft.annotate(&entry.key, entry.value.clone());
            } else if text(annotations, &["topic"]) != Some("cron-function") {
                notes.push(Note::warning(
                    &entry.spot.place(),
                    "topics are not translated: there are no connectors here",
                ));
            }
        }
    }
    rest(spec, READ, "", notes);
    Some(draft)
}

/// A text as faas-cli reads it where the environment says nothing: `${NAME:-default}` is the default.
fn substituted(text: &str) -> String {
    let Some((before, rest)) = text.split_once("${") else { return text.to_owned() };
    let Some((variable, after)) = rest.split_once('}') else { return text.to_owned() };
    let value = match variable.split_once(":-") {
        Some((_, default)) => default.to_owned(),
        // Left as it is, and refused as an image's name: only the user knows it.
        None => format!("${{{variable}}}"),
    };
    format!("{before}{value}{}", substituted(after))
}

/// Labels that scale, and the others.
fn labels(spec: &Node, draft: &mut Draft, notes: &mut Vec<Note>) {
    let Some(labels) = spec.get("labels") else { return };
    let number = |value: &Node| Node::plain(&value.spot, value.scalar().unwrap_or_default());
    let mut scaling = Node::map(&labels.spot);
    let mut others = Node::map(&labels.spot);
    let zero = text(labels, &["com.openfaas.scale.zero"]) == Some("true");
    for entry in labels.entries() {
        let value = &entry.value;
        match entry.key.strip_prefix("com.openfaas.scale.") {
            // An image at rest has one instance there, unless it may go to none.
            Some("min") if zero => {}
            Some("min") => scaling.set("minReplicas", number(value)),
            Some("max") => scaling.set("maxReplicas", number(value)),
            Some("zero") => {}
            Some("zero-duration") => scaling.set("scaleToZeroAfter", value.clone()),
            Some(other) => {
                let message = format!(
                    "com.openfaas.scale.{other} is not translated: see scaling.metric and scaling.target"
                );
                notes.push(Note::warning(&entry.spot.place(), message));
            }
            None => others.set(&entry.key, value.clone()),
        }
    }
    if !scaling.entries().is_empty() {
        draft.spec("scaling", scaling);
    }
    if !others.entries().is_empty() {
        draft.metadata("labels", others);
    }
}
