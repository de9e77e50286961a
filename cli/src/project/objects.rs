//! Objects as `kubectl apply` takes them: Functions are read, others kept as they are.

use super::{
    Note,
    draft::Draft,
    schema::closest,
    tree::{Node, Spot},
};

/// What the documents of a file come to.
#[derive(Debug, Default)]
pub(crate) struct Objects {
    pub(crate) functions: Vec<Draft>,
    pub(crate) others: Vec<serde_json::Value>,
}

/// Whether a document is an object of Flint's.
pub(crate) fn is_ours(document: &Node) -> bool {
    document.get("apiVersion").and_then(Node::scalar).is_some_and(|version| version.starts_with("flint.dev/"))
}

/// Reads the documents of a file.
pub(crate) fn read(documents: &[Node], notes: &mut Vec<Note>) -> Objects {
    let mut objects = Objects::default();
    for document in documents {
        // `kubectl get -o yaml` makes a list of them.
        if document.get("kind").and_then(Node::scalar) == Some("List") {
            let items = document.get("items").map(Node::items).unwrap_or_default();
            items.iter().for_each(|item| object(item, &mut objects, notes));
        } else {
            object(document, &mut objects, notes);
        }
    }
    objects
}

fn object(document: &Node, objects: &mut Objects, notes: &mut Vec<Note>) {
    let field = |name: &str| document.get(name).and_then(Node::scalar).unwrap_or_default();
    let (version, kind) = (field("apiVersion"), field("kind"));
    let place = |name: &str| document.entry(name).map_or(&document.spot, |entry| &entry.value.spot).place();
    if !document.is_map() || version.is_empty() || kind.is_empty() {
        let message = "this is no object: write apiVersion: flint.dev/v1alpha1 and kind: Function";
        return notes.push(Note::error(&document.spot.place(), message));
    }
    if !version.starts_with("flint.dev/") {
        return objects.others.push(document.to_json());
    }
    if version != "flint.dev/v1alpha1" {
        let message = format!("there is no version {version}: write apiVersion: flint.dev/v1alpha1");
        return notes.push(Note::error(&place("apiVersion"), message));
    }
    match kind {
        "Function" => {
            let spot = document
                .get("metadata")
                .and_then(|metadata| metadata.get("name"))
                .map_or(&document.spot, |name| &name.spot);
            let spot: Spot = spot.clone();
            let draft =
                Draft { object: document.clone(), folder: None, env_files: Vec::new(), run: None, spot };
            objects.functions.push(draft);
        }
        "Runtime" => objects.others.push(document.to_json()),
        _ => {
            let hint = closest(kind, &["Function", "Runtime"])
                .map_or("there are Function and Runtime".to_owned(), |meant| {
                    format!("did you mean {meant}?")
                });
            notes.push(Note::error(&place("kind"), format!("there is no kind {kind} in flint.dev: {hint}")));
        }
    }
}
