//! Packages of code without dependencies: a deterministic tar.gz, named by its digest, kept in a ConfigMap beside its revision.
//!
//! The same files always give the same bytes (names in order, no times, no owners), so the digest identifies the code and an
//! unchanged source never makes a new revision. A ConfigMap holds 1 MiB; what is larger waits for the builder's store.

use std::collections::{BTreeMap, BTreeSet};

use base64::{Engine, prelude::BASE64_STANDARD};
use bytes::Bytes;
use flate2::{Compression, GzBuilder};
use flint_api::labels;
use flint_kube::Manifest;
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
        "the code has {0} bytes when packed, and {PACKAGE_LIMIT} is the most: take files out, or serve it as spec.image"
    )]
    Large(usize),
    /// It needs a build.
    #[error(
        "{0} names dependencies, and building them is not supported yet: put the packed modules into the source, or serve the function as spec.image"
    )]
    Dependencies(String),
}

/// The key within the ConfigMap's `binaryData`.
const DATA_KEY: &str = "package.tar.gz";
/// Annotation with the whole digest; a label's value has room for 63 characters only.
pub(crate) const DIGEST_ANNOTATION: &str = "flint.dev/package-digest";
/// ConfigMaps hold 1 MiB in all; the rest is for keys and slack.
const PACKAGE_LIMIT: usize = 1_040_000;
/// As much of the digest as is plenty to find it by.
const LABEL_LENGTH: usize = 40;

// === impl Package ===

impl Package {
    /// Packs files, by their relative path.
    pub(crate) fn build(files: &BTreeMap<String, Bytes>) -> Result<Self, Unpackable> {
        if files.is_empty() {
            return Err(Unpackable::Empty);
        }
        if let Some(name) =
            files.iter().find_map(|(name, data)| names_dependencies(name, data).then_some(name))
        {
            return Err(Unpackable::Dependencies(name.clone()));
        }
        let archive = pack(files)?;
        if archive.len() > PACKAGE_LIMIT {
            return Err(Unpackable::Large(archive.len()));
        }
        let digest = format!("sha256:{}", hex::encode(Sha256::digest(&archive)));
        Ok(Self { digest, size: archive.len(), data: Some(archive.into()) })
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

fn pack(files: &BTreeMap<String, Bytes>) -> Result<Vec<u8>, Unpackable> {
    let mut folders = BTreeSet::new();
    for name in files.keys() {
        let parts: Vec<_> = name.split('/').collect();
        let bad = |part: &&str| part.is_empty() || matches!(*part, "." | "..") || part.contains(['\\', '\0']);
        if parts.iter().any(bad) || name.len() > 255 {
            return Err(Unpackable::Name(name.clone()));
        }
        for end in 1..parts.len() {
            folders.insert(parts[..end].join("/"));
        }
    }
    if let Some(name) = files.keys().find(|name| folders.contains(*name)) {
        return Err(Unpackable::Twice(name.clone()));
    }
    let zipped = GzBuilder::new().mtime(0).write(Vec::new(), Compression::default());
    let mut archive = tar::Builder::new(zipped);
    let write = |archive: &mut tar::Builder<_>| -> std::io::Result<()> {
        for folder in &folders {
            let mut header = header(tar::EntryType::Directory, 0o755, 0);
            archive.append_data(&mut header, format!("{folder}/"), std::io::empty())?;
        }
        for (name, data) in files {
            // A program runs: `bootstrap` of the provided runtime, and whatever says how it is interpreted.
            let mode = if name == "bootstrap" || data.starts_with(b"#!") { 0o755 } else { 0o644 };
            let mut header = header(tar::EntryType::Regular, mode, data.len());
            archive.append_data(&mut header, name, data.as_ref())?;
        }
        Ok(())
    };
    // Writing to memory fails only for names, which were looked at above.
    write(&mut archive)
        .and_then(|()| archive.into_inner())
        .and_then(flate2::write::GzEncoder::finish)
        .map_err(|error| Unpackable::Name(error.to_string()))
}

fn header(kind: tar::EntryType, mode: u32, size: usize) -> tar::Header {
    let mut header = tar::Header::new_gnu();
    header.set_entry_type(kind);
    header.set_mode(mode);
    header.set_size(size as u64);
    header.set_mtime(0);
    header.set_uid(0);
    header.set_gid(0);
    header
}

/// Whether a file asks for packages that somebody would have to fetch.
fn names_dependencies(name: &str, data: &[u8]) -> bool {
    let text = || String::from_utf8_lossy(data);
    match name {
        "requirements.txt" => {
            text().lines().map(str::trim).any(|line| !line.is_empty() && !line.starts_with('#'))
        }
        "package.json" => serde_json::from_slice::<Value>(data)
            .is_ok_and(|json| json["dependencies"].as_object().is_some_and(|wanted| !wanted.is_empty())),
        "go.mod" | "Cargo.toml" | "pom.xml" | "build.gradle" | "build.gradle.kts" | "Pipfile" => {
            !data.is_empty()
        }
        _ => false,
    }
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
    fn dependencies_are_refused_and_empty_manifests_are_not() {
        for (name, text) in [
            ("requirements.txt", "pillow"),
            ("package.json", r#"{"dependencies": {"x": "1"}}"#),
            ("go.mod", "module x"),
        ] {
            let built = Package::build(&files(&[("app.py", "x"), (name, text)]));
            assert_eq!(built, Err(Unpackable::Dependencies(name.into())));
        }
        for (name, text) in [("requirements.txt", "# none\n\n"), ("package.json", r#"{"type": "module"}"#)] {
            assert!(Package::build(&files(&[("app.py", "x"), (name, text)])).is_ok(), "{name}");
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
