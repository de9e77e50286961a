//! Finds in which form a project is written, reads it, and checks the outcome.

use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
};

use super::{
    Folder, Form, Note, Options, Place, Project, Route, Severity, detect,
    draft::Draft,
    files::{Files, said},
    objects, routes, sam, serverless,
    short::{self, folder_name},
    tree::{Node, Spot},
    variables::Variables,
    yaml,
};

/// Files that describe a folder, and their form; the first that is there counts.
const DESCRIPTIONS: &[(&str, Form)] = &[
    ("flint.yaml", Form::Flint),
    ("flint.yml", Form::Flint),
    ("serverless.yml", Form::Serverless),
    ("serverless.yaml", Form::Serverless),
    ("serverless.json", Form::Serverless),
];
/// Files with objects that are looked at in one folder.
const MOST_FILES: usize = 500;

/// What a form came to.
#[derive(Default)]
pub(crate) struct Outcome {
    pub(crate) name: Option<String>,
    pub(crate) functions: Vec<Draft>,
    pub(crate) routes: Vec<Route>,
    pub(crate) others: Vec<serde_json::Value>,
    pub(crate) notes: Vec<Note>,
}

pub(super) fn load(path: &Path, options: &Options) -> Result<Project, Vec<Note>> {
    let whole = |path: &Path| Place { file: path.to_owned(), line: 0, column: 0 };
    let real = path.canonicalize().map_err(|error| vec![Note::error(&whole(path), said(&error))])?;
    let root = if real.is_dir() { real.clone() } else { real.parent().unwrap_or(&real).to_owned() };
    let mut files = Files::below(&root);
    let (form, outcome) =
        if real.is_dir() { folder(&mut files, options) } else { file(&mut files, &real, options) }
            .map_err(|note| vec![note])?;
    finish(root, form, &files, outcome)
}

/// A folder: by its description, by the objects in it, or by its code.
fn folder(files: &mut Files, options: &Options) -> Result<(Form, Outcome), Note> {
    let root = files.root().to_owned();
    for (name, form) in DESCRIPTIONS {
        let path = root.join(name);
        if path.is_file() {
            let documents = documents(files, &path)?;
            return Ok((*form, read(*form, &documents, &path, files, options)));
        }
    }
    for name in ["template.yaml", "template.yml", "template.json"] {
        let path = root.join(name);
        if path.is_file() {
            let documents = documents(files, &path)?;
            if documents.first().is_some_and(sam::is_one) {
                return Ok((Form::Sam, read(Form::Sam, &documents, &path, files, options)));
            }
        }
    }
    let mut outcome = Outcome::default();
    for path in manifests(&root) {
        let documents = documents(files, &path)?;
        if documents.iter().any(objects::is_ours) {
            let found = read(Form::Objects, &documents, &path, files, options);
            outcome.functions.extend(found.functions);
            outcome.others.extend(found.others);
            outcome.notes.extend(found.notes);
        }
    }
    if !outcome.functions.is_empty() || !outcome.notes.is_empty() {
        return Ok((Form::Objects, outcome));
    }
    let spot = Spot::start_of(&root);
    let Some(found) = detect::look(&root) else {
        let message =
            format!("there is no function here: looked for {}; `flint new` makes one", detect::LOOKED_FOR);
        return Err(Note::error(&spot.place(), message));
    };
    let spot = Spot::start_of(&root.join(&found.file));
    let mut draft = Draft::new(&Node::text(&spot, folder_name(&root)));
    draft.spec("runtime", Node::text(&spot, found.runtime));
    if let Some(handler) = found.handler {
        draft.spec("handler", Node::text(&spot, handler));
    }
    draft.folder = Some(Folder::new(root));
    Ok((Form::Folder, Outcome { functions: vec![draft], ..Outcome::default() }))
}

/// A file: its form is told by its name, or by what is in it.
fn file(files: &mut Files, path: &Path, options: &Options) -> Result<(Form, Outcome), Note> {
    let documents = documents(files, path)?;
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let form = DESCRIPTIONS.iter().find(|(known, _)| *known == name).map(|(_, form)| *form);
    let form = form.or_else(|| form_of(&documents)).unwrap_or(Form::Flint);
    Ok((form, read(form, &documents, path, files, options)))
}

/// The form of what is in a file, whatever its name.
fn form_of(documents: &[Node]) -> Option<Form> {
    let first = documents.first()?;
    if serverless::is_one(first) {
        return Some(Form::Serverless);
    }
    if sam::is_one(first) {
        return Some(Form::Sam);
    }
    (first.get("apiVersion").is_some() || first.get("kind").is_some()).then_some(Form::Objects)
}

fn read(form: Form, documents: &[Node], path: &Path, files: &mut Files, options: &Options) -> Outcome {
    let mut notes = Vec::new();
    let empty = Node::plain(&Spot::start_of(path), "null");
    let root = documents.first().unwrap_or(&empty);
    if form != Form::Objects
        && let Some(second) = documents.get(1)
    {
        notes.push(Note::error(
            &second.spot.place(),
            "there is a second document here, and only objects come in several",
        ));
    }
    let mut outcome = match form {
        Form::Objects => {
            let found = objects::read(documents, &mut notes);
            Outcome { functions: found.functions, others: found.others, ..Outcome::default() }
        }
        Form::Serverless => serverless::read(root, files, options),
        Form::Sam => sam::read(root, files, options),
        Form::Flint | Form::Folder => {
            let mut variables = Variables::new(root, options, files);
            let root = variables.resolve(root);
            notes.extend(variables.into_notes());
            let found = short::read(&root, files.root(), &mut notes);
            Outcome {
                name: found.name,
                functions: found.functions,
                routes: found.routes,
                ..Outcome::default()
            }
        }
    };
    outcome.notes.splice(0..0, notes);
    outcome
}

fn documents(files: &mut Files, path: &Path) -> Result<Vec<Node>, Note> {
    let place = Place { file: path.to_owned(), line: 0, column: 0 };
    let text = files.text(path, &place)?;
    yaml::parse(path, &text)
}

/// The YAML files of a folder, in order.
fn manifests(root: &Path) -> Vec<PathBuf> {
    let is_yaml = |path: &PathBuf| path.extension().is_some_and(|end| end == "yaml" || end == "yml");
    let entries =
        std::fs::read_dir(root).into_iter().flatten().filter_map(Result::ok).map(|entry| entry.path());
    let mut found: Vec<_> = entries.filter(|path| is_yaml(path) && path.is_file()).take(MOST_FILES).collect();
    found.sort();
    found
}

/// Checks what a form came to.
fn finish(root: PathBuf, form: Form, files: &Files, outcome: Outcome) -> Result<Project, Vec<Note>> {
    let Outcome { name, functions: drafts, routes, others, mut notes } = outcome;
    let mut seen = BTreeSet::new();
    let mut functions = Vec::new();
    let empty = drafts.is_empty();
    for draft in drafts {
        let name = draft.object.deepest("metadata.name");
        let namespace = draft
            .object
            .get("metadata")
            .and_then(|metadata| metadata.get("namespace"))
            .and_then(Node::scalar);
        let key = (namespace.map(str::to_owned), name.scalar().unwrap_or_default().to_owned());
        if !seen.insert(key.clone()) {
            notes.push(Note::error(
                &name.spot.place(),
                format!("there is another function {}: give each its own name", key.1),
            ));
        }
        functions.extend(draft.finish(&mut notes));
    }
    if empty && notes.iter().all(|note| note.severity != Severity::Error) {
        let place =
            Place { file: files.read_so_far().pop().unwrap_or_else(|| root.clone()), line: 0, column: 0 };
        notes.push(Note::error(&place, "there is no function in this file"));
    }
    notes.extend(routes::twice(&routes));
    notes.sort_by(|one, other| {
        (&one.file, one.line, one.column).cmp(&(&other.file, other.line, other.column))
    });
    if notes.iter().any(|note| note.severity == Severity::Error) {
        return Err(notes);
    }
    let name = name.unwrap_or_else(|| folder_name(&root));
    Ok(Project { root, form, files: files.read_so_far(), name, functions, routes, others, notes })
}
