//! A tree written down: a tar with gzip around it, the same bytes for the same tree.

use std::{
    fs::File,
    io::{self, BufWriter, Read, Write},
    path::{Path, PathBuf},
};

use bytes::Bytes;
use flate2::{Compression, GzBuilder, read::MultiGzDecoder, write::GzEncoder};

use crate::{
    Digest, Error, Kind, Owner, Tree,
    digest::Hashing,
    image::{Descriptor, LAYER_TYPE},
    registry::Reference,
    tree::inside,
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

    /// Writes what a package (a gzipped tar of files, folders and symbolic links) holds below the folder `at` into the file `into`, in
    /// the package's own order. All of it becomes the superuser's, who owns what nobody shall change. Memory does not grow with it; the
    /// file must stay until the layer was sent.
    ///
    /// # Errors
    /// The package cannot be read, holds what an image cannot, or the file cannot be written.
    pub fn of_package(package: impl Read, at: &str, name: &str, into: &Path) -> Result<Self, Error> {
        let broken = |source| Error::Archive { name: name.into(), source };
        let failed = |source| Error::Layer { name: name.into(), source };
        let out = BufWriter::with_capacity(1 << 18, File::create(into).map_err(Error::file(into))?);
        let mut out = tar::Builder::new(Hashing::new(gzip(out)));
        let mut archive = tar::Archive::new(MultiGzDecoder::new(package));
        for entry in archive.entries().map_err(broken)? {
            let entry = entry.map_err(broken)?;
            let path = String::from_utf8_lossy(&entry.path_bytes()).into_owned();
            let Some(path) = inside(&path)? else { continue };
            let path = format!("{at}/{path}");
            let kind = entry.header().entry_type();
            let mode = match kind {
                tar::EntryType::Symlink => 0o777,
                _ => entry.header().mode().map_err(broken)? & 0o777,
            };
            let mut header = header(mode, Owner::ROOT);
            match kind {
                tar::EntryType::Directory => {
                    header.set_entry_type(kind);
                    out.append_data(&mut header, format!("{path}/"), io::empty()).map_err(failed)?;
                }
                tar::EntryType::Regular | tar::EntryType::Continuous => {
                    header.set_entry_type(tar::EntryType::Regular);
                    header.set_size(entry.size());
                    out.append_data(&mut header, path, entry).map_err(failed)?;
                }
                tar::EntryType::Symlink => {
                    header.set_entry_type(kind);
                    let target = entry.link_name_bytes().unwrap_or_default();
                    let target = String::from_utf8_lossy(&target).into_owned();
                    out.append_link(&mut header, path, target).map_err(failed)?;
                }
                other => return Err(Error::Kind { path, kind: format!("{other:?}") }),
            }
        }
        let (gzip, diff_id, _) = out.into_inner().map_err(failed)?.finish();
        let (out, digest, size) = gzip.finish().map_err(failed)?.finish();
        out.into_inner().map_err(|error| failed(error.into_error()))?;
        Ok(Written { digest, size, diff_id }.into_layer(name, Blob::File(into.into())))
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
    let (gzip, diff_id, _) = write_tar(tree, Hashing::new(gzip(out)))?.finish();
    let (out, digest, size) = gzip.finish()?.finish();
    Ok((out, Written { digest, size, diff_id }))
}

/// A compressor that says nothing of the machine.
fn gzip<W: Write>(out: W) -> GzEncoder<Hashing<W>> {
    GzBuilder::new().operating_system(UNKNOWN_SYSTEM).write(Hashing::new(out), Compression::new(LEVEL))
}

/// An entry's header, as far as all kinds have the same.
fn header(mode: u32, owner: Owner) -> tar::Header {
    let mut header = tar::Header::new_gnu();
    header.set_mode(mode);
    header.set_uid(owner.uid.into());
    header.set_gid(owner.gid.into());
    header.set_mtime(0);
    header.set_size(0);
    header
}

/// Writes the tree as a tar.
pub(crate) fn write_tar<W: Write>(tree: &Tree, out: W) -> io::Result<W> {
    let mut tar = tar::Builder::new(out);
    for (path, entry) in tree.entries() {
        let mut header = header(entry.mode, entry.owner);
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
