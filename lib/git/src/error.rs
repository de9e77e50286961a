//! What can be wrong with a repository, in words that follow its name.

use std::io;

use gix_hash::ObjectId;

/// Why a folder of a repository cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Something else answers.
    #[error("it is no git repository over HTTP: {0}")]
    NoRepository(String),
    /// An old server.
    #[error("its server does not speak version 2 of git's protocol, which is of 2018: bring it up to date")]
    Version,
    /// A repository of the other kind.
    #[error("it names its objects by {0}, and only sha1 is understood")]
    Hash(String),
    /// The server refuses.
    #[error("the server says: {0}")]
    Refused(String),
    /// No such branch or tag.
    #[error("it has no branch or tag {0}; write one that it has, or a commit with all of its 40 digits")]
    NoRevision(String),
    /// Nothing was ever committed.
    #[error("it has no commits")]
    NothingThere,
    /// No such commit.
    #[error("it has no commit {0}")]
    NoCommit(ObjectId),
    /// No such folder.
    #[error("it has no folder {0} at that revision")]
    NoFolder(String),
    /// A file where a folder is wanted.
    #[error("{0} is a file in it: write the folder that it is in")]
    File(String),
    /// Another repository within it.
    #[error("{0} is a submodule, and those are not fetched: commit its files, or leave it out of the folder")]
    Submodule(String),
    /// A file that is kept elsewhere.
    #[error("{0} is kept in git LFS, which is not asked: commit the file itself")]
    Elsewhere(String),
    /// Too large for memory.
    #[error("a file in it has more than {0} bytes: take it out, or bring the code as an archive")]
    LargeFile(usize),
    /// What came is not whole, or not what it says.
    #[error("what its server sent is damaged: {0}")]
    Damaged(String),
    /// It cannot become a package.
    #[error(transparent)]
    Package(#[from] flint_package::Error),
    /// Our own disk.
    #[error("the objects cannot be written: {0}")]
    Disk(#[source] io::Error),
}

// === impl Error ===

impl Error {
    /// Whether the same commit would be refused again. What is not may have been cut off on its way.
    #[must_use]
    pub fn is_refusal(&self) -> bool {
        match self {
            Self::Damaged(_) | Self::Disk(_) => false,
            Self::Package(error) => error.is_refusal(),
            _ => true,
        }
    }

    pub(crate) fn damaged(error: impl std::fmt::Display) -> Self {
        Self::Damaged(error.to_string())
    }
}
