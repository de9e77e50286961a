//! An image as a folder: the OCI image layout, which other tools read.

use std::{fs, path::Path};

use serde_json::json;

use crate::{
    Digest, Error, Image,
    image::{Descriptor, INDEX_TYPE},
    layer::Blob,
    store,
};

/// The annotation that names an image in a layout.
const NAME: &str = "org.opencontainers.image.ref.name";

impl Image {
    /// Writes the image into a folder as an OCI image layout with this one image, named `name`, and returns its digest.
    ///
    /// # Errors
    /// A file cannot be written, or a layer stands in a registry only.
    pub fn write_layout(&self, folder: &Path, name: &str) -> Result<Digest, Error> {
        let blobs = folder.join("blobs/sha256");
        fs::create_dir_all(&blobs).map_err(Error::file(&blobs))?;
        let (config, manifest) = self.documents();
        for layer in self.layers() {
            let path = blobs.join(layer.digest().hex());
            match &layer.blob {
                Blob::Bytes(bytes) => fs::write(&path, bytes).map_err(Error::file(&path))?,
                Blob::File(from) => {
                    let mut from = store::open(from)?;
                    fs::File::create(&path)
                        .and_then(|mut to| std::io::copy(&mut from, &mut to))
                        .map_err(Error::file(&path))?;
                }
                Blob::Registry(reference) => {
                    return Err(Error::Unusable {
                        reference: reference.whole(),
                        message: "its layers are in the registry only; push the image instead".into(),
                    });
                }
            }
        }
        for document in [&config, &manifest] {
            let path = blobs.join(document.descriptor.digest.hex());
            fs::write(&path, &document.bytes).map_err(Error::file(&path))?;
        }
        let digest = manifest.descriptor.digest;
        let named = Descriptor { annotations: [(NAME.into(), name.into())].into(), ..manifest.descriptor };
        let index = json!({"schemaVersion": 2, "mediaType": INDEX_TYPE, "manifests": [named]});
        for (file, value) in [("index.json", index), ("oci-layout", json!({"imageLayoutVersion": "1.0.0"}))] {
            let path = folder.join(file);
            fs::write(&path, value.to_string()).map_err(Error::file(&path))?;
        }
        Ok(digest)
    }
}
