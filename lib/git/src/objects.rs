//! Commits, trees and files as a server sent them, in packs in a folder of their own that goes with them.

use std::{io, io::BufRead, path::Path, sync::atomic::AtomicBool};

use gix_hash::{Kind as Hash, ObjectId};
use gix_object::{CommitRefIter, Kind, TagRefIter};
use gix_pack::{Bundle, bundle::write::Options, cache::Never};
use gix_utils::progress::Discard;
use gix_zlib::Inflate;
use tempfile::TempDir;

use crate::{Error, server};

/// Objects by their ids.
pub struct Objects {
    folder: TempDir,
    packs: Vec<Bundle>,
}

/// The most bytes of one object, and of whatever else a pack has us hold at once: three such pieces are held at a time.
const LARGEST: usize = 64 << 20;
/// Tags of tags of tags.
const HOPS: usize = 8;

// === impl Objects ===

impl Objects {
    /// No objects, and a folder within `folder` for those to come.
    ///
    /// # Errors
    /// When there can be no such folder.
    pub fn new(folder: &Path) -> Result<Self, Error> {
        let folder = tempfile::Builder::new().prefix("git-").tempdir_in(folder).map_err(Error::Disk)?;
        Ok(Self { folder, packs: Vec::new() })
    }

    /// Reads the pack in an answer that was asked for `wanted`, and checks every object of it against its id. Ends early when
    /// `stop` becomes true.
    ///
    /// # Errors
    /// When the server has no such object, or sent something else.
    pub fn receive(
        &mut self,
        answer: impl BufRead,
        wanted: ObjectId,
        stop: &AtomicBool,
    ) -> Result<(), Error> {
        let folder = self.folder.path();
        let options =
            Options { thread_limit: Some(1), alloc_limit_bytes: Some(LARGEST), ..Options::default() };
        let outcome = server::pack(answer, wanted, |pack| {
            let none = None::<gix_object::find::Never>;
            Bundle::write_to_directory(pack, Some(folder), &mut Discard, stop, none, Hash::Sha1, options)
                .map_err(broken)
        })?;
        let bundle = outcome.to_bundle().ok_or_else(|| Error::Damaged("the pack is empty".to_owned()))?;
        let mut bundle = bundle.map_err(broken)?;
        bundle.pack.alloc_limit_bytes = Some(LARGEST);
        self.packs.push(bundle);
        Ok(())
    }

    /// Whether an object is here.
    pub(crate) fn has(&self, id: ObjectId) -> bool {
        self.packs.iter().any(|pack| pack.index.lookup(id).is_some())
    }

    /// Reads an object; its kind is told, and `out` has its bytes.
    pub(crate) fn read(&self, id: ObjectId, out: &mut Vec<u8>, inflate: &mut Inflate) -> Result<Kind, Error> {
        for pack in &self.packs {
            if let Some((object, _)) = pack.find(&id, out, inflate, &mut Never).map_err(broken)? {
                return Ok(object.kind);
            }
        }
        Err(Error::Damaged(format!("the object {id} is not in it")))
    }

    /// The commit behind an id, which may be a tag's, and its tree.
    pub(crate) fn commit(&self, mut id: ObjectId) -> Result<(ObjectId, ObjectId), Error> {
        let (mut bytes, mut inflate) = (Vec::new(), Inflate::default());
        let asked = id;
        for _ in 0..HOPS {
            match self.read(id, &mut bytes, &mut inflate)? {
                Kind::Commit => {
                    let tree = CommitRefIter::from_bytes(&bytes, Hash::Sha1).tree_id();
                    return Ok((id, tree.map_err(broken)?));
                }
                Kind::Tag => id = TagRefIter::from_bytes(&bytes, Hash::Sha1).target_id().map_err(broken)?,
                Kind::Tree | Kind::Blob => break,
            }
        }
        Err(Error::NoCommit(asked))
    }
}

/// What the reader of packs says, told apart by what somebody can do about it.
pub(crate) fn broken(error: gix_error::Error) -> Error {
    if error.is_resource_exhausted() {
        return Error::LargeFile(LARGEST);
    }
    let full = |error: &&io::Error| {
        matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
    };
    if let Some(error) = error.downcast_any_ref::<io::Error>().filter(full) {
        return Error::Disk(error.kind().into());
    }
    Error::damaged(error.probable_cause())
}
