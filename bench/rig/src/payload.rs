//! Packages of a given size, and their way into a registry.

use std::io::Cursor;

use anyhow::Context as _;
use flint_image::{Artifact, Credentials, Platform, Reference, Registry};
use flint_package::{Draft, Limits, Mode};
use rand::{RngCore as _, SeedableRng as _, rngs::StdRng};

/// A package, and the bytes of what is in it.
pub(crate) struct Package {
    pub(crate) bytes: Vec<u8>,
    pub(crate) unpacked: usize,
}

/// Of each file beside the code.
const FILE: usize = 256 << 10;

/// A package of `code` as `app.py` and of other files that nobody reads, of about so many MB when packed. They compress to a half, as
/// libraries with native code do.
pub(crate) fn package(code: &str, megabytes: usize, seed: u64) -> anyhow::Result<Package> {
    let mut draft = Draft::new(Cursor::new(Vec::new()), Limits::default());
    draft.file(b"app.py", Mode::Data, code.as_bytes())?;
    let mut random = StdRng::seed_from_u64(seed);
    let mut unpacked = code.len();
    let mut file = vec![0; FILE];
    for number in 0..megabytes * 1_000_000 * 2 / FILE {
        // Half of the bytes say nothing.
        random.fill_bytes(&mut file[..FILE / 2]);
        draft.file(format!("lib/{number}.so").as_bytes(), Mode::Data, file.as_slice())?;
        unpacked += FILE;
    }
    let (_, bytes) = draft.finish(Vec::new())?;
    Ok(Package { bytes, unpacked })
}

/// Pushes a package; gives its reference by digest.
pub(crate) async fn push(registry: &str, name: &str, package: Vec<u8>) -> anyhow::Result<String> {
    let place: Reference = format!("{registry}/{name}:bench").parse().context("--registry")?;
    let host = place.resolve_registry().to_owned();
    let client = Registry::new(Credentials::from_docker_config()?, Platform::host()).without_tls([host]);
    let pushed = client.push_artifact(&Artifact::of(package), &place).await?;
    Ok(format!("{registry}/{name}@{}", pushed.digest))
}
