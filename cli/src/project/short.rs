//! `flint.yaml`: what files do not tell by themselves, in the fewest words.

use std::path::{Path, PathBuf};

use super::{
    EventFormat, Folder, Note, Route, detect,
    draft::{Draft, name_of},
    files::said,
    routes, runtimes,
    schema::unknown,
    tree::{Entry, Node, Spot},
};

/// What a `flint.yaml` comes to.
#[derive(Debug, Default)]
pub(crate) struct Short {
    pub(crate) name: Option<String>,
    pub(crate) functions: Vec<Draft>,
    pub(crate) routes: Vec<Route>,
}

/// What a function may say; those marked are settings that every function of the file may have from its top.
const FUNCTION: &[(&str, bool)] = &[
    ("annotations", true),
    ("args", false),
    ("code", true),
    ("command", false),
    ("concurrency", true),
    ("configMaps", true),
    ("cpu", true),
    ("env", true),
    ("envFiles", true),
    ("envFrom", true),
    ("event", true),
    ("files", true),
    ("handler", false),
    ("image", false),
    ("labels", true),
    ("memory", true),
    ("namespace", true),
    ("port", false),
    ("resources", true),
    ("routes", false),
    ("run", false),
    ("runtime", true),
    ("scaling", true),
    ("schedules", false),
    ("secrets", true),
    ("source", false),
    ("template", true),
    ("timeout", true),
];
/// What goes into the spec as it is.
const AS_IT_IS: &[&str] = &[
    "args",
    "command",
    "concurrency",
    "configMaps",
    "envFrom",
    "handler",
    "image",
    "port",
    "scaling",
    "secrets",
    "source",
    "template",
];

/// Reads it. `folder` is where it lies.
pub(crate) fn read(root: &Node, folder: &Path, notes: &mut Vec<Note>) -> Short {
    let mut short =
        Short { name: root.get("name").and_then(Node::scalar).map(str::to_owned), ..Short::default() };
    if !root.is_map() && !root.is_null() {
        notes.push(Note::error(
            &root.spot.place(),
            format!("a flint.yaml is a map, and this is {}", root.sort()),
        ));
        return short;
    }
    let several = root.get("functions");
    for Entry { key, spot, .. } in root.entries() {
        match FUNCTION.iter().find(|(name, _)| name == key) {
            Some((_, false)) if several.is_some() => {
                let message = format!("`{key}` belongs to one function: write it below functions");
                notes.push(Note::error(&spot.place(), message));
            }
            Some(_) => {}
            None if matches!(key.as_str(), "name" | "functions") => {}
            None => {
                let known: Vec<_> =
                    FUNCTION.iter().map(|(name, _)| *name).chain(["name", "functions"]).collect();
                unknown(spot, key, "flint.yaml", &known, notes);
            }
        }
    }
    let Some(several) = several else {
        let name = short.name.clone().unwrap_or_else(|| folder_name(folder));
        let spot = root.get("name").map_or(&root.spot, |name| &name.spot);
        function(&Node::text(spot, name), root, None, folder, &mut short, notes);
        return short;
    };
    if !several.is_map() {
        notes.push(Note::error(
            &several.spot.place(),
            "functions is a map: write each function below its name",
        ));
    }
    for Entry { key, spot, value } in several.entries() {
        for entry in value.entries() {
            if !FUNCTION.iter().any(|(name, _)| *name == entry.key) {
                let known: Vec<_> = FUNCTION.iter().map(|(name, _)| *name).collect();
                unknown(&entry.spot, &entry.key, &format!("functions.{key}"), &known, notes);
            }
        }
        if !value.is_map() && !value.is_null() {
            notes.push(Note::error(
                &value.spot.place(),
                format!("functions.{key} is a map, and this is {}", value.sort()),
            ));
            continue;
        }
        function(&Node::text(spot, key), value, Some(root), folder, &mut short, notes);
    }
    short
}

/// The name that a folder gives.
pub(crate) fn folder_name(folder: &Path) -> String {
    let name = name_of(&folder.file_name().unwrap_or_default().to_string_lossy());
    if name.is_empty() { "function".to_owned() } else { name }
}

fn function(
    name: &Node,
    own: &Node,
    top: Option<&Node>,
    folder: &Path,
    short: &mut Short,
    notes: &mut Vec<Note>,
) {
    let setting = |key: &str| own.get(key).or_else(|| top.and_then(|top| top.get(key)));
    let mut draft = Draft::new(name);
    for key in AS_IT_IS {
        if let Some(value) = setting(key) {
            draft.spec(key, value.clone());
        }
    }
    code(name, own, top, folder, &mut draft, notes);
    resources(&setting, &mut draft);
    metadata(&setting, &mut draft);
    if let Some(timeout) = setting("timeout") {
        draft.spec("timeout", seconds(timeout));
    }
    if let Some(environment) = environment(top.and_then(|top| top.get("env")), own.get("env"), notes) {
        draft.spec("env", environment);
    }
    if let Some(schedules) = own.get("schedules") {
        draft.spec("schedules", schedules_of(schedules));
    }
    for file in setting("envFiles").into_iter().flat_map(one_or_many) {
        let path = folder.join(file.scalar().unwrap_or_default());
        if path.is_file() {
            draft.env_files.push(path);
        } else {
            notes.push(Note::error(&file.spot.place(), format!("{} is not there", path.display())));
        }
    }
    draft.run = own.get("run").and_then(Node::scalar).map(str::to_owned);
    let event = event_format(setting("event"), notes);
    if event == EventFormat::V1 {
        draft.annotate("flint.dev/event-format", Node::text(&name.spot, "v1"));
    }
    let function = name.scalar().unwrap_or_default();
    for route in own.get("routes").into_iter().flat_map(one_or_many) {
        let part = |key: &str| route.get(key).and_then(Node::scalar);
        let (method, path) = match (route.scalar(), part("path")) {
            (Some(text), _) => routes::split(text),
            (None, Some(path)) => (part("method").unwrap_or("ANY"), path),
            (None, None) => {
                notes.push(Note::error(&route.spot.place(), "write a route as GET /users/{id}"));
                continue;
            }
        };
        match routes::route(&route.spot, method, path, function, event) {
            Ok(route) => short.routes.push(route),
            Err(note) => notes.push(note),
        }
    }
    short.functions.push(draft);
}

/// Where the code is and what runs it; what is not written is found by looking.
fn code(
    name: &Node,
    own: &Node,
    top: Option<&Node>,
    folder: &Path,
    draft: &mut Draft,
    notes: &mut Vec<Note>,
) {
    let setting = |key: &str| own.get(key).or_else(|| top.and_then(|top| top.get(key)));
    if own.get("image").is_some() {
        return;
    }
    let key = name.scalar().unwrap_or_default();
    let root = match setting("code") {
        Some(code) => match inside(folder, code.scalar().unwrap_or_default()) {
            Ok(root) => root,
            Err(message) => return notes.push(Note::error(&code.spot.place(), message)),
        },
        // One of several has its own folder, if there is one of its name.
        None if top.is_some() && folder.join(key).is_dir() => folder.join(key),
        None => folder.to_owned(),
    };
    let found = if own.get("source").is_none() { detect::look(&root) } else { None };
    let runtime = setting("runtime");
    match (runtime, &found) {
        (Some(node), _) => {
            // A name of one's own Runtime cannot be known here; one of Lambda's can.
            let written = node.scalar().unwrap_or_default();
            match runtimes::known(written) {
                Ok(known) => {
                    notes.extend(known.remark.map(|remark| Note::remark(&node.spot.place(), remark)));
                    draft.spec("runtime", Node::text(&node.spot, known.runtime));
                }
                Err(message) if message.contains("did you mean") => {
                    notes.push(Note::error(&node.spot.place(), message));
                    draft.spec("runtime", node.clone());
                }

                Err(_) => draft.spec("runtime", node.clone()),
            }
        }
        (None, Some(found)) => draft.spec("runtime", Node::text(&name.spot, found.runtime)),
        (None, None) => {
            let message = format!(
                "{key}: write runtime and handler, or image; no code that tells by itself is in {} ({})",
                root.display(),
                detect::LOOKED_FOR
            );
            notes.push(Note::error(&name.spot.place(), message));
        }
    }
    if let (None, Some(found)) = (own.get("handler"), &found)
        && draft.object.deepest("spec.runtime").scalar() == Some(found.runtime)
        && let Some(handler) = &found.handler
    {
        draft.spec("handler", Node::text(&name.spot, handler));
    }
    if own.get("source").is_none() {
        let patterns = setting("files").into_iter().flat_map(one_or_many).filter_map(Node::scalar);
        draft.folder = Some(Folder { root, patterns: patterns.map(str::to_owned).collect() });
    }
}

/// A folder of code as it is written, without links, below the project's.
pub(crate) fn inside(folder: &Path, written: &str) -> Result<PathBuf, String> {
    let real = folder.join(written).canonicalize();
    let real = real.map_err(|error| format!("{written} cannot be read: {}", said(&error)))?;
    if !real.is_dir() {
        return Err(format!("{written} is no folder"));
    }
    if !real.starts_with(folder) {
        return Err(format!("{written} is outside of the project's folder: code lies within it"));
    }
    Ok(real)
}

fn resources<'a>(setting: &impl Fn(&str) -> Option<&'a Node>, draft: &mut Draft) {
    let mut resources = setting("resources").cloned();
    for key in ["memory", "cpu"] {
        let Some(value) = setting(key) else { continue };
        let resources = resources.get_or_insert_with(|| Node::map(&value.spot));
        let limits = resources.get("limits").cloned().unwrap_or_else(|| Node::map(&value.spot));
        // A bare number of memory is MiB, as everywhere where functions are.
        let value = match value.to_json().as_u64() {
            Some(number) if key == "memory" => Node::text(&value.spot, format!("{number}Mi")),
            _ => value.clone(),
        };
        resources.set("limits", limits.with(key, value));
    }
    if let Some(resources) = resources {
        draft.spec("resources", resources);
    }
}

fn metadata<'a>(setting: &impl Fn(&str) -> Option<&'a Node>, draft: &mut Draft) {
    for key in ["namespace", "labels", "annotations"] {
        if let Some(value) = setting(key)
            && let Some(metadata) = draft.object.get("metadata").cloned()
        {
            draft.object.set("metadata", metadata.with(key, value.clone()));
        }
    }
}

/// A number is seconds.
pub(crate) fn seconds(node: &Node) -> Node {
    match node.scalar() {
        Some(text) if !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit()) => {
            Node::text(&node.spot, format!("{text}s"))
        }
        _ => node.clone(),
    }
}

/// A map of variables, or the list that a Pod has; the function's own win.
fn environment(top: Option<&Node>, own: Option<&Node>, notes: &mut Vec<Note>) -> Option<Node> {
    let spot = own.or(top)?.spot.clone();
    let mut items: Vec<Node> = Vec::new();
    for node in [top, own].into_iter().flatten() {
        if !node.is_map() && !node.is_list() {
            notes.push(Note::error(
                &node.spot.place(),
                format!("env is a map of variables, and this is {}", node.sort()),
            ));
        }
        let listed = node
            .items()
            .iter()
            .cloned()
            .map(|item| (item.get("name").and_then(Node::scalar).unwrap_or_default().to_owned(), item));
        for (name, item) in node.entries().iter().map(variable).chain(listed) {
            items.retain(|there| there.get("name").and_then(Node::scalar) != Some(&name));
            items.push(item);
        }
    }
    Some(Node::list(&spot, items))
}

/// `NAME: value`, or `NAME: {secret: db, key: password}`.
fn variable(entry: &Entry) -> (String, Node) {
    let Entry { key, spot, value } = entry;
    let variable = Node::map(spot).with("name", Node::text(spot, key));
    let of = |kind: &str, reference: &str| {
        let name = value.get(kind)?;
        let from =
            Node::map(&name.spot).with("name", name.clone()).with_any("key", value.get("key").cloned());
        Some(Node::map(&value.spot).with(reference, from))
    };
    let variable = match (
        of("secret", "secretKeyRef").or_else(|| of("configMap", "configMapKeyRef")),
        &value.scalar(),
    ) {
        (Some(from), _) => variable.with("valueFrom", from),
        (None, Some(text)) => variable.with("value", Node::text(&value.spot, *text)),
        (None, None) if value.is_map() => variable.with("valueFrom", value.clone()),
        (None, None) if value.is_null() => variable.with("value", Node::text(&value.spot, "")),
        (None, None) => variable.with("value", value.clone()),
    };
    (key.clone(), variable)
}

/// `rate(5 minutes)`, a list of such or of objects, or a map of them by name.
fn schedules_of(node: &Node) -> Node {
    let one = |name: String, spot: &Spot, value: &Node| match value.scalar() {
        Some(text) => {
            Node::map(spot).with("name", Node::text(spot, name)).with("cron", Node::text(&value.spot, text))
        }
        None if value.get("name").is_none() => value.clone().with("name", Node::text(spot, name)),
        None => value.clone(),
    };
    let items = if node.is_map() && node.get("cron").is_none() {
        node.entries().iter().map(|entry| one(entry.key.clone(), &entry.spot, &entry.value)).collect()
    } else {
        let all: Vec<&Node> = one_or_many(node).collect();
        let name = |index: usize| {
            if all.len() == 1 { "schedule".to_owned() } else { format!("schedule-{}", index + 1) }
        };
        all.iter().enumerate().map(|(index, item)| one(name(index), &item.spot, item)).collect()
    };
    Node::list(&node.spot, items)
}

fn event_format(node: Option<&Node>, notes: &mut Vec<Note>) -> EventFormat {
    match node.map(|node| (node, node.scalar().unwrap_or_default())) {
        None | Some((_, "v2")) => EventFormat::V2,
        Some((_, "v1")) => EventFormat::V1,
        Some((node, _)) => {
            notes.push(Note::error(
                &node.spot.place(),
                "event is v1 or v2: the format of API Gateway's event",
            ));
            EventFormat::V2
        }
    }
}

/// A list's items, or the one thing that is written in the place of a list.
pub(crate) fn one_or_many(node: &Node) -> Box<dyn Iterator<Item = &Node> + '_> {
    if node.is_list() { Box::new(node.items().iter()) } else { Box::new(std::iter::once(node)) }
}
