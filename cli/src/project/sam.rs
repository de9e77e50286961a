//! A template of AWS SAM: functions, their routes and schedules, and what of its references can be known here.

use std::path::PathBuf;

use super::{
    EventFormat, Folder, Note, Options,
    draft::{Draft, name_of},
    files::Files,
    load::Outcome,
    short,
    taken::say,
    tree::{Entry, Node},
};

mod events;
mod intrinsics;
mod unhonoured;

use intrinsics::Intrinsics;

const FUNCTION: &str = "AWS::Serverless::Function";

/// Whether a document is one.
pub(crate) fn is_one(root: &Node) -> bool {
    let transforms = root.get("Transform").into_iter().flat_map(short::one_or_many).filter_map(Node::scalar);
    let serverless = transforms.into_iter().any(|name| name.starts_with("AWS::Serverless-"));
    serverless || resources(root).any(|entry| kind_of(entry) == FUNCTION)
}

fn resources(root: &Node) -> impl Iterator<Item = &Entry> {
    root.get("Resources").into_iter().flat_map(Node::entries)
}

fn kind_of(entry: &Entry) -> &str {
    entry.value.get("Type").and_then(Node::scalar).unwrap_or_default()
}

/// Reads it.
pub(crate) fn read(root: &Node, files: &Files, options: &Options) -> Outcome {
    let mut notes = Vec::new();
    say(root, unhonoured::TOP, "", &mut notes);
    let mut template = Template {
        root: files.root().to_owned(),
        globals: root.get("Globals").and_then(|globals| globals.get("Function")).cloned(),
        intrinsics: Intrinsics::new(root, options, &short::folder_name(files.root())),
        outcome: Outcome::default(),
    };
    for entry in root.get("Globals").into_iter().flat_map(Node::entries) {
        if entry.key == "Function" {
            say(&entry.value, unhonoured::FUNCTION, "Globals.Function.", &mut notes);
        } else {
            notes.push(Note::warning(&entry.spot.place(), format!("Globals.{} is not honoured", entry.key)));
        }
    }
    for entry in resources(root) {
        match kind_of(entry) {
            FUNCTION => template.function(entry, &mut notes),
            // Routes name them, and they are made of their events here.
            "AWS::Serverless::Api" | "AWS::Serverless::HttpApi" => {
                let message = format!(
                    "{}: its routes are read from the functions' events; its own settings (stages, authorizers, CORS, domains) are not honoured",
                    entry.key
                );
                notes.push(Note::warning(&entry.spot.place(), message));
            }
            "" => {
                notes.push(Note::error(&entry.spot.place(), format!("Resources.{} has no Type", entry.key)))
            }
            kind => notes.push(Note::warning(
                &entry.spot.place(),
                format!("the {kind} {} is not made: it is AWS's", entry.key),
            )),
        }
    }
    let mut outcome = template.outcome;
    notes.extend(template.intrinsics.into_notes());
    outcome.notes = notes;
    outcome
}

/// What functions of a template share, and what they came to.
struct Template {
    root: PathBuf,
    globals: Option<Node>,
    intrinsics: Intrinsics,
    outcome: Outcome,
}

// === impl Template ===

impl Template {
    fn function(&mut self, entry: &Entry, notes: &mut Vec<Note>) {
        let Entry { key, spot, value } = entry;
        let empty = Node::map(spot);
        let properties = value.get("Properties").unwrap_or(&empty);
        say(properties, unhonoured::FUNCTION, &format!("{key}."), notes);
        for part in value.entries() {
            match part.key.as_str() {
                "Type" | "Properties" => {}
                "Condition" => {
                    let holds =
                        self.intrinsics.condition(part.value.scalar().unwrap_or_default(), &part.value.spot);
                    if holds == Some(false) {
                        let message = format!(
                            "{key} is not there: its condition {} does not hold",
                            part.value.scalar().unwrap_or_default()
                        );
                        return notes.push(Note::remark(&part.spot.place(), message));
                    }
                }
                other => {
                    notes.push(Note::remark(&part.spot.place(), format!("{key}: {other} has no effect here")))
                }
            }
        }
        let globals = self.globals.clone();
        let mut setting = |name: &str| {
            let node =
                properties.get(name).or_else(|| globals.as_ref().and_then(|globals| globals.get(name)))?;
            self.intrinsics.known(node, &format!("{key}.{name}"))
        };
        let written = setting("FunctionName")
            .filter(|name| name.scalar().is_some())
            .unwrap_or_else(|| Node::text(spot, key));
        let name = name_of(written.scalar().unwrap_or_default());
        if written.scalar() != Some(&name) {
            let message = format!(
                "this function is called {name} here: names in Kubernetes have lower-case letters, digits and '-'"
            );
            notes.push(Note::remark(&written.spot.place(), message));
        }
        let mut draft = Draft { spot: spot.clone(), ..Draft::new(&Node::text(&written.spot, &name)) };
        if setting("PackageType").is_some_and(|kind| kind.scalar() == Some("Image")) {
            let message = format!(
                "{key}: a Lambda image speaks Lambda's Runtime API, and an image here serves HTTP: it is not run"
            );
            return notes.push(Note::error(&spot.place(), message));
        }
        match setting("Runtime") {
            None => {
                let message = format!("{key} has no Runtime: write one, such as python3.12");
                return notes.push(Note::error(&spot.place(), message));
            }
            Some(runtime) => draft.lambda_runtime(runtime, notes),
        }
        if let Some(handler) = setting("Handler") {
            draft.spec("handler", handler);
        }
        if let Some(memory) = setting("MemorySize") {
            let text = format!("{}Mi", memory.scalar().unwrap_or_default());
            let limits = Node::map(&memory.spot).with("memory", Node::text(&memory.spot, text));
            draft.spec("resources", Node::map(&memory.spot).with("limits", limits));
        }
        if let Some(timeout) = setting("Timeout") {
            draft.spec("timeout", short::seconds(&timeout));
        }
        if let Some(most) = setting("ReservedConcurrentExecutions") {
            draft.spec("scaling", Node::map(&most.spot).with("maxReplicas", most));
        }
        if let Some(text) = setting("Description") {
            draft.annotate("kubernetes.io/description", text);
        }
        let (inline, uri) = (setting("InlineCode"), setting("CodeUri"));
        self.environment(key, properties, &mut draft);
        if let Err(note) = self.code(key, inline, uri, &mut draft) {
            return notes.push(note);
        }
        let mut events = events::Events {
            function: &name,
            intrinsics: &mut self.intrinsics,
            routes: Vec::new(),
            schedules: Vec::new(),
            notes,
        };
        for event in properties.get("Events").into_iter().flat_map(Node::entries) {
            events.event(event);
        }
        let events::Events { routes, schedules, .. } = events;
        if let Some(first) = schedules.first() {
            draft.spec("schedules", Node::list(&first.spot.clone(), schedules));
        }
        if !routes.is_empty() && routes.iter().all(|route| route.event == EventFormat::V1) {
            draft.annotate("flint.dev/event-format", Node::text(spot, "v1"));
        }
        self.outcome.routes.extend(routes);
        self.outcome.functions.push(draft);
    }

    fn environment(&mut self, key: &str, properties: &Node, draft: &mut Draft) {
        let mut items: Vec<Node> = Vec::new();
        let globals = self.globals.clone();
        for node in [globals.as_ref(), Some(properties)].into_iter().flatten() {
            let variables = node.get("Environment").and_then(|environment| environment.get("Variables"));
            for entry in variables.into_iter().flat_map(Node::entries) {
                items.retain(|item| item.get("name").and_then(Node::scalar) != Some(&entry.key));
                let value =
                    self.intrinsics.known(&entry.value, &format!("{key}: the variable {}", entry.key));
                let Some(text) = value.as_ref().and_then(Node::scalar) else { continue };
                let item = Node::map(&entry.spot).with("name", Node::text(&entry.spot, &entry.key));
                items.push(item.with("value", Node::text(&entry.value.spot, text)));
            }
        }
        if let Some(first) = items.first() {
            draft.spec("env", Node::list(&first.spot.clone(), items));
        }
    }

    /// Code in the template itself, or in a folder.
    fn code(
        &self,
        key: &str,
        inline: Option<Node>,
        uri: Option<Node>,
        draft: &mut Draft,
    ) -> Result<(), Note> {
        if let Some(code) = inline {
            // CloudFormation calls the file index, whatever the handler says.
            let node = draft.object.deepest("spec.runtime").scalar() == Some("nodejs");
            let text = Node::text(&code.spot, code.scalar().unwrap_or_default());
            let files = Node::map(&code.spot).with(if node { "index.js" } else { "index.py" }, text);
            draft.spec("source", Node::map(&code.spot).with("inline", files));
            return Ok(());
        }
        let folder = match &uri {
            None => self.root.clone(),
            Some(uri) => {
                let wrong = |why: String| Note::error(&uri.spot.place(), format!("{key}.CodeUri: {why}"));
                let elsewhere = "put the code behind https and name it in a Function's source.archive";
                match uri.scalar() {
                    None => return Err(wrong(format!("code in a bucket is not read; {elsewhere}"))),
                    Some(text) if text.contains("://") => {
                        return Err(wrong(format!("{text} is not read; {elsewhere}")));
                    }
                    Some(text) => short::inside(&self.root, text).map_err(wrong)?,
                }
            }
        };
        draft.folder = Some(Folder::new(folder));
        Ok(())
    }
}
