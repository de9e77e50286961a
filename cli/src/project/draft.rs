//! A function as a form came to it, and the checks that all forms share.

use std::path::PathBuf;

use flint_api::Function;
use serde_json::{Map, Value, json};

use super::{
    Code, Folder, Language, Note, ProjectFunction, Severity, rules, runtimes, schema,
    tree::{Node, Spot},
};

/// A function as a form came to it.
#[derive(Clone, Debug)]
pub(crate) struct Draft {
    /// The object as the cluster takes it, each node with its place.
    pub(crate) object: Node,
    /// The folder of its code, where it is in one.
    pub(crate) folder: Option<Folder>,
    pub(crate) env_files: Vec<PathBuf>,
    pub(crate) run: Option<String>,
    /// Where messages about it as a whole belong.
    pub(crate) spot: Spot,
}

/// Names in Kubernetes, from what people call things: `createUser` is `create-user`.
pub(crate) fn name_of(text: &str) -> String {
    let mut name = String::new();
    let mut before = '-';
    for any in text.chars() {
        if any.is_ascii_alphanumeric() {
            if any.is_ascii_uppercase() && before.is_ascii_lowercase() {
                name.push('-');
            }
            name.push(any.to_ascii_lowercase());
        } else if !name.ends_with('-') && !name.is_empty() {
            name.push('-');
        }
        before = any;
    }
    let name = name.trim_matches('-');
    if name.starts_with(|first: char| first.is_ascii_digit()) { format!("f-{name}") } else { name.to_owned() }
}

// === impl Draft ===

impl Draft {
    /// A Function of this name, without a spec.
    pub(crate) fn new(name: &Node) -> Self {
        let spot = &name.spot;
        let object = Node::map(spot)
            .with("apiVersion", Node::text(spot, "flint.dev/v1alpha1"))
            .with("kind", Node::text(spot, "Function"))
            .with("metadata", Node::map(spot).with("name", name.clone()))
            .with("spec", Node::map(spot));
        Self { object, folder: None, env_files: Vec::new(), run: None, spot: spot.clone() }
    }

    /// Sets `spec.FIELD`.
    pub(crate) fn spec(&mut self, field: &str, value: Node) {
        self.below("spec", |spec| spec.set(field, value));
    }

    /// Sets the runtime that AWS Lambda's identifier comes to, or says what is wrong with it.
    pub(crate) fn lambda_runtime(&mut self, runtime: Node, notes: &mut Vec<Note>) {
        let place = runtime.spot.place();
        match runtimes::known(runtime.scalar().unwrap_or_default()) {
            Ok(known) => {
                let remark = known.remark.map(|remark| Note::remark(&place, remark));
                // What stands once for all functions is said once.
                if let Some(remark) = remark.filter(|note| !notes.contains(note)) {
                    notes.push(remark);
                }
                self.spec("runtime", Node::text(&runtime.spot, known.runtime));
            }
            Err(message) => {
                notes.push(Note::error(&place, message));
                // So that nothing else is said about it.
                self.spec("runtime", runtime);
            }
        }
    }

    /// Sets an annotation.
    pub(crate) fn annotate(&mut self, key: &str, value: Node) {
        self.below("metadata", |metadata| {
            let annotations = metadata.get("annotations").cloned().unwrap_or_else(|| Node::map(&value.spot));
            metadata.set("annotations", annotations.with(key, value.clone()));
        });
    }

    /// Sets `metadata.FIELD`.
    pub(crate) fn metadata(&mut self, field: &str, value: Node) {
        self.below("metadata", |metadata| metadata.set(field, value));
    }

    /// Adds a schedule.
    pub(crate) fn schedule(&mut self, schedule: Node) {
        let there = self.object.deepest("spec.schedules");
        let mut schedules = if there.is_list() { there.items().to_vec() } else { Vec::new() };
        schedules.push(schedule);
        let spot = self.spot.clone();
        self.spec("schedules", Node::list(&spot, schedules));
    }

    fn below(&mut self, part: &str, change: impl FnOnce(&mut Node)) {
        let mut node = self.object.get(part).cloned().unwrap_or_else(|| Node::map(&self.spot));
        change(&mut node);
        self.object.set(part, node);
    }

    /// What a cluster would refuse of it, wherever its code is to come from.
    pub(crate) fn refused(&self) -> Vec<Note> {
        let mut notes = schema::check(&self.object);
        let object = self.object.to_json();
        let coded = !object["spec"]["source"].is_null() || !object["spec"]["image"].is_null();
        if let Ok(function) = serde_json::from_value(typed(object)) {
            notes.extend(rules::broken(&function, !coded).into_iter().map(|(path, message)| {
                let place = self.object.deepest(&path).spot.place();
                Note::error(&place, format!("{path}: {message}"))
            }));
        }
        notes
    }

    /// Checks it, and says what is wrong. Nothing comes of what has mistakes.
    pub(crate) fn finish(self, notes: &mut Vec<Note>) -> Option<ProjectFunction> {
        let before = notes.len();
        notes.extend(schema::check(&self.object));
        if notes[before..].iter().any(|note| note.severity == Severity::Error) {
            return None;
        }
        let function: Function = match serde_json::from_value(typed(self.object.to_json())) {
            Ok(function) => function,
            Err(error) => {
                let place = self.object.deepest(&field_of(&self.object)).spot.place();
                notes.push(Note::error(&place, error.to_string()));
                return None;
            }
        };
        for (path, message) in rules::broken(&function, self.folder.is_some()) {
            let place = self.object.deepest(&path).spot.place();
            notes.push(Note::error(&place, format!("{path}: {message}")));
        }
        let (runtime, handler) =
            (function.spec.runtime.as_deref(), function.spec.handler.as_deref().unwrap_or_default());
        let inline = function.spec.source.as_ref().and_then(|source| source.inline.as_ref());
        let exists = |name: &str| match (&self.folder, inline) {
            (Some(folder), _) => folder.root.join(name).is_file(),
            (None, Some(files)) => files.contains_key(name),
            // The cluster fetches it: nobody here knows.
            (None, None) => true,
        };
        let mut language = None;
        if let Some(runtime) = runtime {
            if let Some(message) = runtimes::handler_is_missing(runtime, handler, exists) {
                notes.push(Note::error(&self.object.deepest("spec.handler").spot.place(), message));
            }
            language = runtimes::language(runtime, exists, handler);
        }
        if notes[before..].iter().any(|note| note.severity == Severity::Error) {
            return None;
        }
        let code = match self.folder {
            Some(folder) => Code::Folder(folder),
            None if runtime.is_some() => Code::InManifest,
            None => Code::Image,
        };
        let place = self.spot.place();
        Some(ProjectFunction { function, code, language, run: self.run, env_files: self.env_files, place })
    }
}

/// A value without its nulls, which are as good as nothing: so an API server takes them.
pub(crate) fn pruned(value: Value) -> Value {
    match value {
        Value::Object(fields) => {
            let there = fields.into_iter().filter(|(_, field)| !field.is_null());
            there.map(|(name, field)| (name, pruned(field))).collect::<Map<_, _>>().into()
        }
        Value::Array(items) => items.into_iter().map(pruned).collect(),
        other => other,
    }
}

/// As our types read it: an API server takes a quantity as a number, too.
fn typed(value: Value) -> Value {
    let mut value = pruned(value);
    for list in ["limits", "requests"] {
        let quantities = value.pointer_mut(&format!("/spec/resources/{list}")).and_then(Value::as_object_mut);
        for quantity in
            quantities.into_iter().flat_map(Map::values_mut).filter(|quantity| quantity.is_number())
        {
            *quantity = Value::String(quantity.to_string());
        }
    }
    value
}

/// The first field of the spec that alone makes the object unreadable: serde does not say where it was.
fn field_of(object: &Node) -> String {
    let reads = |key: &str, value: &Node| {
        let mut object = typed(json!({ "spec": { key: value.to_json() } }));
        serde_json::from_value::<flint_api::FunctionSpec>(object["spec"].take()).is_ok()
    };
    let spec = object.get("spec").into_iter().flat_map(Node::entries);
    let broken = spec
        .filter(|entry| !reads(&entry.key, &entry.value))
        .map(|entry| format!("spec.{}", entry.key))
        .next();
    broken.unwrap_or_default()
}

impl Language {
    /// Its name, as people write it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Python => "Python",
            Self::Node => "Node.js",
            Self::TypeScript => "TypeScript",
            Self::Go => "Go",
            Self::Rust => "Rust",
            Self::Ruby => "Ruby",
            Self::Php => "PHP",
            Self::Java => "Java",
            Self::Shell => "shell",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_what_kubernetes_takes() {
        for (text, name) in [
            ("hello", "hello"),
            ("createUser", "create-user"),
            ("HelloWorldFunction", "hello-world-function"),
            ("users_list", "users-list"),
            ("my shop!", "my-shop"),
            ("2nd", "f-2nd"),
            ("HTTPServer", "httpserver"),
            ("-_-", ""),
        ] {
            assert_eq!(name_of(text), name, "{text}");
        }
    }
}
