//! Knative: Services, and `func.yaml`.

use super::{Draft, Node, Note, at, environment_of_container, named, rest, text};

pub(super) fn read(documents: &[Node], notes: &mut Vec<Note>) -> Vec<Draft> {
    let mut drafts = Vec::new();
    for document in documents {
        match text(document, &["kind"]) {
            Some("Service") => drafts.extend(service(document, notes)),
            None if document.get("specVersion").is_some() => drafts.extend(func(document, notes)),
            kind => notes.push(Note::warning(
                &document.spot.place(),
                format!("{} is not translated", kind.unwrap_or("this")),
            )),
        }
    }
    drafts
}

fn service(object: &Node, notes: &mut Vec<Note>) -> Option<Draft> {
    let mut draft = named(object)?;
    let template = at(object, &["spec", "template"])?;
    let pod = template.get("spec")?;
    let containers = pod.get("containers")?;
    let container = containers.items().first()?;
    draft.spec("image", container.get("image")?.clone());
    for key in ["command", "args"] {
        if let Some(value) = container.get(key) {
            draft.spec(key, value.clone());
        }
    }
    environment_of_container(container, &mut draft);
    if let Some(port) = container.get("ports").and_then(|ports| ports.items().first()?.get("containerPort")) {
        draft.spec("port", port.clone());
    }
    for other in containers.items().iter().skip(1) {
        notes.push(Note::warning(
            &other.spot.place(),
            "a second container is not translated: write it into template.spec.containers",
        ));
    }
    if let Some(timeout) = pod.get("timeoutSeconds") {
        draft.spec("timeout", crate::project::seconds(timeout));
    }
    if let Some(limit) = pod.get("containerConcurrency") {
        draft.spec("concurrency", limit.clone());
    }
    if let Some(account) = pod.get("serviceAccountName") {
        let spec = Node::map(&account.spot).with("serviceAccountName", account.clone());
        draft.spec("template", Node::map(&account.spot).with("spec", spec));
    }
    for probe in ["readinessProbe", "livenessProbe", "startupProbe"] {
        if let Some(entry) = container.entry(probe) {
            notes.push(Note::remark(
                &entry.spot.place(),
                format!("{probe}: an instance is ready here when its port answers"),
            ));
        }
    }
    scaling(template, &mut draft, notes);
    const CONTAINER: &[&str] = &[
        "name",
        "image",
        "command",
        "args",
        "env",
        "envFrom",
        "resources",
        "ports",
        "readinessProbe",
        "livenessProbe",
        "startupProbe",
    ];
    rest(container, CONTAINER, "containers[0].", notes);
    rest(
        pod,
        &["containers", "timeoutSeconds", "containerConcurrency", "serviceAccountName"],
        "spec.template.spec.",
        notes,
    );
    if let Some(traffic) = at(object, &["spec", "traffic"]) {
        notes.push(Note::warning(
            &traffic.spot.place(),
            "traffic is not split here: it moves to a new revision when that is ready",
        ));
    }
    Some(draft)
}

/// Annotations of the autoscaler.
fn scaling(template: &Node, draft: &mut Draft, notes: &mut Vec<Note>) {
    let Some(annotations) = at(template, &["metadata", "annotations"]) else { return };
    let number = |value: &Node| Node::plain(&value.spot, value.scalar().unwrap_or_default());
    let mut scaling = Node::map(&annotations.spot);
    let unlimited = draft.object.deepest("spec.concurrency").scalar().is_none_or(|limit| limit == "0");
    for entry in annotations.entries() {
        let Some(key) = entry.key.strip_prefix("autoscaling.knative.dev/") else {
            notes.push(Note::warning(
                &entry.spot.place(),
                format!("the annotation {} is not translated", entry.key),
            ));
            continue;
        };
        let value = &entry.value;
        match key {
            "min-scale" | "minScale" => scaling.set("minReplicas", number(value)),
            "max-scale" | "maxScale" if value.scalar() != Some("0") => {
                scaling.set("maxReplicas", number(value))
            }
            "max-scale" | "maxScale" => {}
            // More than one is what a revision grows to by itself, and one is the default.
            "initial-scale" | "initialScale" if value.scalar() == Some("0") => {
                scaling.set("initialReplicas", number(value));
            }
            "initial-scale" | "initialScale" if value.scalar() == Some("1") => {}
            "window" => scaling.set("window", value.clone()),
            "scale-to-zero-pod-retention-period" => scaling.set("scaleToZeroAfter", value.clone()),
            "metric" if matches!(value.scalar(), Some("rps" | "concurrency")) => {
                scaling.set("metric", value.clone())
            }
            "target"
                if unlimited || text(annotations, &["autoscaling.knative.dev/metric"]) == Some("rps") =>
            {
                scaling.set("target", number(value));
            }
            "target-utilization-percentage" | "targetUtilizationPercentage" if !unlimited => {
                let share =
                    value.scalar().and_then(|text| text.parse::<f64>().ok()).map(|percent| percent / 100.0);
                scaling.set("target", Node::plain(&value.spot, share.unwrap_or(0.7)));
            }
            other => notes.push(Note::warning(
                &entry.spot.place(),
                format!("autoscaling.knative.dev/{other} is not translated"),
            )),
        }
    }
    // A target without a limit is a number of requests, which concurrency 0 says here.
    if scaling.get("target").is_some()
        && unlimited
        && scaling.get("metric").and_then(Node::scalar) != Some("rps")
    {
        draft.spec("concurrency", Node::plain(&annotations.spot, 0));
    }
    if !scaling.entries().is_empty() {
        draft.spec("scaling", scaling);
    }
}

fn func(document: &Node, notes: &mut Vec<Note>) -> Option<Draft> {
    let mut draft = Draft::new(document.get("name")?);
    let Some(image) = document.get("image").or_else(|| at(document, &["deploy", "image"])) else {
        notes.push(Note::error(
            &document.spot.place(),
            "there is no image: `func build` makes one, and its name goes into image",
        ));
        return None;
    };
    draft.spec("image", image.clone());
    for path in [&["envs"][..], &["run", "envs"][..]] {
        if let Some(variables) = at(document, path) {
            draft.spec("env", variables.clone());
        }
    }
    if let Some(options) = at(document, &["deploy", "options"]) {
        notes.push(Note::warning(
            &options.spot.place(),
            "deploy.options are not translated: see scaling and resources",
        ));
    }
    rest(
        document,
        &[
            "specVersion",
            "name",
            "runtime",
            "created",
            "image",
            "registry",
            "build",
            "deploy",
            "run",
            "envs",
            "namespace",
            "invoke",
        ],
        "",
        notes,
    );
    Some(draft)
}
