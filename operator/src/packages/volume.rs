//! Packages in a folder, each a file named by its digest.
//!
//! A file appears by a rename, after its bytes are on the disk: whoever finds one finds all of it. The disk is not believed for
//! ever, though: a file is hashed when it is read for the first time after a start, and one that is not what its name says is removed.

use std::{
    collections::HashMap,
    fs::{self, File},
    io::{self, Read as _, Seek as _},
    path::{Path, PathBuf},
    time::{Duration, SystemTime},
};

use parking_lot::Mutex;
use sha2::{Digest as _, Sha256};
use tempfile::NamedTempFile;

/// A folder of packages. All methods block.
#[derive(Debug)]
pub(crate) struct Volume {
    packages: PathBuf,
    work: PathBuf,
    /// Bytes that all packages may have together.
    capacity: u64,
    known: Mutex<HashMap<String, Known>>,
    /// The disk takes nothing more: every write to a spool is the kernel's own "no space left".
    #[cfg(test)]
    full: std::sync::atomic::AtomicBool,
}

#[derive(Clone, Copy, Debug)]
struct Known {
    bytes: u64,
    /// Hashed since we started.
    sound: bool,
}

/// Why a package was not stored.
#[derive(Debug, thiserror::Error)]
pub(crate) enum StoreError {
    /// There is no room.
    #[error("the package store is full: {0} bytes are the most (packages.capacity of the chart)")]
    Full(u64),
    /// The disk does not take it.
    #[error("the package store cannot be written: {0}")]
    Disk(#[from] io::Error),
}

/// No attempt takes that long: whoever began such a file is gone.
const LEFT_OVER: Duration = Duration::from_secs(60 * 60);

// === impl Volume ===

impl Volume {
    /// Opens the folder, makes it where it is not there, and removes what a process left half done long ago. Other replicas may use
    /// it at the same time.
    ///
    /// # Errors
    /// When it cannot be read and written.
    pub(crate) fn open(root: &Path, capacity: u64) -> io::Result<Self> {
        let (packages, work) = (root.join("packages"), root.join("work"));
        fs::create_dir_all(&packages)?;
        fs::create_dir_all(&work)?;
        tempfile::tempfile_in(&work)?;
        for entry in fs::read_dir(&work)? {
            let entry = entry?;
            let is_old = |modified: SystemTime| modified.elapsed().is_ok_and(|age| age > LEFT_OVER);
            if entry.metadata().and_then(|metadata| metadata.modified()).is_ok_and(is_old) {
                // Repositories are read in folders.
                if entry.file_type()?.is_dir() {
                    fs::remove_dir_all(entry.path())?;
                } else {
                    fs::remove_file(entry.path())?;
                }
            }
        }
        let mut known = HashMap::new();
        for entry in fs::read_dir(&packages)? {
            let entry = entry?;
            let name = entry.file_name().to_string_lossy().into_owned();
            if is_hex(&name) {
                known.insert(name, Known { bytes: entry.metadata()?.len(), sound: false });
            }
        }
        Ok(Self {
            packages,
            work,
            capacity,
            known: Mutex::new(known),
            #[cfg(test)]
            full: false.into(),
        })
    }

    /// The folder of what is under way.
    pub(crate) fn work(&self) -> &Path {
        &self.work
    }

    /// A file without a name, for bytes under way.
    pub(crate) fn spool(&self) -> io::Result<File> {
        #[cfg(test)]
        if self.full.load(std::sync::atomic::Ordering::Relaxed) {
            return File::options().read(true).write(true).open("/dev/full");
        }
        tempfile::tempfile_in(&self.work)
    }

    /// A file that can become a package.
    pub(crate) fn draft(&self) -> io::Result<NamedTempFile> {
        NamedTempFile::new_in(&self.work)
    }

    /// Keeps a file as the package of that digest, which is its own.
    pub(crate) fn put(&self, digest: &str, file: NamedTempFile) -> Result<(), StoreError> {
        let name = hex_of(digest).ok_or_else(|| io::Error::other("no digest"))?;
        let bytes = file.as_file().metadata()?.len();
        {
            let mut known = self.known.lock();
            if known.contains_key(name) {
                return Ok(());
            }
            let used: u64 = known.values().map(|known| known.bytes).sum();
            if used.saturating_add(bytes) > self.capacity {
                return Err(StoreError::Full(self.capacity));
            }
            // The room is taken from now on; nobody finds the file before it is there.
            known.insert(name.to_owned(), Known { bytes, sound: false });
        }
        let stored = self.persist(name, file);
        let mut known = self.known.lock();
        match stored {
            Ok(()) => known.insert(name.to_owned(), Known { bytes, sound: true }),
            Err(_) => known.remove(name),
        };
        Ok(stored?)
    }

    /// Where the package's file is, if it is there.
    pub(crate) fn path(&self, digest: &str) -> Option<PathBuf> {
        hex_of(digest).filter(|name| self.known(name).is_some()).map(|name| self.packages.join(name))
    }

    /// Whether the package is there.
    pub(crate) fn has(&self, digest: &str) -> bool {
        hex_of(digest).is_some_and(|name| self.known(name).is_some())
    }

    /// The package's file and size.
    pub(crate) fn read(&self, digest: &str) -> io::Result<Option<(File, u64)>> {
        let Some(name) = hex_of(digest) else { return Ok(None) };
        let Some(known) = self.known(name) else { return Ok(None) };
        let path = self.packages.join(name);
        let mut file = match File::open(&path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                self.known.lock().remove(name);
                return Ok(None);
            }
            Err(error) => return Err(error),
        };
        if !known.sound {
            let found = sha256(&mut file)?;
            file.rewind()?;
            if found != name {
                tracing::warn!(digest, "a package on the volume is damaged, and removed");
                self.remove(digest)?;
                return Ok(None);
            }
            self.known.lock().insert(name.to_owned(), Known { sound: true, ..known });
        }
        Ok(Some((file, known.bytes)))
    }

    /// Forgets a package. Whoever reads it at this moment reads it to its end.
    pub(crate) fn remove(&self, digest: &str) -> io::Result<()> {
        let Some(name) = hex_of(digest) else { return Ok(()) };
        self.known.lock().remove(name);
        match fs::remove_file(self.packages.join(name)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        }
    }

    /// The digests of all packages.
    pub(crate) fn digests(&self) -> Vec<String> {
        self.known.lock().keys().map(|name| format!("sha256:{name}")).collect()
    }

    /// What is known of a package; one that another replica stored is found, too.
    fn known(&self, name: &str) -> Option<Known> {
        let mut all = self.known.lock();
        if let Some(known) = all.get(name) {
            return Some(*known);
        }
        let bytes = fs::metadata(self.packages.join(name)).ok()?.len();
        let known = Known { bytes, sound: false };
        all.insert(name.to_owned(), known);
        Some(known)
    }

    fn persist(&self, name: &str, file: NamedTempFile) -> io::Result<()> {
        file.as_file().sync_all()?;
        file.persist(self.packages.join(name)).map_err(|error| error.error)?;
        File::open(&self.packages)?.sync_all()
    }
}

#[cfg(test)]
impl Volume {
    /// Fills the disk, or makes room again.
    pub(crate) fn fill(&self, full: bool) {
        self.full.store(full, std::sync::atomic::Ordering::Relaxed);
    }
}

fn sha256(file: &mut File) -> io::Result<String> {
    let (mut hasher, mut piece) = (Sha256::new(), vec![0; 64 << 10]);
    loop {
        match file.read(&mut piece)? {
            0 => return Ok(hex::encode(hasher.finalize())),
            read => hasher.update(&piece[..read]),
        }
    }
}

fn hex_of(digest: &str) -> Option<&str> {
    digest.strip_prefix("sha256:").filter(|hex| is_hex(hex))
}

fn is_hex(name: &str) -> bool {
    name.len() == 64 && name.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;

    fn volume(folder: &tempfile::TempDir) -> Volume {
        Volume::open(folder.path(), 1000).unwrap()
    }

    fn put(volume: &Volume, text: &str) -> Result<String, StoreError> {
        let digest = format!("sha256:{}", hex::encode(Sha256::digest(text)));
        let mut file = volume.draft().unwrap();
        file.write_all(text.as_bytes()).unwrap();
        volume.put(&digest, file).map(|()| digest)
    }

    fn text(volume: &Volume, digest: &str) -> Option<String> {
        let (mut file, size) = volume.read(digest).unwrap()?;
        let mut text = String::new();
        file.read_to_string(&mut text).unwrap();
        assert_eq!(size, text.len() as u64);
        Some(text)
    }

    #[test]
    fn a_package_is_found_by_its_digest_and_after_a_restart() {
        let folder = tempfile::tempdir().unwrap();
        let first = volume(&folder);
        let digest = put(&first, "code").unwrap();
        assert_eq!(put(&first, "code").unwrap(), digest, "again is nothing new");
        assert_eq!(text(&first, &digest).as_deref(), Some("code"));
        let second = volume(&folder);
        assert!(second.has(&digest));
        assert_eq!(second.digests(), std::slice::from_ref(&digest));
        assert_eq!(text(&second, &digest).as_deref(), Some("code"));
        second.remove(&digest).unwrap();
        assert!(!second.has(&digest) && text(&second, &digest).is_none());
    }

    #[test]
    fn a_damaged_package_is_none() {
        let folder = tempfile::tempdir().unwrap();
        let digest = put(&volume(&folder), "code").unwrap();
        let path = folder.path().join("packages").join(&digest[7..]);
        fs::write(&path, "cose").unwrap();
        let volume = volume(&folder);
        assert_eq!(text(&volume, &digest), None);
        assert!(!volume.has(&digest) && !path.exists());
    }

    #[test]
    fn what_was_half_done_long_ago_is_gone_after_a_restart() {
        let folder = tempfile::tempdir().unwrap();
        let first = volume(&folder);
        let (old, old_path) = first.draft().unwrap().keep().unwrap();
        let (_young, young_path) = first.draft().unwrap().keep().unwrap();
        old.set_modified(SystemTime::now() - LEFT_OVER * 2).unwrap();
        let old_folder = first.work().join("git-1");
        fs::create_dir(&old_folder).unwrap();
        fs::write(old_folder.join("pack"), "x").unwrap();
        File::open(&old_folder).unwrap().set_modified(SystemTime::now() - LEFT_OVER * 2).unwrap();
        volume(&folder);
        assert!(!old_path.exists() && young_path.exists(), "the young one may be another replica's");
        assert!(!old_folder.exists());
    }

    #[test]
    fn replicas_on_one_folder_see_each_others_packages() {
        let folder = tempfile::tempdir().unwrap();
        let (one, other) = (volume(&folder), volume(&folder));
        let digest = put(&one, "code").unwrap();
        assert!(other.has(&digest));
        assert_eq!(text(&other, &digest).as_deref(), Some("code"));
        other.remove(&digest).unwrap();
        assert_eq!(text(&one, &digest), None);
    }

    #[test]
    fn a_full_store_takes_nothing_more_until_something_goes() {
        let folder = tempfile::tempdir().unwrap();
        let volume = volume(&folder);
        let first = put(&volume, &"a".repeat(600)).unwrap();
        let second = "b".repeat(600);
        assert!(matches!(put(&volume, &second), Err(StoreError::Full(1000))));
        volume.remove(&first).unwrap();
        assert!(put(&volume, &second).is_ok());
    }

    #[test]
    fn a_file_that_somebody_removed_is_none() {
        let folder = tempfile::tempdir().unwrap();
        let volume = volume(&folder);
        let digest = put(&volume, "code").unwrap();
        fs::remove_file(folder.path().join("packages").join(&digest[7..])).unwrap();
        assert_eq!(text(&volume, &digest), None);
        assert!(!volume.has(&digest));
    }

    #[test]
    fn names_that_are_no_digests_lead_nowhere() {
        let folder = tempfile::tempdir().unwrap();
        let volume = volume(&folder);
        for wrong in ["", "sha256:", "sha256:../../etc/passwd", &format!("sha256:{}", "G".repeat(64))] {
            assert!(!volume.has(wrong) && volume.read(wrong).unwrap().is_none(), "{wrong}");
        }
    }
}
