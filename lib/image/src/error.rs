//! What can go wrong, one variant per operation.

use std::{io, path::PathBuf};

use oci_client::errors::{OciDistributionError, OciErrorCode};

/// Why an image could not be made, read or sent.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A file or folder could not be read or written.
    #[error("{}: {source}", path.display())]
    File {
        /// Which one.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// An archive is not a readable tar.
    #[error("the archive {name}: {source}")]
    Archive {
        /// Which one.
        name: String,
        /// What is wrong with it.
        source: io::Error,
    },
    /// An archive unpacks to more than the caller allows.
    #[error("the archive unpacks to more than {limit} bytes")]
    TooLarge {
        /// The limit in bytes.
        limit: u64,
    },
    /// A path that would leave the image's root, or is empty.
    #[error("the path {path:?} has no place in an image")]
    Path {
        /// The path as written.
        path: String,
    },
    /// Something that is neither file, folder nor link.
    #[error("{path} is a {kind}, which an image cannot hold; exclude it")]
    Kind {
        /// The path in the image.
        path: String,
        /// What it is.
        kind: String,
    },
    /// The layer could not be written.
    #[error("writing the layer {name}: {source}")]
    Layer {
        /// The layer's name.
        name: String,
        /// What the system said.
        source: io::Error,
    },
    /// A text that is no `sha256:HEX`.
    #[error("{text:?} is no sha256 digest")]
    Digest {
        /// The text.
        text: String,
    },
    /// A text that names no image.
    #[error("the image reference: {0}")]
    Reference(#[from] oci_client::ParseError),
    /// A recipe that cannot be understood.
    #[error("the recipe {}: {message}", path.display())]
    Recipe {
        /// The recipe's file.
        path: PathBuf,
        /// What to write instead.
        message: String,
    },
    /// The registry's credentials cannot be read.
    #[error("registry credentials in {}: {message}", path.display())]
    Credentials {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        message: String,
    },
    /// The registry refused or did not answer.
    #[error("{operation} {reference}: {source}")]
    Registry {
        /// What was asked of it.
        operation: &'static str,
        /// About which image.
        reference: String,
        /// What it said.
        source: Box<OciDistributionError>,
    },
    /// The registry's answer about an image cannot be used.
    #[error("{reference}: {message}")]
    Unusable {
        /// The image.
        reference: String,
        /// Why.
        message: String,
    },
}

/// What a registry's no means for whoever asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trouble {
    /// It wants other credentials, or gives these no right to do so.
    Refused,
    /// It has nothing of that name.
    Missing,
    /// It has no room, or too many requests.
    Full,
    /// It does not answer, or not as it should.
    Away,
    /// It is not the registry: a file of this machine, or what the image is.
    Ours,
}

// === impl Error ===

impl Error {
    /// What the error means for whoever asked.
    pub fn trouble(&self) -> Trouble {
        let Self::Registry { source, .. } = self else { return Trouble::Ours };
        let code = |code: &OciErrorCode| match code {
            OciErrorCode::Unauthorized | OciErrorCode::Denied => Trouble::Refused,
            OciErrorCode::ManifestUnknown | OciErrorCode::NameUnknown | OciErrorCode::NotFound => {
                Trouble::Missing
            }
            OciErrorCode::Toomanyrequests => Trouble::Full,
            _ => Trouble::Away,
        };
        let status = |status: u16| match status {
            401 | 403 => Trouble::Refused,
            404 | 410 => Trouble::Missing,
            413 | 429 | 507 => Trouble::Full,
            _ => Trouble::Away,
        };
        match source.as_ref() {
            OciDistributionError::AuthenticationFailure(_)
            | OciDistributionError::UnauthorizedError { .. } => Trouble::Refused,
            OciDistributionError::ImageManifestNotFoundError(_) => Trouble::Missing,
            OciDistributionError::ServerError { code, .. } => status(*code),
            OciDistributionError::RequestError(error) => {
                error.status().map_or(Trouble::Away, |code| status(code.as_u16()))
            }
            OciDistributionError::IoError(_) => Trouble::Ours,
            OciDistributionError::RegistryError { envelope, .. } => {
                envelope.errors.first().map_or(Trouble::Away, |error| code(&error.code))
            }
            _ => Trouble::Away,
        }
    }

    pub(crate) fn file(path: impl Into<PathBuf>) -> impl FnOnce(io::Error) -> Self {
        let path = path.into();
        move |source| Self::File { path, source }
    }

    pub(crate) fn registry(
        operation: &'static str,
        reference: &oci_client::Reference,
    ) -> impl FnOnce(OciDistributionError) -> Self {
        let reference = reference.whole();
        move |source| Self::Registry { operation, reference, source: Box::new(source) }
    }
}
