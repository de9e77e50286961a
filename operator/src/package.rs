//! Packages of a few files: named by their digest, and kept in a ConfigMap beside their revision, so that they need no volume.
//!
//! The same files always give the same bytes, so the digest identifies the code and an unchanged source never makes a new revision.
//! A ConfigMap holds 1 MiB; what is larger comes as an archive, and is kept on the operator's volume.

use std::{collections::BTreeMap, io::Cursor};

use base64::{Engine, prelude::BASE64_STANDARD};
use bytes::Bytes;
use flint_api::labels;
use flint_kube::Manifest;
use flint_package::{Draft, Limits, Mode};
use k8s_openapi::api::core::v1::ConfigMap;
use kube::{Api, Client, ResourceExt, api::ListParams, core::PartialObjectMeta};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::stores::Stores;

/// An archive of code.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Package {
    /// `sha256:HEX` of the archive.
    pub(crate) digest: String,
    /// Its size in bytes.
    pub(crate) size: usize,
    /// The archive itself; none when it is known to be stored already.
    pub(crate) data: Option<Bytes>,
    /// What it was fetched as, where it was: a revision remembers it, so that nobody fetches it twice.
    pub(crate) source: Option<String>,
    /// What that was at that moment, where it may be something else later: a commit, or an artifact's digest.
    pub(crate) resolved: Option<String>,
    /// The files in it that name dependencies which it does not bring; none where nobody has looked.
    pub(crate) needs: Option<Vec<String>>,
    /// The image that holds it, where pods run that.
    pub(crate) image: Option<Image>,
}

/// An image with a package in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Image {
    /// Its name, with its digest.
    pub(crate) reference: String,
    /// What it was made of, where that is known: a revision remembers it, so that nobody makes it twice.
    pub(crate) made_of: Option<String>,
}

/// Why files cannot become a package.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Unpackable {
    /// A name that would leave the folder, or is none.
    #[error("{0:?} is no file name: write a relative path without . and .. parts, such as lib/util.py")]
    Name(String),
    /// A name that is both a file and a folder.
    #[error("{0:?} is a file and a folder at once: rename one of them")]
    Twice(String),
    /// Nothing to run.
    #[error("the source has no files: write at least one")]
    Empty,
    /// Too large for where packages are kept.
    #[error(
        "the code has {0} bytes when packed, and {PACKAGE_LIMIT} is the most here: bring it as spec.source.archive, or serve it as spec.image"
    )]
    Large(usize),
    /// Anything else.
    #[error("the code cannot be packed: {0}")]
    Refused(String),
}

/// The key within the ConfigMap's `binaryData`.
const DATA_KEY: &str = "package.tar.gz";
/// Annotation with the whole digest; a label's value has room for 63 characters only.
pub(crate) const DIGEST_ANNOTATION: &str = "flint.dev/package-digest";
/// Annotation on a Deployment: what its package was fetched as.
pub(crate) const SOURCE_ANNOTATION: &str = "flint.dev/package-source";
/// Annotation on a Deployment: what that was when it was fetched last.
pub(crate) const RESOLVED_ANNOTATION: &str = "flint.dev/package-resolved";
/// Annotation on a Deployment: what the image that holds its package was made of.
pub(crate) const IMAGE_ANNOTATION: &str = "flint.dev/image-made-of";
/// Annotation on a Deployment: the size of a package that was fetched.
pub(crate) const BYTES_ANNOTATION: &str = "flint.dev/package-bytes";
/// ConfigMaps hold 1 MiB in all; the rest is for keys and slack.
pub(crate) const PACKAGE_LIMIT: usize = 1_040_000;
/// As much of the digest as is plenty to find it by.
const LABEL_LENGTH: usize = 40;

// === impl Package ===

impl Package {
    /// Packs files, by their relative path.
    pub(crate) fn build(files: &BTreeMap<String, Bytes>) -> Result<Self, Unpackable> {
        if files.is_empty() {
            return Err(Unpackable::Empty);
        }
        let mut draft = Draft::new(Cursor::new(Vec::new()), Limits::default());
        for (name, data) in files {
            let bad =
                |part: &str| part.is_empty() || matches!(part, "." | "..") || part.contains(['\\', '\0']);
            if name.split('/').any(bad) || name.len() > 255 {
                return Err(Unpackable::Name(name.clone()));
            }
            draft.file(name.as_bytes(), Mode::Unknown, data.as_ref())?;
        }
        let needs = draft.missing_dependencies()?.into_iter().map(str::to_owned).collect();
        let (packed, archive) = draft.finish(Vec::new())?;
        if archive.len() > PACKAGE_LIMIT {
            return Err(Unpackable::Large(archive.len()));
        }
        Ok(Self {
            digest: packed.digest,
            size: archive.len(),
            data: Some(archive.into()),
            source: None,
            resolved: None,
            needs: Some(needs),
            image: None,
        })
    }

    /// The ConfigMap that keeps the package. `metadata` has the name, labels and owner.
    pub(crate) fn manifest(&self, mut metadata: Value) -> Option<Manifest> {
        let data = self.data.as_ref()?;
        metadata["labels"][labels::PACKAGE] = json!(label(&self.digest));
        metadata["annotations"][DIGEST_ANNOTATION] = json!(self.digest);
        Some(Manifest::new::<ConfigMap>(json!({
            "metadata": metadata,
            "immutable": true,
            "binaryData": {DATA_KEY: BASE64_STANDARD.encode(data)},
        })))
    }
}

impl From<flint_package::Error> for Unpackable {
    fn from(error: flint_package::Error) -> Self {
        match error {
            flint_package::Error::FileAndFolder(name) => Self::Twice(name),
            other => Self::Refused(other.to_string()),
        }
    }
}

/// The package of that digest (`sha256:HEX`), from the ConfigMap that keeps it.
///
/// # Errors
/// When the API server cannot be asked.
pub(crate) async fn fetch(
    client: &Client,
    stores: &Stores,
    digest: &str,
) -> Result<Option<Bytes>, kube::Error> {
    let Some(label) = digest.strip_prefix("sha256:").filter(|hex| hex.len() == 64).map(|_| label(digest))
    else {
        return Ok(None);
    };
    let known = stores
        .config_maps
        .find_by(|map| map.annotations().get(DIGEST_ANNOTATION).is_some_and(|has| has == digest));
    let map = match known.and_then(|map| Some((map.namespace()?, map.name_any()))) {
        Some((namespace, name)) => {
            Api::<ConfigMap>::namespaced(client.clone(), &namespace).get_opt(&name).await?
        }
        // Stored a moment ago: the watch has not told yet.
        None => {
            let selector = ListParams::default().labels(&format!("{}={label}", labels::PACKAGE)).limit(1);
            Api::<ConfigMap>::all(client.clone()).list(&selector).await?.items.pop()
        }
    };
    let data = map.and_then(|map| map.binary_data).and_then(|mut data| data.remove(DATA_KEY));
    // Whoever can write ConfigMaps can write a wrong one: what is served is what was asked for, or nothing.
    let genuine = |data: &Vec<u8>| digest.ends_with(&hex::encode(Sha256::digest(data)));
    Ok(data.map(|data| data.0).filter(genuine).map(Bytes::from))
}

/// The digest of the package that a ConfigMap keeps for the function whose uid is `owner`; none when it keeps none, or for another:
/// the garbage collector takes what belonged to an earlier function of the same name.
pub(crate) fn digest<'a>(map: &'a PartialObjectMeta<ConfigMap>, owner: &str) -> Option<&'a str> {
    let ours = map.owner_references().iter().any(|reference| reference.uid == owner);
    map.annotations().get(DIGEST_ANNOTATION).map(String::as_str).filter(|_| ours)
}

fn label(digest: &str) -> &str {
    let hex = digest.strip_prefix("sha256:").unwrap_or(digest);
    hex.get(..LABEL_LENGTH).unwrap_or(hex)
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use super::*;

    fn files(pairs: &[(&str, &str)]) -> BTreeMap<String, Bytes> {
        pairs.iter().map(|(name, data)| ((*name).to_owned(), Bytes::from((*data).to_owned()))).collect()
    }

    #[test]
    fn the_same_files_are_the_same_package() {
        let one = Package::build(&files(&[("app.py", "a"), ("lib/util.py", "b")])).unwrap();
        let two = Package::build(&files(&[("lib/util.py", "b"), ("app.py", "a")])).unwrap();
        assert_eq!(one, two);
        assert_ne!(one.digest, Package::build(&files(&[("app.py", "c")])).unwrap().digest);
    }

    #[test]
    fn an_archive_has_folders_and_programs_that_run() {
        let package =
            Package::build(&files(&[("bootstrap", "x"), ("run.sh", "#!/bin/sh"), ("lib/a.py", "y")]))
                .unwrap();
        let data = package.data.unwrap();
        let mut archive = tar::Archive::new(flate2::read::GzDecoder::new(data.as_ref()));
        let mut entries = Vec::new();
        for entry in archive.entries().unwrap() {
            let mut entry = entry.unwrap();
            let mut text = String::new();
            entry.read_to_string(&mut text).unwrap();
            entries.push(format!(
                "{} {:o} {text}",
                entry.path().unwrap().display(),
                entry.header().mode().unwrap()
            ));
        }
        assert_eq!(entries, ["lib/ 755 ", "bootstrap 755 x", "lib/a.py 644 y", "run.sh 755 #!/bin/sh"]);
    }

    #[test]
    fn names_that_leave_the_folder_are_refused() {
        for name in ["/etc/passwd", "../a", "a/../b", "", "a//b", "./a", "a\\b"] {
            assert!(matches!(Package::build(&files(&[(name, "x")])), Err(Unpackable::Name(_))), "{name}");
        }
        let twice = Package::build(&files(&[("a", "x"), ("a/b", "y")]));
        assert_eq!(twice, Err(Unpackable::Twice("a".into())));
    }

    #[test]
    fn dependencies_are_noted_and_empty_manifests_are_not() {
        for (name, text) in [
            ("requirements.txt", "pillow"),
            ("package.json", r#"{"dependencies": {"x": "1"}}"#),
            ("go.mod", "module x"),
        ] {
            let built = Package::build(&files(&[("app.py", "x"), (name, text)])).unwrap();
            assert_eq!(built.needs, Some(vec![name.to_owned()]));
        }
        for (name, text) in [("requirements.txt", "# none\n\n"), ("package.json", r#"{"type": "module"}"#)] {
            let built = Package::build(&files(&[("app.py", "x"), (name, text)])).unwrap();
            assert_eq!(built.needs, Some(Vec::new()), "{name}");
        }
    }

    #[test]
    fn a_package_that_no_config_map_holds_is_refused() {
        let noise = |block: u32| Sha256::digest(block.to_le_bytes()).to_vec();
        let noise: Vec<u8> = (0..40_000).flat_map(noise).collect();
        let files = BTreeMap::from([("app.py".to_owned(), Bytes::from(noise))]);
        assert!(matches!(Package::build(&files), Err(Unpackable::Large(_))));
    }
}
