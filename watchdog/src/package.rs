//! The package: fetched by digest, unpacked while it comes, and run only when every byte was the right one.
//!
//! Any operator may have it, and home, the one that leads, has it or makes it anew. Where one is away, lacks it or sends something
//! else, the other is asked at once; only when both have failed is there a pause.

mod unpack;

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{Request, StatusCode};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use sha2::{Digest as _, Sha256};
use tokio::sync::mpsc;
use tokio::time::{Instant, timeout};

use crate::config::PackageSource;
use crate::home::{Line, LineError};
use crate::instance::Instance;
use crate::logs::{Field, Level};
use crate::termination::Failure;

pub use self::unpack::{UnpackError, empty, unpack};

/// Twice what Lambda allows unpacked (250 MB), as an archive.
const LARGEST: u64 = 512 * 1024 * 1024;
/// The operator may be away for an upgrade or a node's end; longer than this the pod's status has to say so.
const PATIENCE: Duration = Duration::from_secs(300);
const FIRST_PAUSE: Duration = Duration::from_millis(50);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);
/// Between two pieces of a body.
const STALLED: Duration = Duration::from_secs(10);
/// A digest that is wrong so often is not an accident of the network.
const DIGESTS: u32 = 3;

#[derive(Debug, thiserror::Error)]
enum FetchError {
    #[error(transparent)]
    Line(#[from] LineError),
    #[error("it answered {0}")]
    Status(StatusCode),
    #[error("the package stopped coming")]
    Stalled,
    #[error("the package was cut off: {0}")]
    Body(#[source] hyper::Error),
    #[error("the package is larger than {LARGEST} bytes")]
    TooLarge,
    #[error("the package has the digest sha256:{0}, which is not the one asked for")]
    Digest(String),
    #[error(transparent)]
    Unpack(#[from] UnpackError),
    #[error("the address cannot be asked for: {0}")]
    Request(#[source] http::Error),
}

/// Fetches and unpacks the instance's package, again and again while nobody answers.
///
/// # Errors
/// When the package cannot be used, or nobody had it for minutes.
pub async fn install(instance: &Arc<Instance>) -> Result<(), Failure> {
    let Some(source) = &instance.config.package else { return Ok(()) };
    let began = Instant::now();
    let mut copies = copies(instance, source);
    let mut pause = FIRST_PAUSE;
    let mut wrong_digests = 0;
    loop {
        for at in 0..copies.len() {
            let error = match fetch(&mut copies[at], source, &instance.config.task_root).await {
                Ok(bytes) => {
                    let from = copies[at].name();
                    let fields = [
                        ("bytes", Field::Count(bytes)),
                        ("tookMs", Field::Millis(began.elapsed())),
                        ("from", Field::Text(&from)),
                    ];
                    instance.log.log(Level::Info, None, "package unpacked", &fields);
                    return Ok(());
                }
                Err(error) => error,
            };
            // Half a package is no package.
            let root = instance.config.task_root.clone();
            let _ = tokio::task::spawn_blocking(move || empty(&root)).await;
            wrong_digests += u32::from(matches!(error, FetchError::Digest(_)));
            let hopeless =
                matches!(error, FetchError::Unpack(_) | FetchError::TooLarge | FetchError::Request(_))
                    || wrong_digests >= DIGESTS
                    || began.elapsed() > PATIENCE;
            let message = format!("the package cannot be fetched from {}: {error}", copies[at].name());
            if hopeless {
                return Err(Failure::new("Runtime.InvalidPackage", message));
            }
            // A replica that lacks it is nothing to hear of as long as another has it.
            let level = if at + 1 == copies.len() { Level::Warn } else { Level::Info };
            instance.log.say(level, &message);
        }
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(LONGEST_PAUSE);
    }
}

/// Who is asked, in this order.
fn copies(instance: &Instance, source: &PackageSource) -> Vec<Line> {
    let home = instance.config.home.as_ref();
    let same = home.is_some_and(|home| home.authority() == source.url.authority());
    let known = if same { instance.home_address } else { instance.packages_address };
    let mut copies = vec![Line::new(&source.url, known)];
    copies.extend(home.filter(|_| !same).map(|home| Line::new(home, instance.home_address)));
    copies
}

async fn fetch(line: &mut Line, source: &PackageSource, root: &Path) -> Result<u64, FetchError> {
    let path = source.url.path_and_query().map_or("/", |path| path.as_str());
    let request = Request::get(path).body(Full::<Bytes>::default()).map_err(FetchError::Request)?;
    let response = line.send(request).await?;
    if response.status() != StatusCode::OK {
        return Err(FetchError::Status(response.status()));
    }
    // A few pieces in flight between the network and the thread that unpacks.
    let (pieces, arriving) = mpsc::channel(8);
    let root = root.to_owned();
    let unpacking = tokio::task::spawn_blocking(move || unpack(arriving, &root));
    let received = receive(response.into_body(), pieces).await;
    let unpacked = unpacking.await.unwrap_or(Err(UnpackError::Interrupted));
    let (bytes, digest) = received?;
    // A wrong archive is what a wrong digest looks like from inside: the digest is the better word.
    if digest != source.digest {
        return Err(FetchError::Digest(hex::encode(digest)));
    }
    unpacked?;
    Ok(bytes)
}

async fn receive(mut body: Incoming, pieces: mpsc::Sender<Bytes>) -> Result<(u64, [u8; 32]), FetchError> {
    let mut digest = Sha256::new();
    let mut total = 0;
    while let Some(frame) = timeout(STALLED, body.frame()).await.map_err(|_| FetchError::Stalled)? {
        let Ok(piece) = frame.map_err(FetchError::Body)?.into_data() else { continue };
        total += piece.len() as u64;
        if total > LARGEST {
            return Err(FetchError::TooLarge);
        }
        digest.update(&piece);
        // The archive may end before its bytes do, or be broken: the digest is of all of them.
        let _ = pieces.send(piece).await;
    }
    Ok((total, digest.finalize().into()))
}
