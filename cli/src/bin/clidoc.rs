//! Writes `docs/cli.md`, which is generated from the commands.

use std::{error::Error, fs, path::Path};

fn main() -> Result<(), Box<dyn Error>> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(flint_cli::reference::PATH);
    fs::write(path, flint_cli::reference::markdown())?;
    Ok(())
}
