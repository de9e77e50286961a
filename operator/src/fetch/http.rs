//! Requests to servers that users name: over TLS, within [`Reach`], with a bound on everything.

use std::{error::Error as StdError, time::Duration};

use bytes::{Bytes, BytesMut};
use futures::StreamExt as _;
use reqwest::{Client, Response, StatusCode, Url, header, redirect::Policy};
use sha2::{Digest as _, Sha256};
use tokio::{fs::File, io::AsyncWriteExt as _};

use super::{
    credentials::Credentials,
    failure::Failure,
    reach::{Reach, Refused},
};
use crate::function::problem;

/// A client for one fetch.
pub(crate) struct Http {
    client: Client,
    reach: Reach,
    credentials: Credentials,
    plain: bool,
}

const CONNECT: Duration = Duration::from_secs(10);
/// Between two pieces of an answer, and before the first: some servers pack what they are asked for at that moment.
const SILENCE: Duration = Duration::from_secs(60);
/// GitHub's archives are behind two.
const REDIRECTS: usize = 5;
const AUTHORIZATION: &str = "authorization";

// === impl Http ===

impl Http {
    /// A client that says who it is, to the server that it is asked to talk to and to no other.
    pub(crate) fn new(reach: Reach, credentials: Credentials) -> Result<Self, Failure> {
        Self::with(reach, credentials, false)
    }

    /// The same, `plain` for a server that the installation says may be asked without TLS.
    pub(crate) fn with(reach: Reach, credentials: Credentials, plain: bool) -> Result<Self, Failure> {
        let client = Client::builder()
            .https_only(!plain)
            .redirect(Policy::none())
            .connect_timeout(CONNECT)
            .read_timeout(SILENCE)
            .dns_resolver(reach)
            .tls_certs_merge(credentials.authorities.iter().cloned())
            .user_agent(concat!("flint-operator/", env!("CARGO_PKG_VERSION")))
            .build()
            .map_err(|error| Failure::unreachable("The source", chain(&error)))?;
        Ok(Self { client, reach, credentials, plain })
    }

    /// The answer to a GET, with a good status, wherever it was redirected to.
    pub(crate) async fn get(&self, url: &str, headers: &[(&str, &str)]) -> Result<Response, Failure> {
        let response = self.ask(url, headers).await?;
        let status = response.status();
        if status.is_success() { Ok(response) } else { Err(answered(&shown(response.url()), status)) }
    }

    /// The same with any status. An `authorization` among the headers stands in the place of the credentials, and goes no further
    /// than they do.
    pub(crate) async fn ask(&self, url: &str, headers: &[(&str, &str)]) -> Result<Response, Failure> {
        let invalid = |why: &str| {
            Failure::lasting(problem::SOURCE_INVALID, format!("{url} cannot be asked for: {why}."))
        };
        let first = Url::parse(url).map_err(|error| invalid(&error.to_string()))?;
        let is_authorization = |(name, _): &&(&str, &str)| name.eq_ignore_ascii_case(AUTHORIZATION);
        let signed = headers.iter().any(|header| is_authorization(&header));
        let mut at = first.clone();
        for _ in 0..=REDIRECTS {
            let shown = shown(&at);
            let near = at.origin() == first.origin();
            if at.scheme() != "https" && !(self.plain && near) {
                return Err(invalid(&format!("it leads to {shown}, which is not https")));
            }
            self.reach.allows_url(&at).map_err(|refused| refused_address(&shown, refused))?;
            let mut request = self.client.get(at.clone());
            for (name, value) in headers.iter().filter(|header| near || !is_authorization(header)) {
                request = request.header(*name, *value);
            }
            if near && !signed {
                request = self.credentials.sign(request);
            }
            let response = request.send().await.map_err(|error| failed(&shown, &error))?;
            let status = response.status();
            let next = response.headers().get(header::LOCATION).filter(|_| status.is_redirection());
            let Some(next) = next else { return Ok(response) };
            at = next
                .to_str()
                .ok()
                .and_then(|next| at.join(next).ok())
                .ok_or_else(|| invalid(&format!("{shown} redirects to nowhere")))?;
        }
        Err(invalid(&format!("it is redirected more than {REDIRECTS} times")))
    }

    /// How servers are asked.
    pub(crate) fn scheme(&self) -> &'static str {
        if self.plain { "http" } else { "https" }
    }

    /// The answer to a POST, with a good status. Who asks is said where the source's own URL, `first`, leads.
    pub(crate) async fn post(
        &self,
        first: &Url,
        at: &Url,
        headers: &[(&str, &str)],
        body: Vec<u8>,
    ) -> Result<Response, Failure> {
        let shown = shown(at);
        self.reach.allows_url(at).map_err(|refused| refused_address(&shown, refused))?;
        let mut request = self.client.post(at.clone()).body(body);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        if at.origin() == first.origin() {
            request = self.credentials.sign(request);
        }
        let response = request.send().await.map_err(|error| failed(&shown, &error))?;
        let status = response.status();
        if status.is_success() { Ok(response) } else { Err(answered(&shown, status)) }
    }
}

/// An answer's body in memory, at most so many bytes.
pub(crate) async fn read(response: Response, most: u64) -> Result<Bytes, Failure> {
    let shown = shown(response.url());
    let (mut body, mut pieces) = (BytesMut::new(), response.bytes_stream());
    while let Some(piece) = pieces.next().await {
        let piece = piece.map_err(|error| failed(&shown, &error))?;
        if (body.len() + piece.len()) as u64 > most {
            let text = format!("{shown} answers with more than {most} bytes: correct spec.source.");
            return Err(Failure::lasting(problem::SOURCE_INVALID, text));
        }
        body.extend_from_slice(&piece);
    }
    Ok(body.freeze())
}

/// Writes an answer's body to a file, at most so many bytes; gives its SHA-256 in hex. Of what is larger the message says
/// `do_what`.
pub(crate) async fn save(
    response: Response,
    file: &mut File,
    most: u64,
    do_what: &str,
) -> Result<String, Failure> {
    let shown = shown(response.url());
    let too_large = || {
        let text = format!("{shown} has more than {most} bytes: {do_what}.");
        Failure::lasting(problem::ARCHIVE_REFUSED, text)
    };
    if response.content_length().is_some_and(|length| length > most) {
        return Err(too_large());
    }
    let (mut hasher, mut total) = (Sha256::new(), 0);
    let mut pieces = response.bytes_stream();
    while let Some(piece) = pieces.next().await {
        let piece = piece.map_err(|error| failed(&shown, &error))?;
        total += piece.len() as u64;
        if total > most {
            return Err(too_large());
        }
        hasher.update(&piece);
        file.write_all(&piece).await.map_err(Failure::store)?;
    }
    file.flush().await.map_err(Failure::store)?;
    Ok(hex::encode(hasher.finalize()))
}

/// A URL as messages have it: without a name, a password and a query, which may be a signature.
pub(crate) fn shown(url: &Url) -> String {
    let port = url.port().map(|port| format!(":{port}")).unwrap_or_default();
    format!("{}://{}{port}{}", url.scheme(), url.host_str().unwrap_or_default(), url.path())
}

/// What an answer without anything in it says.
pub(crate) fn answered(shown: &str, status: StatusCode) -> Failure {
    match status.as_u16() {
        401 | 403 => Failure::passing(
            problem::SOURCE_REFUSED,
            format!(
                "{shown} refuses with {status}: give the right credentials in the Secret of secretRef. It is tried again."
            ),
        ),
        408 | 425 | 429 | 500.. => Failure::unreachable(shown, format_args!("the server answers {status}")),
        404 | 410 => Failure::lasting(
            problem::SOURCE_NOT_FOUND,
            format!(
                "{shown} is not there ({status}): correct spec.source, or give credentials in secretRef if it is private."
            ),
        ),
        _ => Failure::lasting(
            problem::SOURCE_INVALID,
            format!("{shown} answers {status}: correct spec.source."),
        ),
    }
}

fn failed(shown: &str, error: &reqwest::Error) -> Failure {
    let mut cause: Option<&(dyn StdError + 'static)> = Some(error);
    while let Some(at) = cause {
        if let Some(refused) = at.downcast_ref::<Refused>() {
            return refused_address(shown, *refused);
        }
        cause = at.source();
    }
    let text = chain(error);
    if text.contains("certificate") {
        let text = format!(
            "{text}; where an authority of your own signed it, put its certificate into ca.crt of secretRef's Secret, or, for all \
             functions, into sources.caBundle of the chart"
        );
        return Failure::unreachable(shown, text);
    }
    Failure::unreachable(shown, text)
}

fn refused_address(shown: &str, refused: Refused) -> Failure {
    Failure::lasting(problem::SOURCE_INVALID, format!("{shown} cannot be asked for: {refused}."))
}

/// What an error says with all its causes, without the URL, which may hold a secret.
fn chain(error: &reqwest::Error) -> String {
    let mut parts = Vec::new();
    let mut cause = StdError::source(error);
    while let Some(at) = cause {
        parts.push(at.to_string());
        cause = at.source();
    }
    parts.dedup();
    if parts.is_empty() { "the request failed".to_owned() } else { parts.join(": ") }
}
