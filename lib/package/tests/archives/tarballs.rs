//! What only a .tar.gz can do.

use flint_package::{Error, Limits};
use tar::EntryType;

use super::{draft, make, package, refusal};

fn hard(name: &str, of: &str) -> make::Entry {
    make::Entry { kind: EntryType::Link, ..make::link(name, of) }
}

fn extended(records: &[(&str, &str)], entry: &make::Entry) -> Vec<u8> {
    let mut archive = tar::Builder::new(Vec::new());
    archive.append_pax_extensions(records.iter().map(|(key, value)| (*key, value.as_bytes()))).unwrap();
    make::append(&mut archive, entry);
    make::gzip(&archive.into_inner().unwrap())
}

#[test]
fn a_hard_link_becomes_a_file() {
    let archive = make::tarball(&[make::program("bin/run", "#!"), hard("start", "./bin/run")]);
    assert_eq!(package(&archive).unwrap().entries, ["bin/ 755 ", "bin/run 755 #!", "start 755 #!"]);
}

#[test]
fn a_hard_link_to_what_is_not_there_is_refused() {
    for of in ["later", "folder", "link"] {
        let entries =
            [make::folder("folder"), make::link("link", "x"), hard("hard", of), make::file("later", "x")];
        assert!(matches!(refusal(&make::tarball(&entries)), Error::HardLink(..)), "{of}");
    }
    for of in ["/etc/passwd", "../out"] {
        assert!(matches!(refusal(&make::tarball(&[hard("hard", of)])), Error::Path(_)), "{of}");
    }
}

#[test]
fn hard_links_count_as_what_they_become() {
    let mut entries = vec![make::file("a", &"x".repeat(50))];
    entries.extend((0..3).map(|number| hard(&format!("b{number}"), "a")));
    let limits = Limits { unpacked: 199, ..Limits::default() };
    assert!(matches!(draft(&make::tarball(&entries), limits), Err(Error::TooLarge(199))));
}

#[test]
fn devices_pipes_and_sparse_files_are_refused() {
    for kind in [EntryType::Char, EntryType::Block, EntryType::Fifo, EntryType::new(b'V')] {
        let special = make::Entry { kind, ..make::file("special", "") };
        assert!(matches!(refusal(&make::tarball(&[special])), Error::Kind(_)), "{kind:?}");
    }
    let sparse = make::Entry { kind: EntryType::GNUSparse, ..make::file("special", "") };
    assert!(matches!(refusal(&make::tarball(&[sparse])), Error::Damaged(_) | Error::Kind(_)));
    let sparse = extended(&[("GNU.sparse.name", "real")], &make::file("x", "x"));
    assert!(matches!(refusal(&sparse), Error::Kind(_)));
}

#[test]
fn long_names_are_read_in_both_dialects() {
    let long = format!("{}/file", "folder/".repeat(30).trim_end_matches('/'));
    let mut archive = tar::Builder::new(Vec::new());
    let mut header = tar::Header::new_gnu();
    header.set_size(1);
    header.set_mode(0o644);
    archive.append_data(&mut header, &long, &b"x"[..]).unwrap();
    let gnu = make::gzip(&archive.into_inner().unwrap());
    let pax = extended(&[("path", &long), ("mtime", "1.5")], &make::file("short", "x"));
    let content = package(&gnu).unwrap();
    assert_eq!(content.entries.last().unwrap(), &format!("{long} 644 x"));
    assert_eq!(content, package(&pax).unwrap());
}

#[test]
fn an_extended_header_is_as_little_trusted_as_any_other() {
    let file = make::file("file", "x");
    assert!(matches!(refusal(&extended(&[("path", "../out")], &file)), Error::Path(_)));
    assert!(matches!(refusal(&extended(&[("size", "2")], &file)), Error::Damaged(_)));
    let link = make::link("link", "file");
    let both = extended(&[("linkpath", "/etc/passwd")], &link);
    assert!(matches!(refusal(&both), Error::Empty | Error::Link(..)));
    let endless = "x".repeat(100_000);
    assert!(matches!(refusal(&extended(&[("comment", &endless)], &file)), Error::Damaged(_)));
}

#[test]
fn half_an_archive_is_refused() {
    let archive = make::tarball(&[make::file("app.py", &"x\u{1}y\u{2}".repeat(5000))]);
    assert!(matches!(refusal(&archive[..archive.len() / 2]), Error::Damaged(_)));
    assert!(matches!(refusal(&make::gzip(&[b'x'; 1024])), Error::Damaged(_)));
}

#[test]
fn a_flood_of_headers_ends() {
    // Nothing is kept of them, and together they are more than any honest archive has.
    let limits = Limits { unpacked: 100, entries: 3 };
    let with_headers = |count| {
        let header = make::Entry { kind: EntryType::XGlobalHeader, ..make::file("g", &"0".repeat(1 << 20)) };
        let mut archive = tar::Builder::new(Vec::new());
        (0..count).for_each(|_| make::append(&mut archive, &header));
        make::append(&mut archive, &make::file("app.py", "x"));
        make::gzip(&archive.into_inner().unwrap())
    };
    assert!(draft(&with_headers(3), limits).is_ok());
    assert!(matches!(draft(&with_headers(70), limits), Err(Error::Damaged(_))));
}
