//! The files of a folder at a commit: their names first, then what is in them.

use std::{
    collections::BTreeSet,
    io::{Read, Seek, Write},
};

use flint_package::{Draft, Mode};
use gix_hash::{Kind as Hash, ObjectId};
use gix_object::{Kind, TreeRefIter, tree::EntryKind};
use gix_zlib::Inflate;

use crate::{Error, Objects, objects::broken};

/// What is in a folder.
#[derive(Debug)]
pub struct Listing {
    /// The commit, also where a tag led to it.
    pub commit: ObjectId,
    items: Vec<Item>,
}

#[derive(Debug)]
struct Item {
    name: Vec<u8>,
    kind: EntryKind,
    id: ObjectId,
}

/// Linux' own limit of a path.
const LONGEST: usize = 4096;
/// Bytes of all names: as many as a package may have.
const NAMES: usize = 16 << 20;
/// What git LFS leaves in the place of a file, and how long that is at most.
const POINTER: &[u8] = b"version https://git-lfs.github.com/spec/";
const POINTER_LENGTH: usize = 1024;

// === impl Objects ===

impl Objects {
    /// Lists the files of a folder, or of the whole repository, at most `most` with all that is counted on the way: trees may
    /// name one another so often that a few bytes become any number of files.
    ///
    /// # Errors
    /// When there is no such folder, or something in it has no place in a package.
    pub fn listing(&self, commit: ObjectId, folder: Option<&str>, most: usize) -> Result<Listing, Error> {
        let (commit, root) = self.commit(commit)?;
        let mut reader = Reader { objects: self, bytes: Vec::new(), inflate: Inflate::default() };
        let start = reader.descend(root, folder.unwrap_or_default())?;
        let mut items = Vec::new();
        let (mut seen, mut names) = (0, 0);
        let mut ahead = vec![(Vec::new(), start)];
        while let Some((above, tree)) = ahead.pop() {
            reader.tree(tree)?;
            for entry in TreeRefIter::from_bytes(&reader.bytes, Hash::Sha1) {
                let entry = entry.map_err(broken)?;
                let mut name: Vec<u8> = above.clone();
                if !name.is_empty() {
                    name.push(b'/');
                }
                name.extend_from_slice(entry.filename);
                seen += 1;
                names += name.len();
                let shown = || String::from_utf8_lossy(&name[..name.len().min(200)]).into_owned();
                if seen > most {
                    return Err(flint_package::Error::TooMany(most).into());
                }
                if name.len() > LONGEST {
                    return Err(flint_package::Error::Name(shown()).into());
                }
                if names > NAMES {
                    return Err(flint_package::Error::Names(NAMES).into());
                }
                match entry.mode.kind() {
                    EntryKind::Tree => ahead.push((name, entry.oid.to_owned())),
                    EntryKind::Commit => return Err(Error::Submodule(shown())),
                    kind => items.push(Item { name, kind, id: entry.oid.to_owned() }),
                }
            }
        }
        Ok(Listing { commit, items })
    }
}

/// Reads trees, one after the other into the same memory.
struct Reader<'a> {
    objects: &'a Objects,
    bytes: Vec<u8>,
    inflate: Inflate,
}

impl Reader<'_> {
    fn tree(&mut self, id: ObjectId) -> Result<(), Error> {
        match self.objects.read(id, &mut self.bytes, &mut self.inflate)? {
            Kind::Tree => Ok(()),
            other => Err(Error::Damaged(format!("{id} is a {other}, and should be a folder"))),
        }
    }

    /// The tree of a folder.
    fn descend(&mut self, root: ObjectId, folder: &str) -> Result<ObjectId, Error> {
        let mut at = root;
        for part in folder.split('/').filter(|part| !matches!(*part, "" | ".")) {
            self.tree(at)?;
            let mut entries = TreeRefIter::from_bytes(&self.bytes, Hash::Sha1).filter_map(Result::ok);
            let found = entries.find(|entry| entry.filename == part.as_bytes());
            let found = found.ok_or_else(|| Error::NoFolder(folder.to_owned()))?;
            at = match found.mode.kind() {
                EntryKind::Tree => found.oid.to_owned(),
                EntryKind::Commit => return Err(Error::Submodule(folder.to_owned())),
                _ => return Err(Error::File(folder.to_owned())),
            };
        }
        Ok(at)
    }
}

// === impl Listing ===

impl Listing {
    /// The files that are not here yet.
    #[must_use]
    pub fn missing(&self, objects: &Objects) -> BTreeSet<ObjectId> {
        self.items.iter().map(|item| item.id).filter(|id| !objects.has(*id)).collect()
    }

    /// Adds all files to a draft.
    ///
    /// # Errors
    /// When one of them is not here, is kept elsewhere, or has no place in a package.
    pub fn write<S: Read + Write + Seek>(
        &self,
        objects: &Objects,
        draft: &mut Draft<S>,
    ) -> Result<(), Error> {
        let (mut bytes, mut inflate) = (Vec::new(), Inflate::default());
        for item in &self.items {
            let kind = objects.read(item.id, &mut bytes, &mut inflate)?;
            let shown = || String::from_utf8_lossy(&item.name).into_owned();
            if kind != Kind::Blob {
                return Err(Error::Damaged(format!("{} is a {kind}, and should be a file", shown())));
            }
            if bytes.len() <= POINTER_LENGTH && bytes.starts_with(POINTER) {
                return Err(Error::Elsewhere(shown()));
            }
            match item.kind {
                EntryKind::Link => draft.link(&item.name, &bytes)?,
                EntryKind::BlobExecutable => draft.file(&item.name, Mode::Program, bytes.as_slice())?,
                _ => draft.file(&item.name, Mode::Data, bytes.as_slice())?,
            }
        }
        Ok(())
    }
}
