//! Where builders bring what they made: `PUT /builds/NAMESPACE/BUILD/package`, and `GET` and `PUT …/cache`, at the operator's home.
//!
//! A builder signs each request with the key of its build, and only a build that runs has anything to bring. A body is bounded,
//! hashed while it comes, and kept only if it is what its digest says.

use std::{sync::Arc, time::Duration};

use flint_core::{
    build::{self, DIGEST_HEADER},
    wire::SIGNATURE_HEADER,
};
use http::{HeaderMap, Method, Request, Response, StatusCode};
use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use k8s_openapi::api::batch::v1::Job;
use kube::ResourceExt as _;
use sha2::{Digest as _, Sha256};
use tempfile::NamedTempFile;
use tokio::{io::AsyncWriteExt as _, sync::Semaphore, time::timeout};

use super::{
    caches::Caches,
    job::{MANIFEST, RUNTIME},
    state::is_running,
};
use crate::{
    home::{Answer, Content, body, refusal},
    packages::{StoreError, Storehouse, Volume},
    stores::Stores,
};

/// Where builders bring what they made.
pub(crate) struct Depot {
    /// The key from which the builds' keys are derived.
    master: Vec<u8>,
    stores: Stores,
    volume: Arc<Volume>,
    store: Storehouse,
    caches: Arc<Caches>,
    /// The most bytes of a package, and of a cache.
    most: (u64, u64),
    /// Each takes a file's worth of disk.
    lanes: Semaphore,
}

/// Why a request is refused.
type Refusal = (StatusCode, &'static str, String);

/// Bodies that come at a time.
const LANES: usize = 4;
/// Between two pieces of a body.
const STALLED: Duration = Duration::from_secs(30);

// === impl Depot ===

impl Depot {
    /// A depot that nobody has brought anything to. `most` is the most bytes of a package, and of a cache.
    pub(crate) fn new(
        master: Vec<u8>,
        stores: Stores,
        store: Storehouse,
        caches: Arc<Caches>,
        most: (u64, u64),
    ) -> Self {
        let volume = Arc::clone(store.volume());
        Self { master, stores, volume, store, caches, most, lanes: Semaphore::new(LANES) }
    }

    /// Answers a request below `/builds/`.
    pub(crate) async fn answer(&self, request: Request<Incoming>) -> Answer {
        match self.serve(request).await {
            Ok(answer) => answer,
            Err((status, code, message)) => {
                tracing::debug!(code, message, "a builder's request was refused");
                refusal(status, code, &message)
            }
        }
    }

    async fn serve(&self, request: Request<Incoming>) -> Result<Answer, Refusal> {
        let (head, content) = request.into_parts();
        let path = head.uri.path().to_owned();
        let Some((namespace, build, what)) = parts(&path) else { return Err(missing()) };
        let digest = header(&head.headers, DIGEST_HEADER);
        let key = build::key(&self.master, namespace, build);
        if !build::verify(&key, head.method.as_str(), &path, digest, header(&head.headers, SIGNATURE_HEADER))
        {
            tracing::warn!(namespace, build, "a request for a build had a wrong signature");
            return Err((StatusCode::FORBIDDEN, "signature", "the signature is not this build's".to_owned()));
        }
        let job = self.stores.job(namespace, build).filter(|job| is_running(job));
        let job = job.ok_or_else(|| {
            (StatusCode::CONFLICT, "unknown", "no such build runs, as far as is known yet".to_owned())
        })?;
        match (&head.method, what) {
            (&Method::GET, "cache") => self.cache(namespace, &job).await,
            (&Method::PUT, "cache") => {
                let file = self.receive(content, digest, self.most.1).await?;
                self.keep_cache(namespace, &job, file).await
            }
            (&Method::PUT, "package") => {
                let file = self.receive(content, digest, self.most.0).await?;
                self.keep_package(build, digest, file).await
            }
            _ => Err(missing()),
        }
    }

    async fn cache(&self, namespace: &str, job: &Job) -> Result<Answer, Refusal> {
        let (caches, namespace, (runtime, manifest)) =
            (Arc::clone(&self.caches), namespace.to_owned(), kind(job));
        let found = blocking(move || caches.get(&namespace, &runtime, &manifest)).await?.map_err(disk)?;
        let (file, size) = found.ok_or_else(missing)?;
        Ok(body(Content::File(tokio::fs::File::from_std(file), size)))
    }

    async fn keep_cache(&self, namespace: &str, job: &Job, file: NamedTempFile) -> Result<Answer, Refusal> {
        let (caches, namespace, (runtime, manifest)) =
            (Arc::clone(&self.caches), namespace.to_owned(), kind(job));
        let kept =
            blocking(move || caches.put(&namespace, &runtime, &manifest, file)).await?.map_err(disk)?;
        if kept { Ok(done()) } else { Err(too_large(self.most.1, "a cache", "builds.cache.capacity")) }
    }

    async fn keep_package(&self, build: &str, digest: &str, file: NamedTempFile) -> Result<Answer, Refusal> {
        let (volume, wanted) = (Arc::clone(&self.volume), digest.to_owned());
        match blocking(move || volume.put(&wanted, file)).await? {
            Ok(()) => {
                // Where operators share a store, the next one to lead must find it there: only then the build is done.
                self.store.keep(digest).await.map_err(|error| disk(format_args!("{error:#}")))?;
                tracing::info!(build, digest, "a build brought its package");
                Ok(done())
            }
            Err(error @ StoreError::Full(_)) => {
                Err((StatusCode::INSUFFICIENT_STORAGE, "store_full", error.to_string()))
            }
            Err(error) => Err(disk(error)),
        }
    }

    /// Writes a body to a file, at most so many bytes, and makes sure that it is what was announced.
    async fn receive(
        &self,
        mut content: Incoming,
        digest: &str,
        most: u64,
    ) -> Result<NamedTempFile, Refusal> {
        let _turn = self.lanes.acquire().await.map_err(disk)?;
        let volume = Arc::clone(&self.volume);
        let draft = blocking(move || volume.draft()).await?.map_err(disk)?;
        let mut output = tokio::fs::File::from_std(draft.reopen().map_err(disk)?);
        let (mut hasher, mut total) = (Sha256::new(), 0);
        let cut = |why: &str| (StatusCode::REQUEST_TIMEOUT, "cut_off", format!("the body {why}"));
        while let Some(frame) = timeout(STALLED, content.frame()).await.map_err(|_| cut("stopped coming"))? {
            let Ok(piece) = frame.map_err(|_| cut("was cut off"))?.into_data() else { continue };
            total += piece.len() as u64;
            if total > most {
                return Err(too_large(most, "it", "sources.limits.unpacked, builds.cache.limit"));
            }
            hasher.update(&piece);
            output.write_all(&piece).await.map_err(disk)?;
        }
        output.flush().await.map_err(disk)?;
        if digest == format!("sha256:{}", hex::encode(hasher.finalize())) {
            Ok(draft)
        } else {
            Err((
                StatusCode::UNPROCESSABLE_ENTITY,
                "digest",
                "the body is not what its digest says".to_owned(),
            ))
        }
    }
}

/// Namespace, build and what of a path.
fn parts(path: &str) -> Option<(&str, &str, &str)> {
    let mut parts = path.strip_prefix("/builds/")?.split('/');
    let found = (parts.next()?, parts.next()?, parts.next()?);
    parts.next().is_none().then_some(found)
}

/// Runtime and manifest, as the operator wrote them on the Job.
fn kind(job: &Job) -> (String, String) {
    let of = |name| job.annotations().get(name).cloned().unwrap_or_default();
    (of(RUNTIME), of(MANIFEST))
}

fn header<'a>(headers: &'a HeaderMap, name: &str) -> &'a str {
    headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
}

fn done() -> Answer {
    let mut answer = Response::default();
    *answer.status_mut() = StatusCode::NO_CONTENT;
    answer
}

fn missing() -> Refusal {
    (StatusCode::NOT_FOUND, "not_found", "there is nothing here".to_owned())
}

fn too_large(most: u64, what: &str, field: &str) -> Refusal {
    let text = format!("{what} has more than {most} bytes ({field} of the chart)");
    (StatusCode::PAYLOAD_TOO_LARGE, "request_too_large", text)
}

fn disk(error: impl std::fmt::Display) -> Refusal {
    tracing::warn!(%error, "what a builder brings cannot be kept");
    (StatusCode::SERVICE_UNAVAILABLE, "store_failed", format!("it cannot be kept now: {error}"))
}

async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T, Refusal> {
    tokio::task::spawn_blocking(work).await.map_err(disk)
}
