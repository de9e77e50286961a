use std::io::Write as _;

use flate2::Compression;
use flate2::write::GzEncoder;
use tar::{Builder, Header};

use super::*;

/// An archive, entry by entry; headers are written raw, because the builder refuses what an attacker would write.
struct Package(Builder<Vec<u8>>);

impl Package {
    fn new() -> Self {
        Self(Builder::new(Vec::new()))
    }

    fn entry(mut self, kind: EntryType, name: &str, target: &str, content: &str) -> Self {
        let mut header = Header::new_gnu();
        header.set_entry_type(kind);
        header.set_size(content.len() as u64);
        header.set_mode(0o6755);
        header.as_mut_bytes()[..name.len()].copy_from_slice(name.as_bytes());
        header.as_mut_bytes()[157..157 + target.len()].copy_from_slice(target.as_bytes());
        header.set_cksum();
        self.0.append(&header, content.as_bytes()).unwrap();
        self
    }

    fn file(self, name: &str, content: &str) -> Self {
        self.entry(EntryType::Regular, name, "", content)
    }

    fn link(self, name: &str, target: &str) -> Self {
        self.entry(EntryType::Symlink, name, target, "")
    }

    async fn unpack(self) -> (Result<(), UnpackError>, tempfile::TempDir) {
        let mut compressed = GzEncoder::new(Vec::new(), Compression::fast());
        compressed.write_all(&self.0.into_inner().unwrap()).unwrap();
        unpack_bytes(&compressed.finish().unwrap()).await
    }
}

async fn unpack_bytes(bytes: &[u8]) -> (Result<(), UnpackError>, tempfile::TempDir) {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().join("task");
    let (sender, receiver) = mpsc::channel(1);
    let unpacking = tokio::task::spawn_blocking(move || unpack(receiver, &root));
    for piece in bytes.chunks(100) {
        if sender.send(Bytes::copy_from_slice(piece)).await.is_err() {
            break;
        }
    }
    drop(sender);
    (unpacking.await.unwrap(), folder)
}

#[tokio::test]
async fn files_folders_and_inner_links_are_unpacked_without_setuid() {
    use std::os::unix::fs::PermissionsExt as _;
    let package = Package::new()
        .entry(EntryType::Directory, "bin/", "", "")
        .file("bin/run", "#!/bin/sh")
        .link("start", "bin/run")
        .link("bin/up", "../bin/run")
        .entry(EntryType::Link, "hard", "bin/run", "");
    let (result, folder) = package.unpack().await;
    result.unwrap();
    let root = folder.path().join("task");
    for name in ["bin/run", "start", "bin/up", "hard"] {
        assert_eq!(fs::read_to_string(root.join(name)).unwrap(), "#!/bin/sh");
    }
    assert_eq!(root.join("bin/run").metadata().unwrap().permissions().mode() & 0o7777, 0o755);
}

#[tokio::test]
async fn what_leads_out_is_refused() {
    let packages = [
        Package::new().file("../escaped", "x"),
        Package::new().file("a/../../escaped", "x"),
        Package::new().file("/escaped", "x"),
        Package::new().link("out", "/etc/passwd"),
        Package::new().link("out", "../escaped"),
        Package::new().link("a/out", "../../escaped"),
        Package::new().entry(EntryType::Link, "out", "../escaped", ""),
        Package::new().entry(EntryType::Link, "out", "/etc/passwd", ""),
        // No single one of these leads out.
        Package::new().entry(EntryType::Directory, "d/", "", "").link("d/l", "..").link("m", "d/l/.."),
        Package::new().link("d", "e").link("d/f", "x").file("e/../../escaped", "x"),
    ];
    for package in packages {
        let (result, folder) = package.unpack().await;
        assert!(
            matches!(result, Err(UnpackError::Path(_) | UnpackError::Link(..) | UnpackError::Io(_))),
            "{result:?}"
        );
        assert!(!folder.path().join("escaped").exists());
    }
}

#[tokio::test]
async fn a_file_through_a_link_stays_inside() {
    let package =
        Package::new().entry(EntryType::Directory, "real/", "", "").link("way", "real").file("way/file", "x");
    let (result, folder) = package.unpack().await;
    result.unwrap();
    assert!(folder.path().join("task/real/file").exists());
}

#[tokio::test]
async fn what_is_there_is_replaced_and_folders_that_are_missing_are_made() {
    let package = Package::new()
        .file("twice", "first")
        .file("twice", "second")
        .file("deep/down/file", "x")
        .entry(EntryType::Directory, "deep/", "", "")
        .file("deep/beside", "y")
        .file("./dotted", "z");
    let (result, folder) = package.unpack().await;
    result.unwrap();
    let read = |name: &str| fs::read_to_string(folder.path().join("task").join(name)).unwrap();
    assert_eq!(
        [read("twice"), read("deep/down/file"), read("deep/beside"), read("dotted")],
        ["second", "x", "y", "z"]
    );
}

#[tokio::test]
async fn a_file_has_the_time_of_the_archive_and_large_ones_are_whole() {
    let large: String = (0..200_000_u32).map(|number| char::from(b'a' + (number % 23) as u8)).collect();
    let (result, folder) = Package::new().file("large", &large).unpack().await;
    result.unwrap();
    let place = folder.path().join("task/large");
    assert!(fs::read_to_string(&place).unwrap() == large);
    let time = place.metadata().unwrap().modified().unwrap();
    assert_eq!(time, SystemTime::UNIX_EPOCH + Duration::from_secs(1), "one that has none has the first");
}

#[tokio::test]
async fn a_file_through_a_link_that_was_there_before_stays_inside() {
    let folder = tempfile::tempdir().unwrap();
    let (root, outside) = (folder.path().join("task"), folder.path().join("outside"));
    fs::create_dir_all(&root).unwrap();
    fs::create_dir(&outside).unwrap();
    std::os::unix::fs::symlink(&outside, root.join("lib")).unwrap();
    let archive = Package::new().entry(EntryType::Directory, "lib/", "", "").file("lib/file", "x");
    let mut compressed = GzEncoder::new(Vec::new(), Compression::fast());
    compressed.write_all(&archive.0.into_inner().unwrap()).unwrap();
    let (sender, receiver) = mpsc::channel(1);
    let unpacking = tokio::task::spawn_blocking(move || unpack(receiver, &root));
    sender.send(compressed.finish().unwrap().into()).await.unwrap();
    drop(sender);
    unpacking.await.unwrap().unwrap_err();
    assert!(fs::read_dir(outside).unwrap().next().is_none(), "nothing is written outside");
}

#[tokio::test]
async fn devices_and_pipes_are_refused() {
    for kind in [EntryType::Char, EntryType::Block, EntryType::Fifo] {
        let (result, _) = Package::new().entry(kind, "special", "", "").unpack().await;
        assert!(matches!(result, Err(UnpackError::Kind(_))), "{result:?}");
    }
}

#[tokio::test]
async fn half_an_archive_is_refused() {
    let mut compressed = GzEncoder::new(Vec::new(), Compression::fast());
    let archive = Package::new().file("file", &"x".repeat(5000)).0.into_inner().unwrap();
    compressed.write_all(&archive).unwrap();
    let bytes = compressed.finish().unwrap();
    let (result, _) = unpack_bytes(&bytes[..bytes.len() / 2]).await;
    assert!(matches!(result, Err(UnpackError::Io(_))), "{result:?}");
}

#[test]
fn a_flood_ends_at_the_bound() {
    let mut bounded = Bounded { bytes: io::repeat(0), left: 1000 };
    let error = io::copy(&mut bounded, &mut io::sink()).unwrap_err();
    assert!(matches!(too_large(error), UnpackError::TooLarge));
}

#[test]
fn a_folder_is_emptied_and_stays() {
    let folder = tempfile::tempdir().unwrap();
    fs::create_dir_all(folder.path().join("a/b")).unwrap();
    fs::write(folder.path().join("file"), "").unwrap();
    empty(folder.path()).unwrap();
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
}
