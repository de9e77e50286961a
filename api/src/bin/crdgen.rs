//! Writes what is generated from the types: the definitions in `crds/` and in the chart, and `docs/kinds.md`.

use std::{error::Error, fs, path::Path};

fn main() -> Result<(), Box<dyn Error>> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    for (path, text) in flint_api::crds::generated()? {
        fs::write(root.join(path), text)?;
    }
    Ok(())
}
