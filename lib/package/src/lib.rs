//! Packages: whatever form code comes in, it becomes one deterministic tar.gz that is named by its digest.
//!
//! A [`Draft`] collects files, folders and links. Their bytes go to a spool, a temporary file, and only their names stay in memory;
//! nothing is ever unpacked into a folder, so there is nothing that a path or a link could lead out of. [`read`] fills a draft
//! from an archive, and whoever has files in another form adds them one by one. [`Draft::finish`] looks at the whole, then
//! writes it in order of names, without times and owners: the same files are the same package.
//!
//! The archive is a stranger's. What it may cost is bounded by [`Limits`], while it is read and whatever its own headers say.

mod archive;
mod dependencies;
mod draft;
mod error;
mod name;
mod tarball;
mod zip;

pub use archive::read;
pub use draft::{Draft, Mode, Packed};
pub use error::Error;

/// What a package may cost.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Bytes of all files together.
    pub unpacked: u64,
    /// Files, folders and links.
    pub entries: usize,
}

// === impl Limits ===

impl Default for Limits {
    /// As AWS Lambda has it: 250 MiB unpacked. A large `node_modules` has a tenth of these entries.
    fn default() -> Self {
        Self { unpacked: 250 << 20, entries: 250_000 }
    }
}
