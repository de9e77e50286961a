//! Why there is no package.

use std::io;

/// Why there is no package. All but [`Error::Spool`] are the archive's fault, and the same archive will fail again.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Another format.
    #[error("it is neither a .zip nor a .tar.gz")]
    Format,
    /// It ends too soon, or is not what its headers say.
    #[error("it is damaged: {0}")]
    Damaged(String),
    /// A path that leads out of the package, or none at all.
    #[error("its path {0:?} leads out of the package: every path must be relative, without ..")]
    Path(String),
    /// A name that no Linux program could type.
    #[error("its path {0:?} is no file name: use UTF-8, / between folders, and at most 4096 bytes")]
    Name(String),
    /// A link that leads out, or nowhere but to itself.
    #[error("its link {0:?} leads out of the package, to {1:?}: replace it by what it links to")]
    Link(String, String),
    /// A hard link to what is not there.
    #[error("its hard link {0:?} is to {1:?}, which is no file that came before it")]
    HardLink(String, String),
    /// A device, a socket, a pipe, a sparse file.
    #[error("its {0:?} is neither a file, a folder nor a link")]
    Kind(String),
    /// Two entries of one name.
    #[error("its path {0:?} is there twice")]
    Twice(String),
    /// A file that has something below it.
    #[error("its {0:?} is a folder, and a file or a link as well")]
    FileAndFolder(String),
    /// An encrypted file.
    #[error("its file {0:?} is encrypted")]
    Encrypted(String),
    /// A compression that is not Lambda's either.
    #[error("its file {0:?} is compressed by method {1}: zip it with deflate, as `zip` does")]
    Method(String, u16),
    /// Too many bytes.
    #[error("it holds more than {0} bytes")]
    TooLarge(u64),
    /// It grows too much.
    #[error("it grows to more than {0} times its size, as only bombs do")]
    Bomb(u64),
    /// Too many entries.
    #[error("it holds more than {0} files")]
    TooMany(usize),
    /// Names that together are too long.
    #[error("the names of its files are too long: more than {0} bytes together")]
    Names(usize),
    /// Nothing in it.
    #[error("there is no file in it")]
    Empty,
    /// Our own disk.
    #[error("the package cannot be written: {0}")]
    Spool(#[source] io::Error),
}

// === impl Error ===

impl Error {
    /// Whether the same archive would be refused again.
    #[must_use]
    pub fn is_refusal(&self) -> bool {
        !matches!(self, Self::Spool(_))
    }

    pub(crate) fn damaged(error: impl std::fmt::Display) -> Self {
        Self::Damaged(error.to_string())
    }
}
