//! Where packages are kept, and how one is found by its digest: small ones in ConfigMaps, the others on this replica's volume, in
//! the store behind it where there is one, and on the other replicas' volumes.
//!
//! Every replica serves what it has. Only the leader makes a request wait for what it lacks: of any other an instance hears at once that
//! it is to ask elsewhere, and [`mirror`] brings the package here for those who come next.

use std::sync::Arc;

use futures::future::BoxFuture;
use kube::{Client, ResourceExt};
use tokio::sync::{Notify, watch};

mod mirror;
mod peers;
mod place;
mod registry;
mod s3;
mod shared;
mod sweep;
mod volume;

pub(crate) use mirror::mirror;
pub(crate) use peers::Peers;
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
    leads: watch::Receiver<bool>,
    missed: Arc<Notify>,
}

// === impl Kept ===

impl Kept {
    /// Packages of the API server and of the volume, with what is behind it. `leads` says whether this replica does.
    pub(crate) fn new(
        client: Client,
        stores: Stores,
        store: Storehouse,
        leads: watch::Receiver<bool>,
    ) -> Self {
        let volume = Arc::clone(store.volume());
        Self { client, stores, volume, store, leads, missed: Arc::default() }
    }

    /// Told when an instance asked a replica that does not lead for what it lacks.
    pub(crate) fn missed(&self) -> Arc<Notify> {
        Arc::clone(&self.missed)
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
        if !*self.leads.borrow() {
            self.missed.notify_one();
            return Ok(None);
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

    fn here<'a>(&'a self, digest: &'a str) -> BoxFuture<'a, anyhow::Result<Option<Content>>> {
        Box::pin(self.read(digest))
    }
}

#[cfg(test)]
mod tests {
    use std::{io::Write as _, net::SocketAddr};

    use flint_testing::apiserver::ApiServer;
    use futures::StreamExt as _;
    use serde_json::json;
    use sha2::{Digest as _, Sha256};
    use tempfile::TempDir;

    use super::*;
    use crate::stores::tests::{Fill, stores};

    /// A replica, with a volume of its own.
    struct Replica {
        kept: Arc<Kept>,
        volume: Arc<Volume>,
        fill: Fill,
        _folder: TempDir,
    }

    fn digest(text: &str) -> String {
        format!("sha256:{}", hex::encode(Sha256::digest(text)))
    }

    fn replica(leads: bool, peers: &[SocketAddr]) -> Replica {
        let folder = tempfile::tempdir().expect("a folder");
        let volume = Arc::new(Volume::open(folder.path(), 1000).expect("a volume"));
        let (stores, fill) = stores();
        let store = Storehouse::new(Arc::clone(&volume), None).among(Peers::known(peers));
        let (_, leads) = watch::channel(leads);
        let kept = Arc::new(Kept::new(ApiServer::new().client(), stores, store, leads));
        Replica { kept, volume, fill, _folder: folder }
    }

    impl Replica {
        fn put(&self, text: &str) -> String {
            let mut file = self.volume.draft().expect("a file");
            file.write_all(text.as_bytes()).expect("room");
            self.volume.put(&digest(text), file).expect("room");
            digest(text)
        }

        /// A function's Deployment that has the package.
        fn deploy(&mut self, digest: &str) {
            self.fill.put(&json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "cart-1", "namespace": "shop",
                "labels": {"flint.dev/function": "cart"}, "annotations": {DIGEST_ANNOTATION: digest, package::BYTES_ANNOTATION: "4"}}}));
        }

        async fn serves(&self) -> SocketAddr {
            crate::home::tests::serving(Arc::clone(&self.kept) as Arc<dyn PackageSource>).await
        }
    }

    #[tokio::test]
    async fn a_package_is_read_from_the_volume_and_one_that_was_lost_has_its_function_looked_at() {
        let mut leader = replica(true, &[]);
        let digest = leader.put("code");
        leader.deploy(&digest);
        let mut told = Box::pin(leader.kept.stores.subscribe().into_stream());
        assert!(matches!(leader.kept.find(&digest).await.expect("an answer"), Some(Content::File(_, 4))));
        leader.volume.remove(&digest).expect("the volume");
        assert!(leader.kept.find(&digest).await.expect("an answer").is_none());
        assert_eq!(told.next().await, Some(Key::new("shop", "cart")));
    }

    #[tokio::test]
    async fn a_leader_that_lost_a_package_has_it_from_another_replica() {
        let other = replica(false, &[]);
        let digest = other.put("code");
        let away = "127.0.0.1:1".parse().expect("an address");
        let leader = replica(true, &[away, other.serves().await]);
        assert!(matches!(leader.kept.find(&digest).await.expect("an answer"), Some(Content::File(_, 4))));
        assert!(leader.volume.has(&digest), "and keeps it");
    }

    #[tokio::test]
    async fn a_replica_that_does_not_lead_says_at_once_what_it_lacks_and_copies_it() {
        let leader = replica(true, &[]);
        let digest = leader.put("code");
        let mut follower = replica(false, &[leader.serves().await]);
        follower.deploy(&digest);
        let kept = &follower.kept;
        let readiness = flint_telemetry::Readiness::default();
        let copied = readiness.part("packages");
        let copying = tokio::spawn(mirror(kept.store.clone(), kept.stores.clone(), kept.missed(), copied));
        assert!(kept.find(&format!("sha256:{}", "0".repeat(64))).await.expect("an answer").is_none());
        while kept.find(&digest).await.expect("an answer").is_none() {
            tokio::task::yield_now().await;
        }
        while !readiness.is_ready() {
            tokio::task::yield_now().await;
        }
        copying.abort();
    }

    #[tokio::test]
    async fn replicas_that_both_lack_a_package_do_not_ask_each_other_for_ever() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("its address");
        drop(listener);
        let one = replica(true, &[address]);
        let other = replica(true, &[one.serves().await]);
        crate::home::tests::serving_at(address, Arc::clone(&other.kept) as Arc<dyn PackageSource>).await;
        assert!(one.kept.find(&digest("code")).await.expect("an answer").is_none());
    }

    #[tokio::test]
    async fn what_a_replica_sends_in_the_place_of_a_package_is_not_kept() {
        let liar = replica(false, &[]);
        let mut file = liar.volume.draft().expect("a file");
        file.write_all(b"cose").expect("room");
        liar.volume.put(&digest("code"), file).expect("room");
        let leader = replica(true, &[liar.serves().await]);
        let error = leader.kept.find(&digest("code")).await.expect_err("an error");
        assert!(format!("{error:#}").contains("in the place of"), "{error:#}");
        assert!(!leader.volume.has(&digest("code")));
    }
}
