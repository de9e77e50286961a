//! A tree written down: a tar with gzip around it, the same bytes for the same tree.

use std::{
    io::{self, Write},
    path::PathBuf,
};

use bytes::Bytes;
use flate2::{Compression, GzBuilder, write::GzEncoder};

use crate::{
    Digest, Error, Kind, Tree,
    digest::Hashing,
    image::{Descriptor, LAYER_TYPE},
    registry::Reference,
};

/// Best size for the time: level 9 takes twice as long for one part in a hundred.
const LEVEL: u32 = 6;
/// The gzip header's byte for an unknown system: the maker's own would make digests differ between machines.
const UNKNOWN_SYSTEM: u8 = 255;

/// One layer of an image.
#[derive(Clone, Debug)]
pub struct Layer {
    /// What the manifest says of it.
    pub(crate) descriptor: Descriptor,
    /// The digest of the tar before gzip, which the configuration lists.
    pub(crate) diff_id: Digest,
    /// Shown in the image's history.
    pub(crate) name: String,
    /// Where its bytes are.
    pub(crate) blob: Blob,
}

/// Where the bytes of a layer are.
#[derive(Clone, Debug)]
pub(crate) enum Blob {
    /// Here.
    Bytes(Bytes),
    /// In a file.
    File(PathBuf),
    /// In a registry, under that repository.
    Registry(Reference),
}

// === impl Layer ===

impl Layer {
    /// Writes a tree down in memory; for layers of a few megabytes, such as a function's package.
    ///
    /// # Errors
    /// A file of the tree cannot be read any more.
    pub fn in_memory(tree: &Tree, name: &str) -> Result<Self, Error> {
        let (blob, written) =
            write(tree, Vec::new()).map_err(|source| Error::Layer { name: name.into(), source })?;
        Ok(written.into_layer(name, Blob::Bytes(blob.into())))
    }

    /// The digest of the layer's blob.
    pub fn digest(&self) -> Digest {
        self.descriptor.digest
    }

    /// The size of the layer's blob in bytes.
    pub fn size(&self) -> u64 {
        self.descriptor.size
    }
}

/// What came out of writing a layer.
pub(crate) struct Written {
    pub(crate) digest: Digest,
    pub(crate) size: u64,
    pub(crate) diff_id: Digest,
}

impl Written {
    pub(crate) fn into_layer(self, name: &str, blob: Blob) -> Layer {
        let descriptor = Descriptor::new(LAYER_TYPE, self.digest, self.size);
        Layer { descriptor, diff_id: self.diff_id, name: name.into(), blob }
    }
}

/// Writes the tree as a gzipped tar.
pub(crate) fn write<W: Write>(tree: &Tree, out: W) -> io::Result<(W, Written)> {
    let gzip: GzEncoder<Hashing<W>> =
        GzBuilder::new().operating_system(UNKNOWN_SYSTEM).write(Hashing::new(out), Compression::new(LEVEL));
    let (gzip, diff_id, _) = write_tar(tree, Hashing::new(gzip))?.finish();
    let (out, digest, size) = gzip.finish()?.finish();
    Ok((out, Written { digest, size, diff_id }))
}

/// Writes the tree as a tar.
pub(crate) fn write_tar<W: Write>(tree: &Tree, out: W) -> io::Result<W> {
    let mut tar = tar::Builder::new(out);
    for (path, entry) in tree.entries() {
        let mut header = tar::Header::new_gnu();
        header.set_mode(entry.mode);
        header.set_uid(entry.owner.uid.into());
        header.set_gid(entry.owner.gid.into());
        header.set_mtime(0);
        header.set_size(0);
        match &entry.kind {
            Kind::Folder { .. } => {
                header.set_entry_type(tar::EntryType::Directory);
                tar.append_data(&mut header, format!("{path}/"), io::empty())?;
            }
            Kind::File { size, content, .. } => {
                header.set_entry_type(tar::EntryType::Regular);
                header.set_size(*size);
                tar.append_data(&mut header, path, content.open(*size)?)?;
            }
            Kind::Link(target) => {
                header.set_entry_type(tar::EntryType::Symlink);
                tar.append_link(&mut header, path, target)?;
            }
        }
    }
    tar.into_inner()
}
