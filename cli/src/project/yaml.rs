//! YAML, and so JSON, into trees; bounded, whatever the file says.

use std::{collections::HashMap, path::Path, sync::Arc};

use granit_parser::{Event, Marker, Parser, ScalarStyle, Tag};

use super::{
    Note,
    tree::{Entry, Kind, Node, Spot},
};

/// Nodes of one file, those that aliases repeat counted each time. The largest templates that people keep have some
/// ten thousand; a bomb of nine aliases to nine aliases has billions.
const MOST_NODES: usize = 200_000;
/// Levels below each other, so that walking a tree needs no more stack than there is.
const MOST_LEVELS: usize = 128;

/// The documents of a file; empty ones are left out.
pub(crate) fn parse(file: &Path, text: &str) -> Result<Vec<Node>, Note> {
    let mut reader = Reader { file: file.into(), ..Reader::default() };
    let options = granit_parser::options! { emit_comments: false };
    for event in Parser::new_from_str_with_options(text.trim_start_matches('\u{feff}'), options) {
        let (event, span) = match event {
            Ok(event) => event,
            Err(error) => return Err(Note::error(&reader.spot(error.marker()).place(), error.info())),
        };
        reader.read(event, span.start)?;
    }
    Ok(reader.documents)
}

/// What has been read so far.
struct Reader {
    file: Arc<Path>,
    documents: Vec<Node>,
    open: Vec<Open>,
    anchors: HashMap<usize, Built>,
    nodes: usize,
}

/// A list or map whose end has not come.
struct Open {
    node: Node,
    anchor: usize,
    key: Option<(String, Spot)>,
    /// What `<<` brings: it comes behind the map's own entries.
    merged: Vec<Entry>,
    size: usize,
    height: usize,
}

/// A node with the number of nodes in it, and of levels.
#[derive(Clone)]
struct Built {
    node: Node,
    size: usize,
    height: usize,
}

// === impl Reader ===

impl Default for Reader {
    fn default() -> Self {
        Self {
            file: Path::new("").into(),
            documents: Vec::new(),
            open: Vec::new(),
            anchors: HashMap::new(),
            nodes: 0,
        }
    }
}

impl Reader {
    fn read(&mut self, event: Event<'_>, at: Marker) -> Result<(), Note> {
        let spot = self.spot(&at);
        match event {
            Event::Scalar(text, style, anchor, tag) => {
                let tag = tag.as_deref();
                let quoted =
                    style != ScalarStyle::Plain || tag.is_some_and(|tag| tag.is_yaml_core_schema_tag("str"));
                let kind = Kind::Scalar { text: text.into_owned(), plain: !quoted };
                let node = Node { spot, tag: custom(tag), kind };
                self.built(Built { node, size: 1, height: 1 }, anchor)
            }
            Event::SequenceStart(_, anchor, tag) => {
                self.opened(Node { spot, tag: custom(tag.as_deref()), kind: Kind::List(Vec::new()) }, anchor)
            }
            Event::MappingStart(_, anchor, tag) => {
                self.opened(Node { spot, tag: custom(tag.as_deref()), kind: Kind::Map(Vec::new()) }, anchor)
            }
            Event::SequenceEnd | Event::MappingEnd => match self.open.pop() {
                Some(Open { mut node, anchor, merged, size, height, .. }) => {
                    if let Kind::Map(entries) = &mut node.kind {
                        for entry in merged {
                            if !entries.iter().any(|there| there.key == entry.key) {
                                entries.push(entry);
                            }
                        }
                    }
                    self.built(Built { node, size: size + 1, height: height + 1 }, anchor)
                }
                None => Ok(()),
            },
            Event::Alias(anchor) => match self.anchors.get(&anchor).cloned() {
                Some(built) => {
                    self.nodes = self.nodes.saturating_add(built.size);
                    self.built(built, 0)
                }
                None => Err(Note::error(&spot.place(), "this alias stands inside of what it stands for")),
            },
            Event::DocumentStart(..) => {
                self.anchors.clear();
                Ok(())
            }
            _ => Ok(()),
        }
    }

    fn opened(&mut self, node: Node, anchor: usize) -> Result<(), Note> {
        if self.open.len() >= MOST_LEVELS {
            return Err(too_deep(&node.spot));
        }
        self.open.push(Open { node, anchor, key: None, merged: Vec::new(), size: 0, height: 0 });
        Ok(())
    }

    /// A node is complete: it goes where it belongs.
    fn built(&mut self, built: Built, anchor: usize) -> Result<(), Note> {
        if anchor > 0 {
            self.anchors.insert(anchor, built.clone());
        }
        self.nodes = self.nodes.saturating_add(1);
        let Built { node, size, height } = built;
        let Some(open) = self.open.last_mut() else {
            if !node.is_null() {
                self.documents.push(node);
            }
            return Ok(());
        };
        open.size += size;
        open.height = open.height.max(height);
        if open.size > MOST_NODES || self.nodes > MOST_NODES {
            return Err(Note::error(
                &node.spot.place(),
                format!(
                    "with its aliases written out this file has more than {MOST_NODES} values: write fewer"
                ),
            ));
        }
        if self.open.len() + height > MOST_LEVELS {
            return Err(too_deep(&node.spot));
        }
        let Some(open) = self.open.last_mut() else { return Ok(()) };
        match &mut open.node.kind {
            Kind::List(items) => items.push(node),
            Kind::Map(entries) => match open.key.take() {
                Some((key, _)) if key == "<<" => open.merged.extend(merged(node)?),
                Some((key, spot)) => insert(entries, key, spot, node)?,
                None => match node.kind {
                    Kind::Scalar { text, .. } => open.key = Some((text, node.spot)),
                    _ => return Err(Note::error(&node.spot.place(), "a key has to be text")),
                },
            },
            Kind::Scalar { .. } => {}
        }
        Ok(())
    }

    fn spot(&self, at: &Marker) -> Spot {
        let number = |number: usize| u32::try_from(number).unwrap_or(u32::MAX);
        Spot { file: self.file.clone(), line: number(at.line()), column: number(at.col() + 1) }
    }
}

fn too_deep(spot: &Spot) -> Note {
    Note::error(&spot.place(), format!("more than {MOST_LEVELS} levels below each other"))
}

/// A tag that YAML itself does not know, without its `!`.
fn custom(tag: Option<&Tag>) -> Option<String> {
    tag.filter(|tag| tag.is_custom())
        .map(|tag| tag.original().trim_start_matches('!').to_owned())
        .filter(|tag| !tag.is_empty())
}

/// The entries that `<<` brings.
fn merged(value: Node) -> Result<Vec<Entry>, Note> {
    match value.kind {
        Kind::Map(merged) => Ok(merged),
        Kind::List(maps) => Ok(maps.iter().flat_map(|map| map.entries().to_vec()).collect()),
        Kind::Scalar { .. } => Err(Note::error(&value.spot.place(), "<< takes a map, by its alias")),
    }
}

fn insert(entries: &mut Vec<Entry>, key: String, spot: Spot, value: Node) -> Result<(), Note> {
    if let Some(there) = entries.iter().find(|there| there.key == key) {
        let first = there.spot.line;
        return Err(Note::error(&spot.place(), format!("`{key}` is here twice, first in line {first}")));
    }
    entries.push(Entry { key, spot, value });
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Vec<String>, String> {
        let documents = parse(Path::new("a.yaml"), text).map_err(|note| note.to_string())?;
        Ok(documents.iter().map(|document| document.to_json().to_string()).collect())
    }

    #[test]
    fn aliases_and_merges_are_written_out() {
        let text = "base: &base {a: 1, b: 2}\nown: {<<: *base, b: 3}\nlist: [*base]\n";
        let expected = r#"{"base":{"a":1,"b":2},"list":[{"a":1,"b":2}],"own":{"a":1,"b":3}}"#;
        assert_eq!(read(text), Ok(vec![expected.to_owned()]));
    }

    #[test]
    fn documents_are_apart_and_empty_ones_are_none() {
        assert_eq!(
            read("---\na: 1\n---\n---\n# nothing\n---\n[b]\n"),
            Ok(vec![r#"{"a":1}"#.into(), r#"["b"]"#.into()])
        );
        assert_eq!(read(""), Ok(vec![]));
    }

    #[test]
    fn tags_and_places_are_kept() {
        let documents = parse(Path::new("a.yaml"), "a:\n  b: !Sub 'x'\n").unwrap();
        let node = documents[0].deepest("a.b");
        assert_eq!((node.tag.as_deref(), node.spot.line, node.spot.column), (Some("Sub"), 2, 11));
    }

    #[test]
    fn what_is_no_yaml_says_where() {
        for (text, said) in [
            ("a: 1\na: 2\n", "a.yaml:2:1: error: `a` is here twice, first in line 1"),
            ("a: &a [*a]\n", "a.yaml:1:8: error: this alias stands inside of what it stands for"),
            ("{[1]: 2}", "a.yaml:1:2: error: a key has to be text"),
        ] {
            assert_eq!(read(text), Err(said.to_owned()), "{text}");
        }
        assert!(read("a: [1, 2").unwrap_err().starts_with("a.yaml:"), "an open list");
        assert!(read("a: *b").unwrap_err().starts_with("a.yaml:1:"), "an unknown alias");
    }

    #[test]
    fn bombs_and_abysses_are_refused() {
        let mut bomb = "a0: &a0 [x,x,x,x,x,x,x,x,x]\n".to_owned();
        for level in 1..9 {
            let before = format!("*a{}", level - 1);
            let items = [before.as_str(); 9].join(",");
            bomb.push_str(&format!("a{level}: &a{level} [{items}]\n"));
        }
        assert!(read(&bomb).unwrap_err().contains("more than 200000 values"));
        let abyss = "[".repeat(200) + &"]".repeat(200);
        assert!(read(&abyss).unwrap_err().contains("more than 128 levels"));
        let mut chain = "a0: &a0 [x]\n".to_owned();
        for level in 1..300 {
            chain.push_str(&format!("a{level}: &a{level} [*a{}]\n", level - 1));
        }
        assert!(read(&chain).unwrap_err().contains("more than 128 levels"));
    }
}
