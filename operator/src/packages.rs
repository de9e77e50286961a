//! Where packages are kept, and how one is found by its digest: small ones in ConfigMaps, the others on this replica's volume and in
//! the store behind it, where there is one.

use std::sync::Arc;

use futures::future::BoxFuture;
use kube::{Client, ResourceExt};

mod place;
mod registry;
mod s3;
mod shared;
mod sweep;
mod volume;

pub(crate) use place::Place;
pub(crate) use shared::Storehouse;
pub(crate) use sweep::sweep;
pub(crate) use volume::{StoreError, Volume};

use crate::{
    home::{Content, PackageSource},
    key::Key,
    package::{self, DIGEST_ANNOTATION},
    stores::Stores,
};

/// All packages of the installation, as far as this replica has them.
pub(crate) struct Kept {
    client: Client,
    stores: Stores,
    volume: Arc<Volume>,
    store: Storehouse,
}

// === impl Kept ===

impl Kept {
    /// Packages of the API server and of the volume.
    pub(crate) fn new(client: Client, stores: Stores, volume: Arc<Volume>, store: Storehouse) -> Self {
        Self { client, stores, volume, store }
    }

    /// A package of the volume.
    async fn read(&self, digest: &str) -> anyhow::Result<Option<Content>> {
        let (volume, wanted) = (Arc::clone(&self.volume), digest.to_owned());
        let found = tokio::task::spawn_blocking(move || volume.read(&wanted)).await??;
        Ok(found.map(|(file, size)| Content::File(tokio::fs::File::from_std(file), size)))
    }

    async fn find(&self, digest: &str) -> anyhow::Result<Option<Content>> {
        if let Some(content) = self.read(digest).await? {
            return Ok(Some(content));
        }
        if let Some(bytes) = package::fetch(&self.client, &self.stores, digest).await? {
            return Ok(Some(Content::Bytes(bytes)));
        }
        if self.store.bring(digest).await? {
            return self.read(digest).await;
        }
        // An instance waits for a package that its function has, and this replica lost: the function is looked at, and the
        // package is made again from where it came.
        let of = |annotations: &std::collections::BTreeMap<String, String>| {
            annotations.get(DIGEST_ANNOTATION).is_some_and(|has| has == digest)
        };
        if let Some(key) = self
            .stores
            .deployments
            .find_by(|deployment| of(deployment.annotations()))
            .and_then(|found| Key::owner(found.as_ref()))
        {
            self.stores.touch(&key);
        }
        Ok(None)
    }
}

impl PackageSource for Kept {
    fn fetch<'a>(&'a self, digest: &'a str) -> BoxFuture<'a, anyhow::Result<Option<Content>>> {
        Box::pin(self.find(digest))
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use flint_testing::apiserver::ApiServer;
    use futures::StreamExt as _;
    use serde_json::json;
    use sha2::{Digest as _, Sha256};

    use super::*;
    use crate::stores::tests::stores;

    #[tokio::test]
    async fn a_package_is_read_from_the_volume_and_one_that_was_lost_has_its_function_looked_at() {
        let folder = tempfile::tempdir().expect("a folder");
        let volume = Arc::new(Volume::open(folder.path(), 1000).expect("a volume"));
        let digest = format!("sha256:{}", hex::encode(Sha256::digest("code")));
        let mut file = volume.draft().expect("a file");
        file.write_all(b"code").expect("room");
        volume.put(&digest, file).expect("room");
        let (stores, mut fill) = stores();
        fill.put(&json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "cart-1", "namespace": "shop",
            "labels": {"flint.dev/function": "cart"}, "annotations": {DIGEST_ANNOTATION: digest}}}));
        let mut told = Box::pin(stores.subscribe().into_stream());
        let store = Storehouse::new(Arc::clone(&volume), None);
        let kept = Kept::new(ApiServer::new().client(), stores, Arc::clone(&volume), store);
        assert!(matches!(kept.find(&digest).await.expect("an answer"), Some(Content::File(_, 4))));
        volume.remove(&digest).expect("the volume");
        assert!(kept.find(&digest).await.expect("an answer").is_none());
        assert_eq!(told.next().await, Some(Key::new("shop", "cart")));
    }
}
