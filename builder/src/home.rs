//! Requests to the operator's home: plain HTTP with signatures, each tried a few times while the operator is away.

use std::{fs, io, path::Path, time::Duration};

use flint_core::{
    build::{self, DIGEST_HEADER},
    wire::SIGNATURE_HEADER,
};
use futures::StreamExt as _;
use reqwest::{Body, Client, Method, Response, StatusCode, header};
use sha2::{Digest as _, Sha256};
use tokio::{fs::File, io::AsyncWriteExt as _};
use tokio_util::io::ReaderStream;

use crate::{config::Config, error::Error};

/// The operator's home, for one build.
pub(crate) struct Home<'a> {
    config: &'a Config,
    client: Client,
}

const CONNECT: Duration = Duration::from_secs(5);
/// Between two pieces of an answer.
const SILENCE: Duration = Duration::from_secs(60);
/// The operator may be away for an upgrade or the end of a node; after that the Job tries again.
const ATTEMPTS: u32 = 8;
const FIRST_PAUSE: Duration = Duration::from_millis(500);

// === impl Home ===

impl<'a> Home<'a> {
    /// The home that the configuration names. Proxies are for the build command, not for this.
    pub(crate) fn new(config: &'a Config) -> Result<Self, Error> {
        let client = Client::builder().no_proxy().connect_timeout(CONNECT).read_timeout(SILENCE).build()?;
        Ok(Self { config, client })
    }

    /// Fetches the source's package into a file.
    pub(crate) async fn source(&self, file: &Path) -> Result<(), Error> {
        let url = format!("{}/packages/{}", self.config.home, self.config.source);
        let fetch = || async {
            let response = self.client.get(&url).send().await?;
            if response.status() != StatusCode::OK {
                return Err(refused("the source", response).await);
            }
            let digest = save(response, file).await?;
            if digest == self.config.source { Ok(()) } else { Err(Error::Digest(self.config.source.clone())) }
        };
        self.patiently(fetch).await
    }

    /// Fetches what an earlier build left for this one; gives its digest, or none when there is nothing.
    pub(crate) async fn cache(&self, file: &Path) -> Result<Option<String>, Error> {
        let response = self.request(Method::GET, "cache", "").send().await?;
        match response.status() {
            StatusCode::OK => save(response, file).await.map(Some),
            StatusCode::NOT_FOUND => Ok(None),
            _ => Err(refused("the cache", response).await),
        }
    }

    /// Brings the package or the cache home.
    pub(crate) async fn bring(&self, what: &str, digest: &str, file: &Path) -> Result<(), Error> {
        let bring = || async {
            let content = File::open(file).await?;
            let bytes = content.metadata().await?.len();
            let body = Body::wrap_stream(ReaderStream::with_capacity(content, 256 << 10));
            let request = self.request(Method::PUT, what, digest).header(header::CONTENT_LENGTH, bytes);
            let response = request.body(body).send().await?;
            if response.status().is_success() { Ok(()) } else { Err(refused("the package", response).await) }
        };
        self.patiently(bring).await
    }

    fn request(&self, method: Method, what: &str, digest: &str) -> reqwest::RequestBuilder {
        let path = build::path(&self.config.namespace, &self.config.build, what);
        let signature = build::sign(&self.config.key, method.as_str(), &path, digest);
        let url = format!("{}{path}", self.config.home);
        self.client.request(method, url).header(SIGNATURE_HEADER, signature).header(DIGEST_HEADER, digest)
    }

    /// Tries until it works, is refused for good, or has been tried often enough.
    async fn patiently<F: Future<Output = Result<(), Error>>>(
        &self,
        mut attempt: impl FnMut() -> F,
    ) -> Result<(), Error> {
        let mut pause = FIRST_PAUSE;
        for _ in 1..ATTEMPTS {
            match attempt().await {
                Err(error) if error.heals() => println!("flint-builder: {error}; trying again"),
                done => return done,
            }
            tokio::time::sleep(pause).await;
            pause *= 2;
        }
        attempt().await
    }
}

/// Writes an answer's body to a file; gives its digest.
async fn save(response: Response, file: &Path) -> Result<String, Error> {
    let mut output = File::create(file).await?;
    let mut hasher = Sha256::new();
    let mut pieces = response.bytes_stream();
    while let Some(piece) = pieces.next().await {
        let piece = piece?;
        hasher.update(&piece);
        output.write_all(&piece).await?;
    }
    output.flush().await?;
    Ok(format!("sha256:{}", hex::encode(hasher.finalize())))
}

/// What the operator says against it. A 4xx stays what it is, but for those that ask for patience.
async fn refused(what: &str, response: Response) -> Error {
    let status = response.status();
    let text = response.text().await.unwrap_or_default();
    let message = serde_json::from_str::<serde_json::Value>(&text)
        .ok()
        .and_then(|body| body["error"]["message"].as_str().map(str::to_owned))
        .unwrap_or_else(|| status.to_string());
    let lasting =
        [StatusCode::FORBIDDEN, StatusCode::PAYLOAD_TOO_LARGE, StatusCode::BAD_REQUEST].contains(&status);
    if lasting {
        Error::Refused(format!("the operator refuses {what}: {message}"))
    } else {
        Error::Away(format!("{what}: {message}"))
    }
}

/// Removes a file that may not be there.
pub(crate) fn discard(file: &Path) -> io::Result<()> {
    match fs::remove_file(file) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}
