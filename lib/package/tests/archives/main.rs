//! Archives of friends and of strangers: what becomes a package, and what does not.

// Helpers of tests fail as tests do.
#![allow(clippy::unwrap_used)]

use std::{
    fs::File,
    io::{Read as _, Seek as _, Write as _},
};

use flate2::read::GzDecoder;
use flint_package::{Draft, Error, Limits, Packed, read};

mod fuzz;
mod make;
mod tarballs;
mod zips;

/// A package as its reader sees it.
#[derive(Debug, PartialEq, Eq)]
struct Content {
    packed: Packed,
    /// `NAME MODE TEXT`, or `NAME -> TARGET`.
    entries: Vec<String>,
}

fn draft(archive: &[u8], limits: Limits) -> Result<Draft<File>, Error> {
    let mut file = tempfile::tempfile().unwrap();
    file.write_all(archive).unwrap();
    file.rewind().unwrap();
    let mut draft = Draft::new(tempfile::tempfile().unwrap(), limits);
    read(file, &mut draft)?;
    Ok(draft)
}

fn package(archive: &[u8]) -> Result<Content, Error> {
    let (packed, bytes) = draft(archive, Limits::default())?.finish(Vec::new())?;
    assert_eq!(packed.bytes, bytes.len() as u64);
    let mut archive = tar::Archive::new(GzDecoder::new(bytes.as_slice()));
    let mut entries = Vec::new();
    for entry in archive.entries().unwrap() {
        let mut entry = entry.unwrap();
        let name = entry.path().unwrap().display().to_string();
        let mode = entry.header().mode().unwrap();
        assert_eq!((entry.header().mtime().unwrap(), entry.header().uid().unwrap()), (0, 0));
        if let Some(target) = entry.link_name().unwrap() {
            entries.push(format!("{name} -> {}", target.display()));
            continue;
        }
        let mut text = Vec::new();
        entry.read_to_end(&mut text).unwrap();
        text.truncate(20);
        entries.push(format!("{name} {mode:o} {}", String::from_utf8_lossy(&text)));
    }
    Ok(Content { packed, entries })
}

fn refusal(archive: &[u8]) -> Error {
    let error = package(archive).expect_err("a refusal");
    assert!(error.is_refusal(), "{error}");
    error
}

#[test]
fn what_is_no_archive_is_refused() {
    for bytes in [&b""[..], b"P", b"<html>404</html>", b"\x7fELF", b"BZh91AY"] {
        assert!(matches!(refusal(bytes), Error::Format), "{bytes:?}");
    }
}

#[test]
fn an_archive_without_a_file_is_refused() {
    assert!(matches!(refusal(&make::tarball(&[make::folder("lib")])), Error::Empty));
    assert!(matches!(refusal(&make::zip(&[make::folder("lib")])), Error::Empty));
}

#[test]
fn the_same_files_are_the_same_package_whatever_they_come_in() {
    let mut files = vec![
        make::folder("lib"),
        make::file("lib/util.py", "b"),
        make::program("bootstrap", "x"),
        make::link("run", "bootstrap"),
    ];
    let zip = package(&make::zip(&files)).unwrap();
    let tarball = package(&make::tarball(&files)).unwrap();
    files.rotate_left(2);
    let turned = package(&make::zip(&files)).unwrap();
    assert_eq!(zip, tarball);
    assert_eq!(zip, turned);
    assert_eq!(zip.entries, ["lib/ 755 ", "bootstrap 755 x", "lib/util.py 644 b", "run -> bootstrap"]);
}

#[test]
fn folders_need_not_be_said() {
    let content = package(&make::zip(&[make::file("a/b/c.py", "x")])).unwrap();
    assert_eq!(content.entries, ["a/ 755 ", "a/b/ 755 ", "a/b/c.py 644 x"]);
}

#[test]
fn names_are_there_once() {
    let twice = [make::file("app.py", "a"), make::file("./app.py", "b")];
    let below = [make::file("app", "a"), make::file("app/b", "b")];
    let above = [make::file("app/b", "b"), make::file("app", "a")];
    let through = [make::folder("real"), make::link("way", "real"), make::file("way/file", "x")];
    for archive in [make::zip, make::tarball] {
        assert!(matches!(refusal(&archive(&twice)), Error::Twice(name) if name == "app.py"));
        for entries in [&below[..], &above, &through] {
            assert!(matches!(refusal(&archive(entries)), Error::FileAndFolder(_)));
        }
    }
}

#[test]
fn nothing_leads_out() {
    for archive in [make::zip, make::tarball] {
        for path in ["/etc/passwd", "../out", "a/../../out", "a/.."] {
            assert!(matches!(refusal(&archive(&[make::file(path, "x")])), Error::Path(_)), "{path}");
        }
        for (link, target) in [("out", "/etc"), ("out", ".."), ("a/out", "../../x"), ("self", "self")] {
            let entries = [make::file("file", "x"), make::link(link, target)];
            assert!(matches!(refusal(&archive(&entries)), Error::Link(..)), "{link} -> {target}");
        }
        let together = [make::file("d/f", "x"), make::link("d/l", ".."), make::link("m", "d/l/..")];
        assert!(matches!(refusal(&archive(&together)), Error::Link(..)));
    }
}

#[test]
fn what_is_too_much_is_refused_while_it_is_read() {
    let limits = Limits { unpacked: 100, entries: 3 };
    let large = [make::file("a", &"x".repeat(60)), make::file("b", &"x".repeat(60))];
    let many = ["a", "b", "c", "d"].map(|name| make::file(name, "x"));
    let deep = [make::file("a/b/c/d", "x")];
    for archive in [make::zip, make::tarball] {
        assert!(matches!(draft(&archive(&large), limits), Err(Error::TooLarge(100))));
        assert!(matches!(draft(&archive(&many), limits), Err(Error::TooMany(3))));
        assert!(matches!(draft(&archive(&deep), limits), Err(Error::TooMany(3))), "folders count");
    }
}

#[test]
fn what_grows_too_much_is_a_bomb() {
    let zeros = "\0".repeat(20 << 20);
    let entries = [make::file("zeros", &zeros)];
    for archive in [make::deflated(&entries), make::tarball(&entries)] {
        assert!(archive.len() < 100_000);
        assert!(matches!(refusal(&archive), Error::Bomb(_)));
    }
}

#[test]
fn modules_that_are_not_brought_along_are_missed() {
    const NOTHING: [&str; 0] = [];
    let missing = |entries: &[make::Entry]| {
        draft(&make::zip(entries), Limits::default()).unwrap().missing_dependencies().unwrap()
    };
    let app = make::file("app.py", "x");
    let wants = make::file("requirements.txt", "pillow");
    assert_eq!(missing(&[app.clone(), wants.clone()]), ["requirements.txt"]);
    let lock = make::file("uv.lock", "version = 1");
    assert_eq!(missing(&[wants.clone(), lock]), ["uv.lock", "requirements.txt"], "the more exact one first");
    assert_eq!(missing(&[app.clone(), wants, make::file("pillow-12.dist-info/METADATA", "x")]), NOTHING);
    assert_eq!(missing(&[app.clone(), make::file("requirements.txt", "# none\n\n")]), NOTHING);
    let wants = make::file("package.json", r#"{"dependencies": {"x": "1"}}"#);
    assert_eq!(missing(&[app.clone(), wants.clone()]), ["package.json"]);
    assert_eq!(missing(&[app.clone(), wants, make::file("node_modules/x/index.js", "x")]), NOTHING);
    assert_eq!(missing(&[app.clone(), make::file("package.json", r#"{"type": "module"}"#)]), NOTHING);
    let wants = make::file("go.mod", "module x");
    assert_eq!(missing(&[app, wants.clone()]), ["go.mod"]);
    assert_eq!(missing(&[wants, make::program("bootstrap", "x")]), NOTHING);
}
