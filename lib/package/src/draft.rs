//! A package in the making: names in memory, bytes in a spool.

use std::{
    collections::BTreeMap,
    io::{self, Read, Seek, SeekFrom, Write},
};

use flate2::{Compression, GzBuilder, write::GzEncoder};
use sha2::{Digest as _, Sha256};
use tar::{EntryType, Header};

use crate::{
    Error, Limits,
    name::{clean, parents, stays_inside},
};

/// A package in the making. `S` is where the files' bytes wait: a temporary file, or memory where they are few.
#[derive(Debug)]
pub struct Draft<S> {
    spool: S,
    /// Bytes in the spool.
    end: u64,
    entries: BTreeMap<String, Entry>,
    /// Bytes of all names and targets.
    names: usize,
    /// Bytes of all files; more than are in the spool where hard links are.
    unpacked: u64,
    limits: Limits,
    /// Set for archives: bytes of all files that such an archive may have.
    bomb: u64,
}

/// Whether a file can be started.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// It can.
    Program,
    /// It cannot.
    Data,
    /// Nobody says: `bootstrap` and what begins with `#!` can.
    Unknown,
}

/// A finished package.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Packed {
    /// `sha256:HEX` of its bytes.
    pub digest: String,
    /// Its size in bytes.
    pub bytes: u64,
}

/// What stands behind a name.
#[derive(Debug)]
pub(crate) enum Entry {
    Folder,
    File { at: u64, size: u64, program: bool },
    Link { target: String },
}

/// An archive may grow to this many times its size: text has 3 to 10, generated code 50.
const GROWTH: u64 = 200;
/// As far as any archive may grow.
const GROWN: u64 = 16 << 20;
/// Names are all that is in memory: 250,000 of them with 64 characters each.
const NAMES: usize = 16 << 20;
/// Pieces in which bytes are copied.
const PIECE: usize = 64 << 10;

/// Hashes and counts what is written.
struct Hashing<W> {
    inner: W,
    sha: Sha256,
    bytes: u64,
}

// === impl Draft ===

impl<S: Read + Write + Seek> Draft<S> {
    /// An empty draft over an empty spool.
    pub fn new(spool: S, limits: Limits) -> Self {
        let bomb = u64::MAX;
        Self { spool, end: 0, entries: BTreeMap::new(), names: 0, unpacked: 0, limits, bomb }
    }

    /// Adds a folder and those above it. One that is there stays.
    ///
    /// # Errors
    /// When the name is none, or a file's.
    pub fn folder(&mut self, name: &[u8]) -> Result<(), Error> {
        let name = clean(name)?;
        self.folders(&name)?;
        match self.entries.get(&name) {
            _ if name.is_empty() => Ok(()),
            Some(Entry::Folder) => Ok(()),
            Some(_) => Err(Error::FileAndFolder(name)),
            None => self.insert(name, Entry::Folder),
        }
    }

    /// Adds a file with all that `content` gives.
    ///
    /// # Errors
    /// When the name is none or taken, or a limit is reached.
    pub fn file(&mut self, name: &[u8], mode: Mode, mut content: impl Read) -> Result<(), Error> {
        let name = self.free(name)?;
        let at = self.end;
        let mut piece = vec![0; PIECE];
        let mut begin = [0; 2];
        loop {
            let read = match content.read(&mut piece) {
                Ok(0) => break,
                Ok(read) => read,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(Error::damaged(format_args!("{name:?}: {error}"))),
            };
            let offset = usize::try_from(self.end - at).unwrap_or(usize::MAX);
            if offset < begin.len() {
                let some = read.min(begin.len() - offset);
                begin[offset..offset + some].copy_from_slice(&piece[..some]);
            }
            self.grow(read as u64)?;
            self.spool.write_all(&piece[..read]).map_err(Error::Spool)?;
            self.end += read as u64;
        }
        let program = match mode {
            Mode::Program => true,
            Mode::Data => false,
            Mode::Unknown => name == "bootstrap" || begin == *b"#!",
        };
        self.insert(name, Entry::File { at, size: self.end - at, program })
    }

    /// Adds a symbolic link. Where it leads is looked at in the end, when everything is there.
    ///
    /// # Errors
    /// When the name is none or taken.
    pub fn link(&mut self, name: &[u8], target: &[u8]) -> Result<(), Error> {
        let name = self.free(name)?;
        let shown = || String::from_utf8_lossy(target).into_owned();
        let Ok(target) = std::str::from_utf8(target) else { return Err(Error::Link(name, shown())) };
        self.insert(name, Entry::Link { target: target.to_owned() })
    }

    /// Adds another name of a file that is there: in the package it is a file of its own.
    ///
    /// # Errors
    /// When a name is none, or taken, or there is no such file.
    pub fn hard_link(&mut self, name: &[u8], of: &[u8]) -> Result<(), Error> {
        let name = self.free(name)?;
        let of = clean(of)?;
        let Some(&Entry::File { at, size, program }) = self.entries.get(&of) else {
            return Err(Error::HardLink(name, of));
        };
        self.grow(size)?;
        self.insert(name, Entry::File { at, size, program })
    }

    /// Writes the package. Gives what `output` has become.
    ///
    /// # Errors
    /// When a link leads out, nothing is there, or the disk does not take it.
    pub fn finish<W: Write>(mut self, output: W) -> Result<(Packed, W), Error> {
        if !self.entries.values().any(|entry| matches!(entry, Entry::File { .. })) {
            return Err(Error::Empty);
        }
        for (name, entry) in &self.entries {
            if let Entry::Link { target } = entry
                && !stays_inside(&self.entries, name, target)
            {
                return Err(Error::Link(name.clone(), target.clone()));
            }
        }
        let hashing = Hashing { inner: output, sha: Sha256::new(), bytes: 0 };
        let output = self.write(hashing).map_err(Error::Spool)?;
        let digest = format!("sha256:{}", hex::encode(output.sha.finalize()));
        Ok((Packed { digest, bytes: output.bytes }, output.inner))
    }

    /// Folders before what is in them, links last.
    fn write<W: Write>(&mut self, output: W) -> io::Result<W> {
        let zipped = GzBuilder::new().mtime(0).write(output, Compression::default());
        let mut archive = tar::Builder::new(zipped);
        for (name, entry) in &self.entries {
            if let Entry::Folder = entry {
                archive.append_data(
                    &mut header(EntryType::Directory, 0o755, 0),
                    format!("{name}/"),
                    io::empty(),
                )?;
            }
        }
        for (name, entry) in &self.entries {
            let Entry::File { at, size, program } = entry else { continue };
            let mode = if *program { 0o755 } else { 0o644 };
            self.spool.seek(SeekFrom::Start(*at))?;
            archive.append_data(
                &mut header(EntryType::Regular, mode, *size),
                name,
                (&mut self.spool).take(*size),
            )?;
        }
        for (name, entry) in &self.entries {
            if let Entry::Link { target } = entry {
                archive.append_link(&mut header(EntryType::Symlink, 0o777, 0), name, target)?;
            }
        }
        archive.into_inner().and_then(GzEncoder::finish)
    }

    /// From now on no more comes in than an archive of that size can honestly hold.
    pub(crate) fn expect_archive(&mut self, bytes: u64) {
        self.bomb = bytes.saturating_mul(GROWTH).max(GROWN);
    }

    /// The most bytes that an archive may give while it is read, with its own headers.
    pub(crate) fn most(&self) -> u64 {
        // A header and the rest of a block for each entry; names longer than a header holds.
        let headers = (self.limits.entries as u64).saturating_mul(1024).saturating_add(4 * NAMES as u64);
        self.limits.unpacked.min(self.bomb).saturating_add(headers)
    }

    pub(crate) fn entries(&self) -> &BTreeMap<String, Entry> {
        &self.entries
    }

    /// The bytes of a file, at most so many.
    pub(crate) fn content(&mut self, name: &str, most: u64) -> io::Result<Vec<u8>> {
        let mut bytes = Vec::new();
        if let Some(Entry::File { at, size, .. }) = self.entries.get(name) {
            self.spool.seek(SeekFrom::Start(*at))?;
            (&mut self.spool).take((*size).min(most)).read_to_end(&mut bytes)?;
            self.spool.seek(SeekFrom::Start(self.end))?;
        }
        Ok(bytes)
    }

    /// A name that nothing has yet, and the folders above it.
    fn free(&mut self, name: &[u8]) -> Result<String, Error> {
        let clean = clean(name)?;
        if clean.is_empty() {
            return Err(Error::Name(String::from_utf8_lossy(name).into_owned()));
        }
        match self.entries.get(&clean) {
            None => {}
            Some(Entry::Folder) => return Err(Error::FileAndFolder(clean)),
            Some(_) => return Err(Error::Twice(clean)),
        }
        self.folders(&clean)?;
        Ok(clean)
    }

    fn folders(&mut self, name: &str) -> Result<(), Error> {
        for folder in parents(name) {
            match self.entries.get(folder) {
                Some(Entry::Folder) => {}
                Some(_) => return Err(Error::FileAndFolder(folder.to_owned())),
                None => self.insert(folder.to_owned(), Entry::Folder)?,
            }
        }
        Ok(())
    }

    fn insert(&mut self, name: String, entry: Entry) -> Result<(), Error> {
        let target = if let Entry::Link { target } = &entry { target.len() } else { 0 };
        self.names += name.len() + target;
        if self.names > NAMES {
            return Err(Error::Names(NAMES));
        }
        if self.entries.len() >= self.limits.entries {
            return Err(Error::TooMany(self.limits.entries));
        }
        self.entries.insert(name, entry);
        Ok(())
    }

    fn grow(&mut self, bytes: u64) -> Result<(), Error> {
        self.unpacked = self.unpacked.saturating_add(bytes);
        if self.unpacked > self.limits.unpacked {
            return Err(Error::TooLarge(self.limits.unpacked));
        }
        if self.unpacked > self.bomb {
            return Err(Error::Bomb(GROWTH));
        }
        Ok(())
    }
}

fn header(kind: EntryType, mode: u32, size: u64) -> Header {
    let mut header = Header::new_gnu();
    header.set_entry_type(kind);
    header.set_mode(mode);
    header.set_size(size);
    header.set_mtime(0);
    header.set_uid(0);
    header.set_gid(0);
    header
}

// === impl Hashing ===

impl<W: Write> Write for Hashing<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.inner.write(bytes)?;
        self.sha.update(&bytes[..written]);
        self.bytes += written as u64;
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}
