//! What is behind this replica's volume: a store that all replicas share, S3-compatible storage or a registry, and the other replicas'
//! volumes. With a store a volume is no more than a cache.

use std::{collections::HashSet, io, path::Path, sync::Arc};

use anyhow::Context as _;
use bytes::Bytes;
use futures::{StreamExt as _, TryStreamExt as _, future::BoxFuture, stream::BoxStream};
use parking_lot::Mutex;
use sha2::{Digest as _, Sha256};
use tokio::{fs::File, io::AsyncWriteExt as _};

use super::{Peers, Volume};

/// A package's bytes on their way.
pub(crate) type Pieces = BoxStream<'static, io::Result<Bytes>>;

/// Keeps packages, each under its digest (`sha256:HEX`).
pub(crate) trait Shared: Send + Sync + 'static {
    /// Keeps a file as the package of that digest, unless it is there.
    fn put<'a>(&'a self, digest: &'a str, file: &'a Path) -> BoxFuture<'a, anyhow::Result<()>>;
    /// The package of that digest, if it is there. What comes is not believed.
    fn get<'a>(&'a self, digest: &'a str) -> BoxFuture<'a, anyhow::Result<Option<Pieces>>>;
    /// The digests of all packages that can be removed.
    fn list(&self) -> BoxFuture<'_, anyhow::Result<Vec<String>>>;
    /// Removes a package.
    fn remove<'a>(&'a self, digest: &'a str) -> BoxFuture<'a, anyhow::Result<()>>;
}

/// This replica's volume, with the shared store behind it where there is one, and the other replicas.
#[derive(Clone)]
pub(crate) struct Storehouse {
    volume: Arc<Volume>,
    shared: Option<Arc<dyn Shared>>,
    peers: Option<Arc<Peers>>,
    /// What is known to be in the shared store.
    kept: Arc<Mutex<HashSet<String>>>,
}

// === impl Storehouse ===

impl Storehouse {
    /// A volume, and a store behind it.
    pub(crate) fn new(volume: Arc<Volume>, shared: Option<Arc<dyn Shared>>) -> Self {
        Self { volume, shared, peers: None, kept: Arc::default() }
    }

    /// The same among other replicas.
    pub(crate) fn among(self, peers: Peers) -> Self {
        Self { peers: Some(Arc::new(peers)), ..self }
    }

    /// This replica's volume.
    pub(crate) fn volume(&self) -> &Arc<Volume> {
        &self.volume
    }

    /// The shared store, where there is one.
    pub(crate) fn shared(&self) -> Option<&Arc<dyn Shared>> {
        self.shared.as_ref()
    }

    /// Makes sure that a package of the volume is in the shared store, too.
    ///
    /// # Errors
    /// When that does not take it.
    pub(crate) async fn keep(&self, digest: &str) -> anyhow::Result<()> {
        let Some(shared) = &self.shared else { return Ok(()) };
        if self.kept.lock().contains(digest) {
            return Ok(());
        }
        if let Some(path) = self.volume.path(digest) {
            shared.put(digest, &path).await?;
            let mut kept = self.kept.lock();
            kept.retain(|digest| self.volume.has(digest));
            kept.insert(digest.to_owned());
        }
        Ok(())
    }

    /// Brings a package to the volume. False: nobody has it.
    ///
    /// # Errors
    /// When the store is away, something else is sent, or the volume has no room.
    pub(crate) async fn bring(&self, digest: &str) -> anyhow::Result<bool> {
        if self.volume.has(digest) {
            return Ok(true);
        }
        let from_store = self.bring_from_store(digest).await;
        if matches!(from_store, Ok(true)) {
            return from_store;
        }
        // A store that is away is no reason to make it again: whoever has it gives it.
        let Some(peers) = &self.peers else { return from_store };
        let Some(pieces) = peers.get(digest).await else { return from_store };
        self.take(digest, pieces).await.context("of another operator")?;
        Ok(true)
    }

    async fn bring_from_store(&self, digest: &str) -> anyhow::Result<bool> {
        let Some(shared) = &self.shared else { return Ok(false) };
        let Some(pieces) = shared.get(digest).await? else { return Ok(false) };
        self.take(digest, pieces).await.context("of the package store")?;
        Ok(true)
    }

    /// Puts on the volume what comes, if it is the package.
    async fn take(&self, digest: &str, mut pieces: Pieces) -> anyhow::Result<()> {
        let draft = self.volume.draft()?;
        let (mut file, mut hasher) = (File::from_std(draft.reopen()?), Sha256::new());
        while let Some(piece) = pieces.next().await {
            let piece = piece?;
            hasher.update(&piece);
            file.write_all(&piece).await?;
        }
        file.flush().await?;
        let found = format!("sha256:{}", hex::encode(hasher.finalize()));
        anyhow::ensure!(found == digest, "{found} came in the place of {digest}");
        let (volume, digest) = (Arc::clone(&self.volume), digest.to_owned());
        tokio::task::spawn_blocking(move || volume.put(&digest, draft)).await??;
        Ok(())
    }

    /// The shared store does not have it any more.
    pub(crate) fn forget(&self, digest: &str) {
        self.kept.lock().remove(digest);
    }
}

/// A stream's errors as those of input and output.
pub(crate) fn pieces<E>(stream: impl futures::Stream<Item = Result<Bytes, E>> + Send + 'static) -> Pieces
where
    E: Into<Box<dyn std::error::Error + Send + Sync>> + 'static,
{
    stream.map_err(io::Error::other).boxed()
}

#[cfg(test)]
pub(super) mod tests {
    use std::collections::HashMap;

    use super::*;

    /// A store in memory.
    #[derive(Default)]
    struct Memory {
        packages: Mutex<HashMap<String, Vec<u8>>>,
        puts: Mutex<usize>,
    }

    impl Shared for Memory {
        fn put<'a>(&'a self, digest: &'a str, file: &'a Path) -> BoxFuture<'a, anyhow::Result<()>> {
            *self.puts.lock() += 1;
            let bytes = std::fs::read(file).expect("a file");
            self.packages.lock().insert(digest.to_owned(), bytes);
            Box::pin(async { Ok(()) })
        }

        fn get<'a>(&'a self, digest: &'a str) -> BoxFuture<'a, anyhow::Result<Option<Pieces>>> {
            let found = self.packages.lock().get(digest).cloned();
            let found = found.map(|bytes| {
                pieces(futures::stream::iter(
                    bytes.into_iter().map(|byte| Ok::<_, io::Error>(Bytes::from(vec![byte]))),
                ))
            });
            Box::pin(async { Ok(found) })
        }

        fn list(&self) -> BoxFuture<'_, anyhow::Result<Vec<String>>> {
            Box::pin(async { Ok(self.packages.lock().keys().cloned().collect()) })
        }

        fn remove<'a>(&'a self, digest: &'a str) -> BoxFuture<'a, anyhow::Result<()>> {
            self.packages.lock().remove(digest);
            Box::pin(async { Ok(()) })
        }
    }

    fn volume(folder: &tempfile::TempDir, capacity: u64) -> Arc<Volume> {
        Arc::new(Volume::open(folder.path(), capacity).expect("a volume"))
    }

    fn put(volume: &Volume, text: &str) -> String {
        use std::io::Write as _;
        let digest = format!("sha256:{}", hex::encode(Sha256::digest(text)));
        let mut draft = volume.draft().expect("a file");
        draft.write_all(text.as_bytes()).expect("room");
        volume.put(&digest, draft).expect("room");
        digest
    }

    /// What a store is held to when a real server is behind it: packages of one part and of several, kept, brought, listed, removed.
    pub(in crate::packages) async fn goes_comes_and_goes(store: &dyn Shared) {
        let folder = tempfile::tempdir().unwrap();
        let mut stored = Vec::new();
        for length in [4, 20 << 20] {
            let bytes: Vec<u8> = (0..length).map(|index: u32| (index % 251) as u8).collect();
            let digest = format!("sha256:{}", hex::encode(Sha256::digest(&bytes)));
            let file = folder.path().join("package");
            std::fs::write(&file, &bytes).unwrap();
            store.put(&digest, &file).await.expect("it is kept");
            store.put(&digest, &file).await.expect("it is there");
            let pieces = store.get(&digest).await.expect("an answer").expect("the package");
            let back: Vec<_> = pieces.try_collect().await.expect("all of it");
            assert!(back.concat() == bytes, "{length} bytes come back as they were");
            stored.push(digest);
        }
        let missing = format!("sha256:{}", "0".repeat(64));
        assert!(store.get(&missing).await.expect("an answer").is_none());
        // A registry names none that could be removed.
        let listed = store.list().await.expect("a list");
        assert!(listed.is_empty() || stored.iter().all(|digest| listed.contains(digest)), "{listed:?}");
        for digest in listed {
            store.remove(&digest).await.expect("it goes");
            assert!(store.get(&digest).await.expect("an answer").is_none());
        }
    }

    #[tokio::test]
    async fn what_one_replica_keeps_another_brings() {
        let (one, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let shared = Arc::new(Memory::default());
        let (here, there) = (volume(&one, 1000), volume(&other, 1000));
        let first = Storehouse::new(Arc::clone(&here), Some(shared.clone()));
        let second = Storehouse::new(Arc::clone(&there), Some(shared.clone()));
        let digest = put(&here, "code");
        assert!(!second.bring(&digest).await.unwrap(), "not yet");
        first.keep(&digest).await.unwrap();
        first.keep(&digest).await.unwrap();
        assert_eq!(*shared.puts.lock(), 1, "once is enough");
        assert!(second.bring(&digest).await.unwrap() && there.has(&digest));
    }

    #[tokio::test]
    async fn a_wrong_package_is_none_and_a_full_volume_says_so() {
        let folder = tempfile::tempdir().unwrap();
        let shared = Arc::new(Memory::default());
        let digest = format!("sha256:{}", hex::encode(Sha256::digest("code")));
        shared.packages.lock().insert(digest.clone(), b"cose".to_vec());
        let small = volume(&folder, 3);
        let store = Storehouse::new(Arc::clone(&small), Some(shared.clone()));
        let wrong = format!("{:#}", store.bring(&digest).await.unwrap_err());
        assert!(wrong.contains("in the place of"), "{wrong}");
        shared.packages.lock().insert(digest.clone(), b"code".to_vec());
        let full = format!("{:#}", store.bring(&digest).await.unwrap_err());
        assert!(full.contains("full"), "{full}");
        assert!(!small.has(&digest));
    }

    #[tokio::test]
    async fn without_a_shared_store_the_volume_is_all_there_is() {
        let folder = tempfile::tempdir().unwrap();
        let volume = volume(&folder, 1000);
        let store = Storehouse::new(Arc::clone(&volume), None);
        let digest = put(&volume, "code");
        store.keep(&digest).await.unwrap();
        assert!(store.bring(&digest).await.unwrap());
        volume.remove(&digest).unwrap();
        assert!(!store.bring(&digest).await.unwrap());
    }
}
