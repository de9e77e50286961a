//! What a proxy must change in a message on its way: hop-by-hop fields go, `x-forwarded-*` come, in the same header map.
//!
//! hyper has already decided where each message ends, and it writes the framing of the next hop from the body itself; so a
//! message that two parsers could frame differently does not pass: hyper refuses what is ambiguous, drops `content-length`
//! beside `transfer-encoding`, and `transfer-encoding` never goes on from here.

use http::{
    HeaderMap, HeaderName, HeaderValue, Method, Request, Response, Uri, Version,
    header::{self, Entry},
    request::Parts,
};

use crate::connection::Connection;

const X_FORWARDED_FOR: &str = "x-forwarded-for";
const X_FORWARDED_HOST: &str = "x-forwarded-host";
const X_FORWARDED_PROTO: &str = "x-forwarded-proto";
/// Of a request that has not been through [`lent`], which refuses it.
static NO_HOST: HeaderValue = HeaderValue::from_static("");
static HTTP: HeaderValue = HeaderValue::from_static("http");
const KEEP_ALIVE: HeaderName = HeaderName::from_static("keep-alive");
const PROXY_CONNECTION: HeaderName = HeaderName::from_static("proxy-connection");
const HTTP2_SETTINGS: HeaderName = HeaderName::from_static("http2-settings");

/// What kind of exchange a request asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Passage {
    /// A request and its answer.
    Plain,
    /// A request to speak another protocol on the connection (WebSocket): 101 is answered by [`crate::upgrade::tunnel`].
    Upgrade,
}

/// Where the next hop is told who the client is, by `x-forwarded-*`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// In the request's map, after what proxies before us said.
    InMap,
    /// Nobody said anything before: the fields of [`origin()`] go with the request beside its map.
    Beside,
}

/// Why a request is not forwarded. The answer is 400, but for `Connect`: 405.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// HTTP/1.1 wants exactly one `host`.
    #[error("the request has no host, or several")]
    Host,
    /// Tunnels to anywhere are not for a gateway.
    #[error("CONNECT is not served here")]
    Connect,
    /// `content-length` fields that differ.
    #[error("the request has several lengths")]
    Length,
}

/// The authority of a request's target, if it has one.
struct Target(Option<HeaderValue>);

/// Fields that one look over all of them has found.
#[derive(Default)]
struct Found {
    hosts: u8,
    lengths: u8,
    connection: bool,
    keep_alive: bool,
    proxy: bool,
    te: bool,
    transfer_encoding: bool,
    upgrade: bool,
    http2_settings: bool,
    expect: bool,
    forwarded: bool,
}

/// The host that a request is for, as the client wrote it: the target's, or `host`.
#[must_use]
pub fn host<'a>(uri: &'a Uri, headers: &'a HeaderMap) -> Option<&'a str> {
    match uri.authority() {
        Some(authority) => Some(authority.as_str()),
        None => headers.get(header::HOST)?.to_str().ok(),
    }
}

/// Makes a client's request ready for an instance.
///
/// The version becomes that of the next hop: HTTP/2 for gRPC, which needs its trailers and streams, otherwise HTTP/1.1.
///
/// # Errors
///
/// A request that must not go on.
pub fn request<B>(request: &mut Request<B>, connection: &Connection) -> Result<Passage, Refusal> {
    let (target, version) = (Target::of(request.method(), request.uri())?, request.version());
    let headers = request.headers_mut();
    let (passage, told) = clean(headers, target, version, connection)?;
    if told == Origin::Beside {
        for (name, value) in origin(headers, connection).map(|(name, value)| (name, value.clone())) {
            headers.insert(HeaderName::from_static(name), value);
        }
    }
    *request.version_mut() = next_version(request.headers());
    Ok(passage)
}

/// The same for a request that [`crate::Endpoint::lend`] may send: fields that can go beside its map are not put into it.
///
/// # Errors
///
/// A request that must not go on.
pub fn lent(parts: &mut Parts, connection: &Connection) -> Result<(Passage, Origin), Refusal> {
    let target = Target::of(&parts.method, &parts.uri)?;
    let done = clean(&mut parts.headers, target, parts.version, connection)?;
    parts.version = next_version(&parts.headers);
    Ok(done)
}

fn clean(
    headers: &mut HeaderMap,
    target: Target,
    version: Version,
    connection: &Connection,
) -> Result<(Passage, Origin), Refusal> {
    let found = Found::look(headers);
    if found.lengths > 1 {
        return Err(Refusal::Length);
    }
    match (target.0, found.hosts) {
        // The target's authority wins over `host` (RFC 9112, 3.2.2); on HTTP/2 it usually is the only one.
        (Some(authority), _) => {
            headers.insert(header::HOST, authority);
        }
        (None, 1) => {}
        (None, _) => return Err(Refusal::Host),
    }
    let passage = if found.upgrade && version == Version::HTTP_11 && upgrades(headers) {
        Passage::Upgrade
    } else {
        Passage::Plain
    };
    found.remove_from(headers, passage == Passage::Upgrade);
    if !found.forwarded {
        return Ok((passage, Origin::Beside));
    }
    for (name, value) in origin(headers, connection).map(|(name, value)| (name, value.clone())) {
        append(headers, HeaderName::from_static(name), &value);
    }
    Ok((passage, Origin::InMap))
}

fn next_version(headers: &HeaderMap) -> Version {
    if is_grpc(headers) { Version::HTTP_2 } else { Version::HTTP_11 }
}

/// What the next hop is told of the client, of a request that has been through [`lent`].
#[must_use]
pub fn origin<'a>(
    headers: &'a HeaderMap,
    connection: &'a Connection,
) -> [(&'static str, &'a HeaderValue); 3] {
    let host = headers.get(header::HOST).unwrap_or(&NO_HOST);
    [(X_FORWARDED_FOR, connection.forwarded_for()), (X_FORWARDED_HOST, host), (X_FORWARDED_PROTO, &HTTP)]
}

/// Makes an instance's answer ready for the client. `passage` is what [`request()`] said.
pub fn answer<B>(response: &mut Response<B>, passage: Passage) {
    let upgraded = passage == Passage::Upgrade && response.status() == http::StatusCode::SWITCHING_PROTOCOLS;
    // hyper knows what the client speaks.
    *response.version_mut() = Version::HTTP_11;
    let headers = response.headers_mut();
    Found::look(headers).remove_from(headers, upgraded);
}

/// Whether the body is gRPC's.
#[must_use]
pub fn is_grpc(headers: &HeaderMap) -> bool {
    headers.get(header::CONTENT_TYPE).is_some_and(|value| value.as_bytes().starts_with(b"application/grpc"))
}

/// A value after those that proxies before us put there.
fn append(headers: &mut HeaderMap, name: HeaderName, value: &HeaderValue) {
    match headers.entry(name) {
        Entry::Vacant(entry) => {
            entry.insert(value.clone());
        }
        Entry::Occupied(mut entry) => {
            let mut joined = Vec::new();
            for earlier in entry.iter() {
                joined.extend_from_slice(earlier.as_bytes());
                joined.extend_from_slice(b", ");
            }
            joined.extend_from_slice(value.as_bytes());
            if let Ok(joined) = HeaderValue::from_maybe_shared(bytes::Bytes::from(joined)) {
                entry.insert(joined);
            }
        }
    }
}

/// The comma-separated tokens of all fields of a name.
fn tokens<'a>(headers: &'a HeaderMap, name: &HeaderName) -> impl Iterator<Item = &'a str> {
    headers
        .get_all(name)
        .into_iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .map(str::trim)
}

/// Whether the client asks for another protocol. Not for HTTP/2: an instance that agreed would leave us, who stay at
/// HTTP/1.1, blind to what follows on the connection.
fn upgrades(headers: &HeaderMap) -> bool {
    tokens(headers, &header::CONNECTION).any(|token| token.eq_ignore_ascii_case("upgrade"))
        && !tokens(headers, &header::UPGRADE).any(|token| token.to_ascii_lowercase().starts_with("h2c"))
}

// === impl Target ===

impl Target {
    fn of(method: &Method, uri: &Uri) -> Result<Self, Refusal> {
        if method == Method::CONNECT {
            return Err(Refusal::Connect);
        }
        let authority = uri.authority().map(|authority| HeaderValue::from_str(authority.as_str()));
        authority.transpose().map(Self).map_err(|_| Refusal::Host)
    }
}

// === impl Found ===

impl Found {
    fn look(headers: &HeaderMap) -> Self {
        let mut found = Self::default();
        for (name, _) in headers {
            let name = name.as_str();
            // By length first: almost no field is one of these.
            match name.len() {
                2 if name == "te" => found.te = true,
                4 if name == "host" => found.hosts = found.hosts.saturating_add(1),
                6 if name == "expect" => found.expect = true,
                7 if name == "upgrade" => found.upgrade = true,
                10 if name == "connection" => found.connection = true,
                10 if name == "keep-alive" => found.keep_alive = true,
                14 if name == "content-length" => found.lengths = found.lengths.saturating_add(1),
                14 if name == "http2-settings" => found.http2_settings = true,
                15 if name == X_FORWARDED_FOR => found.forwarded = true,
                16 if name == X_FORWARDED_HOST => found.forwarded = true,
                16 if name == "proxy-connection" => found.proxy = true,
                17 if name == X_FORWARDED_PROTO => found.forwarded = true,
                17 if name == "transfer-encoding" => found.transfer_encoding = true,
                18 if name == "proxy-authenticate" => found.proxy = true,
                19 if name == "proxy-authorization" => found.proxy = true,
                _ => {}
            }
        }
        found
    }

    fn remove_from(&self, headers: &mut HeaderMap, upgrade: bool) {
        if self.connection {
            remove_listed(headers);
            headers.remove(header::CONNECTION);
        }
        if self.keep_alive {
            headers.remove(KEEP_ALIVE);
        }
        if self.proxy {
            headers.remove(PROXY_CONNECTION);
            headers.remove(header::PROXY_AUTHORIZATION);
            headers.remove(header::PROXY_AUTHENTICATE);
        }
        if self.transfer_encoding {
            headers.remove(header::TRANSFER_ENCODING);
        }
        if self.http2_settings {
            headers.remove(HTTP2_SETTINGS);
        }
        if self.expect {
            // Whether the next hop is asked is our own decision.
            headers.remove(header::EXPECT);
        }
        if self.te {
            // The only coding that concerns both ends: the client reads trailers.
            if tokens(headers, &header::TE).any(|token| token.eq_ignore_ascii_case("trailers")) {
                headers.insert(header::TE, HeaderValue::from_static("trailers"));
            } else {
                headers.remove(header::TE);
            }
        }
        if upgrade {
            headers.insert(header::CONNECTION, HeaderValue::from_static("upgrade"));
        } else if self.upgrade {
            headers.remove(header::UPGRADE);
        }
    }
}

/// Removes the fields that `connection` names, but not those that say what the message is and who sent it: a client could
/// otherwise make us drop them.
fn remove_listed(headers: &mut HeaderMap) {
    const OURS: [&str; 9] = [
        "close",
        "keep-alive",
        "upgrade",
        "te",
        "host",
        "content-length",
        "content-type",
        "trailer",
        "authorization",
    ];
    if !tokens(headers, &header::CONNECTION)
        .any(|token| !OURS.iter().any(|name| token.eq_ignore_ascii_case(name)))
    {
        return;
    }
    let listed: Vec<HeaderName> = tokens(headers, &header::CONNECTION)
        .filter(|token| !OURS.iter().any(|name| token.eq_ignore_ascii_case(name)))
        .filter_map(|token| HeaderName::from_bytes(token.as_bytes()).ok())
        .collect();
    for name in listed {
        if !name.as_str().starts_with("x-forwarded-") {
            headers.remove(name);
        }
    }
}

#[cfg(test)]
mod tests;
