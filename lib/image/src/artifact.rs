//! A package in a registry: an OCI artifact of one layer, as `oras push` makes them, which is no image and runs nowhere by itself.

use std::{collections::BTreeMap, fs::File, path::Path};

use bytes::Bytes;
use serde::Serialize;

use crate::{
    Digest, Error,
    image::{Descriptor, Document, LAYER_TYPE, MANIFEST_TYPE},
    layer::{Blob, Layer},
};

/// What the artifact says that it is.
pub const ARTIFACT_TYPE: &str = "application/vnd.flint.package.v1";
/// An artifact has nothing to configure: the specification's empty object stands for it.
const EMPTY_TYPE: &str = "application/vnd.oci.empty.v1+json";
const EMPTY: &[u8] = b"{}";
/// How tools name the layer's file when they fetch it.
const TITLE: &str = "org.opencontainers.image.title";
const FILE: &str = "package.tar.gz";

/// A tar.gz on its way to a registry.
#[derive(Clone, Debug)]
pub struct Artifact {
    pub(crate) layer: Layer,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Manifest<'a> {
    schema_version: u8,
    media_type: &'a str,
    artifact_type: &'a str,
    config: &'a Descriptor,
    layers: [&'a Descriptor; 1],
}

// === impl Artifact ===

impl Artifact {
    /// A tar.gz in memory.
    pub fn of(tar_gz: impl Into<Bytes>) -> Self {
        let bytes = tar_gz.into();
        Self::new(Digest::of(&bytes), bytes.len() as u64, Blob::Bytes(bytes))
    }

    /// A tar.gz in a file, which is read now for its digest and once more when it is sent.
    ///
    /// # Errors
    /// The file cannot be read.
    pub fn of_file(path: &Path) -> Result<Self, Error> {
        let file = File::open(path).map_err(Error::file(path))?;
        let (digest, size) = Digest::of_reader(file).map_err(Error::file(path))?;
        Ok(Self::new(digest, size, Blob::File(path.into())))
    }

    /// The digest of the tar.gz itself.
    pub fn package(&self) -> Digest {
        self.layer.digest()
    }

    /// The digest of the artifact, by which it is pulled once it is in a registry.
    pub fn digest(&self) -> Digest {
        self.documents().1.descriptor.digest
    }

    /// The size of the tar.gz in bytes.
    pub fn size(&self) -> u64 {
        self.layer.size()
    }

    fn new(digest: Digest, size: u64, blob: Blob) -> Self {
        let mut descriptor = Descriptor::new(LAYER_TYPE, digest, size);
        descriptor.annotations = BTreeMap::from([(TITLE.to_owned(), FILE.to_owned())]);
        Self { layer: Layer { descriptor, diff_id: digest, name: FILE.into(), blob } }
    }

    /// The configuration and the manifest.
    pub(crate) fn documents(&self) -> (Document, Document) {
        let config = Document {
            bytes: EMPTY.to_vec(),
            descriptor: Descriptor::new(EMPTY_TYPE, Digest::of(EMPTY), EMPTY.len() as u64),
        };
        let manifest = Manifest {
            schema_version: 2,
            media_type: MANIFEST_TYPE,
            artifact_type: ARTIFACT_TYPE,
            config: &config.descriptor,
            layers: [&self.layer.descriptor],
        };
        let manifest = Document::new(MANIFEST_TYPE, &manifest);
        (config, manifest)
    }
}
