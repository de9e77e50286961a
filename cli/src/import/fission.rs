//! Fission: Functions with their Environments, Packages, HTTPTriggers and TimeTriggers.

use super::{Draft, Node, Note, at, inline, named, rest, text};
use crate::project::seconds;

const READ: &[&str] = &[
    "InvokeStrategy",
    "concurrency",
    "configmaps",
    "environment",
    "functionTimeout",
    "idletimeout",
    "package",
    "requestsPerPod",
    "resources",
    "secrets",
];

pub(super) fn read(documents: &[Node], notes: &mut Vec<Note>) -> Vec<Draft> {
    let all =
        |kind: &'static str| documents.iter().filter(move |document| text(document, &["kind"]) == Some(kind));
    let mut drafts: Vec<Draft> =
        all("Function").filter_map(|document| function(document, documents, notes)).collect();
    for trigger in all("TimeTrigger") {
        let function = text(trigger, &["spec", "functionref", "name"]).unwrap_or_default();
        let draft =
            drafts.iter_mut().find(|draft| draft.object.deepest("metadata.name").scalar() == Some(function));
        if let (Some(draft), Some(cron), Some(name)) =
            (draft, at(trigger, &["spec", "cron"]), at(trigger, &["metadata", "name"]))
        {
            let fields = cron.scalar().unwrap_or_default().split_whitespace().count();
            if fields == 6 {
                notes.push(Note::warning(
                    &cron.spot.place(),
                    "cron with seconds: write five fields, as minutes are the least here",
                ));
            }
            let schedule = Node::map(&cron.spot).with("name", name.clone()).with("cron", cron.clone());
            draft.schedule(schedule);
        }
    }
    for trigger in all("HTTPTrigger") {
        let function = text(trigger, &["spec", "functionref", "name"]).unwrap_or_default();
        let url = text(trigger, &["spec", "relativeurl"])
            .or_else(|| text(trigger, &["spec", "prefix"]))
            .unwrap_or_default();
        let message =
            format!("the route {url} is not translated: {function} answers below /function/{function}");
        notes.push(Note::warning(&trigger.spot.place(), message));
    }
    for document in documents {
        let kind = text(document, &["kind"]).unwrap_or("this");
        if ![
            "Function",
            "Environment",
            "Package",
            "HTTPTrigger",
            "TimeTrigger",
            "ArchiveUploadSpec",
            "DeploymentConfig",
        ]
        .contains(&kind)
        {
            notes.push(Note::warning(&document.spot.place(), format!("{kind} is not translated")));
        }
    }
    drafts
}

fn function(object: &Node, documents: &[Node], notes: &mut Vec<Note>) -> Option<Draft> {
    let mut draft = named(object)?;
    let spec = object.get("spec")?;
    let find = |kind: &str, name: Option<&str>| {
        documents.iter().find(|document| {
            text(document, &["kind"]) == Some(kind) && text(document, &["metadata", "name"]) == name
        })
    };
    let environment = text(spec, &["environment", "name"]);
    let image = find("Environment", environment)
        .and_then(|environment| text(environment, &["spec", "runtime", "image"]));
    let told = image.or(environment).unwrap_or_default().to_lowercase();
    let place = spec.get("environment").map_or(&spec.spot, |environment| &environment.spot).place();
    let runtime = if told.contains("python") {
        "python3.11"
    } else if told.contains("node") {
        "nodejs"
    } else if told.contains("binary") {
        "process"
    } else {
        let message = format!(
            "there is no runtime for the environment {told}: build an image that serves HTTP, and name it in image"
        );
        notes.push(Note::error(&place, message));
        return None;
    };
    draft.spec("runtime", Node::text(&spec.spot, runtime));
    notes.push(Note::warning(&place, convention(runtime)));
    let (file, handler) = match runtime {
        "python3.11" => ("user.py", "user.main"),
        "nodejs" => ("user.js", "user.handler"),
        _ => ("user.sh", "./user.sh"),
    };
    let entry = text(spec, &["package", "functionName"]).map(str::to_owned);
    draft.spec("handler", Node::text(&spec.spot, entry.unwrap_or_else(|| handler.to_owned())));
    let package = find("Package", text(spec, &["package", "packageref", "name"]));
    let archive = |kind: &str| package.and_then(|package| at(package, &["spec", kind]));
    match archive("deployment").or_else(|| archive("source")) {
        Some(archive) if text(archive, &["type"]) == Some("literal") => {
            let literal = archive.get("literal").unwrap_or(archive);
            match decoded(literal.scalar().unwrap_or_default()) {
                Some(code) => draft.spec("source", inline(file, &Node::text(&literal.spot, code))),
                None => notes.push(Note::warning(
                    &literal.spot.place(),
                    "the code in this package is no text: put it into source.archive",
                )),
            }
        }
        Some(archive) => {
            let url = text(archive, &["url"]).unwrap_or("elsewhere");
            notes.push(Note::warning(
                &archive.spot.place(),
                format!("the code is at {url}: name it in source.archive, with its SHA-256"),
            ));
        }
        None => notes.push(Note::warning(
            &place,
            "the package is not in this file: write source, or export the package with the function",
        )),
    }
    if let Some(timeout) = spec.get("functionTimeout") {
        draft.spec("timeout", seconds(timeout));
    }
    if let Some(requests) = spec.get("requestsPerPod") {
        draft.spec("concurrency", requests.clone());
    }
    let scaling = Node::map(&spec.spot)
        .with_any(
            "minReplicas",
            at(spec, &["InvokeStrategy", "ExecutionStrategy", "MinScale"])
                .filter(|least| least.scalar() != Some("0"))
                .cloned(),
        )
        .with_any(
            "maxReplicas",
            at(spec, &["InvokeStrategy", "ExecutionStrategy", "MaxScale"])
                .filter(|most| most.scalar() != Some("0"))
                .cloned(),
        )
        .with_any("scaleToZeroAfter", spec.get("idletimeout").map(seconds));
    if !scaling.entries().is_empty() {
        draft.spec("scaling", scaling);
    }
    if let Some(resources) = spec.get("resources").filter(|resources| !resources.entries().is_empty()) {
        draft.spec("resources", resources.clone());
    }
    for (key, field) in [("secrets", "secrets"), ("configmaps", "configMaps")] {
        mounts(spec, key, field, &mut draft);
    }
    rest(spec, READ, "spec.", notes);
    Some(draft)
}

/// Secrets and ConfigMaps are where Fission has them: /secrets/NAMESPACE/NAME.
fn mounts(spec: &Node, key: &str, field: &str, draft: &mut Draft) {
    let items = spec.get(key).map(Node::items).unwrap_or_default();
    let mounts = items.iter().filter_map(|item| {
        let name = item.get("name")?;
        let namespace = text(item, &["namespace"]).unwrap_or("default");
        let folder = if field == "secrets" { "secrets" } else { "configs" };
        let path = format!("/{folder}/{namespace}/{}", name.scalar()?);
        Some(Node::map(&item.spot).with("name", name.clone()).with("mountPath", Node::text(&item.spot, path)))
    });
    let mounts: Vec<_> = mounts.collect();
    if let Some(first) = mounts.first() {
        draft.spec(field, Node::list(&first.spot.clone(), mounts));
    }
}

fn convention(runtime: &str) -> &'static str {
    match runtime {
        "python3.11" => {
            "the code is called in another way: Fission calls main() with Flask's request, and here it is handler(event, context)"
        }
        "nodejs" => {
            "the code is called in another way: Fission calls it with context, and here it is handler(event, context), exported by its name"
        }
        _ => {
            "the program gets the body on its input, and the rest of the request by other variables: Http_Method, Http_Path, …"
        }
    }
}

fn decoded(text: &str) -> Option<String> {
    use base64::{Engine as _, engine::general_purpose::STANDARD};
    let compact: String = text.split_whitespace().collect();
    String::from_utf8(STANDARD.decode(compact).ok()?).ok().filter(|text| !text.contains('\0'))
}
