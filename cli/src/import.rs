//! Functions of other platforms, as Flint's: what can be said here is, and the rest is listed with its line.

use std::path::Path;

use serde_json::Value;

use crate::project::{Draft, Files, Node, Note, Place, Severity, parse_yaml, pruned};

mod fission;
mod knative;
mod kubeless;
mod openfaas;
#[cfg(test)]
mod tests;

/// A platform that functions come from.
#[derive(Clone, Copy, Debug, Eq, PartialEq, clap::ValueEnum)]
pub enum Platform {
    /// Function objects of kubeless.io
    Kubeless,
    /// stack.yaml of faas-cli, or Function objects of openfaas.com
    Openfaas,
    /// Objects of fission.io: functions, environments, packages, triggers
    Fission,
    /// Services of serving.knative.dev, or func.yaml
    Knative,
}

/// What a file comes to.
#[derive(Debug)]
pub struct Imported {
    /// Functions, as the cluster takes them.
    pub functions: Vec<Value>,
    /// What was not translated.
    pub notes: Vec<Note>,
}

/// Reads a file of another platform.
///
/// # Errors
/// When it cannot be read, or has nothing of that platform in it.
pub fn import(platform: Platform, path: &Path) -> Result<Imported, Vec<Note>> {
    let whole = Place { file: path.to_owned(), line: 0, column: 0 };
    let real = path.canonicalize().map_err(|error| vec![Note::error(&whole, error.to_string())])?;
    let mut files = Files::below(real.parent().unwrap_or(&real));
    let documents =
        files.text(&real, &whole).and_then(|text| parse_yaml(path, &text)).map_err(|note| vec![note])?;
    let documents: Vec<Node> = documents.iter().flat_map(each).cloned().collect();
    let mut notes = Vec::new();
    let drafts = match platform {
        Platform::Kubeless => kubeless::read(&documents, &mut notes),
        Platform::Openfaas => openfaas::read(&documents, &mut notes),
        Platform::Fission => fission::read(&documents, &mut notes),
        Platform::Knative => knative::read(&documents, &mut notes),
    };
    if drafts.is_empty() && notes.iter().all(|note| note.severity != Severity::Error) {
        notes.push(Note::error(&whole, format!("there is no function of {} in this file", platform.name())));
    }
    // What was written for another platform may be what no cluster takes here: it is printed all the same, to be corrected.
    for draft in &drafts {
        let wrong = draft.refused().into_iter().map(|note| Note { severity: Severity::Warning, ..note });
        notes.extend(wrong.map(|note| Note { message: format!("correct this: {}", note.message), ..note }));
    }
    notes.sort_by_key(|note| (note.line, note.column));
    if notes.iter().any(|note| note.severity == Severity::Error) {
        return Err(notes);
    }
    Ok(Imported { functions: drafts.iter().map(|draft| pruned(draft.object.to_json())).collect(), notes })
}

/// The objects of a document: `kubectl get -o yaml` makes a list of them.
fn each(document: &Node) -> &[Node] {
    match text(document, &["kind"]) {
        Some("List") => document.get("items").map(Node::items).unwrap_or_default(),
        _ => std::slice::from_ref(document),
    }
}

/// A child's text.
fn text<'a>(node: &'a Node, path: &[&str]) -> Option<&'a str> {
    path.iter().try_fold(node, |node, key| node.get(key)).and_then(Node::scalar)
}

/// A child.
fn at<'a>(node: &'a Node, path: &[&str]) -> Option<&'a Node> {
    path.iter().try_fold(node, |node, key| node.get(key))
}

/// Lists the keys of a map that are not among those that are read.
fn rest(node: &Node, read: &[&str], path: &str, notes: &mut Vec<Note>) {
    for entry in node.entries().iter().filter(|entry| !read.contains(&entry.key.as_str())) {
        notes.push(Note::warning(&entry.spot.place(), format!("{path}{} is not translated", entry.key)));
    }
}

/// A Function of an object's name and namespace.
fn named(object: &Node) -> Option<Draft> {
    let name = at(object, &["metadata", "name"])?;
    let mut draft = Draft::new(name);
    for key in ["namespace", "labels"] {
        if let Some(value) = at(object, &["metadata", key]) {
            draft.metadata(key, value.clone());
        }
    }
    Some(draft)
}

/// A map of variables as a Pod has them.
fn environment(map: &Node) -> Node {
    let items = map.entries().iter().map(|entry| {
        let value = Node::text(&entry.value.spot, entry.value.scalar().unwrap_or_default());
        Node::map(&entry.spot).with("name", Node::text(&entry.spot, &entry.key)).with("value", value)
    });
    Node::list(&map.spot, items.collect())
}

/// Variables and resources of a container, which a Function has in the same form.
fn environment_of_container(container: &Node, draft: &mut Draft) {
    for key in ["env", "envFrom", "resources"] {
        if let Some(value) =
            container.get(key).filter(|value| !value.entries().is_empty() || !value.items().is_empty())
        {
            draft.spec(key, value.clone());
        }
    }
}

/// `spec.source.inline` of one file.
fn inline(file: &str, code: &Node) -> Node {
    let text = Node::text(&code.spot, code.scalar().unwrap_or_default());
    Node::map(&code.spot).with("inline", Node::map(&code.spot).with(file, text))
}

// === impl Platform ===

impl Platform {
    fn name(self) -> &'static str {
        match self {
            Self::Kubeless => "Kubeless",
            Self::Openfaas => "OpenFaaS",
            Self::Fission => "Fission",
            Self::Knative => "Knative",
        }
    }
}
