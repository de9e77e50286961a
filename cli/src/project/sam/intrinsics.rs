//! CloudFormation's functions, as far as their values can be known without CloudFormation.

use std::cell::Cell;

use crate::project::{
    Note, Options,
    draft::name_of,
    tree::{Entry, Kind, Node, Spot},
};

/// References that lead to references.
const MOST_DEEP: usize = 32;
/// Values looked at in one template.
const MOST_STEPS: usize = 200_000;

/// What is known of a template's names.
pub(super) struct Intrinsics {
    root: Node,
    parameters: Vec<(String, String)>,
    stack: String,
    /// Conditions that each ask for two others are as quick to write as they are slow to tell.
    steps: Cell<usize>,
    notes: Vec<Note>,
}

/// Why a value is not known.
struct Unknown(String);

type Value = Result<Node, Unknown>;

// === impl Intrinsics ===

impl Intrinsics {
    pub(super) fn new(root: &Node, options: &Options, stack: &str) -> Self {
        let mut parameters: Vec<(String, String)> =
            options.opts.iter().map(|(name, value)| (name.clone(), value.clone())).collect();
        for entry in root.get("Parameters").into_iter().flat_map(Node::entries) {
            let default = entry.value.get("Default").and_then(Node::scalar);
            // What the command line says comes first.
            parameters.extend(default.map(|default| (entry.key.clone(), default.to_owned())));
        }
        Self {
            root: root.clone(),
            parameters,
            stack: stack.to_owned(),
            steps: Cell::new(0),
            notes: Vec::new(),
        }
    }

    /// What was said on the way; each once.
    pub(super) fn into_notes(self) -> Vec<Note> {
        let mut notes: Vec<Note> = Vec::new();
        for note in self.notes {
            if !notes.contains(&note) {
                notes.push(note);
            }
        }
        notes
    }

    /// A value that can be known; of any other it is said that `what` is left out.
    pub(super) fn known(&mut self, node: &Node, what: &str) -> Option<Node> {
        match self.value(node, 0) {
            Ok(value) => Some(value).filter(|value| !value.is_null()),
            Err(Unknown(why)) => {
                self.notes.push(Note::warning(&node.spot.place(), format!("{what} is left out: {why}")));
                None
            }
        }
    }

    /// Whether a condition of the template holds; nothing, and said, if that cannot be known.
    pub(super) fn condition(&mut self, name: &str, spot: &Spot) -> Option<bool> {
        match self.holds(name, 0) {
            Ok(holds) => Some(holds),
            Err(Unknown(why)) => {
                self.notes.push(Note::warning(
                    &spot.place(),
                    format!("the condition {name} is taken to hold: {why}"),
                ));
                None
            }
        }
    }

    fn value(&self, node: &Node, deep: usize) -> Value {
        self.steps.set(self.steps.get() + 1);
        if self.steps.get() > MOST_STEPS {
            return Err(Unknown(format!("the template asks for more than {MOST_STEPS} values")));
        }
        if deep > MOST_DEEP {
            return Err(Unknown(format!("more than {MOST_DEEP} references lead to each other")));
        }
        if let Some((function, argument)) = call(node) {
            return self.call(function, argument, &node.spot, deep + 1);
        }
        let kind = match &node.kind {
            Kind::Scalar { .. } => return Ok(node.clone()),
            Kind::List(items) => {
                let items: Result<Vec<_>, _> = items.iter().map(|item| self.value(item, deep + 1)).collect();
                Kind::List(items?.into_iter().filter(|item| !item.is_null()).collect())
            }
            Kind::Map(entries) => {
                let entry =
                    |entry: &Entry| Ok(Entry { value: self.value(&entry.value, deep + 1)?, ..entry.clone() });
                Kind::Map(entries.iter().map(entry).collect::<Result<_, _>>()?)
            }
        };
        Ok(Node { kind, ..node.clone() })
    }

    fn call(&self, function: &str, argument: &Node, spot: &Spot, deep: usize) -> Value {
        let items = argument.items();
        let text = |node: &Node| self.text(node, deep);
        match function {
            "Ref" => self.reference(argument.scalar().unwrap_or_default(), spot),
            "Sub" => self.sub(argument, spot, deep),
            "GetAtt" => {
                let path = match argument.scalar() {
                    Some(path) => path.to_owned(),
                    None => items.iter().filter_map(Node::scalar).collect::<Vec<_>>().join("."),
                };
                self.attribute(&path, spot)
            }
            "Join" => {
                let [separator, list] = items else { return Err(malformed(function)) };
                let list = self.value(list, deep)?;
                let texts: Result<Vec<_>, _> = list.items().iter().map(text).collect();
                Ok(Node::text(spot, texts?.join(separator.scalar().unwrap_or_default())))
            }
            "Select" => {
                let [index, list] = items else { return Err(malformed(function)) };
                let index: usize = text(index)?.parse().map_err(|_| malformed(function))?;
                let list = self.value(list, deep)?;
                list.items()
                    .get(index)
                    .cloned()
                    .ok_or_else(|| Unknown(format!("the list has no item {index}")))
            }
            "Split" => {
                let [separator, whole] = items else { return Err(malformed(function)) };
                let (separator, whole) = (text(separator)?, text(whole)?);
                let parts = whole.split(separator.as_str()).map(|part| Node::text(spot, part)).collect();
                Ok(Node::list(spot, parts))
            }
            "If" => {
                let [name, yes, no] = items else { return Err(malformed(function)) };
                let holds = self.holds(name.scalar().unwrap_or_default(), deep)?;
                self.value(if holds { yes } else { no }, deep)
            }
            "FindInMap" => {
                let [map, first, second] = items else { return Err(malformed(function)) };
                let keys = [text(map)?, text(first)?, text(second)?];
                let found = keys
                    .iter()
                    .try_fold(self.root.get("Mappings"), |node, key| node.map(|node| node.get(key)));
                found
                    .flatten()
                    .cloned()
                    .ok_or_else(|| Unknown(format!("there is no mapping {}", keys.join("."))))
            }
            "Condition" => {
                let holds = self.holds(argument.scalar().unwrap_or_default(), deep)?;
                Ok(Node::plain(spot, holds))
            }
            "Equals" | "And" | "Or" | "Not" => Ok(Node::plain(spot, self.logic(function, items, deep)?)),
            other => Err(Unknown(format!("!{other} is known to CloudFormation only"))),
        }
    }

    fn text(&self, node: &Node, deep: usize) -> Result<String, Unknown> {
        let value = self.value(node, deep)?;
        value.scalar().map(str::to_owned).ok_or_else(|| Unknown(format!("{} is no text", value.sort())))
    }

    fn logic(&self, function: &str, items: &[Node], deep: usize) -> Result<bool, Unknown> {
        let truth = |node: &Node| self.value(node, deep).map(|value| value.as_bool() == Some(true));
        let truths = || items.iter().map(truth).collect::<Result<Vec<_>, _>>();
        match (function, items) {
            ("Equals", [one, other]) => Ok(self.text(one, deep)? == self.text(other, deep)?),
            ("And", _) => Ok(truths()?.into_iter().all(|truth| truth)),
            ("Or", _) => Ok(truths()?.into_iter().any(|truth| truth)),
            ("Not", [one]) => Ok(!truth(one)?),
            _ => Err(malformed(function)),
        }
    }

    fn holds(&self, name: &str, deep: usize) -> Result<bool, Unknown> {
        let condition = self.root.get("Conditions").and_then(|conditions| conditions.get(name));
        let condition = condition.ok_or_else(|| Unknown(format!("there is no condition {name}")))?;
        Ok(self.value(condition, deep + 1)?.as_bool() == Some(true))
    }

    fn reference(&self, name: &str, spot: &Spot) -> Value {
        if let Some((_, value)) = self.parameters.iter().find(|(parameter, _)| parameter == name) {
            return Ok(Node::text(spot, value));
        }
        let known = match name {
            "AWS::Region" => "us-east-1",
            "AWS::AccountId" => "000000000000",
            "AWS::Partition" => "aws",
            "AWS::URLSuffix" => "amazonaws.com",
            "AWS::StackName" => self.stack.as_str(),
            "AWS::NoValue" => return Ok(Node::plain(spot, "null")),
            _ => "",
        };
        if !known.is_empty() {
            return Ok(Node::text(spot, known));
        }
        if self.root.get("Parameters").is_some_and(|parameters| parameters.get(name).is_some()) {
            return Err(Unknown(format!(
                "the parameter {name} has no default: give it by --opt {name}=VALUE"
            )));
        }
        match self.resource(name) {
            Some((kind, resource)) if kind == super::FUNCTION => {
                let own = resource.get("Properties").and_then(|properties| properties.get("FunctionName"));
                let own = own.and_then(|own| self.text(own, MOST_DEEP / 2).ok());
                Ok(Node::text(spot, name_of(&own.unwrap_or_else(|| name.to_owned()))))
            }
            Some((kind, _)) => Err(Unknown(format!("{name}, the {kind}, is not made here"))),
            None => Err(Unknown(format!("there is no {name} in the template"))),
        }
    }

    fn attribute(&self, path: &str, spot: &Spot) -> Value {
        let (name, attribute) = path.split_once('.').unwrap_or((path, ""));
        match self.resource(name) {
            // A function's ARN is what Lambda's Invoke takes, and so is its name.
            Some((kind, _)) if kind == super::FUNCTION && attribute == "Arn" => self.reference(name, spot),
            Some((kind, _)) => {
                Err(Unknown(format!("{attribute} of {name}, the {kind}, is known to AWS only")))
            }
            None => Err(Unknown(format!("there is no {name} in the template"))),
        }
    }

    fn resource(&self, name: &str) -> Option<(&str, &Node)> {
        let resource = self.root.get("Resources")?.get(name)?;
        Some((resource.get("Type").and_then(Node::scalar).unwrap_or("resource"), resource))
    }

    /// `${Name}`, `${Name.Attribute}`, and `${!Literal}`, with names of its own in the second item.
    fn sub(&self, argument: &Node, spot: &Spot, deep: usize) -> Value {
        let (template, names) = match argument.items() {
            [] => (argument, None),
            [template, names] => (template, Some(names)),
            _ => return Err(malformed("Sub")),
        };
        let Some(mut rest) = template.scalar() else { return Err(malformed("Sub")) };
        let mut text = String::new();
        while let Some((before, behind)) = rest.split_once("${") {
            text.push_str(before);
            let Some((name, behind)) = behind.split_once('}') else { return Err(malformed("Sub")) };
            let value = match names.and_then(|names| names.get(name)) {
                Some(own) => self.value(own, deep)?,
                None if name.starts_with('!') => Node::text(spot, format!("${{{}}}", &name[1..])),
                None if name.contains('.') => self.attribute(name, spot)?,
                None => self.reference(name, spot)?,
            };
            text.push_str(value.scalar().unwrap_or_default());
            rest = behind;
        }
        text.push_str(rest);
        Ok(Node::text(spot, text))
    }
}

fn malformed(function: &str) -> Unknown {
    Unknown(format!("!{function} is not written as CloudFormation has it"))
}

/// `!Sub …` or `Fn::Sub: …`.
fn call(node: &Node) -> Option<(&str, &Node)> {
    if let Some(tag) = &node.tag {
        return Some((tag.as_str(), node))
            .filter(|_| tag.starts_with(|first: char| first.is_ascii_uppercase()));
    }
    let [entry] = node.entries() else { return None };
    match entry.key.as_str() {
        "Ref" | "Condition" => Some((entry.key.as_str(), &entry.value)),
        key => key.strip_prefix("Fn::").map(|function| (function, &entry.value)),
    }
}
