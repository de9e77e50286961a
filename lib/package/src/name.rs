//! Names of entries, and where links lead. Pure.

use std::collections::{BTreeMap, VecDeque};

use crate::{Error, draft::Entry};

/// Linux' own limit of a path.
const LONGEST: usize = 4096;
/// Linux' own limit of a file's name.
const LONGEST_PART: usize = 255;
/// Linux follows this many links in one path.
const HOPS: u32 = 40;

/// An entry's path below the package's root, in one way of writing it; empty for the root itself.
pub(crate) fn clean(raw: &[u8]) -> Result<String, Error> {
    let shown = || String::from_utf8_lossy(&raw[..raw.len().min(200)]).into_owned();
    let name = std::str::from_utf8(raw).map_err(|_| Error::Name(shown()))?;
    if name.len() > LONGEST || name.contains(['\0', '\\']) {
        return Err(Error::Name(shown()));
    }
    if name.starts_with('/') {
        return Err(Error::Path(shown()));
    }
    let mut clean = String::with_capacity(name.len());
    for part in name.split('/').filter(|part| !matches!(*part, "" | ".")) {
        if part == ".." {
            return Err(Error::Path(shown()));
        }
        if part.len() > LONGEST_PART {
            return Err(Error::Name(shown()));
        }
        if !clean.is_empty() {
            clean.push('/');
        }
        clean.push_str(part);
    }
    Ok(clean)
}

/// The folders that a path is in, outermost first.
pub(crate) fn parents(name: &str) -> impl Iterator<Item = &str> {
    name.match_indices('/').map(|(end, _)| &name[..end])
}

/// Whether a link stays in the package at every step, through whatever other links it leads: links through links can lead where no
/// single one does.
pub(crate) fn stays_inside(entries: &BTreeMap<String, Entry>, link: &str, target: &str) -> bool {
    let mut at: Vec<String> = match link.rsplit_once('/') {
        Some((folder, _)) => folder.split('/').map(str::to_owned).collect(),
        None => Vec::new(),
    };
    let mut way: VecDeque<String> = target.split('/').map(str::to_owned).collect();
    if target.starts_with('/') || target.is_empty() || target.len() > LONGEST || target.contains('\0') {
        return false;
    }
    let mut hops = 0;
    while let Some(part) = way.pop_front() {
        match part.as_str() {
            "" | "." => {}
            ".." => {
                if at.pop().is_none() {
                    return false;
                }
            }
            _ => {
                at.push(part);
                let Some(Entry::Link { target }) = entries.get(&at.join("/")) else { continue };
                hops += 1;
                if hops > HOPS || target.starts_with('/') {
                    return false;
                }
                at.pop();
                for part in target.rsplit('/') {
                    way.push_front(part.to_owned());
                }
            }
        }
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_path_has_one_name() {
        for raw in ["lib/util.py", "./lib/util.py", "lib//util.py", "lib/./util.py", "lib/util.py/"] {
            assert_eq!(clean(raw.as_bytes()).unwrap(), "lib/util.py");
        }
        assert_eq!(clean(b"./").unwrap(), "");
    }

    #[test]
    fn what_leads_out_or_cannot_be_typed_is_refused() {
        for raw in ["/etc/passwd", "..", "../a", "a/../b", "a/.."] {
            assert!(matches!(clean(raw.as_bytes()), Err(Error::Path(_))), "{raw}");
        }
        let long = "a/".repeat(3000);
        let wide = "a".repeat(256);
        for raw in [&b"a\\b"[..], b"a\0b", b"\xff\xfe", long.as_bytes(), wide.as_bytes()] {
            assert!(matches!(clean(raw), Err(Error::Name(_))), "{raw:?}");
        }
    }

    #[test]
    fn links_are_followed_through_links() {
        let links = |pairs: &[(&str, &str)]| -> BTreeMap<String, Entry> {
            let link = |(name, target): &(&str, &str)| {
                ((*name).to_owned(), Entry::Link { target: (*target).to_owned() })
            };
            pairs.iter().map(link).collect()
        };
        let inside = |pairs: &[(&str, &str)]| {
            let entries = links(pairs);
            pairs.iter().all(|(name, target)| stays_inside(&entries, name, target))
        };
        assert!(inside(&[("bin/tool", "../lib/tool.js"), ("current", "bin"), ("run", "current/tool")]));
        assert!(inside(&[("dangling", "not/there")]));
        assert!(!inside(&[("out", "/etc/passwd")]));
        assert!(!inside(&[("out", "../x")]));
        assert!(!inside(&[("a/out", "../../x")]));
        assert!(!inside(&[("d/l", ".."), ("m", "d/l/..")]), "no single one of them leads out");
        assert!(!inside(&[("a", "b"), ("b", "a")]), "a loop");
        assert!(!inside(&[("empty", "")]));
    }
}
