//! What build tools keep for the next build: one archive for each namespace, Runtime and manifest, the oldest going first.
//!
//! What one namespace's builds leave is never given to another's: a cache is written by whatever a build runs.

use std::{
    fs::{self, File},
    io,
    path::{Path, PathBuf},
    time::SystemTime,
};

use parking_lot::Mutex;
use sha2::{Digest as _, Sha256};
use tempfile::NamedTempFile;

/// A folder of caches. All methods block.
pub(crate) struct Caches {
    folder: PathBuf,
    /// Bytes that all caches may have together.
    capacity: u64,
    /// One is put at a time, so that they do not make room for each other twice.
    putting: Mutex<()>,
}

// === impl Caches ===

impl Caches {
    /// Opens the folder below `root`, makes it where it is not there, and removes what was half done.
    ///
    /// # Errors
    /// When it cannot be read and written.
    pub(crate) fn open(root: &Path, capacity: u64) -> io::Result<Self> {
        let folder = root.join("caches");
        fs::create_dir_all(&folder)?;
        Ok(Self { folder, capacity, putting: Mutex::default() })
    }

    /// The cache of builds of that kind, and its size. It counts as used now.
    pub(crate) fn get(
        &self,
        namespace: &str,
        runtime: &str,
        manifest: &str,
    ) -> io::Result<Option<(File, u64)>> {
        let file = match File::options().read(true).write(true).open(self.path(namespace, runtime, manifest))
        {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error),
        };
        file.set_modified(SystemTime::now())?;
        let size = file.metadata()?.len();
        Ok(Some((file, size)))
    }

    /// Keeps a file as the cache of builds of that kind. Those not used for longest make room; one that is larger than all may be is
    /// not kept.
    pub(crate) fn put(
        &self,
        namespace: &str,
        runtime: &str,
        manifest: &str,
        file: NamedTempFile,
    ) -> io::Result<bool> {
        let _turn = self.putting.lock();
        let bytes = file.as_file().metadata()?.len();
        if bytes > self.capacity {
            return Ok(false);
        }
        let path = self.path(namespace, runtime, manifest);
        let mut others = Vec::new();
        for entry in fs::read_dir(&self.folder)? {
            let entry = entry?;
            let metadata = entry.metadata()?;
            if entry.path() != path && metadata.is_file() {
                others.push((metadata.modified()?, metadata.len(), entry.path()));
            }
        }
        others.sort_unstable();
        let mut used = others.iter().map(|(_, bytes, _)| bytes).sum::<u64>();
        for (_, gone, oldest) in others {
            if used.saturating_add(bytes) <= self.capacity {
                break;
            }
            fs::remove_file(oldest)?;
            used -= gone;
        }
        file.persist(path).map_err(|error| error.error)?;
        Ok(true)
    }

    fn path(&self, namespace: &str, runtime: &str, manifest: &str) -> PathBuf {
        // None of the three has a line's end in it: names of Kubernetes, and a file that Flint knows.
        self.folder.join(hex::encode(Sha256::digest(format!("{namespace}\n{runtime}\n{manifest}"))))
    }
}

#[cfg(test)]
mod tests {
    use std::{
        io::{Read as _, Write as _},
        time::Duration,
    };

    use super::*;

    fn put(caches: &Caches, namespace: &str, text: &str) -> bool {
        let mut file = NamedTempFile::new_in(caches.folder.join("..")).unwrap();
        file.write_all(text.as_bytes()).unwrap();
        caches.put(namespace, "python3.11", "requirements.txt", file).unwrap()
    }

    fn get(caches: &Caches, namespace: &str) -> Option<String> {
        let (mut file, size) = caches.get(namespace, "python3.11", "requirements.txt").unwrap()?;
        let mut text = String::new();
        file.read_to_string(&mut text).unwrap();
        assert_eq!(size, text.len() as u64);
        Some(text)
    }

    fn age(caches: &Caches, namespace: &str, seconds: u64) {
        let file = File::options()
            .write(true)
            .open(caches.path(namespace, "python3.11", "requirements.txt"))
            .unwrap();
        file.set_modified(SystemTime::now() - Duration::from_secs(seconds)).unwrap();
    }

    #[test]
    fn a_namespace_finds_its_own_cache_alone() {
        let folder = tempfile::tempdir().unwrap();
        let caches = Caches::open(folder.path(), 100).unwrap();
        assert!(put(&caches, "shop", "one") && put(&caches, "shop", "two"));
        assert_eq!(get(&Caches::open(folder.path(), 100).unwrap(), "shop").as_deref(), Some("two"));
        assert_eq!(get(&caches, "other"), None);
    }

    #[test]
    fn the_one_not_used_for_longest_makes_room() {
        let folder = tempfile::tempdir().unwrap();
        let caches = Caches::open(folder.path(), 10).unwrap();
        put(&caches, "a", "aaaa");
        put(&caches, "b", "bbbb");
        age(&caches, "a", 60);
        age(&caches, "b", 30);
        get(&caches, "a");
        put(&caches, "c", "cccc");
        assert_eq!(
            (get(&caches, "a").is_some(), get(&caches, "b"), get(&caches, "c").is_some()),
            (true, None, true)
        );
        assert!(!put(&caches, "d", "more than all may be"));
        assert!(get(&caches, "a").is_some());
    }
}
