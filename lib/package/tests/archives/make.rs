//! Archives written by hand, because the crates for it refuse what an attacker would write.

use std::io::Write as _;

use flate2::{Compression, Crc, write::DeflateEncoder, write::GzEncoder};
use tar::{EntryType, Header};

/// An entry of either kind of archive.
#[derive(Clone, Debug)]
pub(crate) struct Entry {
    pub(crate) name: Vec<u8>,
    pub(crate) kind: EntryType,
    pub(crate) mode: u32,
    pub(crate) content: Vec<u8>,
}

pub(crate) fn file(name: &str, content: &str) -> Entry {
    Entry { name: name.into(), kind: EntryType::Regular, mode: 0o100_644, content: content.into() }
}

pub(crate) fn program(name: &str, content: &str) -> Entry {
    Entry { mode: 0o106_755, ..file(name, content) }
}

pub(crate) fn folder(name: &str) -> Entry {
    Entry { kind: EntryType::Directory, mode: 0o040_700, ..file(&format!("{name}/"), "") }
}

pub(crate) fn link(name: &str, target: &str) -> Entry {
    Entry { kind: EntryType::Symlink, mode: 0o120_777, ..file(name, target) }
}

pub(crate) fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut compressed = GzEncoder::new(Vec::new(), Compression::default());
    compressed.write_all(bytes).unwrap();
    compressed.finish().unwrap()
}

pub(crate) fn tarball(entries: &[Entry]) -> Vec<u8> {
    let mut archive = tar::Builder::new(Vec::new());
    for entry in entries {
        append(&mut archive, entry);
    }
    gzip(&archive.into_inner().unwrap())
}

pub(crate) fn append(archive: &mut tar::Builder<Vec<u8>>, entry: &Entry) {
    let is_link = matches!(entry.kind, EntryType::Symlink | EntryType::Link);
    let content: &[u8] = if is_link { &[] } else { &entry.content };
    let mut header = Header::new_gnu();
    header.set_entry_type(entry.kind);
    header.set_size(content.len() as u64);
    header.set_mode(entry.mode & 0o7777);
    header.set_mtime(1_700_000_000);
    header.set_uid(1000);
    header.as_mut_bytes()[..entry.name.len()].copy_from_slice(&entry.name);
    if is_link {
        header.as_mut_bytes()[157..157 + entry.content.len()].copy_from_slice(&entry.content);
    }
    header.set_cksum();
    archive.append(&header, content).unwrap();
}

/// A zip whose files are stored as they are.
pub(crate) fn zip(entries: &[Entry]) -> Vec<u8> {
    zip_with(entries, |_, header| header)
}

/// A zip whose files are compressed.
pub(crate) fn deflated(entries: &[Entry]) -> Vec<u8> {
    zip_with(entries, |content, header| {
        let mut compressed = DeflateEncoder::new(Vec::new(), Compression::default());
        compressed.write_all(content).unwrap();
        ZipHeader { method: 8, data: compressed.finish().unwrap(), ..header }
    })
}

/// What a zip says of an entry.
pub(crate) struct ZipHeader {
    pub(crate) made_by: u16,
    pub(crate) flags: u16,
    pub(crate) method: u16,
    pub(crate) crc: u32,
    pub(crate) data: Vec<u8>,
    pub(crate) size: u32,
    pub(crate) attributes: u32,
}

/// A zip with entries as `change` makes them, from their content and an honest header.
pub(crate) fn zip_with(entries: &[Entry], change: impl Fn(&[u8], ZipHeader) -> ZipHeader) -> Vec<u8> {
    let (mut archive, mut directory) = (Vec::new(), Vec::new());
    let number = |number: usize| u32::try_from(number).unwrap();
    for entry in entries {
        let mut crc = Crc::new();
        crc.update(&entry.content);
        let header = change(
            &entry.content,
            ZipHeader {
                made_by: 0x031e,
                flags: 0x800,
                method: 0,
                crc: crc.sum(),
                data: entry.content.clone(),
                size: number(entry.content.len()),
                attributes: entry.mode << 16,
            },
        );
        let at = number(archive.len());
        let mut common = Vec::new();
        for field in [20, header.flags, header.method, 0, 0x21] {
            common.extend(u16::to_le_bytes(field));
        }
        for field in [header.crc, number(header.data.len()), header.size] {
            common.extend(field.to_le_bytes());
        }
        common.extend(u16::try_from(entry.name.len()).unwrap().to_le_bytes());
        common.extend([0, 0]);
        archive.extend(b"PK\x03\x04");
        archive.extend(&common);
        archive.extend(&entry.name);
        archive.extend(&header.data);
        directory.extend(b"PK\x01\x02");
        directory.extend(header.made_by.to_le_bytes());
        directory.extend(&common);
        directory.extend([0; 6]);
        directory.extend(header.attributes.to_le_bytes());
        directory.extend(at.to_le_bytes());
        directory.extend(&entry.name);
    }
    let (at, size) = (number(archive.len()), number(directory.len()));
    archive.extend(directory);
    archive.extend(b"PK\x05\x06\0\0\0\0");
    let count = u16::try_from(entries.len()).unwrap().to_le_bytes();
    archive.extend(count);
    archive.extend(count);
    archive.extend(size.to_le_bytes());
    archive.extend(at.to_le_bytes());
    archive.extend([0, 0]);
    archive
}
