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
    use super::*;

    /// Such as that of `make cluster`: `FLINT_TEST_REGISTRY=127.0.0.1:5000 cargo test -- --ignored a_real_registry`.
    #[tokio::test]
    #[ignore = "needs a registry without a login, at FLINT_TEST_REGISTRY"]
    async fn a_real_registry_has_large_and_small_packages() {
        let registry = std::env::var("FLINT_TEST_REGISTRY").expect("FLINT_TEST_REGISTRY");
        let store = Repository::new(&format!("{registry}/flint-test/packages"), None, &[]).expect("a store");
        crate::packages::shared::tests::goes_comes_and_goes(&store).await;
    }
}
