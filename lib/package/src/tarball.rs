//! A .tar.gz into a draft. Long names and extended headers are read here, because the `tar` crate would read them into memory
//! whole, however long they say that they are.

use std::io::{self, Read, Seek, Write};

use flate2::read::MultiGzDecoder;
use tar::{Archive, Entry, EntryType, PaxExtensions};

use crate::{Draft, Error, Mode};

/// A header that says more about the next entry: a name, a target, and a few attributes.
const LONGEST_HEADER: u64 = 64 << 10;

/// What the headers before an entry say of it.
#[derive(Default)]
struct Ahead {
    name: Option<Vec<u8>>,
    target: Option<Vec<u8>>,
    size: Option<u64>,
}

/// Ends a flood, whatever the archive says of itself.
struct Bounded<R> {
    inner: R,
    left: u64,
}

pub(crate) fn read<S: Read + Write + Seek>(input: impl Read, draft: &mut Draft<S>) -> Result<(), Error> {
    let mut archive = Archive::new(Bounded { inner: MultiGzDecoder::new(input), left: draft.most() });
    let mut ahead = Ahead::default();
    for entry in archive.entries().map_err(Error::damaged)?.raw(true) {
        let mut entry = entry.map_err(Error::damaged)?;
        let kind = entry.header().entry_type();
        match kind {
            EntryType::GNULongName => ahead.name = Some(text(&mut entry)?),
            EntryType::GNULongLink => ahead.target = Some(text(&mut entry)?),
            EntryType::XHeader => ahead.extend(&mut entry)?,
            EntryType::XGlobalHeader => {}
            _ => add(entry, std::mem::take(&mut ahead), draft)?,
        }
    }
    Ok(())
}

fn add<S: Read + Write + Seek>(
    entry: Entry<'_, impl Read>,
    ahead: Ahead,
    draft: &mut Draft<S>,
) -> Result<(), Error> {
    let header = entry.header();
    let name = ahead.name.unwrap_or_else(|| header.path_bytes().into_owned());
    let target = ahead.target.or_else(|| header.link_name_bytes().map(std::borrow::Cow::into_owned));
    let target = target.unwrap_or_default();
    let size = header.size().map_err(Error::damaged)?;
    if ahead.size.is_some_and(|said| said != size) {
        return Err(Error::Damaged(format!("two sizes for {:?}", String::from_utf8_lossy(&name))));
    }
    let mode = header.mode().map_err(Error::damaged)?;
    match header.entry_type() {
        // So the first tar of all wrote folders.
        EntryType::Regular if name.ends_with(b"/") => draft.folder(&name),
        EntryType::Directory => draft.folder(&name),
        EntryType::Regular | EntryType::Continuous => {
            let mode = if mode & 0o111 == 0 { Mode::Data } else { Mode::Program };
            draft.file(&name, mode, Exact { inner: entry, left: size })
        }
        EntryType::Symlink => draft.link(&name, &target),
        EntryType::Link => draft.hard_link(&name, &target),
        _ => Err(Error::Kind(String::from_utf8_lossy(&name).into_owned())),
    }
}

/// A text that ends where it is zero.
fn text(entry: &mut Entry<'_, impl Read>) -> Result<Vec<u8>, Error> {
    let mut text = bytes(entry)?;
    text.truncate(text.iter().position(|byte| *byte == 0).unwrap_or(text.len()));
    Ok(text)
}

fn bytes(entry: &mut Entry<'_, impl Read>) -> Result<Vec<u8>, Error> {
    let mut bytes = Vec::new();
    entry.take(LONGEST_HEADER + 1).read_to_end(&mut bytes).map_err(Error::damaged)?;
    if bytes.len() as u64 > LONGEST_HEADER {
        return Err(Error::Damaged(format!("it has a header of more than {LONGEST_HEADER} bytes")));
    }
    Ok(bytes)
}

/// A reader that ends too soon is an error, not the end of a file.
struct Exact<R> {
    inner: R,
    left: u64,
}

// === impl Ahead ===

impl Ahead {
    fn extend(&mut self, entry: &mut Entry<'_, impl Read>) -> Result<(), Error> {
        let bytes = bytes(entry)?;
        for extension in PaxExtensions::new(&bytes) {
            let extension = extension.map_err(Error::damaged)?;
            let value = extension.value_bytes();
            match extension.key_bytes() {
                b"path" => self.name = Some(value.to_vec()),
                b"linkpath" => self.target = Some(value.to_vec()),
                b"size" => {
                    let size = std::str::from_utf8(value).ok().and_then(|text| text.parse().ok());
                    self.size = Some(size.ok_or_else(|| Error::damaged("a size that is no number"))?);
                }
                key if key.starts_with(b"GNU.sparse.") => {
                    return Err(Error::Kind(String::from_utf8_lossy(value).into_owned()));
                }
                _ => {}
            }
        }
        Ok(())
    }
}

// === impl Bounded ===

impl<R: Read> Read for Bounded<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.inner.read(buffer)?;
        self.left =
            self.left.checked_sub(read as u64).ok_or_else(|| io::Error::other("it holds too much"))?;
        Ok(read)
    }
}

// === impl Exact ===

impl<R: Read> Read for Exact<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.inner.read(buffer)?;
        self.left -= (read as u64).min(self.left);
        if read == 0 && self.left > 0 && !buffer.is_empty() {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        Ok(read)
    }
}
