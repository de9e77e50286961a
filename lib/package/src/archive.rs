//! An archive of either kind, told apart by how it begins: names and content types are what servers make up.

use std::{
    fs::File,
    io::{BufReader, Read, Seek, SeekFrom, Write},
};

use crate::{Draft, Error, tarball, zip};

/// Adds everything that is in a .zip or a .tar.gz to a draft.
///
/// # Errors
/// When it is none, or holds what has no place in a package, or too much.
pub fn read<S: Read + Write + Seek>(mut archive: File, draft: &mut Draft<S>) -> Result<(), Error> {
    let bytes = archive.seek(SeekFrom::End(0)).map_err(Error::Spool)?;
    archive.rewind().map_err(Error::Spool)?;
    let mut begin = Vec::new();
    (&archive).take(4).read_to_end(&mut begin).map_err(Error::Spool)?;
    archive.rewind().map_err(Error::Spool)?;
    draft.expect_archive(bytes);
    match begin.as_slice() {
        // The last is what an empty one begins with.
        [b'P', b'K', 3, 4] | [b'P', b'K', 5, 6] => zip::read(archive, draft),
        [0x1f, 0x8b, ..] => tarball::read(BufReader::new(archive), draft),
        _ => Err(Error::Format),
    }
}
