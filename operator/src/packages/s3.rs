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
    use std::collections::BTreeMap;

    use flint_testing::https::{Https, answer};
    use futures::TryStreamExt as _;
    use http::{Method, Request};
    use object_store::{Certificate, ClientOptions};
    use parking_lot::Mutex;

    use super::*;

    type Objects = Arc<Mutex<BTreeMap<String, bytes::Bytes>>>;

    /// As much of S3 as is asked of it: objects by path, and a list of them. Whoever does not sign is refused.
    async fn serve(objects: &Objects) -> Https {
        let objects = Arc::clone(objects);
        Https::start(move |request: &Request<bytes::Bytes>| {
            let signed = request.headers().get("authorization").and_then(|value| value.to_str().ok());
            if !signed.is_some_and(|signed| signed.starts_with("AWS4-HMAC-SHA256 Credential=anna/")) {
                return answer(403, "");
            }
            let (path, mut objects) = (request.uri().path().to_owned(), objects.lock());
            let with_date = |mut answer: flint_testing::https::Answer| {
                answer.headers_mut().insert("last-modified", "Sat, 21 Nov 2026 20:00:00 GMT".parse().expect("a date"));
                answer.headers_mut().insert("etag", "\"1\"".parse().expect("a tag"));
                answer
            };
            match *request.method() {
                Method::PUT => {
                    objects.insert(path, request.body().clone());
                    with_date(answer(200, ""))
                }
                Method::DELETE => {
                    objects.remove(&path);
                    answer(204, "")
                }
                Method::GET if request.uri().query().is_some_and(|query| query.contains("list-type=2")) => {
                    let entry = |path: &String| {
                        let key = path.trim_start_matches("/bucket/");
                        format!("<Contents><Key>{key}</Key><LastModified>2026-11-21T20:00:00.000Z</LastModified><Size>4</Size></Contents>")
                    };
                    let entries: String = objects.keys().map(entry).collect();
                    answer(200, format!("<ListBucketResult><IsTruncated>false</IsTruncated>{entries}</ListBucketResult>"))
                }
                _ => objects.get(&path).map_or_else(|| answer(404, ""), |found| with_date(answer(200, found.clone()))),
            }
        })
        .await
    }

    fn store(https: &Https) -> S3 {
        let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
        let certificate = Certificate::from_pem(https.certificate().as_bytes()).expect("a certificate");
        let builder = AmazonS3Builder::new()
            .with_bucket_name("bucket")
            .with_region("eu-central-1")
            .with_endpoint(https.url(""))
            .with_access_key_id("anna")
            .with_secret_access_key("secret")
            .with_client_options(ClientOptions::new().with_root_certificate(certificate));
        S3::with(builder, "flint/packages").expect("a store")
    }

    #[tokio::test]
    async fn a_package_goes_to_a_bucket_and_comes_back_and_goes() {
        let objects = Objects::default();
        let https = serve(&objects).await;
        let store = store(&https);
        let digest = format!("sha256:{}", "a".repeat(64));
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(&file, "code").unwrap();
        assert!(store.get(&digest).await.unwrap().is_none());
        for _ in 0..2 {
            store.put(&digest, file.path()).await.unwrap();
        }
        let puts = https.seen().iter().filter(|line| line.starts_with("PUT")).count();
        assert_eq!(puts, 1, "what is there is not sent again");
        assert_eq!(
            objects.lock().keys().collect::<Vec<_>>(),
            [&format!("/bucket/flint/packages/{}", "a".repeat(64))]
        );
        let back: Vec<_> = store.get(&digest).await.unwrap().expect("a package").try_collect().await.unwrap();
        assert_eq!(back.concat(), b"code");
        objects.lock().insert("/bucket/flint/packages/README".to_owned(), bytes::Bytes::new());
        assert_eq!(
            store.list().await.unwrap(),
            std::slice::from_ref(&digest),
            "what is no package is not ours"
        );
        store.remove(&digest).await.unwrap();
        assert!(store.list().await.unwrap().is_empty());
    }
    /// Such as moto's: `moto_server -p 9000`, then `FLINT_TEST_S3=http://127.0.0.1:9000 cargo test -- --ignored a_real_server`.
    #[tokio::test]
    #[ignore = "needs a server, at FLINT_TEST_S3, that takes anybody and has a bucket flint-test"]
    async fn a_real_server_has_large_and_small_packages_and_lets_them_go() {
        let endpoint = std::env::var("FLINT_TEST_S3").expect("FLINT_TEST_S3");
        let builder = AmazonS3Builder::new()
            .with_bucket_name("flint-test")
            .with_region("us-east-1")
            .with_endpoint(endpoint)
            .with_allow_http(true)
            .with_access_key_id("anna")
            .with_secret_access_key("secret");
        let store: Arc<dyn Shared> = Arc::new(S3::with(builder, "flint/packages").expect("a store"));
        crate::packages::shared::tests::goes_comes_and_goes(store.as_ref()).await;
    }
}
