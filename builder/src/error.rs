//! Why there is no package, in the words of the Function's condition.

use std::io;

/// Why there is no package.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    /// The command ended with another code than 0.
    #[error("{line}")]
    Command {
        /// The line of its log that matters.
        line: String,
        /// It says itself that something was away.
        heals: bool,
    },
    /// The command is not there, or cannot be started.
    #[error("the build command {0} cannot be started: {1}")]
    Start(String, #[source] io::Error),
    /// What the command left is no package.
    #[error("what the build left is no package: {0}")]
    Package(#[source] flint_package::Error),
    /// The operator does not take it.
    #[error("{0}")]
    Refused(String),
    /// The operator is away.
    #[error("the operator cannot be reached: {0}")]
    Away(String),
    /// What came is not what was asked for.
    #[error("the source has another digest than {0}")]
    Digest(String),
    /// The pod's own disk.
    #[error("the build's disk: {0}")]
    Disk(#[from] io::Error),
}

// === impl Error ===

impl Error {
    /// The same may work later.
    pub(crate) fn heals(&self) -> bool {
        match self {
            Self::Command { heals, .. } => *heals,
            Self::Start(..) | Self::Package(_) | Self::Refused(_) => false,
            Self::Away(_) | Self::Digest(_) | Self::Disk(_) => true,
        }
    }
}

impl From<reqwest::Error> for Error {
    fn from(error: reqwest::Error) -> Self {
        let mut text = error.to_string();
        let mut source = std::error::Error::source(&error);
        while let Some(cause) = source {
            text = format!("{text}: {cause}");
            source = cause.source();
        }
        Self::Away(text)
    }
}
