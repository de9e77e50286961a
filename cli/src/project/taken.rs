//! What other platforms' files may say that is not done here, and how much that matters.

use super::{Note, schema::closest, tree::Node};

/// How a key is taken.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Taken {
    /// It is read.
    Read,
    /// It is about the framework or about AWS alone: nothing here depends on it.
    Aside,
    /// The function may rely on it; what it is, for people.
    Missed(&'static str),
}

/// Lists the keys of a map that are not honoured.
pub(crate) fn say(map: &Node, keys: &[(&str, Taken)], path: &str, notes: &mut Vec<Note>) {
    for entry in map.entries() {
        let (key, place) = (&entry.key, entry.spot.place());
        match keys.iter().find(|(known, _)| known == key) {
            Some((_, Taken::Read)) => {}
            Some((_, Taken::Aside)) => {
                notes.push(Note::remark(&place, format!("{path}{key} has no effect here")))
            }
            Some((_, Taken::Missed(why))) => {
                notes.push(Note::warning(&place, format!("{path}{key} is not honoured: {why}")))
            }
            None => {
                let known: Vec<_> = keys.iter().map(|(key, _)| *key).collect();
                let hint =
                    closest(key, &known).map(|meant| format!(": did you mean {meant}?")).unwrap_or_default();
                notes
                    .push(Note::warning(&place, format!("{path}{key} is not known, and not honoured{hint}")));
            }
        }
    }
}
