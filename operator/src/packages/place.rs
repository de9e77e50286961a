//! Which store is behind the volumes, as the command line says it.

use std::{str::FromStr, sync::Arc};

use super::{registry::Repository, s3::S3, shared::Shared};

/// A place for packages that all replicas share.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    /// `s3://BUCKET/PREFIX`
    S3 {
        /// The bucket.
        bucket: String,
        /// A folder in it that is this installation's alone.
        prefix: String,
    },
    /// `oci://HOST/REPOSITORY`
    Registry(String),
}

// === impl Place ===

impl Place {
    /// The store. A registry is signed in to by a Docker configuration's text, and asked without TLS where it is among `insecure`.
    ///
    /// # Errors
    /// When what it is told by the environment cannot be understood.
    pub(crate) fn open(&self, docker: Option<&str>, insecure: &[String]) -> anyhow::Result<Arc<dyn Shared>> {
        Ok(match self {
            Self::S3 { bucket, prefix } => Arc::new(S3::new(bucket, prefix)?),
            Self::Registry(repository) => Arc::new(Repository::new(repository, docker, insecure)?),
        })
    }
}

impl FromStr for Place {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || "write s3://BUCKET/PREFIX or oci://HOST/REPOSITORY".to_owned();
        let (scheme, rest) = text.split_once("://").ok_or_else(wrong)?;
        let (first, rest) = rest.split_once('/').ok_or_else(wrong)?;
        let rest = rest.trim_matches('/');
        if first.is_empty() || rest.is_empty() {
            return Err(wrong());
        }
        match scheme {
            "s3" => Ok(Self::S3 { bucket: first.to_owned(), prefix: rest.to_owned() }),
            "oci" => Ok(Self::Registry(format!("{first}/{rest}"))),
            _ => Err(wrong()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_a_bucket_or_a_repository_of_ones_own() {
        let s3 = Place::S3 { bucket: "code".into(), prefix: "flint/packages".into() };
        assert_eq!("s3://code/flint/packages/".parse(), Ok(s3));
        let registry = Place::Registry("registry.example:5000/flint/packages".into());
        assert_eq!("oci://registry.example:5000/flint/packages".parse(), Ok(registry));
        for wrong in ["", "s3://code", "s3://code/", "s3:///flint", "https://x/y", "/var/lib"] {
            assert!(
                wrong.parse::<Place>().is_err(),
                "{wrong}: what nobody has is deleted, so it is never a whole bucket"
            );
        }
    }
}
