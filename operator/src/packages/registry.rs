//! Packages in a repository of a registry, each an artifact whose tag is its digest's digits.

use std::path::Path;

use flint_image::{Artifact, Credentials, Digest, Platform, Reference, Registry};
use futures::future::BoxFuture;

use super::shared::{Pieces, Shared, pieces};

/// A repository that is this installation's alone.
pub(crate) struct Repository {
    registry: Registry,
    repository: String,
}

// === impl Repository ===

impl Repository {
    /// `HOST/REPOSITORY`, with a Docker configuration's text to sign in by, and registries that are asked without TLS.
    ///
    /// # Errors
    /// When one of them cannot be understood.
    pub(crate) fn new(repository: &str, docker: Option<&str>, insecure: &[String]) -> anyhow::Result<Self> {
        let credentials = docker.map(|json| Credentials::from_json(json.as_bytes())).transpose();
        let credentials = credentials.map_err(anyhow::Error::msg)?.unwrap_or_default();
        let registry = Registry::new(credentials, Platform::host()).without_tls(insecure.iter().cloned());
        let repository = Self { registry, repository: repository.to_owned() };
        repository.reference(&format!("sha256:{}", "0".repeat(64)))?;
        Ok(repository)
    }

    fn reference(&self, digest: &str) -> anyhow::Result<Reference> {
        let tag = digest.trim_start_matches("sha256:");
        Ok(format!("{}:{tag}", self.repository).parse()?)
    }
}

impl Shared for Repository {
    fn put<'a>(&'a self, digest: &'a str, file: &'a Path) -> BoxFuture<'a, anyhow::Result<()>> {
        Box::pin(async move {
            let path = file.to_owned();
            let artifact = tokio::task::spawn_blocking(move || Artifact::of_file(&path)).await??;
            anyhow::ensure!(artifact.package().to_string() == digest, "the package on the volume is damaged");
            self.registry.push_artifact(&artifact, &self.reference(digest)?).await?;
            Ok(())
        })
    }

    fn get<'a>(&'a self, digest: &'a str) -> BoxFuture<'a, anyhow::Result<Option<Pieces>>> {
        Box::pin(async move {
            let wanted: Digest = digest.parse()?;
            Ok(self.registry.pull_package(&self.reference(digest)?, wanted).await?.map(pieces))
        })
    }

    /// None: the specification leaves removal to registries, and most have rules of their own for it.
    fn list(&self) -> BoxFuture<'_, anyhow::Result<Vec<String>>> {
        Box::pin(async { Ok(Vec::new()) })
    }

    fn remove<'a>(&'a self, _digest: &'a str) -> BoxFuture<'a, anyhow::Result<()>> {
        Box::pin(async { Ok(()) })
    }
}

#[cfg(test)]
mod tests {
    use flint_testing::registry::Registry as Double;

    use super::*;

    #[tokio::test]
    async fn large_and_small_packages_go_to_a_registry_and_come_back() {
        let server = Double::start().await;
        let repository = format!("{}/flint/packages", server.address());
        let store = Repository::new(&repository, None, &[server.address()]).expect("a store");
        crate::packages::shared::tests::goes_comes_and_goes(&store).await;
        assert_eq!(server.uploads(), 3, "two packages and their empty configuration, each once");
    }

    #[tokio::test]
    async fn a_registry_that_is_away_is_an_error_and_no_empty_store() {
        let server = Double::start().await;
        let repository = format!("{}/flint/packages", server.address());
        let store = Repository::new(&repository, None, &[server.address()]).expect("a store");
        server.refuse("flint", Some(503));
        assert!(store.get(&format!("sha256:{}", "a".repeat(64))).await.is_err());
    }
}
