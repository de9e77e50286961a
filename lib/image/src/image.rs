//! Layers and a configuration, and the JSON that registries and container runtimes read; after the OCI image specification 1.1.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::{Digest, Error, Layer, layer::Blob, registry::Reference};

pub(crate) const MANIFEST_TYPE: &str = "application/vnd.oci.image.manifest.v1+json";
pub(crate) const INDEX_TYPE: &str = "application/vnd.oci.image.index.v1+json";
pub(crate) const DOCKER_MANIFEST_TYPE: &str = "application/vnd.docker.distribution.manifest.v2+json";
pub(crate) const DOCKER_INDEX_TYPE: &str = "application/vnd.docker.distribution.manifest.list.v2+json";
pub(crate) const LAYER_TYPE: &str = "application/vnd.oci.image.layer.v1.tar+gzip";
const CONFIG_TYPE: &str = "application/vnd.oci.image.config.v1+json";
/// One moment for all: an image says what is in it, not when it was made.
const CREATED: &str = "1970-01-01T00:00:00Z";

/// The system an image is for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Platform {
    /// The processor as images name it: `amd64`, `arm64`.
    pub architecture: String,
    /// `linux`.
    pub os: String,
}

/// How a container of the image runs, in the names that images use.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
pub struct RunConfig {
    /// `UID:GID`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub user: Option<String>,
    /// `NAME=VALUE` each.
    #[serde(skip_serializing_if = "Vec::is_empty", deserialize_with = "or_null")]
    pub env: Vec<String>,
    /// The program and its first arguments.
    #[serde(skip_serializing_if = "Vec::is_empty", deserialize_with = "or_null")]
    pub entrypoint: Vec<String>,
    /// Arguments that a pod's `args` replace.
    #[serde(skip_serializing_if = "Vec::is_empty", deserialize_with = "or_null")]
    pub cmd: Vec<String>,
    /// Where the program starts.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub working_dir: Option<String>,
    /// Words about the image.
    #[serde(skip_serializing_if = "BTreeMap::is_empty", deserialize_with = "or_null")]
    pub labels: BTreeMap<String, String>,
    /// What else a base image says, kept as it is.
    #[serde(flatten)]
    pub other: BTreeMap<String, Value>,
}

/// A reference to a blob, as manifests write it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Descriptor {
    pub(crate) media_type: String,
    pub(crate) digest: Digest,
    pub(crate) size: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) platform: Option<Platform>,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub(crate) annotations: BTreeMap<String, String>,
}

/// An image manifest, ours or a base image's.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Manifest {
    pub(crate) schema_version: u8,
    pub(crate) media_type: String,
    pub(crate) config: Descriptor,
    pub(crate) layers: Vec<Descriptor>,
}

/// The configuration of a base image, as far as a layer upon it needs it.
#[derive(Debug, Deserialize)]
pub(crate) struct BaseConfig {
    #[serde(flatten)]
    pub(crate) platform: Platform,
    #[serde(default, deserialize_with = "or_null")]
    pub(crate) config: RunConfig,
    pub(crate) rootfs: RootFs,
    #[serde(default, deserialize_with = "or_null")]
    pub(crate) history: Vec<Value>,
}

#[derive(Debug, Deserialize)]
pub(crate) struct RootFs {
    pub(crate) diff_ids: Vec<Digest>,
}

/// Bytes and what a manifest or a registry calls them.
#[derive(Clone, Debug)]
pub(crate) struct Document {
    pub(crate) bytes: Vec<u8>,
    pub(crate) descriptor: Descriptor,
}

/// An image: a value that says nothing until it is pushed or written.
#[derive(Clone, Debug)]
pub struct Image {
    platform: Platform,
    run: RunConfig,
    layers: Vec<Layer>,
    history: Vec<Value>,
}

// === impl Platform ===

impl Platform {
    /// The platform of this machine.
    pub fn host() -> Self {
        let architecture = match std::env::consts::ARCH {
            "x86_64" => "amd64",
            "aarch64" => "arm64",
            other => other,
        };
        Self { architecture: architecture.into(), os: "linux".into() }
    }
}

// === impl RunConfig ===

impl RunConfig {
    /// Sets a variable, in its place if it is there already.
    pub fn set_env(&mut self, name: &str, value: &str) {
        let line = format!("{name}={value}");
        match self.env.iter_mut().find(|old| old.split('=').next() == Some(name)) {
            Some(old) => *old = line,
            None => self.env.push(line),
        }
    }
}

// === impl Descriptor ===

impl Descriptor {
    pub(crate) fn new(media_type: &str, digest: Digest, size: u64) -> Self {
        Self { media_type: media_type.into(), digest, size, platform: None, annotations: BTreeMap::new() }
    }
}

// === impl Document ===

impl Document {
    pub(crate) fn new(media_type: &str, value: &impl Serialize) -> Self {
        // These types have string keys and no failing parts: writing them cannot fail.
        let bytes = serde_json::to_vec(value).unwrap_or_default();
        let descriptor = Descriptor::new(media_type, Digest::of(&bytes), bytes.len() as u64);
        Self { bytes, descriptor }
    }
}

// === impl Image ===

impl Image {
    /// An image with nothing in it.
    pub fn scratch(platform: Platform) -> Self {
        Self { platform, run: RunConfig::default(), layers: Vec::new(), history: Vec::new() }
    }

    /// The image that stands in a registry, its layers staying there.
    pub(crate) fn from_base(
        reference: &Reference,
        manifest: &Manifest,
        config: BaseConfig,
    ) -> Result<Self, Error> {
        if manifest.layers.len() != config.rootfs.diff_ids.len() {
            return Err(Error::Unusable {
                reference: reference.whole(),
                message: format!(
                    "its manifest lists {} layers and its configuration {}",
                    manifest.layers.len(),
                    config.rootfs.diff_ids.len()
                ),
            });
        }
        let layers = manifest.layers.iter().zip(config.rootfs.diff_ids).map(|(descriptor, diff_id)| Layer {
            descriptor: descriptor.clone(),
            diff_id,
            name: String::new(),
            blob: Blob::Registry(reference.clone()),
        });
        Ok(Self {
            platform: config.platform,
            run: config.config,
            layers: layers.collect(),
            history: config.history,
        })
    }

    /// The same image with one more layer on top.
    #[must_use]
    pub fn append(mut self, layer: Layer) -> Self {
        self.history.push(json!({"created": CREATED, "created_by": layer.name}));
        self.layers.push(layer);
        self
    }

    /// How its containers run, to be changed.
    pub fn run_mut(&mut self) -> &mut RunConfig {
        &mut self.run
    }

    /// How its containers run.
    pub fn run(&self) -> &RunConfig {
        &self.run
    }

    /// The layers, lowest first.
    pub fn layers(&self) -> &[Layer] {
        &self.layers
    }

    /// The size of all layers' blobs in bytes: what a node that has nothing downloads.
    pub fn size(&self) -> u64 {
        self.layers.iter().map(Layer::size).sum()
    }

    /// The image's digest: the one of its manifest.
    pub fn digest(&self) -> Digest {
        self.documents().1.descriptor.digest
    }

    /// The configuration and the manifest.
    pub(crate) fn documents(&self) -> (Document, Document) {
        let diff_ids: Vec<_> = self.layers.iter().map(|layer| layer.diff_id).collect();
        let config = Document::new(
            CONFIG_TYPE,
            &json!({
                "created": CREATED,
                "architecture": self.platform.architecture,
                "os": self.platform.os,
                "config": self.run,
                "rootfs": {"type": "layers", "diff_ids": diff_ids},
                "history": self.history,
            }),
        );
        let manifest = Manifest {
            schema_version: 2,
            media_type: MANIFEST_TYPE.into(),
            config: config.descriptor.clone(),
            layers: self.layers.iter().map(|layer| layer.descriptor.clone()).collect(),
        };
        let manifest = Document::new(MANIFEST_TYPE, &manifest);
        (config, manifest)
    }
}

/// Docker writes `null` where it means nothing.
fn or_null<'de, D, T>(deserializer: D) -> Result<T, D::Error>
where
    D: serde::Deserializer<'de>,
    T: Default + Deserialize<'de>,
{
    Option::deserialize(deserializer).map(Option::unwrap_or_default)
}
