//! The files that a project is read from: bounded, within its folder, and remembered.

use std::{
    collections::BTreeSet,
    fs::File,
    io::Read as _,
    path::{Path, PathBuf},
};

use super::{Note, Place};

/// A description is written by people; what is larger is something else, and etcd would take no object of this size.
const MOST_BYTES: u64 = 2 * 1024 * 1024;

/// Reads files below a folder.
#[derive(Debug)]
pub(crate) struct Files {
    root: PathBuf,
    read: BTreeSet<PathBuf>,
}

// === impl Files ===

impl Files {
    /// `root` is absolute, without links.
    pub(crate) fn below(root: &Path) -> Self {
        Self { root: root.to_owned(), read: BTreeSet::new() }
    }

    pub(crate) fn root(&self) -> &Path {
        &self.root
    }

    /// What was read so far.
    pub(crate) fn read_so_far(&self) -> Vec<PathBuf> {
        self.read.iter().cloned().collect()
    }

    /// The text of a file; a mistake in it is said of the file, and a file that is not there of `place`.
    pub(crate) fn text(&mut self, path: &Path, place: &Place) -> Result<String, Note> {
        self.read.insert(path.to_owned());
        let failed = |error: std::io::Error| {
            Note::error(place, format!("{} cannot be read: {}", self.shown(path), said(&error)))
        };
        let real = path.canonicalize().map_err(failed)?;
        if !real.starts_with(&self.root) {
            let root = self.root.display();
            return Err(Note::error(
                place,
                format!("{} is outside of {root}, and is not read", self.shown(path)),
            ));
        }
        let file = File::open(&real).map_err(failed)?;
        if !file.metadata().map_err(failed)?.is_file() {
            return Err(Note::error(place, format!("{} is no file", self.shown(path))));
        }
        let mut bytes = Vec::new();
        file.take(MOST_BYTES + 1).read_to_end(&mut bytes).map_err(failed)?;
        if bytes.len() as u64 > MOST_BYTES {
            let mib = MOST_BYTES / (1024 * 1024);
            return Err(Note::error(
                place,
                format!("{} is larger than {mib} MiB: this is no description", self.shown(path)),
            ));
        }
        String::from_utf8(bytes).map_err(|error| {
            let good = &error.as_bytes()[..error.utf8_error().valid_up_to()];
            let line = 1 + good.iter().filter(|byte| **byte == b'\n').count();
            let column = 1 + good.iter().rev().take_while(|byte| **byte != b'\n').count();
            let number = |number| u32::try_from(number).unwrap_or(u32::MAX);
            let place = Place { file: path.to_owned(), line: number(line), column: number(column) };
            Note::error(&place, "this is not UTF-8: save the file as UTF-8")
        })
    }

    /// A path as people wrote it, where it is below the root.
    fn shown<'a>(&self, path: &'a Path) -> std::path::Display<'a> {
        path.strip_prefix(&self.root).unwrap_or(path).display()
    }
}

/// An error of the system, without its number.
pub(crate) fn said(error: &std::io::Error) -> String {
    match error.kind() {
        std::io::ErrorKind::NotFound => "it is not there".to_owned(),
        std::io::ErrorKind::PermissionDenied => "its permissions do not allow it".to_owned(),
        _ => error.to_string(),
    }
}
