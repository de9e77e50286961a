//! A tar.gz into a folder, and nothing outside of it.
//!
//! Paths with `..` or a root, links that lead out, devices, sockets and setuid bits have no place in a package. Links are
//! looked at twice: as they are written, and again when everything is there, because links through links can lead where no
//! single one does.

use std::collections::HashSet;
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, BufRead, Read, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Component, Path, PathBuf};
use std::time::{Duration, SystemTime};

use bytes::{Buf as _, Bytes};
use flate2::bufread::MultiGzDecoder;
use tar::{Archive, Entry, EntryType};
use tokio::sync::mpsc;

/// Four times what Lambda allows, so that an archive cannot fill a node's disk.
const LARGEST: u64 = 1024 * 1024 * 1024;
/// A large `node_modules` has a tenth of this.
const MOST_ENTRIES: usize = 500_000;

/// Why an archive is refused.
#[derive(Debug, thiserror::Error)]
pub enum UnpackError {
    /// It is no tar.gz, or the disk does not take it.
    #[error("the package cannot be unpacked: {0}")]
    Io(#[from] io::Error),
    /// A path that leads out.
    #[error("the package's path {0:?} leads out of it")]
    Path(PathBuf),
    /// A link that leads out.
    #[error("the package's link {0:?} leads out of it, to {1:?}")]
    Link(PathBuf, PathBuf),
    /// A device, a socket, a pipe.
    #[error("the package's {0:?} is neither a file, a folder nor a link")]
    Kind(PathBuf),
    /// Too much in it.
    #[error("the package holds more than {LARGEST} bytes or {MOST_ENTRIES} files")]
    TooLarge,
    /// The thread went away.
    #[error("unpacking was interrupted")]
    Interrupted,
}

/// What is read of a file at once: each is a write into the kernel's cache.
const PIECE: usize = 128 * 1024;

/// Unpacks what arrives. Runs on a thread that may block.
///
/// # Errors
/// At the first entry that has no place in a package.
pub fn unpack(arriving: mpsc::Receiver<Bytes>, root: &Path) -> Result<(), UnpackError> {
    fs::create_dir_all(root)?;
    let root = root.canonicalize()?;
    let bytes = MultiGzDecoder::new(Arriving { pieces: arriving, current: Bytes::new() });
    let mut archive = Archive::new(Bounded { bytes, left: LARGEST });
    let mut links = Vec::new();
    let mut fresh = Fresh { root: &root, folders: HashSet::new(), piece: vec![0; PIECE] };
    for (count, entry) in archive.entries()?.enumerate() {
        if count >= MOST_ENTRIES {
            return Err(UnpackError::TooLarge);
        }
        let mut entry = entry.map_err(too_large)?;
        if let Some(link) = check(&entry)? {
            links.push(root.join(link));
        }
        // Behind a link a path is not what it says.
        let done = links.is_empty() && fresh.unpack(&mut entry).map_err(too_large)?;
        if !done && entry.header().entry_type() != EntryType::XGlobalHeader {
            entry.unpack_in(&root).map_err(too_large)?;
        }
    }
    for link in links {
        // A link to nothing harms nobody.
        let Ok(target) = link.canonicalize() else { continue };
        if !target.starts_with(&root) {
            return Err(UnpackError::Link(link, target));
        }
    }
    Ok(())
}

/// Removes everything in a folder, which itself may not be ours to remove.
///
/// # Errors
/// When something stays.
pub fn empty(root: &Path) -> io::Result<()> {
    for entry in fs::read_dir(root)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            fs::remove_dir_all(entry.path())?;
        } else {
            fs::remove_file(entry.path())?;
        }
    }
    Ok(())
}

/// Whether an entry has a place in a package; its path if it is a symbolic link.
fn check<R: Read>(entry: &Entry<'_, R>) -> Result<Option<PathBuf>, UnpackError> {
    let path = entry.path()?.into_owned();
    if depth(&path).is_none_or(|depth| depth < 0)
        || path.components().any(|part| part == Component::ParentDir)
    {
        return Err(UnpackError::Path(path));
    }
    match entry.header().entry_type() {
        EntryType::Regular | EntryType::Continuous | EntryType::Directory | EntryType::XGlobalHeader => {
            Ok(None)
        }
        kind @ (EntryType::Symlink | EntryType::Link) => {
            let target = entry.link_name()?.map(std::borrow::Cow::into_owned).unwrap_or_default();
            // A hard link's target counts from the root, a symbolic link's from its folder.
            let from =
                if kind == EntryType::Link { Path::new("") } else { path.parent().unwrap_or(Path::new("")) };
            if depth(&from.join(&target)).is_none_or(|depth| depth < 0) {
                return Err(UnpackError::Link(path, target));
            }
            Ok((kind == EntryType::Symlink).then_some(path))
        }
        _ => Err(UnpackError::Kind(path)),
    }
}

/// How deep below its start a path ends: negative above it at any point, `None` when it begins at the root.
fn depth(path: &Path) -> Option<i32> {
    let mut depth = 0_i32;
    for part in path.components() {
        match part {
            Component::Normal(_) => depth += 1,
            Component::CurDir => {}
            Component::ParentDir if depth > 0 => depth -= 1,
            Component::ParentDir => return Some(-1),
            Component::RootDir | Component::Prefix(_) => return None,
        }
    }
    Some(depth)
}

/// Files and folders in folders that were made here and therefore lead nowhere else: most of a package, without the looks at each
/// folder above, and the small writes, that any other entry costs.
struct Fresh<'a> {
    root: &'a Path,
    /// Those that were made here, from the root on.
    folders: HashSet<PathBuf>,
    piece: Vec<u8>,
}

// === impl Fresh ===

impl Fresh<'_> {
    /// Whether the entry was unpacked; if not, nothing is done yet.
    fn unpack<R: Read>(&mut self, entry: &mut Entry<'_, R>) -> io::Result<bool> {
        let path: PathBuf = entry.path()?.components().filter(|part| *part != Component::CurDir).collect();
        let parent = path.parent().filter(|_| path.file_name().is_some());
        if !parent.is_some_and(|parent| parent.as_os_str().is_empty() || self.folders.contains(parent)) {
            return Ok(false);
        }
        let place = self.root.join(&path);
        let mode = entry.header().mode()? & 0o777;
        let made = match entry.header().entry_type() {
            // A folder that nobody could write to would hold nothing.
            EntryType::Directory if mode & 0o700 == 0o700 => DirBuilder::new().mode(mode).create(&place),
            EntryType::Regular => {
                let options = OpenOptions::new().write(true).create_new(true).mode(mode).open(&place);
                options.and_then(|file| self.write(file, entry))
            }
            _ => return Ok(false),
        };
        match made {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => return Ok(false),
            Err(error) => return Err(error),
        }
        if entry.header().entry_type() == EntryType::Directory {
            self.folders.insert(path);
        }
        Ok(true)
    }

    fn write<R: Read>(&mut self, mut file: File, entry: &mut Entry<'_, R>) -> io::Result<()> {
        let size = entry.size();
        let mut written = 0;
        loop {
            match entry.read(&mut self.piece) {
                Ok(0) => break,
                Ok(read) => {
                    file.write_all(&self.piece[..read])?;
                    written += read as u64;
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        if written != size {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        // The same for every instance, as the archive has it; some tools take none for a mistake.
        let seconds = Duration::from_secs(entry.header().mtime()?.max(1));
        let time = SystemTime::UNIX_EPOCH.checked_add(seconds).ok_or(io::ErrorKind::InvalidData)?;
        file.set_modified(time)
    }
}

fn too_large(error: io::Error) -> UnpackError {
    if error.kind() == io::ErrorKind::FileTooLarge || error.to_string().contains(BOUND) {
        UnpackError::TooLarge
    } else {
        UnpackError::Io(error)
    }
}

/// The pieces of the body, as a reader.
struct Arriving {
    pieces: mpsc::Receiver<Bytes>,
    current: Bytes,
}

/// A reader that ends a flood.
struct Bounded<R> {
    bytes: R,
    left: u64,
}

const BOUND: &str = "the archive holds too much";

// === impl Arriving ===

impl Read for Arriving {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let taken = self.fill_buf()?.len().min(buffer.len());
        self.current.copy_to_slice(&mut buffer[..taken]);
        Ok(taken)
    }
}

impl BufRead for Arriving {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        while self.current.is_empty() {
            match self.pieces.blocking_recv() {
                Some(piece) => self.current = piece,
                None => break,
            }
        }
        Ok(&self.current)
    }

    fn consume(&mut self, amount: usize) {
        self.current.advance(amount);
    }
}

// === impl Bounded ===

impl<R: Read> Read for Bounded<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.bytes.read(buffer)?;
        self.left = self
            .left
            .checked_sub(read as u64)
            .ok_or_else(|| io::Error::new(io::ErrorKind::FileTooLarge, BOUND))?;
        Ok(read)
    }
}

#[cfg(test)]
mod tests;
