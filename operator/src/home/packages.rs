//! Packages by digest, and those lately asked for in memory: many instances of one function start at once.

use std::{
    collections::HashMap,
    hash::{DefaultHasher, Hash, Hasher},
    sync::Arc,
};

use bytes::Bytes;
use futures::{TryStreamExt as _, future::BoxFuture};
use http::{HeaderMap, HeaderValue, Response, StatusCode, header};
use http_body_util::{BodyExt as _, StreamBody};
use hyper::body::Frame;
use parking_lot::Mutex;
use tokio::{fs::File, sync::Semaphore};
use tokio_util::io::ReaderStream;

use super::{Answer, refusal, whole};

/// Where packages are kept.
pub(crate) trait PackageSource: Send + Sync + 'static {
    /// The package of that digest (`sha256:` and 64 digits of hex), if there is one.
    fn fetch<'a>(&'a self, digest: &'a str) -> BoxFuture<'a, anyhow::Result<Option<Content>>>;
    /// The same, if it is on this replica's own disk: nobody else is asked.
    fn here<'a>(&'a self, digest: &'a str) -> BoxFuture<'a, anyhow::Result<Option<Content>>> {
        self.fetch(digest)
    }
}

/// On a request of another replica, which wants what is here and nothing that would be fetched.
pub(crate) const HERE: &str = "x-flint-here";

/// A package's bytes.
#[derive(Debug)]
pub(crate) enum Content {
    /// In memory.
    Bytes(Bytes),
    /// In a file of that size.
    File(File, u64),
}

/// Packages, the last ones in memory.
pub(crate) struct Packages {
    source: Arc<dyn PackageSource>,
    cache: Mutex<Cache>,
    /// One package is fetched once, however many ask for it; at most [`LANES`] at a time in all.
    lanes: Vec<Semaphore>,
}

/// Bytes by digest; the one not asked for longest goes first.
#[derive(Debug, Default)]
struct Cache {
    packages: HashMap<String, (Bytes, u64)>,
    bytes: usize,
    asked: u64,
}

/// What stays in memory: a dozen packages of the largest kind, and a fraction of what the operator may use.
const CACHE_LIMIT: usize = 12 << 20;
/// Fetches at a time.
const LANES: u64 = 8;
/// What is read of a file at once: each read is a trip to another thread.
const PIECE: usize = 256 << 10;

// === impl Packages ===

impl Packages {
    /// Packages from this source.
    pub(crate) fn new(source: Arc<dyn PackageSource>) -> Self {
        Self { source, cache: Mutex::default(), lanes: (0..LANES).map(|_| Semaphore::new(1)).collect() }
    }

    /// Answers a request for `digest`, which is `sha256:HEX`.
    pub(super) async fn answer(&self, digest: &str, headers: &HeaderMap) -> Answer {
        let missing =
            || refusal(StatusCode::NOT_FOUND, "package_not_found", "there is no package of that digest");
        if !is_digest(digest) {
            return missing();
        }
        let found = if headers.contains_key(HERE) {
            // No turn in a lane: the one who asks may have it, and wait for us.
            self.source.here(digest).await
        } else {
            self.package(digest).await
        };
        let package = match found {
            Ok(Some(package)) => package,
            Ok(None) => return missing(),
            Err(error) => {
                tracing::warn!(digest, error = format!("{error:#}"), "a package cannot be read");
                return refusal(
                    StatusCode::SERVICE_UNAVAILABLE,
                    "package_unavailable",
                    "the package cannot be read now",
                );
            }
        };
        let etag = format!("\"{digest}\"");
        let same =
            headers.get(header::IF_NONE_MATCH).is_some_and(|value| value.as_bytes() == etag.as_bytes());
        let mut answer = if same {
            let mut answer = Response::new(whole(Bytes::new()));
            *answer.status_mut() = StatusCode::NOT_MODIFIED;
            answer
        } else {
            body(package)
        };
        answer.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/gzip"));
        if let Ok(etag) = HeaderValue::from_str(&etag) {
            answer.headers_mut().insert(header::ETAG, etag);
        }
        answer
    }

    async fn package(&self, digest: &str) -> anyhow::Result<Option<Content>> {
        if let Some(package) = self.cache.lock().get(digest) {
            return Ok(Some(Content::Bytes(package)));
        }
        let mut hasher = DefaultHasher::new();
        digest.hash(&mut hasher);
        let lane = usize::try_from(hasher.finish() % LANES).unwrap_or(0);
        let _turn = self.lanes[lane].acquire().await?;
        // Whoever had the lane before may have fetched it.
        if let Some(package) = self.cache.lock().get(digest) {
            return Ok(Some(Content::Bytes(package)));
        }
        let package = self.source.fetch(digest).await?;
        // What is in a file is in the kernel's cache.
        if let Some(Content::Bytes(package)) = &package {
            self.cache.lock().insert(digest, package.clone());
        }
        Ok(package)
    }
}

// === impl Cache ===

impl Cache {
    fn get(&mut self, digest: &str) -> Option<Bytes> {
        self.asked += 1;
        let asked = self.asked;
        self.packages.get_mut(digest).map(|(package, last)| {
            *last = asked;
            package.clone()
        })
    }

    fn insert(&mut self, digest: &str, package: Bytes) {
        if package.len() > CACHE_LIMIT {
            return;
        }
        self.bytes += package.len();
        self.asked += 1;
        if let Some((old, _)) = self.packages.insert(digest.to_owned(), (package, self.asked)) {
            self.bytes -= old.len();
        }
        while self.bytes > CACHE_LIMIT {
            let Some(oldest) =
                self.packages.iter().min_by_key(|(_, (_, asked))| *asked).map(|(digest, _)| digest.clone())
            else {
                return;
            };
            if let Some((gone, _)) = self.packages.remove(&oldest) {
                self.bytes -= gone.len();
            }
        }
    }
}

/// The answer that a package, or another file, is the body of.
pub(crate) fn body(package: Content) -> Answer {
    let (file, size) = match package {
        Content::Bytes(bytes) => return Response::new(whole(bytes)),
        Content::File(file, size) => (file, size),
    };
    let pieces = ReaderStream::with_capacity(file, PIECE).map_ok(Frame::data);
    let mut answer = Response::new(StreamBody::new(pieces).boxed());
    answer.headers_mut().insert(header::CONTENT_LENGTH, size.into());
    answer
}

fn is_digest(digest: &str) -> bool {
    let small = |byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
    digest.strip_prefix("sha256:").is_some_and(|hex| hex.len() == 64 && hex.bytes().all(small))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn digest(number: u8) -> String {
        format!("sha256:{}", hex::encode([number; 32]))
    }

    #[test]
    fn the_package_not_asked_for_longest_makes_room() {
        let mut cache = Cache::default();
        let third = Bytes::from(vec![0; CACHE_LIMIT / 3]);
        for number in 0..3 {
            cache.insert(&digest(number), third.clone());
        }
        assert!(cache.get(&digest(0)).is_some());
        cache.insert(&digest(3), third);
        assert!(cache.get(&digest(1)).is_none());
        assert!(
            cache.get(&digest(0)).is_some()
                && cache.get(&digest(2)).is_some()
                && cache.get(&digest(3)).is_some()
        );
        assert!(cache.bytes <= CACHE_LIMIT);
    }

    #[test]
    fn a_package_larger_than_the_cache_is_not_kept() {
        let mut cache = Cache::default();
        cache.insert(&digest(0), Bytes::from(vec![0; CACHE_LIMIT + 1]));
        assert!(cache.get(&digest(0)).is_none());
        assert_eq!(cache.bytes, 0);
    }

    #[test]
    fn a_digest_is_sha256_and_64_small_digits_of_hex() {
        assert!(is_digest(&digest(0xab)));
        let short = &digest(1)[..70];
        for wrong in
            ["", "sha256:", "abc", &digest(0xab).to_uppercase(), short, &format!("{short}/"), &digest(1)[7..]]
        {
            assert!(!is_digest(wrong), "{wrong}");
        }
    }
}
