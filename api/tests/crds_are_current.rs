//! The committed definitions are what the types generate.

#![allow(clippy::unwrap_used)]

use std::{fs, path::Path};

#[test]
fn the_files_in_crds_are_generated_from_the_types() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../crds");
    let mut expected = Vec::new();
    for crd in flint_api::all_crds() {
        let (name, text) = flint_api::crds::file(&crd).unwrap();
        let committed = fs::read_to_string(folder.join(&name)).unwrap_or_default();
        assert!(
            committed == text,
            "crds/{name} is not what the types say: run `cargo run -p flint-api --bin crdgen`"
        );
        expected.push(name);
    }
    let mut found: Vec<_> =
        fs::read_dir(&folder).unwrap().map(|file| file.unwrap().file_name().into_string().unwrap()).collect();
    found.sort();
    assert_eq!(found, expected, "one file per kind, and no other");
}
