//! AWS Signature Version 4, the receiving side: whether a request was signed with a secret that we know.
//!
//! A client signs its method, path, query, some of its fields and the digest of its body under a key that is derived from its
//! secret, the day, the region and the service. <https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv-create-signed-request.html>
//! says how; the tests are that project's own vectors. Only the `Authorization` field is read: a signature in a query is for links,
//! and nobody invokes by a link.

use std::fmt::Write as _;

use hmac::{Hmac, KeyInit, Mac};
use http::{HeaderMap, HeaderName, Method};
use jiff::{SignedDuration, Timestamp, civil::DateTime, tz::TimeZone};
use sha2::{Digest, Sha256};

use crate::route;

/// How far a client's clock may be from ours, either way: what AWS allows.
pub const LARGEST_SKEW: SignedDuration = SignedDuration::from_mins(5);

const ALGORITHM: &str = "AWS4-HMAC-SHA256";
const DATE: HeaderName = HeaderName::from_static("x-amz-date");
const CONTENT_DIGEST: HeaderName = HeaderName::from_static("x-amz-content-sha256");
/// The client leaves its body out of the signature.
const UNSIGNED_PAYLOAD: &str = "UNSIGNED-PAYLOAD";
/// Fields of AWS's own mean something to the receiver, so none may be slipped in unsigned. `x-amzn-…`, which proxies add, are others.
const OWN_PREFIX: &str = "x-amz-";

/// What a request says of who signed it. Nothing of it is true until [`Claim::verify`] says so.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Claim<'a> {
    /// The access key's id.
    pub key_id: &'a str,
    /// `YYYYMMDDTHHMMSSZ`.
    time: &'a str,
    /// `YYYYMMDD/REGION/SERVICE/aws4_request`.
    scope: &'a str,
    /// Names of the signed fields, lower-case and sorted, as the client wrote them.
    signed: &'a str,
    signature: &'a str,
}

/// Why a request is not believed. The words are for its client; none tells anything of a secret.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Denial {
    /// There is no signature.
    #[error(
        "Missing Authentication Token: sign the request (Signature Version 4) with a key that this gateway knows"
    )]
    Missing,
    /// There is one that cannot be read, or that leaves out what it must cover.
    #[error("{0}")]
    Incomplete(String),
    /// Nobody knows the access key.
    #[error("The security token included in the request is invalid.")]
    UnknownKey,
    /// It was signed too long ago, or will be.
    #[error("Signature expired or not yet current: {signed} is more than 5 minutes from {now}")]
    Skewed {
        /// When it says that it was signed.
        signed: String,
        /// What time it is here.
        now: Timestamp,
    },
    /// The body is not the one whose digest was signed.
    #[error("The provided 'x-amz-content-sha256' header does not match what was computed.")]
    Body,
    /// It is not what the secret's owner would have signed.
    #[error(
        "The request signature we calculated does not match the signature you provided. Check your AWS Secret Access Key and \
         signing method, and that nothing between changes the host, the path or signed headers."
    )]
    Mismatch,
}

/// What is signed of a request.
#[derive(Clone, Copy, Debug)]
pub struct Request<'a> {
    /// The method.
    pub method: &'a Method,
    /// The path as it came, percent-encoding and all.
    pub path: &'a str,
    /// The query as it came, without its question mark.
    pub query: &'a str,
    /// The fields, `host` among them.
    pub headers: &'a HeaderMap,
}

// === impl Claim ===

impl<'a> Claim<'a> {
    /// Reads the claim of a request to `service`, as of `now`. This much needs neither secret nor body.
    ///
    /// # Errors
    /// When there is none, or none that a secret could make good.
    pub fn read(headers: &'a HeaderMap, service: &str, now: Timestamp) -> Result<Self, Denial> {
        let given = headers.get(http::header::AUTHORIZATION).ok_or(Denial::Missing)?;
        let given = given.to_str().map_err(|_| incomplete("the Authorization header is not text"))?;
        let fields = given.strip_prefix(ALGORITHM).filter(|rest| rest.starts_with([' ', '\t']));
        let fields = fields.ok_or_else(|| {
            incomplete("the Authorization header must begin with AWS4-HMAC-SHA256 (Signature Version 4)")
        })?;
        let field = |name: &str| {
            let mut fields = fields.split(',').map(str::trim);
            let found = fields.find_map(|field| field.strip_prefix(name)?.strip_prefix('='));
            found.ok_or_else(|| incomplete(&format!("Authorization header requires '{name}' parameter.")))
        };
        let (key_id, scope) = field("Credential")?
            .split_once('/')
            .ok_or_else(|| incomplete("Credential must be KEY/DATE/REGION/SERVICE/aws4_request"))?;
        let time = headers.get(DATE).and_then(|value| value.to_str().ok());
        let time = time.ok_or_else(|| incomplete("the request has no X-Amz-Date header"))?;
        let claim =
            Self { key_id, time, scope, signed: field("SignedHeaders")?, signature: field("Signature")? };
        claim.check(headers, service, now)?;
        Ok(claim)
    }

    fn check(&self, headers: &HeaderMap, service: &str, now: Timestamp) -> Result<(), Denial> {
        let scope: Vec<_> = self.scope.split('/').collect();
        let [day, _, for_service, "aws4_request"] = scope.as_slice() else {
            return Err(incomplete("Credential must be KEY/DATE/REGION/SERVICE/aws4_request"));
        };
        if *for_service != service {
            return Err(incomplete(&format!("Credential should be scoped to correct service: '{service}'.")));
        }
        if !self.time.starts_with(*day) {
            return Err(incomplete("the date in Credential is not that of X-Amz-Date"));
        }
        let unreadable = |_| incomplete("X-Amz-Date must be YYYYMMDDTHHMMSSZ");
        let signed = DateTime::strptime("%Y%m%dT%H%M%SZ", self.time).map_err(unreadable)?;
        let signed = TimeZone::UTC.to_timestamp(signed).map_err(unreadable)?;
        if now.duration_since(signed).abs() > LARGEST_SKEW {
            return Err(Denial::Skewed { signed: self.time.to_owned(), now });
        }
        let covers = |name: &str| self.signed.split(';').any(|signed| signed == name);
        let forgotten = headers
            .keys()
            .map(HeaderName::as_str)
            .filter(|name| name.starts_with(OWN_PREFIX))
            .chain(["host"])
            .find(|name| !covers(name));
        match forgotten {
            Some(name) => {
                Err(incomplete(&format!("'{name}' must be a 'SignedHeader' in the Authorization header.")))
            }
            None => Ok(()),
        }
    }

    /// Whether the request with that body was signed with `secret`.
    ///
    /// # Errors
    /// When it was not.
    pub fn verify(&self, secret: &str, request: Request<'_>, body: &[u8]) -> Result<(), Denial> {
        let digest = match request.headers.get(CONTENT_DIGEST).map(|value| value.to_str()) {
            None => sha256(body),
            Some(Ok(UNSIGNED_PAYLOAD)) => UNSIGNED_PAYLOAD.to_owned(),
            Some(Ok(streamed)) if streamed.starts_with("STREAMING-") => {
                return Err(incomplete("a body that is signed in chunks is not read here: sign it whole"));
            }
            Some(Ok(said)) if said.eq_ignore_ascii_case(&sha256(body)) => said.to_owned(),
            Some(_) => return Err(Denial::Body),
        };
        let canonical = sha256(self.canonical(request, &digest).as_bytes());
        let text = format!("{ALGORITHM}\n{}\n{}\n{canonical}", self.time, self.scope);
        // KEY = HMAC(HMAC(HMAC(HMAC("AWS4" secret, day), region), service), "aws4_request")
        let first = format!("AWS4{secret}").into_bytes();
        let key =
            self.scope.split('/').fold(first, |key, part| mac(&key, part).finalize().into_bytes().to_vec());
        let signature = hex::decode(self.signature).map_err(|_| Denial::Mismatch)?;
        // Compares in constant time.
        mac(&key, &text).verify_slice(&signature).map_err(|_| Denial::Mismatch)
    }

    /// The one way to write the request down that both sides know.
    fn canonical(&self, request: Request<'_>, digest: &str) -> String {
        let mut text = format!("{}\n", request.method);
        // What the path has encoded already is encoded once more, for every service but S3.
        encode(request.path.as_bytes(), "/", &mut text);
        text.push('\n');
        let mut pairs: Vec<_> = request
            .query
            .split('&')
            .filter(|pair| !pair.is_empty())
            .map(|pair| {
                let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
                let encoded = |part| {
                    let mut text = String::new();
                    encode(route::decode(part).as_bytes(), "", &mut text);
                    text
                };
                (encoded(name), encoded(value))
            })
            .collect();
        pairs.sort_unstable();
        for (index, (name, value)) in pairs.iter().enumerate() {
            let between = if index == 0 { "" } else { "&" };
            let _ = write!(text, "{between}{name}={value}");
        }
        text.push('\n');
        for name in self.signed.split(';') {
            let values: Vec<_> =
                request.headers.get_all(name).iter().map(|value| trimmed(value.as_bytes())).collect();
            let _ = writeln!(text, "{name}:{}", values.join(","));
        }
        let _ = write!(text, "\n{}\n{digest}", self.signed);
        text
    }
}

fn incomplete(message: &str) -> Denial {
    Denial::Incomplete(message.to_owned())
}

/// Spaces at the ends go, and of several in a row one stays.
fn trimmed(value: &[u8]) -> String {
    let text = String::from_utf8_lossy(value);
    text.split([' ', '\t']).filter(|word| !word.is_empty()).collect::<Vec<_>>().join(" ")
}

/// Percent-encodes all but RFC 3986's unreserved characters and those in `kept`.
fn encode(bytes: &[u8], kept: &str, into: &mut String) {
    for &byte in bytes {
        let letter = char::from(byte);
        if byte.is_ascii_alphanumeric() || "-_.~".contains(letter) || kept.contains(letter) {
            into.push(letter);
        } else {
            let _ = write!(into, "%{byte:02X}");
        }
    }
}

fn sha256(bytes: &[u8]) -> String {
    hex::encode(Sha256::digest(bytes))
}

fn mac(key: &[u8], text: &str) -> Hmac<Sha256> {
    // HMAC takes keys of any length, so this cannot fail.
    let mut mac =
        Hmac::<Sha256>::new_from_slice(key).unwrap_or_else(|_| unreachable!("HMAC takes keys of any length"));
    mac.update(text.as_bytes());
    mac
}

#[cfg(test)]
mod tests;
