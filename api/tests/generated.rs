//! The committed files are what the types generate.

#![allow(clippy::unwrap_used)]

use std::{collections::BTreeSet, fs, path::Path};

fn root() -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

#[test]
fn the_committed_files_are_generated_from_the_types() {
    for (path, text) in flint_api::crds::generated().unwrap() {
        let committed = fs::read_to_string(root().join(&path)).unwrap_or_default();
        assert!(
            committed == text,
            "{path} is not what the types say: run `cargo run -p flint-api --bin crdgen`"
        );
    }
}

#[test]
fn there_is_one_definition_per_kind_and_no_other() {
    let generated: BTreeSet<_> =
        flint_api::crds::generated().unwrap().into_iter().map(|(path, _)| path).collect();
    for folder in ["crds", "charts/flint/crds"] {
        for file in fs::read_dir(root().join(folder)).unwrap() {
            let path = format!("{folder}/{}", file.unwrap().file_name().to_string_lossy());
            assert!(generated.contains(&path), "{path} is of no kind");
        }
    }
}
