//! What a layer shall hold: paths and their entries, sorted, each with a mode and an owner, and nothing that differs between machines.

use std::{
    collections::BTreeMap,
    fs::File,
    io::{self, Cursor, Read, Seek, SeekFrom},
    path::{Path, PathBuf},
};

use bytes::Bytes;
use flate2::read::MultiGzDecoder;

use crate::{Digest, Error};

/// Who owns an entry in the image.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Owner {
    /// The user's number.
    pub uid: u32,
    /// The group's number.
    pub gid: u32,
}

/// Where a file's bytes are until the layer is written.
#[derive(Clone, Debug)]
pub enum Content {
    /// Here.
    Bytes(Bytes),
    /// In a file on this machine, a whole one or an entry in an archive.
    Slice {
        /// The file.
        path: PathBuf,
        /// Where the bytes begin in it.
        offset: u64,
    },
}

/// What stands at a path.
#[derive(Clone, Debug)]
pub enum Kind {
    /// A folder.
    Folder {
        /// Only because something lies in it: it never changes a folder of a layer below.
        implied: bool,
    },
    /// A file.
    File {
        /// The digest of its bytes.
        digest: Digest,
        /// How many there are.
        size: u64,
        /// Where they are.
        content: Content,
    },
    /// A symbolic link to a path.
    Link(String),
}

/// One path of a layer.
#[derive(Clone, Debug)]
pub struct Entry {
    /// What stands there.
    pub kind: Kind,
    /// The permission bits.
    pub mode: u32,
    /// Its owner.
    pub owner: Owner,
}

/// Paths and their entries. A hard link becomes a file of its own, because a layer may hold one end of it only; times, names of
/// users and extended attributes are left behind.
#[derive(Clone, Debug, Default)]
pub struct Tree {
    entries: BTreeMap<String, Entry>,
}

// === impl Owner ===

impl Owner {
    /// The superuser, who owns what nobody shall change.
    pub const ROOT: Self = Self { uid: 0, gid: 0 };
}

// === impl Content ===

impl Content {
    pub(crate) fn open(&self, size: u64) -> io::Result<Box<dyn Read + '_>> {
        Ok(match self {
            Self::Bytes(bytes) => Box::new(Cursor::new(bytes)),
            Self::Slice { path, offset } => {
                let mut file = File::open(path)?;
                file.seek(SeekFrom::Start(*offset))?;
                Box::new(Exactly { inner: file.take(size), left: size })
            }
        })
    }
}

/// Fails where a file has become shorter than it was: its archive would be read wrongly from there on.
struct Exactly {
    inner: io::Take<File>,
    left: u64,
}

impl Read for Exactly {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.inner.read(buffer)?;
        if read == 0 && self.left > 0 && !buffer.is_empty() {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        self.left -= read as u64;
        Ok(read)
    }
}

// === impl Entry ===

impl Entry {
    /// Whether an image would look the same with the one in the place of the other.
    fn same(&self, other: &Self) -> bool {
        let same_kind = match (&self.kind, &other.kind) {
            (Kind::Folder { .. }, Kind::Folder { .. }) => true,
            (Kind::File { digest: a, .. }, Kind::File { digest: b, .. }) => a == b,
            (Kind::Link(a), Kind::Link(b)) => a == b,
            _ => false,
        };
        same_kind && self.mode == other.mode && self.owner == other.owner
    }
}

// === impl Tree ===

impl Tree {
    /// The entries by path, without a leading slash, parents before what lies in them.
    pub fn entries(&self) -> impl Iterator<Item = (&str, &Entry)> {
        self.entries.iter().map(|(path, entry)| (path.as_str(), entry))
    }

    /// What stands at a path.
    pub fn get(&self, path: &str) -> Option<&Entry> {
        self.entries.get(path)
    }

    /// Adds a folder.
    ///
    /// # Errors
    /// The path leaves the image's root.
    pub fn add_folder(&mut self, path: &str, mode: u32, owner: Owner) -> Result<(), Error> {
        self.insert(path, Entry { kind: Kind::Folder { implied: false }, mode, owner })
    }

    /// Adds a symbolic link; the target is written as it is.
    ///
    /// # Errors
    /// The path leaves the image's root.
    pub fn add_link(&mut self, path: &str, target: &str) -> Result<(), Error> {
        self.insert(path, Entry { kind: Kind::Link(target.into()), mode: 0o777, owner: Owner::ROOT })
    }

    /// Adds a file from memory.
    ///
    /// # Errors
    /// The path leaves the image's root.
    pub fn add_bytes(&mut self, path: &str, bytes: Bytes, mode: u32, owner: Owner) -> Result<(), Error> {
        let (digest, size) = (Digest::of(&bytes), bytes.len() as u64);
        self.insert(
            path,
            Entry { kind: Kind::File { digest, size, content: Content::Bytes(bytes) }, mode, owner },
        )
    }

    /// Adds a file of this machine. It must stay unchanged until the layer is written.
    ///
    /// # Errors
    /// The path leaves the image's root, or the file cannot be read.
    pub fn add_file(&mut self, path: &str, from: &Path, mode: u32, owner: Owner) -> Result<(), Error> {
        let (digest, size) = File::open(from).and_then(Digest::of_reader).map_err(Error::file(from))?;
        let content = Content::Slice { path: from.into(), offset: 0 };
        self.insert(path, Entry { kind: Kind::File { digest, size, content }, mode, owner })
    }

    /// Adds all of a folder of this machine under `at` (the image's root when empty). Modes become 0755 for folders and programs and
    /// 0644 for other files, whatever the umask was when they were made.
    ///
    /// # Errors
    /// Something in it cannot be read, or is neither file, folder nor link.
    pub fn add_dir(&mut self, at: &str, from: &Path, owner: Owner) -> Result<(), Error> {
        use std::os::unix::fs::PermissionsExt as _;

        if !at.is_empty() {
            self.add_folder(at, 0o755, owner)?;
        }
        for item in std::fs::read_dir(from).map_err(Error::file(from))? {
            let item = item.map_err(Error::file(from))?;
            let (path, name) = (item.path(), item.file_name().to_string_lossy().into_owned());
            let at = if at.is_empty() { name } else { format!("{at}/{name}") };
            let meta = path.symlink_metadata().map_err(Error::file(&path))?;
            if meta.is_dir() {
                self.add_dir(&at, &path, owner)?;
            } else if meta.is_symlink() {
                let target = path.read_link().map_err(Error::file(&path))?;
                self.add_link(&at, &target.to_string_lossy())?;
            } else if meta.is_file() {
                let mode = if meta.permissions().mode() & 0o111 == 0 { 0o644 } else { 0o755 };
                self.add_file(&at, &path, mode, owner)?;
            } else {
                return Err(Error::Kind { path: at, kind: format!("{:?}", meta.file_type()) });
            }
        }
        Ok(())
    }

    /// Adds the entries of a tar archive on this machine for which `wanted` says yes. File contents stay in the archive until the
    /// layer is written.
    ///
    /// # Errors
    /// The archive cannot be read, or holds what an image cannot.
    pub fn add_tar(&mut self, from: &Path, wanted: impl Fn(&str) -> bool) -> Result<(), Error> {
        let file = File::open(from).map_err(Error::file(from))?;
        let archive = tar::Archive::new(io::BufReader::with_capacity(1 << 20, file));
        let name = from.display().to_string();
        self.add_archive(archive, &name, "", &wanted, None, &mut |entry| {
            let offset = entry.raw_file_position();
            let (digest, size) = Digest::of_reader(entry)?;
            Ok(Kind::File { digest, size, content: Content::Slice { path: from.into(), offset } })
        })
    }

    /// Adds the entries of a gzipped tar archive under `at`, kept in memory: `limit` bytes of files at most.
    ///
    /// # Errors
    /// The archive cannot be read, is larger than the limit, or holds what an image cannot.
    pub fn add_tar_gz(
        &mut self,
        from: impl Read,
        at: &str,
        limit: u64,
        owner: Option<Owner>,
    ) -> Result<(), Error> {
        let archive = tar::Archive::new(MultiGzDecoder::new(from));
        let mut room = limit;
        let result = self.add_archive(archive, "package", at, &|_| true, owner, &mut |entry| {
            let mut bytes = Vec::new();
            let read = entry.take(room.saturating_add(1)).read_to_end(&mut bytes)? as u64;
            room = room.checked_sub(read).ok_or(io::ErrorKind::FileTooLarge)?;
            let digest = Digest::of(&bytes);
            Ok(Kind::File { digest, size: read, content: Content::Bytes(bytes.into()) })
        });
        match result {
            Err(Error::Archive { source, .. }) if source.kind() == io::ErrorKind::FileTooLarge => {
                Err(Error::TooLarge { limit })
            }
            other => other,
        }
    }

    /// Takes everything of another tree; at equal paths the other's entry stands.
    pub fn merge(&mut self, other: Self) {
        for (path, entry) in other.entries {
            self.put(path, entry);
        }
    }

    /// Only what `below` has not, or has otherwise.
    #[must_use]
    pub fn without(mut self, below: &Self) -> Self {
        self.entries.retain(|path, entry| match (&entry.kind, below.entries.get(path)) {
            (_, None) => true,
            (Kind::Folder { implied: true }, Some(_)) => false,
            (_, Some(lower)) => !entry.same(lower),
        });
        self
    }

    /// Whether there is nothing in it.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    fn add_archive<R: Read>(
        &mut self,
        mut archive: tar::Archive<R>,
        name: &str,
        at: &str,
        wanted: &dyn Fn(&str) -> bool,
        owner: Option<Owner>,
        read: &mut dyn FnMut(&mut tar::Entry<'_, R>) -> io::Result<Kind>,
    ) -> Result<(), Error> {
        let broken = |source| Error::Archive { name: name.into(), source };
        for entry in archive.entries().map_err(broken)? {
            let mut entry = entry.map_err(broken)?;
            let path = String::from_utf8_lossy(&entry.path_bytes()).into_owned();
            let Some(path) = inside(&path)? else { continue };
            if !wanted(&path) {
                continue;
            }
            let path = if at.is_empty() { path } else { format!("{at}/{path}") };
            let header = entry.header();
            let mode = header.mode().map_err(broken)? & 0o7777;
            let owner = match owner {
                Some(owner) => owner,
                None => Owner {
                    uid: u32::try_from(header.uid().map_err(broken)?).unwrap_or(u32::MAX),
                    gid: u32::try_from(header.gid().map_err(broken)?).unwrap_or(u32::MAX),
                },
            };
            let link = entry
                .link_name_bytes()
                .map(|name| String::from_utf8_lossy(&name).into_owned())
                .unwrap_or_default();
            let kind = match entry.header().entry_type() {
                tar::EntryType::Directory => Kind::Folder { implied: false },
                tar::EntryType::Regular | tar::EntryType::Continuous | tar::EntryType::GNUSparse => {
                    read(&mut entry).map_err(broken)?
                }
                tar::EntryType::Symlink => Kind::Link(link),
                tar::EntryType::Link => {
                    let target = inside(&link)?.unwrap_or_default();
                    let target = if at.is_empty() { target } else { format!("{at}/{target}") };
                    let Some(other) = self.entries.get(&target) else {
                        return Err(Error::Path { path: link });
                    };
                    other.kind.clone()
                }
                // Headers of whole archives: git writes one with the commit's id.
                tar::EntryType::XGlobalHeader => continue,
                other => return Err(Error::Kind { path, kind: format!("{other:?}") }),
            };
            let mode = if matches!(kind, Kind::Link(_)) { 0o777 } else { mode };
            self.insert(&path, Entry { kind, mode, owner })?;
        }
        Ok(())
    }

    fn insert(&mut self, path: &str, entry: Entry) -> Result<(), Error> {
        let Some(path) = inside(path)? else { return Err(Error::Path { path: path.into() }) };
        for (slash, _) in path.match_indices('/') {
            self.entries.entry(path[..slash].into()).or_insert(Entry {
                kind: Kind::Folder { implied: true },
                mode: 0o755,
                owner: Owner::ROOT,
            });
        }
        self.put(path, entry);
        Ok(())
    }

    fn put(&mut self, path: String, entry: Entry) {
        let implied = matches!(entry.kind, Kind::Folder { implied: true });
        if !(implied && self.entries.contains_key(&path)) {
            self.entries.insert(path, entry);
        }
    }
}

/// The path in the image's own terms: no leading slash, no `.`; none for the root itself.
pub(crate) fn inside(path: &str) -> Result<Option<String>, Error> {
    let mut parts = Vec::new();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." => return Err(Error::Path { path: path.into() }),
            part => parts.push(part),
        }
    }
    Ok((!parts.is_empty()).then(|| parts.join("/")))
}

#[cfg(test)]
mod tests;
