//! A registry: images come from it without their layers and go to it without what it has already.

use std::{collections::HashMap, io, net::IpAddr, time::Duration};

use bytes::Bytes;
use futures::{TryStreamExt as _, stream::BoxStream};
use http::HeaderValue;
use oci_client::{
    Client, RegistryOperation,
    client::{ClientConfig, ClientProtocol},
    errors::OciDistributionError,
    manifest::OciDescriptor,
};
use parking_lot::Mutex;
use serde::Deserialize;
use tokio_util::io::ReaderStream;

pub use oci_client::Reference;

use crate::{
    Artifact, Credentials, Digest, Error, Image, Layer, Platform, Trouble,
    image::{
        DOCKER_INDEX_TYPE, DOCKER_MANIFEST_TYPE, Descriptor, Document, INDEX_TYPE, LAYER_TYPE, MANIFEST_TYPE,
        Manifest,
    },
    layer::Blob,
};

/// A registry that does not take a connection in this time is away.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// Registries store a large layer before they answer; longer silence than this is a dead connection.
const READ_TIMEOUT: Duration = Duration::from_secs(120);
/// More remembered places than this are forgotten, all at once: a service that makes images for years shall not grow.
const MAX_PLACES: usize = 4096;
/// The specification lets registries refuse larger manifests; configurations are of that size too.
const DOCUMENT_LIMIT: usize = 4 << 20;

/// A way to registries, with the credentials to use there.
pub struct Registry {
    credentials: Credentials,
    platform: Platform,
    /// HOST:PORT of registries without TLS, beside those on loopback.
    plain: Vec<String>,
    /// Where layers were sent or found before, so that the next image takes them from there. As many as one program makes images
    /// of, and [`MAX_PLACES`] at most.
    places: Mutex<HashMap<Digest, Reference>>,
}

/// What a push did.
#[derive(Clone, Debug)]
pub struct Pushed {
    /// The image's digest, by which it can be pulled.
    pub digest: Digest,
    /// Blobs that were sent.
    pub sent: usize,
    /// Bytes that were sent.
    pub bytes: u64,
    /// Blobs that came from another repository of the same registry.
    pub mounted: usize,
    /// Blobs that were there.
    pub present: usize,
}

#[derive(Deserialize)]
struct Index {
    manifests: Vec<Descriptor>,
}

// === impl Registry ===

impl Registry {
    /// Registries are spoken to over TLS, but for those on this machine's loopback. From an image for several platforms,
    /// `platform` is taken.
    pub fn new(credentials: Credentials, platform: Platform) -> Self {
        Self { credentials, platform, plain: Vec::new(), places: Mutex::new(HashMap::new()) }
    }

    /// Speaks to these registries (HOST or HOST:PORT) without TLS.
    #[must_use]
    pub fn without_tls(mut self, registries: impl IntoIterator<Item = String>) -> Self {
        self.plain.extend(registries);
        self
    }

    /// Reads an image's manifest and configuration; its layers stay where they are.
    ///
    /// # Errors
    /// The registry refuses or is away, or the image is not for the platform.
    pub async fn pull(&self, reference: &Reference) -> Result<Image, Error> {
        let client = self.client(reference);
        let auth = self.credentials.of(reference.registry());
        let accepted = [MANIFEST_TYPE, DOCKER_MANIFEST_TYPE, INDEX_TYPE, DOCKER_INDEX_TYPE];
        let read = |reference: Reference| {
            let (client, auth) = (&client, &auth);
            async move {
                let result = client.pull_manifest_raw(&reference, auth, &accepted).await;
                result.map(|(bytes, _)| bytes).map_err(Error::registry("reading", &reference))
            }
        };
        let mut bytes = read(reference.clone()).await?;
        if let Ok(index) = serde_json::from_slice::<Index>(&bytes) {
            let fits = |entry: &&Descriptor| entry.platform.as_ref() == Some(&self.platform);
            let entry = index.manifests.iter().find(fits).ok_or_else(|| {
                let Platform { os, architecture } = &self.platform;
                unusable(reference, format!("it has no image for {os}/{architecture}"))
            })?;
            bytes = read(reference.clone_with_digest(entry.digest.to_string())).await?;
        }
        let manifest: Manifest = parse(reference, &bytes)?;
        let config = self.document(&client, reference, &manifest.config).await?;
        Image::from_base(reference, &manifest, parse(reference, &config)?)
    }

    /// The digest that a tag is at; none where there is no such tag.
    ///
    /// # Errors
    /// The registry refuses or is away.
    pub async fn find(&self, reference: &Reference) -> Result<Option<Digest>, Error> {
        let auth = self.credentials.of(reference.registry());
        let found = self.client(reference).fetch_manifest_digest(reference, &auth).await;
        match found.map_err(Error::registry("looking for", reference)) {
            Ok(digest) => digest.parse().map(Some),
            Err(error) if error.trouble() == Trouble::Missing => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Sends what the registry lacks of an image, its manifest last, so that nobody sees half of it.
    ///
    /// # Errors
    /// The registry refuses or is away, or a layer's file is gone.
    pub async fn push(&self, image: &Image, reference: &Reference) -> Result<Pushed, Error> {
        self.send(image.layers(), image.documents(), reference).await
    }

    /// Sends a package as an artifact. [`Pushed::digest`] is what `spec.source.oci.reference` names it by.
    ///
    /// # Errors
    /// The registry refuses or is away, or the package's file is gone.
    pub async fn push_artifact(&self, artifact: &Artifact, reference: &Reference) -> Result<Pushed, Error> {
        self.send(std::slice::from_ref(&artifact.layer), artifact.documents(), reference).await
    }

    /// The bytes of a package that was sent as an artifact, by its own digest; none when it is not there. They are the registry's
    /// word: whoever reads them checks them.
    ///
    /// # Errors
    /// The registry refuses or is away.
    pub async fn pull_package(
        &self,
        reference: &Reference,
        package: Digest,
    ) -> Result<Option<BoxStream<'static, io::Result<Bytes>>>, Error> {
        let client = self.client(reference);
        let auth = self.credentials.of(reference.registry());
        client
            .auth(reference, &auth, RegistryOperation::Pull)
            .await
            .map_err(Error::registry("signing in for", reference))?;
        let blob = Descriptor::new(LAYER_TYPE, package, 0);
        if !has(&client, reference, &blob).await? {
            return Ok(None);
        }
        let found = client.pull_blob_stream(reference, &oci(&blob)).await;
        Ok(Some(found.map_err(Error::registry("reading a package of", reference))?.stream))
    }

    async fn send(
        &self,
        layers: &[Layer],
        (config, manifest): (Document, Document),
        reference: &Reference,
    ) -> Result<Pushed, Error> {
        let client = self.client(reference);
        let auth = self.credentials.of(reference.registry());
        let digest = manifest.descriptor.digest;
        let mut pushed = Pushed { digest, sent: 0, bytes: 0, mounted: 0, present: 0 };
        let known = client.fetch_manifest_digest(reference, &auth).await;
        if known.is_ok_and(|known| known == digest.to_string()) {
            pushed.present = layers.len() + 1;
            return Ok(pushed);
        }
        client
            .auth(reference, &auth, RegistryOperation::Push)
            .await
            .map_err(Error::registry("signing in for", reference))?;
        for layer in layers {
            self.push_layer(&client, reference, layer, &mut pushed).await?;
        }
        if has(&client, reference, &config.descriptor).await? {
            pushed.present += 1;
        } else {
            let Document { bytes, descriptor } = config;
            let result = client.push_blob(reference, bytes, &descriptor.digest.to_string()).await;
            result.map_err(Error::registry("sending the configuration of", reference))?;
            pushed.count(&descriptor);
        }
        let result = client
            .push_manifest_raw(reference, manifest.bytes, HeaderValue::from_static(MANIFEST_TYPE))
            .await;
        result.map_err(Error::registry("sending the manifest of", reference))?;
        Ok(pushed)
    }

    async fn push_layer(
        &self,
        client: &Client,
        reference: &Reference,
        layer: &Layer,
        pushed: &mut Pushed,
    ) -> Result<(), Error> {
        let digest = layer.digest().to_string();
        if has(client, reference, &layer.descriptor).await? {
            pushed.present += 1;
            self.remember(layer, reference);
            return Ok(());
        }
        let place = match &layer.blob {
            Blob::Registry(source) => Some(source.clone()),
            _ => self.places.lock().get(&layer.digest()).cloned(),
        };
        if let Some(place) = place.filter(|place| place.registry() == reference.registry())
            && client.mount_blob(reference, &place, &digest).await.is_ok()
        {
            pushed.mounted += 1;
            return Ok(());
        }
        let result = match &layer.blob {
            Blob::Bytes(bytes) => client.push_blob(reference, bytes.clone(), &digest).await,
            Blob::File(path) => {
                let file = tokio::fs::File::open(path).await.map_err(Error::file(path))?;
                let stream = ReaderStream::with_capacity(file, 1 << 20).map_err(OciDistributionError::from);
                client.push_blob_stream(reference, stream, &digest, Some(layer.size())).await
            }
            Blob::Registry(source) => {
                // Another registry, or one that does not mount: through here, without keeping it.
                let from = self.client(source);
                from.store_auth_if_needed(source.resolve_registry(), &self.credentials.of(source.registry()))
                    .await;
                let stream = from.pull_blob_stream(source, &oci(&layer.descriptor)).await;
                let stream =
                    stream.map_err(Error::registry("reading a layer of", source))?.stream.map_err(Into::into);
                client.push_blob_stream(reference, stream, &digest, Some(layer.size())).await
            }
        };
        result.map_err(Error::registry("sending a layer of", reference))?;
        pushed.count(&layer.descriptor);
        self.remember(layer, reference);
        Ok(())
    }

    fn remember(&self, layer: &Layer, reference: &Reference) {
        let mut places = self.places.lock();
        if places.len() >= MAX_PLACES {
            places.clear();
        }
        places.insert(layer.digest(), reference.clone());
    }

    async fn document(
        &self,
        client: &Client,
        reference: &Reference,
        blob: &Descriptor,
    ) -> Result<Vec<u8>, Error> {
        if blob.size > DOCUMENT_LIMIT as u64 {
            return Err(unusable(
                reference,
                format!("its configuration of {} bytes is too large", blob.size),
            ));
        }
        let mut bytes = Vec::new();
        let result = client.pull_blob(reference, &oci(blob), &mut bytes).await;
        result.map_err(Error::registry("reading the configuration of", reference))?;
        Ok(bytes)
    }

    fn client(&self, reference: &Reference) -> Client {
        let registry = reference.resolve_registry();
        let is_plain = is_loopback(registry) || self.plain.iter().any(|plain| plain == registry);
        let protocol = if is_plain { ClientProtocol::Http } else { ClientProtocol::Https };
        Client::new(ClientConfig {
            protocol,
            // One request a blob: chunks cost a round trip each, and resuming one is not worth them.
            use_monolithic_push: true,
            connect_timeout: Some(CONNECT_TIMEOUT),
            read_timeout: Some(READ_TIMEOUT),
            user_agent: concat!("flint-image/", env!("CARGO_PKG_VERSION")),
            ..ClientConfig::default()
        })
    }
}

// === impl Pushed ===

impl Pushed {
    fn count(&mut self, blob: &Descriptor) {
        self.sent += 1;
        self.bytes += blob.size;
    }
}

fn oci(blob: &Descriptor) -> OciDescriptor {
    OciDescriptor {
        media_type: blob.media_type.clone(),
        digest: blob.digest.to_string(),
        size: i64::try_from(blob.size).unwrap_or(i64::MAX),
        ..OciDescriptor::default()
    }
}

async fn has(client: &Client, reference: &Reference, blob: &Descriptor) -> Result<bool, Error> {
    let result = client.blob_exists(reference, &blob.digest.to_string()).await;
    result.map_err(Error::registry("looking for a layer of", reference))
}

fn parse<T: serde::de::DeserializeOwned>(reference: &Reference, bytes: &[u8]) -> Result<T, Error> {
    serde_json::from_slice(bytes).map_err(|error| unusable(reference, error.to_string()))
}

fn unusable(reference: &Reference, message: String) -> Error {
    Error::Unusable { reference: reference.whole(), message }
}

/// Whether a registry is on this machine: `localhost` or a loopback address, with a port or without.
fn is_loopback(registry: &str) -> bool {
    let host = match registry.strip_prefix('[') {
        Some(rest) => rest.split(']').next().unwrap_or(rest),
        None => registry.rsplit_once(':').map_or(registry, |(host, _)| host),
    };
    host == "localhost" || host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_registries_on_loopback_are_spoken_to_without_tls() {
        for registry in ["127.0.0.1:5000", "localhost:5000", "localhost", "[::1]:5000"] {
            assert!(is_loopback(registry), "{registry}");
        }
        for registry in ["registry.example", "10.0.0.1:5000", "localhost.example:5000", "127.0.0.1.example"] {
            assert!(!is_loopback(registry), "{registry}");
        }
    }
}
