//! `${self:}`, `${env:}`, `${opt:}`, `${file()}` and their like, as the Serverless Framework has them.
//!
//! A variable is looked up when the text with it is needed, so that what nobody uses need not be there. Each place that
//! is being looked up is remembered, which finds circles; and each step counts, so that nothing goes on and on.

use std::{
    collections::{BTreeMap, HashMap},
    path::PathBuf,
    rc::Rc,
};

use super::{
    Note, Options,
    files::Files,
    tree::{Entry, Kind, Node, Spot},
    yaml,
};

#[cfg(test)]
mod tests;
mod text;

use text::{Part, parts, split};

/// Values that one file may come to with all its variables written out.
const MOST_STEPS: usize = 200_000;
/// Variables that lead to variables that lead to variables.
const MOST_DEEP: usize = 50;

/// Looks variables up in a file.
pub(crate) struct Variables<'a> {
    root: &'a Node,
    options: &'a Options,
    files: &'a mut Files,
    dotenv: BTreeMap<String, String>,
    read: HashMap<PathBuf, Rc<Node>>,
    busy: Vec<String>,
    steps: usize,
    notes: Vec<Note>,
}

/// What a variable came to.
enum Found {
    Value(Node),
    /// It is not there: the next fallback is.
    Missing(String),
    /// Nobody here can know it: the next fallback is, or nothing and a warning.
    Unknown(String),
}

// === impl Variables ===

impl<'a> Variables<'a> {
    pub(crate) fn new(root: &'a Node, options: &'a Options, files: &'a mut Files) -> Self {
        Self {
            root,
            options,
            files,
            dotenv: BTreeMap::new(),
            read: HashMap::new(),
            busy: Vec::new(),
            steps: 0,
            notes: Vec::new(),
        }
    }

    /// What `${env:}` finds where the environment has nothing.
    pub(crate) fn with_dotenv(&mut self, variables: impl IntoIterator<Item = (String, String)>) {
        self.dotenv.extend(variables);
    }

    /// What was said on the way; each once.
    pub(crate) fn into_notes(self) -> Vec<Note> {
        let mut notes: Vec<Note> = Vec::new();
        for note in self.notes {
            if !notes.contains(&note) {
                notes.push(note);
            }
        }
        notes
    }

    /// The root's entry of this name with its variables written out.
    pub(crate) fn part(&mut self, key: &str) -> Option<Node> {
        let node = self.root.get(key)?;
        self.within(&format!("self:{key}"), |this| Some(this.resolve(node))).filter(|node| !node.is_null())
    }

    /// The stage: `--stage`, the provider's, or dev.
    pub(crate) fn stage(&mut self) -> String {
        if let Some(stage) = self.options.stage.as_ref().or_else(|| self.options.opts.get("stage")) {
            return stage.clone();
        }
        match self.of_self("provider.stage") {
            Found::Value(node) => node.scalar().unwrap_or("dev").to_owned(),
            _ => "dev".to_owned(),
        }
    }

    /// A node with its variables written out. What cannot be is nothing, and said.
    pub(crate) fn resolve(&mut self, node: &Node) -> Node {
        self.steps += 1;
        if self.steps > MOST_STEPS {
            if self.steps == MOST_STEPS + 1 {
                let message =
                    format!("with its variables written out this file has more than {MOST_STEPS} values");
                self.notes.push(Note::error(&node.spot.place(), message));
            }
            return Node::plain(&node.spot, "null");
        }
        let kind = match &node.kind {
            Kind::Scalar { text, .. } if text.contains("${") => return self.scalar(node, text),
            Kind::Scalar { .. } => node.kind.clone(),
            Kind::List(items) => Kind::List(items.iter().map(|item| self.resolve(item)).collect()),
            Kind::Map(entries) => Kind::Map(
                entries
                    .iter()
                    .map(|entry| Entry { value: self.resolve(&entry.value), ..entry.clone() })
                    .collect(),
            ),
        };
        Node { kind, ..node.clone() }
    }

    /// Text with variables in it. One that is nothing else may be of any kind.
    fn scalar(&mut self, node: &Node, text: &str) -> Node {
        let parts = match parts(text) {
            Ok(parts) => parts,
            Err(at) => {
                let message = "this ${ is not closed: write a } behind it";
                self.notes.push(Note::error(&node.spot.after(at).place(), message));
                return Node::plain(&node.spot, "null");
            }
        };
        let at =
            |offset: usize| if text.contains('\n') { node.spot.clone() } else { node.spot.after(offset) };
        if let [Part::Variable { inner, .. }] = parts[..] {
            return match self.variable(inner, &node.spot) {
                Some(value) => Node { tag: node.tag.clone().or(value.tag), ..value },
                None => node.clone(),
            };
        }
        let mut whole = String::new();
        for part in parts {
            match part {
                Part::Text(text) => whole.push_str(text),
                Part::Variable { inner, offset } => {
                    let spot = at(offset);
                    match self.variable(inner, &spot) {
                        None => whole.push_str(&format!("${{{inner}}}")),
                        Some(value) if value.is_map() || value.is_list() => {
                            let message =
                                format!("${{{inner}}} is {}, and cannot stand within text", value.sort());
                            self.notes.push(Note::error(&spot.place(), message));
                        }
                        Some(value) => whole.push_str(value.scalar().unwrap_or_default()),
                    }
                }
            }
        }
        Node { kind: Kind::Scalar { text: whole, plain: false }, ..node.clone() }
    }

    /// `SOURCE:ADDRESS, FALLBACK, …`; nothing where it is no variable of this grammar, such as `${AWS::Region}`.
    fn variable(&mut self, inner: &str, spot: &Spot) -> Option<Node> {
        let candidates = split(inner);
        let mut missing = None;
        let mut unknown = None;
        for (number, candidate) in candidates.iter().enumerate() {
            match self.candidate(candidate, number == 0, spot)? {
                Found::Value(node) => return Some(node),
                Found::Missing(why) => missing = missing.or(Some(why)),
                Found::Unknown(why) => unknown = unknown.or(Some(why)),
            }
        }
        if let Some(why) = unknown {
            self.notes.push(Note::warning(&spot.place(), format!("${{{inner}}} {why}: it is left out")));
        } else if let Some(why) = missing {
            let message = format!(
                "${{{inner}}}: {why}; a fallback goes behind a comma, ${{{}, 'value'}}",
                candidates.first().copied().unwrap_or_default()
            );
            self.notes.push(Note::error(&spot.place(), message));
        }
        Some(Node::plain(spot, "null"))
    }

    fn candidate(&mut self, text: &str, first: bool, spot: &Spot) -> Option<Found> {
        if let Some(quoted) = text::quoted(text) {
            return Some(Found::Value(Node::text(spot, quoted)));
        }
        // A variable within: the address is made of it, or it is the fallback itself.
        let expanded;
        let text = if text.contains("${") {
            let node = self.scalar(&Node::text(spot, text), text);
            if text.starts_with("${") {
                return Some(if node.is_null() {
                    Found::Missing("nothing is there".to_owned())
                } else {
                    Found::Value(node)
                });
            }
            expanded = node.scalar().unwrap_or_default().to_owned();
            expanded.as_str()
        } else {
            text
        };
        let (source, arguments, address) = match text::source(text) {
            Some(parts) => parts,
            None if first => return None,
            None => {
                let node = Node::plain(spot, text);
                if node.to_json().is_string() {
                    let message = format!("the fallback {text} is neither in quotes nor a variable");
                    self.notes.push(Note::error(&spot.place(), message));
                }
                return Some(Found::Value(node));
            }
        };
        Some(match source {
            "self" => self.of_self(address),
            "env" => match self.options.env.get(address).or_else(|| self.dotenv.get(address)) {
                Some(value) => Found::Value(Node::text(spot, value)),
                None => Found::Missing(format!("the environment has no {address}")),
            },
            "opt" => match self.options.opts.get(address).or(self
                .options
                .stage
                .as_ref()
                .filter(|_| address == "stage"))
            {
                Some(value) => Found::Value(Node::text(spot, value)),
                None => Found::Missing(format!("there is no option --{address}")),
            },
            "sls" if address == "stage" => Found::Value(Node::text(spot, self.stage())),
            "sls" if address == "instanceId" => Found::Value(Node::text(spot, "local")),
            "param" => self.parameter(address),
            "file" => self.file(arguments, address, spot),
            "strToBool" => match arguments.trim().to_lowercase().as_str() {
                "true" | "1" => Found::Value(Node::plain(spot, "true")),
                "false" | "0" => Found::Value(Node::plain(spot, "false")),
                other => Found::Missing(format!("{other} is neither true nor false")),
            },
            "aws" if address == "accountId" => Found::Value(Node::text(spot, "000000000000")),
            "aws" if address == "region" => Found::Value(Node::text(spot, "us-east-1")),
            "aws" | "ssm" | "s3" | "cf" | "git" | "vault" | "doppler" | "terraform" | "output" | "state" => {
                Found::Unknown("is known to another service only".to_owned())
            }
            _ => Found::Unknown(format!("is from {source}, which is not known here")),
        })
    }

    /// A path from the file's root.
    fn of_self(&mut self, address: &str) -> Found {
        let root = self.root;
        let found = self.within(&format!("self:{address}"), |this| this.walk(root, &path_of(address)));
        match (found, address) {
            (Some(node), _) => Found::Value(node),
            (None, "provider.stage") => Found::Value(Node::text(&root.spot, "dev")),
            (None, "provider.region") => Found::Value(Node::text(&root.spot, "us-east-1")),
            (None, _) => Found::Missing(format!("there is no {address} in this file")),
        }
    }

    /// The value of a path, the variables on the way and in it written out.
    fn walk(&mut self, node: &Node, path: &[&str]) -> Option<Node> {
        let Some((part, rest)) = path.split_first() else {
            return Some(self.resolve(node)).filter(|node| !node.is_null());
        };
        let written;
        let node = if node.scalar().is_some_and(|text| text.contains("${")) {
            written = self.resolve(node);
            &written
        } else {
            node
        };
        let next = match part.parse::<usize>() {
            Ok(index) if node.is_list() => node.items().get(index),
            _ => node.get(part),
        };
        self.walk(next?, rest)
    }

    /// Parameters of a stage, then those of all.
    fn parameter(&mut self, name: &str) -> Found {
        let stage = self.stage();
        for path in [
            format!("params.{stage}.{name}"),
            format!("stages.{stage}.params.{name}"),
            format!("params.default.{name}"),
            format!("stages.default.params.{name}"),
        ] {
            if let found @ Found::Value(_) = self.of_self(&path) {
                return found;
            }
        }
        Found::Missing(format!("there is no parameter {name} for the stage {stage}"))
    }

    /// A file of values, or of text.
    fn file(&mut self, name: &str, address: &str, spot: &Spot) -> Found {
        let name = name.trim().trim_matches(['\'', '"']);
        let path = self.files.root().join(name);
        let end = path.extension().map(|end| end.to_string_lossy().to_lowercase()).unwrap_or_default();
        if matches!(end.as_str(), "js" | "cjs" | "mjs" | "ts") {
            return Found::Unknown("is what a program says, which is not run".to_owned());
        }
        if !path.exists() {
            return Found::Missing(format!("{name} is not there"));
        }
        if !self.read.contains_key(&path) {
            let read = self.files.text(&path, &spot.place()).and_then(|text| match end.as_str() {
                "yaml" | "yml" | "json" => Ok(yaml::parse(&path, &text)?.into_iter().next()),
                _ => Ok(Some(Node::text(spot, text.trim_end()))),
            });
            match read {
                Ok(node) => {
                    let empty = Node::plain(&Spot::start_of(&path), "null");
                    self.read.insert(path.clone(), Rc::new(node.unwrap_or(empty)));
                }
                Err(note) => {
                    self.notes.push(note);
                    return Found::Value(Node::plain(spot, "null"));
                }
            }
        }
        let Some(content) = self.read.get(&path).cloned() else {
            return Found::Missing(format!("{name} is not there"));
        };
        let key = format!("file({name}):{address}");
        match self.within(&key, |this| this.walk(&content, &path_of(address))) {
            Some(node) => Found::Value(node),
            None => Found::Missing(format!("there is no {address} in {name}")),
        }
    }

    /// Looks something up, unless it is being looked up already.
    fn within(&mut self, key: &str, look: impl FnOnce(&mut Self) -> Option<Node>) -> Option<Node> {
        if let Some(start) = self.busy.iter().position(|busy| busy == key) {
            let circle: Vec<&str> = self.busy[start..].iter().map(String::as_str).chain([key]).collect();
            let message = format!("these variables go round in a circle: {}", circle.join(" → "));
            self.notes.push(Note::error(&self.root.spot.place(), message));
            // There, so that no second message says it is missing.
            return Some(Node::text(&self.root.spot, ""));
        }
        if self.busy.len() >= MOST_DEEP {
            let message = format!("more than {MOST_DEEP} variables lead to each other, the last is {key}");
            self.notes.push(Note::error(&self.root.spot.place(), message));
            // There, so that no second message says it is missing.
            return Some(Node::text(&self.root.spot, ""));
        }
        self.busy.push(key.to_owned());
        let found = look(self);
        self.busy.pop();
        found
    }
}

fn path_of(address: &str) -> Vec<&str> {
    address.split('.').filter(|part| !part.is_empty()).collect()
}
