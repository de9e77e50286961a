//! Archives that nobody wrote on purpose: bytes changed at random. Nothing panics, and what becomes a package is a good one.

use flint_package::{Draft, Limits};
use proptest::prelude::*;

use super::{make, package};

fn names() -> impl Strategy<Value = String> {
    let part =
        prop_oneof![Just(".."), Just("."), Just(""), Just("a"), Just("b"), Just("bootstrap"), Just("ä")];
    prop::collection::vec(part, 1..4).prop_map(|parts| parts.join("/"))
}

fn entries() -> impl Strategy<Value = Vec<make::Entry>> {
    let entry = prop_oneof![
        (names(), ".{0,30}").prop_map(|(name, text)| make::file(&name, &text)),
        names().prop_map(|name| make::folder(&name)),
        (names(), names()).prop_map(|(name, target)| make::link(&name, &target)),
    ];
    prop::collection::vec(entry, 1..8)
}

/// Looks at a package as the watchdog would, before it unpacks it.
fn is_sound(archive: &[u8]) {
    let Ok(content) = package(archive) else { return };
    let mut seen = std::collections::BTreeSet::new();
    for entry in &content.entries {
        let name = entry.split(' ').next().unwrap().trim_end_matches('/');
        assert!(!name.is_empty() && !name.starts_with('/') && !name.split('/').any(|part| part == ".."));
        assert!(seen.insert(name.to_owned()), "{name} twice");
    }
    assert_eq!(content, package(archive).unwrap(), "the same archive is the same package");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn archives_of_strange_names_are_refused_or_sound(entries in entries()) {
        is_sound(&make::zip(&entries));
        is_sound(&make::tarball(&entries));
    }

    #[test]
    fn changed_archives_are_refused_or_sound(
        entries in entries(),
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6),
    ) {
        let mut zip = make::zip(&entries);
        // Behind the compression: a changed .tar.gz would only ever fail its checksum.
        let mut tar = Vec::new();
        std::io::copy(&mut flate2::read::GzDecoder::new(make::tarball(&entries).as_slice()), &mut tar).unwrap();
        for (index, byte) in changes {
            let at = index.index(zip.len());
            zip[at] = byte;
            let at = index.index(tar.len());
            tar[at] = byte;
        }
        is_sound(&zip);
        is_sound(&make::gzip(&tar));
    }

    #[test]
    fn noise_is_refused(noise in prop::collection::vec(any::<u8>(), 0..300)) {
        for begin in [&b"PK\x03\x04"[..], b"PK\x05\x06", b"\x1f\x8b\x08\x00", b""] {
            assert!(package(&[begin, &noise].concat()).is_err());
        }
    }

    #[test]
    fn drafts_hold_what_was_put_in(files in prop::collection::btree_map("[a-z]{1,3}(/[a-z]{1,3}){0,2}", ".{0,50}", 1..8)) {
        let mut draft = Draft::new(std::io::Cursor::new(Vec::new()), Limits::default());
        let added = files.iter().all(|(name, text)| {
            draft.file(name.as_bytes(), flint_package::Mode::Data, text.as_bytes()).is_ok()
        });
        // A name may be another's folder.
        if added {
            let (packed, bytes) = draft.finish(Vec::new()).unwrap();
            prop_assert_eq!(packed.bytes, bytes.len() as u64);
            let mut archive = tar::Archive::new(flate2::read::GzDecoder::new(bytes.as_slice()));
            let mut found = std::collections::BTreeMap::new();
            for entry in archive.entries().unwrap() {
                let mut entry = entry.unwrap();
                if entry.header().entry_type().is_file() {
                    let mut text = String::new();
                    std::io::Read::read_to_string(&mut entry, &mut text).unwrap();
                    found.insert(entry.path().unwrap().display().to_string(), text);
                }
            }
            prop_assert_eq!(found, files);
        }
    }
}
