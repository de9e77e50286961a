//! `serverless.yml` of the Serverless Framework: functions, their HTTP routes and schedules, and variables.
//!
//! Every other thing in the file is listed with its place. What is about AWS alone is a note, and what the code may rely on
//! (an event source, a layer, a permission) is a warning.

use super::{
    EventFormat, Folder, Note, Options, Route,
    draft::{Draft, name_of},
    files::Files,
    load::Outcome,
    schema::closest,
    short::{one_or_many, seconds},
    taken::say,
    tree::{Entry, Node},
    variables::Variables,
};

mod environment;
mod events;
mod unhonoured;

use unhonoured::{FUNCTION, PROVIDER, TOP};

/// Whether a document is one.
pub(crate) fn is_one(root: &Node) -> bool {
    root.get("service").is_some() && root.get("provider").is_some()
        || root.get("functions").is_some() && root.get("provider").is_some()
}

/// Reads it.
pub(crate) fn read(root: &Node, files: &mut Files, options: &Options) -> Outcome {
    let mut notes = Vec::new();
    let folder = files.root().to_owned();
    let dotenv = if root.get("useDotenv").and_then(Node::as_bool) == Some(true) {
        environment::dotenv(root, files, options, &mut notes)
    } else {
        Vec::new()
    };
    let mut variables = Variables::new(root, options, files);
    variables.with_dotenv(dotenv);
    let service = variables.part("service");
    let service = service.as_ref().map(|service| service.get("name").unwrap_or(service));
    let name = service.and_then(Node::scalar).map(name_of);
    let provider = variables.part("provider").unwrap_or_else(|| Node::map(&root.spot));
    let package = variables.part("package");
    let functions = variables.part("functions");
    notes.extend(variables.into_notes());
    say(root, TOP, "", &mut notes);
    listed(root, &mut notes);
    say(&provider, PROVIDER, "provider.", &mut notes);
    if let Some(cloud) = provider.get("name").filter(|cloud| cloud.scalar() != Some("aws")) {
        let message = format!("provider {}: only aws is read here", cloud.scalar().unwrap_or_default());
        notes.push(Note::error(&cloud.spot.place(), message));
    }
    let mut service = Service {
        provider,
        package,
        folder: Folder::new(folder),
        outcome: Outcome { name, ..Outcome::default() },
    };
    // A list of maps is as good as a map: people keep each in a file of its own.
    for part in functions.iter().flat_map(one_or_many) {
        if !part.is_map() {
            notes.push(Note::error(
                &part.spot.place(),
                format!("functions is a map of functions, and this is {}", part.sort()),
            ));
        }
        for entry in part.entries() {
            service.function(entry, &mut notes);
        }
    }
    if functions.is_none() && notes.is_empty() {
        notes.push(Note::error(&root.spot.place(), "there are no functions in this file"));
    }
    service.outcome.notes = notes;
    service.outcome
}

/// What functions of a service share, and what they came to.
struct Service {
    provider: Node,
    package: Option<Node>,
    folder: Folder,
    outcome: Outcome,
}

/// Plugins and resources, one by one: they are what a service may stand and fall with.
fn listed(root: &Node, notes: &mut Vec<Note>) {
    let plugins = root.get("plugins").map(|plugins| plugins.get("modules").unwrap_or(plugins));
    for plugin in plugins.into_iter().flat_map(one_or_many) {
        let name = plugin.scalar().unwrap_or_default();
        let message = match name {
            "serverless-offline" => format!("the plugin {name} is not run: `flint dev` does what it does"),
            "serverless-dotenv-plugin" => {
                format!("the plugin {name} is not run: `flint dev` reads .env itself")
            }
            _ => format!("the plugin {name} is not run: what it adds or changes is not there"),
        };
        notes.push(Note::warning(&plugin.spot.place(), message));
    }
    for part in root.get("resources").into_iter().flat_map(one_or_many) {
        let Some(resources) = part.get("Resources").filter(|resources| resources.is_map()) else {
            notes.push(Note::warning(&part.spot.place(), "resources are not made: they are AWS's"));
            continue;
        };
        for entry in resources.entries() {
            let kind = entry.value.get("Type").and_then(Node::scalar).unwrap_or("resource");
            let message = format!("the {kind} {} is not made: it is AWS's", entry.key);
            notes.push(Note::warning(&entry.spot.place(), message));
        }
    }
}

// === impl Service ===

impl Service {
    fn function(&mut self, entry: &Entry, notes: &mut Vec<Note>) {
        let Entry { key, spot, value } = entry;
        if !value.is_map() {
            let message = format!("functions.{key} is a map with a handler, and this is {}", value.sort());
            return notes.push(Note::error(&value.spot.place(), message));
        }
        say(value, FUNCTION, &format!("functions.{key}."), notes);
        let setting = |name: &str| value.get(name).or_else(|| self.provider.get(name)).cloned();
        let written = value.get("name").map_or_else(|| Node::text(spot, key), Clone::clone);
        let name = name_of(written.scalar().unwrap_or_default());
        if written.scalar() != Some(&name) {
            let message = format!(
                "this function is called {name} here: names in Kubernetes have lower-case letters, digits and '-'"
            );
            notes.push(Note::remark(&written.spot.place(), message));
        }
        let mut draft = Draft { spot: spot.clone(), ..Draft::new(&Node::text(&written.spot, &name)) };
        if let Some(image) = value.get("image") {
            let message =
                "a Lambda image speaks Lambda's Runtime API, and an image here serves HTTP: it is not run";
            return notes.push(Note::error(&image.spot.place(), message));
        }
        match setting("runtime") {
            None => {
                let message = format!(
                    "functions.{key} has no runtime, nor has the provider: write runtime, such as nodejs20.x"
                );
                return notes.push(Note::error(&spot.place(), message));
            }
            Some(runtime) => draft.lambda_runtime(runtime, notes),
        }
        if let Some(handler) = value.get("handler") {
            draft.spec("handler", handler.clone());
        }
        if let Some(memory) = setting("memorySize") {
            let text = format!("{}Mi", memory.scalar().unwrap_or_default());
            let limits = Node::map(&memory.spot).with("memory", Node::text(&memory.spot, text));
            draft.spec("resources", Node::map(&memory.spot).with("limits", limits));
        }
        if let Some(timeout) = setting("timeout") {
            draft.spec("timeout", seconds(&timeout));
        }
        let environment =
            environment::merged(self.provider.get("environment"), value.get("environment"), notes);
        if let Some(environment) = environment {
            draft.spec("env", environment);
        }
        self.scaling(value, &mut draft, notes);
        if let Some(text) = value.get("description") {
            draft.annotate("kubernetes.io/description", text.clone());
        }
        self.package(value, &mut draft, notes);
        let routes = self.events(&name, value, &mut draft, notes);
        if !routes.is_empty() && routes.iter().all(|route| route.event == EventFormat::V1) {
            draft.annotate("flint.dev/event-format", Node::text(spot, "v1"));
        }
        self.outcome.routes.extend(routes);
        self.outcome.functions.push(draft);
    }

    /// Reserved concurrency is the most instances, as an instance works on one request at a time; provisioned, the least.
    fn scaling(&self, function: &Node, draft: &mut Draft, notes: &mut Vec<Note>) {
        let mut scaling: Option<Node> = None;
        for (from, to) in [("provisionedConcurrency", "minReplicas"), ("reservedConcurrency", "maxReplicas")]
        {
            let Some(value) = function.get(from) else { continue };
            if value.scalar() == Some("0") {
                let message =
                    format!("{from}: 0 switches a function off, which is not done here: it stays on");
                notes.push(Note::warning(&value.spot.place(), message));
                continue;
            }
            let node = scaling.take().unwrap_or_else(|| Node::map(&value.spot));
            scaling = Some(node.with(to, value.clone()));
        }
        if let Some(scaling) = scaling {
            draft.spec("scaling", scaling);
        }
    }

    /// Which files belong to the function: patterns of the service, then its own.
    fn package(&self, function: &Node, draft: &mut Draft, notes: &mut Vec<Note>) {
        let mut folder = self.folder.clone();
        for package in [self.package.as_ref(), function.get("package")].into_iter().flatten() {
            let texts = |key: &str| {
                let items = package.get(key).map(Node::items).unwrap_or_default();
                items.iter().filter_map(Node::scalar).map(str::to_owned).collect::<Vec<_>>()
            };
            folder.patterns.extend(texts("exclude").into_iter().map(
                |pattern| match pattern.strip_prefix('!') {
                    Some(pattern) => pattern.to_owned(),
                    None => format!("!{pattern}"),
                },
            ));
            folder.patterns.extend(texts("include"));
            folder.patterns.extend(texts("patterns"));
            if let Some(artifact) = package.get("artifact") {
                let message = "package.artifact: an archive on this machine is not read; put it behind https and name it in a Function's source.archive";
                notes.push(Note::error(&artifact.spot.place(), message));
            }
            for entry in package.entries() {
                const KNOWN: &[&str] = &["exclude", "include", "patterns", "artifact"];
                const IGNORED: &[&str] = &["individually", "excludeDevDependencies"];
                let message = match entry.key.as_str() {
                    key if KNOWN.contains(&key) => continue,
                    key if IGNORED.contains(&key) => format!("package.{key} has no effect here"),
                    key => match closest(key, KNOWN) {
                        Some(meant) => format!("package.{key} is not known: did you mean {meant}?"),
                        None => format!("package.{key} is not known"),
                    },
                };
                let note = Note::remark(&entry.spot.place(), message);
                if !notes.contains(&note) {
                    notes.push(note);
                }
            }
        }
        draft.folder = Some(folder);
    }

    fn events(&self, name: &str, function: &Node, draft: &mut Draft, notes: &mut Vec<Note>) -> Vec<Route> {
        let payload = self.provider.get("httpApi").and_then(|api| api.get("payload")).and_then(Node::scalar);
        let http_api = if payload == Some("1.0") { EventFormat::V1 } else { EventFormat::V2 };
        let mut events =
            events::Events { function: name, http_api, routes: Vec::new(), schedules: Vec::new(), notes };
        match function.get("events") {
            None => {}
            Some(list) if list.is_list() => list.items().iter().for_each(|event| events.event(event)),
            Some(other) => {
                let message =
                    format!("events is a list, and this is {}: write each event behind a '-'", other.sort());
                events.notes.push(Note::error(&other.spot.place(), message));
            }
        }
        let events::Events { routes, schedules, .. } = events;
        if let Some(first) = schedules.first() {
            draft.spec("schedules", Node::list(&first.spot.clone(), schedules));
        }
        routes
    }
}
