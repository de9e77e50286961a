//! Environment variables of a service.

use std::path::Path;

use crate::project::{
    Note, Options,
    env_file::parse_env_file,
    files::Files,
    tree::{Entry, Node},
};

/// `.env`, and that of the stage, as `useDotenv` asks for them; the stage's win.
pub(super) fn dotenv(
    root: &Node,
    files: &mut Files,
    options: &Options,
    notes: &mut Vec<Note>,
) -> Vec<(String, String)> {
    let stage = options.stage.as_ref().or_else(|| options.opts.get("stage")).cloned();
    let stage = stage.unwrap_or_else(|| "dev".to_owned());
    let mut variables = Vec::new();
    for name in [".env".to_owned(), format!(".env.{stage}")] {
        let path = files.root().join(&name);
        if path.is_file() {
            variables.extend(lines(&path, root, files, notes));
        }
    }
    variables
}

fn lines(path: &Path, root: &Node, files: &mut Files, notes: &mut Vec<Note>) -> Vec<(String, String)> {
    let text = match files.text(path, &root.spot.place()) {
        Ok(text) => text,
        Err(note) => {
            notes.push(note);
            return Vec::new();
        }
    };
    parse_env_file(&text).unwrap_or_else(|line| {
        let place = crate::project::Place { file: path.to_owned(), line, column: 0 };
        notes.push(Note::error(&place, "this is no NAME=VALUE"));
        Vec::new()
    })
}

/// The provider's variables and the function's, which win, as a Pod has them.
pub(super) fn merged(
    provider: Option<&Node>,
    function: Option<&Node>,
    notes: &mut Vec<Note>,
) -> Option<Node> {
    let spot = function.or(provider)?.spot.clone();
    let mut items: Vec<Node> = Vec::new();
    for map in [provider, function].into_iter().flatten() {
        if !map.is_map() {
            let message = format!("environment is a map of variables, and this is {}", map.sort());
            notes.push(Note::error(&map.spot.place(), message));
        }
        for entry in map.entries() {
            items.retain(|item| item.get("name").and_then(Node::scalar) != Some(&entry.key));
            items.extend(variable(entry, notes));
        }
    }
    Some(Node::list(&spot, items))
}

fn variable(entry: &Entry, notes: &mut Vec<Note>) -> Option<Node> {
    let Entry { key, spot, value } = entry;
    let unknown = value.tag.is_some() || value.is_map() || value.is_list();
    if unknown {
        let what = value.tag.as_deref().or_else(|| value.entries().first().map(|entry| entry.key.as_str()));
        let what = what.unwrap_or("a list");
        let message = format!(
            "the variable {key} is left out: {what} is known to CloudFormation only; give it a value here, such as ${{env:{key}}}"
        );
        let note = Note::warning(&value.spot.place(), message);
        if !notes.contains(&note) {
            notes.push(note);
        }
        return None;
    }
    // Nothing came of a variable, which was said; or nothing is written, as one does to take it away.
    let text = value.scalar()?;
    Some(Node::map(spot).with("name", Node::text(spot, key)).with("value", Node::text(&value.spot, text)))
}
