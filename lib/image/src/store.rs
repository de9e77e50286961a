//! A folder of layers' blobs that outlives a build: a tree that was written down once is not compressed again.

use std::{
    fs::{self, File},
    io::{self, BufWriter, Write as _},
    path::{Path, PathBuf},
};

use crate::{
    Digest, Error, Layer, Tree,
    digest::Hashing,
    layer::{self, Blob, Written},
};

/// Part of the names in the store, so that another version's compressor is not mistaken for this one's.
const VERSION: &str = env!("CARGO_PKG_VERSION");

/// The folder: `blobs/sha256/HEX`, and under `layers/` for every tar's digest the blob it became. Several builds may use
/// it at once: files appear whole, by rename.
#[derive(Clone, Debug)]
pub struct Store {
    root: PathBuf,
}

// === impl Store ===

impl Store {
    /// Opens the folder, and makes it where it is missing.
    ///
    /// # Errors
    /// It cannot be made.
    pub fn open(root: impl Into<PathBuf>) -> Result<Self, Error> {
        let root = root.into();
        for folder in ["blobs/sha256", "layers"] {
            let folder = root.join(folder);
            fs::create_dir_all(&folder).map_err(Error::file(&folder))?;
        }
        Ok(Self { root })
    }

    /// The layer of a tree, taken from the folder or written into it.
    ///
    /// # Errors
    /// The folder or a file of the tree cannot be read or written.
    pub fn layer(&self, tree: &Tree, name: &str) -> Result<Layer, Error> {
        let failed = |source| Error::Layer { name: name.into(), source };
        let (_, diff_id, _) = layer::write_tar(tree, Hashing::new(io::sink())).map_err(failed)?.finish();
        let note = self.root.join("layers").join(format!("{}-{VERSION}", diff_id.hex()));
        if let Some(layer) = self.known(&note, diff_id, name) {
            return Ok(layer);
        }
        let blobs = self.root.join("blobs/sha256");
        let temporary = tempfile::NamedTempFile::new_in(&blobs).map_err(Error::file(&blobs))?;
        let (out, written) = layer::write(tree, BufWriter::new(temporary)).map_err(failed)?;
        let temporary = out.into_inner().map_err(|error| failed(error.into_error()))?;
        let blob = self.blob(&written.digest);
        temporary.persist(&blob).map_err(|error| Error::File { path: blob.clone(), source: error.error })?;
        self.note(&note, &written.digest)?;
        Ok(written.into_layer(name, Blob::File(blob)))
    }

    /// Where a blob is kept.
    pub(crate) fn blob(&self, digest: &Digest) -> PathBuf {
        self.root.join("blobs/sha256").join(digest.hex())
    }

    fn known(&self, note: &Path, diff_id: Digest, name: &str) -> Option<Layer> {
        let digest: Digest = fs::read_to_string(note).ok()?.trim().parse().ok()?;
        let blob = self.blob(&digest);
        let size = blob.metadata().ok()?.len();
        Some(Written { digest, size, diff_id }.into_layer(name, Blob::File(blob)))
    }

    fn note(&self, note: &Path, digest: &Digest) -> Result<(), Error> {
        let folder = self.root.join("layers");
        let mut temporary = tempfile::NamedTempFile::new_in(&folder).map_err(Error::file(&folder))?;
        writeln!(temporary, "{digest}")
            .and_then(|()| temporary.as_file().sync_data())
            .map_err(Error::file(note))?;
        temporary.persist(note).map_err(|error| Error::File { path: note.into(), source: error.error })?;
        Ok(())
    }
}

/// Opens a file for reading; for callers that stream a blob.
pub(crate) fn open(path: &Path) -> Result<File, Error> {
    File::open(path).map_err(Error::file(path))
}
