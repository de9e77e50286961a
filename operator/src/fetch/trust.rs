//! Whose signature makes the certificate of a source's server a good one, for every source: the public authorities, and the
//! installation's own.

use std::{fmt::Display, path::PathBuf};

use reqwest::Certificate;

use super::failure::Failure;

/// The installation's own authorities.
#[derive(Clone, Debug, Default)]
pub(crate) struct Trust {
    file: Option<PathBuf>,
}

// === impl Trust ===

impl Trust {
    /// Those of a file in PEM; none without one.
    pub(crate) fn new(file: Option<PathBuf>) -> Self {
        Self { file }
    }

    /// Their certificates as the file has them now: it is a ConfigMap's, and may be renewed.
    ///
    /// # Errors
    /// When the file is not there, or holds no certificates. Nothing is fetched then: who named authorities wants them asked.
    pub(crate) async fn read(&self) -> Result<Vec<Certificate>, Failure> {
        let Some(file) = &self.file else { return Ok(Vec::new()) };
        let wrong = |why: &dyn Display| {
            let why = format!(
                "{} (FLINT_SOURCE_CA_FILE) {why}; correct sources.caBundle or sources.caConfigMap of the chart",
                file.display()
            );
            Failure::unreachable("The source", why)
        };
        let pem =
            tokio::fs::read(file).await.map_err(|error| wrong(&format_args!("cannot be read: {error}")))?;
        match Certificate::from_pem_bundle(&pem) {
            Ok(authorities) if !authorities.is_empty() => Ok(authorities),
            _ => Err(wrong(&"holds no certificates in PEM")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::function::problem;

    #[tokio::test]
    async fn without_a_file_there_is_nothing_to_add() {
        assert!(Trust::default().read().await.unwrap().is_empty());
    }

    #[tokio::test]
    async fn a_missing_or_an_empty_file_is_named_with_the_value_to_correct() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("ca.crt");
        let trust = Trust::new(Some(file.clone()));
        for text in [None, Some(""), Some("no certificate")] {
            if let Some(text) = text {
                std::fs::write(&file, text).unwrap();
            }
            let failure = trust.read().await.err().unwrap();
            assert!(failure.heals && failure.reason == problem::SOURCE_UNREACHABLE, "{failure:?}");
            assert!(failure.message.contains("sources.caBundle") && failure.message.contains("ca.crt"));
        }
    }
}
