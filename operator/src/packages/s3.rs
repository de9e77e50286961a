//! Packages in S3-compatible storage, as `PREFIX/HEX`.

use std::{path::Path as FilePath, sync::Arc};

use futures::{TryStreamExt as _, future::BoxFuture};
use object_store::{ObjectStore, ObjectStoreExt as _, aws::AmazonS3Builder, buffered::BufWriter, path::Path};
use tokio::{fs::File, io::AsyncWriteExt as _};

use super::shared::{Pieces, Shared, pieces};

/// A bucket, and a folder in it that is this installation's alone.
#[derive(Debug)]
pub(crate) struct S3 {
    bucket: Arc<dyn ObjectStore>,
    prefix: Path,
}

/// Each part of an upload in memory; S3 wants 5 MiB at least.
const PART: usize = 8 << 20;

// === impl S3 ===

impl S3 {
    /// The bucket of that name. Endpoint, region and credentials are in the environment as AWS's own tools have them.
    ///
    /// # Errors
    /// When they cannot be understood.
    pub(crate) fn new(bucket: &str, prefix: &str) -> anyhow::Result<Self> {
        Self::with(AmazonS3Builder::from_env().with_bucket_name(bucket), prefix)
    }

    fn with(builder: AmazonS3Builder, prefix: &str) -> anyhow::Result<Self> {
        // One by one: not all that call themselves compatible know how to delete several at once.
        let bucket = builder.with_disable_bulk_delete(true).build()?;
        Ok(Self { bucket: Arc::new(bucket), prefix: Path::parse(prefix)? })
    }

    fn path(&self, digest: &str) -> Path {
        self.prefix.clone().join(digest.trim_start_matches("sha256:"))
    }
}

impl Shared for S3 {
    fn put<'a>(&'a self, digest: &'a str, file: &'a FilePath) -> BoxFuture<'a, anyhow::Result<()>> {
        Box::pin(async move {
            let path = self.path(digest);
            match self.bucket.head(&path).await {
                Ok(_) => return Ok(()),
                Err(object_store::Error::NotFound { .. }) => {}
                Err(error) => return Err(error.into()),
            }
            let mut file = File::open(file).await?;
            let mut upload = BufWriter::with_capacity(Arc::clone(&self.bucket), path, PART);
            match tokio::io::copy_buf(
                &mut tokio::io::BufReader::with_capacity(1 << 20, &mut file),
                &mut upload,
            )
            .await
            {
                // It appears whole, with this.
                Ok(_) => Ok(upload.shutdown().await?),
                Err(error) => {
                    upload.abort().await?;
                    Err(error.into())
                }
            }
        })
    }

    fn get<'a>(&'a self, digest: &'a str) -> BoxFuture<'a, anyhow::Result<Option<Pieces>>> {
        Box::pin(async move {
            match self.bucket.get(&self.path(digest)).await {
                Ok(found) => Ok(Some(pieces(found.into_stream()))),
                Err(object_store::Error::NotFound { .. }) => Ok(None),
                Err(error) => Err(error.into()),
            }
        })
    }

    fn list(&self) -> BoxFuture<'_, anyhow::Result<Vec<String>>> {
        Box::pin(async move {
            let all = self.bucket.list(Some(&self.prefix));
            let digests = all.try_filter_map(|object| async move {
                let name = object.location.filename().unwrap_or_default();
                let is_ours = name.len() == 64 && name.bytes().all(|byte| byte.is_ascii_hexdigit());
                Ok(is_ours.then(|| format!("sha256:{name}")))
            });
            Ok(digests.try_collect().await?)
        })
    }

    fn remove<'a>(&'a self, digest: &'a str) -> BoxFuture<'a, anyhow::Result<()>> {
        Box::pin(async move { Ok(self.bucket.delete(&self.path(digest)).await?) })
    }
}

#[cfg(test)]
mod tests {
    use flint_testing::s3::{ACCESS_KEY, S3 as Double};

    use super::*;

    fn store(server: &Double, access_key: &str) -> S3 {
        let builder = AmazonS3Builder::new()
            .with_bucket_name("bucket")
            .with_region("eu-central-1")
            .with_endpoint(server.url())
            .with_allow_http(true)
            .with_access_key_id(access_key)
            .with_secret_access_key("secret");
        S3::with(builder, "flint/packages").expect("a store")
    }

    #[tokio::test]
    async fn large_and_small_packages_go_to_a_bucket_and_come_back_and_go() {
        let server = Double::start().await;
        crate::packages::shared::tests::goes_comes_and_goes(&store(&server, ACCESS_KEY)).await;
        assert!(server.paths().is_empty(), "{:?}", server.paths());
        let begun = server.seen().iter().filter(|line| line.contains("?uploads")).count();
        assert_eq!(begun, 1, "the large one went in parts, and what is there is not sent again");
    }

    #[tokio::test]
    async fn what_is_no_package_is_not_ours_and_every_page_of_a_list_counts() {
        let server = Double::start().await;
        let store = store(&server, ACCESS_KEY);
        let digits = ["a", "b", "c", "d", "e"].map(|letter| letter.repeat(64));
        for digits in &digits {
            server.put(&format!("/bucket/flint/packages/{digits}"), "code");
        }
        server.put("/bucket/flint/packages/README", "");
        server.put(&format!("/bucket/other/{}", digits[0]), "code");
        let digests = digits.map(|digits| format!("sha256:{digits}"));
        assert_eq!(store.list().await.expect("a list"), digests);
        store.remove(&digests[0]).await.expect("it goes");
        assert_eq!(store.list().await.expect("a list"), digests[1..]);
    }

    #[tokio::test]
    async fn a_bucket_of_somebody_else_is_an_error_and_no_empty_store() {
        let server = Double::start().await;
        let store = store(&server, "eve");
        let digest = format!("sha256:{}", "a".repeat(64));
        assert!(store.get(&digest).await.is_err());
        assert!(store.list().await.is_err());
    }
}
