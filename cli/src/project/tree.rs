//! A tree of YAML in which every node knows where it is written.
//!
//! Each form of a project is turned into a tree in the form the cluster takes, made of the nodes that were read. So what is
//! wrong with the outcome is said of the line that somebody wrote, whatever the form.

use std::{path::Path, sync::Arc};

use serde_json::{Map, Number, Value};

use super::Place;

/// Where something is written.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Spot {
    pub(crate) file: Arc<Path>,
    pub(crate) line: u32,
    pub(crate) column: u32,
}

/// A value and where it is written.
#[derive(Clone, Debug)]
pub(crate) struct Node {
    pub(crate) spot: Spot,
    /// A tag of its own, without the `!`: CloudFormation's `!Sub` and its like.
    pub(crate) tag: Option<String>,
    pub(crate) kind: Kind,
}

/// What a node is. Scalars stay text until somebody asks for more: `1.10` may be meant as it is written.
#[derive(Clone, Debug)]
pub(crate) enum Kind {
    Scalar { text: String, plain: bool },
    List(Vec<Node>),
    Map(Vec<Entry>),
}

/// A key and its value.
#[derive(Clone, Debug)]
pub(crate) struct Entry {
    pub(crate) key: String,
    pub(crate) spot: Spot,
    pub(crate) value: Node,
}

// === impl Spot ===

impl Spot {
    /// The file as a whole.
    pub(crate) fn start_of(file: &Path) -> Self {
        Self { file: file.into(), line: 0, column: 0 }
    }

    pub(crate) fn place(&self) -> Place {
        Place { file: self.file.to_path_buf(), line: self.line, column: self.column }
    }

    /// So many columns further on.
    pub(crate) fn after(&self, columns: usize) -> Self {
        Self { column: self.column.saturating_add(u32::try_from(columns).unwrap_or(0)), ..self.clone() }
    }
}

// === impl Node ===

impl Node {
    pub(crate) fn text(spot: &Spot, text: impl Into<String>) -> Self {
        Self { spot: spot.clone(), tag: None, kind: Kind::Scalar { text: text.into(), plain: false } }
    }

    /// A number, a truth value, or null: what plain text is read as.
    pub(crate) fn plain(spot: &Spot, text: impl ToString) -> Self {
        Self { spot: spot.clone(), tag: None, kind: Kind::Scalar { text: text.to_string(), plain: true } }
    }

    pub(crate) fn list(spot: &Spot, items: Vec<Self>) -> Self {
        Self { spot: spot.clone(), tag: None, kind: Kind::List(items) }
    }

    pub(crate) fn map(spot: &Spot) -> Self {
        Self { spot: spot.clone(), tag: None, kind: Kind::Map(Vec::new()) }
    }

    /// The same map with another entry, which takes the place of one with the same key.
    pub(crate) fn with(mut self, key: &str, value: Self) -> Self {
        self.set(key, value);
        self
    }

    /// The same, where there is a value.
    pub(crate) fn with_any(self, key: &str, value: Option<Self>) -> Self {
        match value {
            Some(value) => self.with(key, value),
            None => self,
        }
    }

    /// Sets an entry of a map; anything else stays as it is.
    pub(crate) fn set(&mut self, key: &str, value: Self) {
        let Kind::Map(entries) = &mut self.kind else { return };
        let entry = Entry { key: key.to_owned(), spot: value.spot.clone(), value };
        match entries.iter_mut().find(|there| there.key == key) {
            Some(there) => *there = entry,
            None => entries.push(entry),
        }
    }

    /// A map's value, unless it is null.
    pub(crate) fn get(&self, key: &str) -> Option<&Self> {
        self.entry(key).map(|entry| &entry.value).filter(|value| !value.is_null())
    }

    pub(crate) fn entry(&self, key: &str) -> Option<&Entry> {
        self.entries().iter().find(|entry| entry.key == key)
    }

    /// A map's entries; none of anything else.
    pub(crate) fn entries(&self) -> &[Entry] {
        match &self.kind {
            Kind::Map(entries) => entries,
            _ => &[],
        }
    }

    /// A list's items; none of anything else.
    pub(crate) fn items(&self) -> &[Self] {
        match &self.kind {
            Kind::List(items) => items,
            _ => &[],
        }
    }

    /// A scalar's text, as it is written: numbers and truth values too.
    pub(crate) fn scalar(&self) -> Option<&str> {
        match &self.kind {
            Kind::Scalar { text, .. } if !self.is_null() => Some(text),
            _ => None,
        }
    }

    pub(crate) fn is_map(&self) -> bool {
        matches!(self.kind, Kind::Map(_))
    }

    pub(crate) fn is_list(&self) -> bool {
        matches!(self.kind, Kind::List(_))
    }

    pub(crate) fn is_null(&self) -> bool {
        matches!(&self.kind, Kind::Scalar { text, plain: true } if matches!(text.as_str(), "" | "~" | "null" | "Null" | "NULL"))
    }

    pub(crate) fn as_bool(&self) -> Option<bool> {
        match &self.kind {
            Kind::Scalar { text, .. } => match text.as_str() {
                "true" | "True" | "TRUE" => Some(true),
                "false" | "False" | "FALSE" => Some(false),
                _ => None,
            },
            _ => None,
        }
    }

    /// What it is, in words for people.
    pub(crate) fn sort(&self) -> &'static str {
        match (&self.kind, self.to_json()) {
            (Kind::List(_), _) => "a list",
            (Kind::Map(_), _) => "a map",
            (_, Value::Null) => "nothing",
            (_, Value::Bool(_)) => "true or false",
            (_, Value::Number(_)) => "a number",
            _ => "text",
        }
    }

    /// The value of a path of keys and indices, and as far as it goes: the deepest node on the way that is there.
    pub(crate) fn deepest(&self, path: &str) -> &Self {
        let mut node = self;
        for part in path.split(['.', '[']).filter(|part| !part.is_empty()) {
            let next = match part.strip_suffix(']').map(str::parse::<usize>) {
                Some(Ok(index)) => node.items().get(index),
                _ => node.entry(part).map(|entry| &entry.value),
            };
            let Some(next) = next else { break };
            node = next;
        }
        node
    }

    /// As JSON, scalars read by the core schema of YAML 1.2.
    pub(crate) fn to_json(&self) -> Value {
        match &self.kind {
            Kind::List(items) => items.iter().map(Self::to_json).collect(),
            Kind::Map(entries) => {
                let pairs = entries.iter().map(|entry| (entry.key.clone(), entry.value.to_json()));
                Value::Object(pairs.collect::<Map<_, _>>())
            }
            Kind::Scalar { text, plain: false } => Value::String(text.clone()),
            Kind::Scalar { .. } if self.is_null() => Value::Null,
            Kind::Scalar { text, .. } => match self.as_bool() {
                Some(bool) => Value::Bool(bool),
                None => number(text).map_or_else(|| Value::String(text.clone()), Value::Number),
            },
        }
    }

    /// A value as a tree, all of it at one place.
    pub(crate) fn from_json(spot: &Spot, value: &Value) -> Self {
        match value {
            Value::Null => Self::plain(spot, "null"),
            Value::Bool(bool) => Self::plain(spot, bool),
            Value::Number(number) => Self::plain(spot, number),
            Value::String(text) => Self::text(spot, text),
            Value::Array(items) => {
                Self::list(spot, items.iter().map(|item| Self::from_json(spot, item)).collect())
            }
            Value::Object(fields) => fields
                .iter()
                .fold(Self::map(spot), |map, (key, value)| map.with(key, Self::from_json(spot, value))),
        }
    }
}

/// A number as the core schema writes them, where JSON can hold it.
fn number(text: &str) -> Option<Number> {
    let digits = text.strip_prefix(['-', '+']).unwrap_or(text);
    if let Some(hex) = text.strip_prefix("0x") {
        return i64::from_str_radix(hex, 16).ok().map(Number::from);
    }
    if let Some(octal) = text.strip_prefix("0o") {
        return i64::from_str_radix(octal, 8).ok().map(Number::from);
    }
    let looks = digits.starts_with(|first: char| first.is_ascii_digit() || first == '.')
        && digits.contains(|any: char| any.is_ascii_digit())
        && digits.chars().all(|any| any.is_ascii_digit() || matches!(any, '.' | 'e' | 'E' | '-' | '+'));
    if !looks {
        return None;
    }
    let text = text.strip_prefix('+').unwrap_or(text);
    if let Ok(whole) = text.parse::<i64>() {
        return Some(whole.into());
    }
    text.parse::<f64>().ok().and_then(Number::from_f64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_scalars_are_read_as_yaml_1_2_has_them() {
        let spot = Spot::start_of(Path::new("x"));
        let read = |text: &str| Node::plain(&spot, text).to_json().to_string();
        for (text, value) in [
            ("", "null"),
            ("~", "null"),
            ("true", "true"),
            ("yes", "\"yes\""),
            ("12", "12"),
            ("-7", "-7"),
            ("0x1f", "31"),
            ("0o17", "15"),
            ("1.5", "1.5"),
            ("1e3", "1000.0"),
            ("1.2.3", "\"1.2.3\""),
            ("12:30", "\"12:30\""),
            ("e5", "\"e5\""),
            (".", "\".\""),
        ] {
            assert_eq!(read(text), value, "{text}");
        }
        assert_eq!(Node::text(&spot, "12").to_json(), Value::from("12"));
    }

    #[test]
    fn the_deepest_node_on_a_path_is_where_a_missing_field_is_reported() {
        let at = |line| Spot { line, ..Spot::start_of(Path::new("x")) };
        let env = Node::list(&at(3), vec![Node::map(&at(4)).with("name", Node::text(&at(5), "A"))]);
        let tree = Node::map(&at(1)).with("spec", Node::map(&at(2)).with("env", env));
        for (path, line) in
            [("spec.env[0].name", 5), ("spec.env[0].value", 4), ("spec.env[7]", 3), ("other", 1)]
        {
            assert_eq!(tree.deepest(path).spot.line, line, "{path}");
        }
    }
}
