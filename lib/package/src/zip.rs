//! A .zip into a draft: by its central directory, as AWS Lambda and everybody else reads it.

use std::{
    fs::File,
    io::{Read, Seek, Write},
};

use flate2::read::DeflateDecoder;
use rawzip::{CompressionMethod, RECOMMENDED_BUFFER_SIZE, ZipArchive};

use crate::{Draft, Error, Mode};

/// The longest target of a link that Linux takes.
const LONGEST_TARGET: u64 = 4096;
const KIND: u32 = 0o170_000;
const FILE: u32 = 0o100_000;
const FOLDER: u32 = 0o040_000;
const LINK: u32 = 0o120_000;

pub(crate) fn read<S: Read + Write + Seek>(archive: File, draft: &mut Draft<S>) -> Result<(), Error> {
    let mut buffer = vec![0; RECOMMENDED_BUFFER_SIZE];
    let archive = ZipArchive::from_file(archive, &mut buffer).map_err(Error::damaged)?;
    let (promised, mut found) = (archive.entries_hint(), 0);
    let mut entries = archive.entries(&mut buffer);
    while let Some(entry) = entries.next_entry().map_err(Error::damaged)? {
        found += 1;
        let path = entry.file_path();
        let name = path.as_bytes();
        let shown = || String::from_utf8_lossy(name).into_owned();
        if entry.flags().is_encrypted() || entry.flags().has_strong_encryption() {
            return Err(Error::Encrypted(shown()));
        }
        // Whoever says nothing of modes leaves the upper half empty: zip on Windows, Go's archive/zip.
        let mode = entry.external_attributes() >> 16;
        let is_folder = entry.is_dir() || mode & KIND == FOLDER;
        if is_folder {
            draft.folder(name)?;
            continue;
        }
        let stored = archive.get_entry(entry.wayfinder()).map_err(Error::damaged)?;
        let content: Box<dyn Read + '_> = match entry.compression_method() {
            CompressionMethod::STORE => Box::new(stored.verifying_reader(stored.reader())),
            CompressionMethod::DEFLATE => {
                Box::new(stored.verifying_reader(DeflateDecoder::new(stored.reader())))
            }
            other => return Err(Error::Method(shown(), other.as_u16())),
        };
        match mode & KIND {
            LINK => {
                let mut target = Vec::new();
                content.take(LONGEST_TARGET + 1).read_to_end(&mut target).map_err(Error::damaged)?;
                draft.link(name, &target)?;
            }
            FILE | 0 => {
                let mode = match mode {
                    0 => Mode::Unknown,
                    mode if mode & 0o111 != 0 => Mode::Program,
                    _ => Mode::Data,
                };
                draft.file(name, mode, content)?;
            }
            _ => return Err(Error::Kind(shown())),
        }
    }
    if found != promised {
        return Err(Error::Damaged(format!("it has {found} entries, and says that it has {promised}")));
    }
    Ok(())
}
