//! Headers between gateway and server: what belongs to one connection stays there.

use http::header::{CONNECTION, EXPECT, HOST, HeaderName, TE, TRANSFER_ENCODING, UPGRADE};
use http::{HeaderMap, HeaderValue, Request, Version};

use flint_core::wire;

/// Headers that are about one connection, whatever `connection` says.
const HOP_BY_HOP: [HeaderName; 4] = [
    TRANSFER_ENCODING,
    UPGRADE,
    HeaderName::from_static("keep-alive"),
    HeaderName::from_static("proxy-connection"),
];

static TIMEOUT: HeaderName = HeaderName::from_static(wire::TIMEOUT_HEADER);

/// What one look over all fields has found: each question to the map would cost a hash, and nearly every answer is no.
#[derive(Default)]
struct Found {
    host: bool,
    connection: bool,
    hop_by_hop: bool,
    upgrade: bool,
    te: bool,
    expect: bool,
    /// Flint's own, which the function is not to see: what every request has, and what few have.
    timeout: bool,
    flints: bool,
    error: bool,
    grpc: bool,
}

/// Prepares a request for the server, and tells what the client wants to speak after an upgrade (RFC 9110, 7.8), if it wants one.
pub(super) fn to_server<B>(request: &mut Request<B>) -> Option<HeaderValue> {
    let found = Found::look(request.headers());
    if !found.host
        && let Some(host) =
            request.uri().authority().and_then(|host| HeaderValue::from_str(host.as_str()).ok())
    {
        request.headers_mut().insert(HOST, host);
    }
    *request.version_mut() = if found.grpc { Version::HTTP_2 } else { Version::HTTP_11 };
    let headers = request.headers_mut();
    let upgrade = found.asked_upgrade(headers);
    if found.expect {
        // The body is asked for by reading it; the server is not to be asked again.
        headers.remove(EXPECT);
    }
    if found.timeout {
        headers.remove(&TIMEOUT);
    }
    if found.flints {
        headers.remove(wire::INVOKE_HEADER);
        headers.remove(wire::EVENT_FORMAT_HEADER);
    }
    let wants_trailers = found.te && headers.get_all(TE).iter().any(|value| has_token(value, "trailers"));
    found.remove_hop_by_hop(headers);
    if found.te {
        headers.remove(TE);
    }
    if wants_trailers {
        headers.insert(TE, HeaderValue::from_static("trailers"));
    }
    set_upgrade(headers, upgrade.as_ref());
    upgrade
}

/// Prepares the server's headers for the gateway.
pub(super) fn to_client(headers: &mut HeaderMap, upgrade: Option<&HeaderValue>) {
    let found = Found::look(headers);
    let agreed = if found.upgrade { headers.get(UPGRADE).cloned() } else { None };
    found.remove_hop_by_hop(headers);
    if found.error {
        headers.remove(wire::ERROR_HEADER);
    }
    set_upgrade(headers, upgrade.map(|asked| agreed.as_ref().unwrap_or(asked)));
}

fn set_upgrade(headers: &mut HeaderMap, upgrade: Option<&HeaderValue>) {
    if let Some(upgrade) = upgrade {
        headers.insert(CONNECTION, HeaderValue::from_static("upgrade"));
        headers.insert(UPGRADE, upgrade.clone());
    }
}

// === impl Found ===

impl Found {
    fn look(headers: &HeaderMap) -> Self {
        let mut found = Self::default();
        for (name, value) in headers {
            match name.as_str() {
                "host" => found.host = true,
                "connection" => found.connection = true,
                "keep-alive" | "proxy-connection" | "transfer-encoding" => found.hop_by_hop = true,
                "upgrade" => (found.hop_by_hop, found.upgrade) = (true, true),
                "te" => found.te = true,
                "expect" => found.expect = true,
                "content-type" => found.grpc |= is_grpc(value),
                wire::TIMEOUT_HEADER => found.timeout = true,
                wire::INVOKE_HEADER | wire::EVENT_FORMAT_HEADER => found.flints = true,
                wire::ERROR_HEADER => found.error = true,
                _ => {}
            }
        }
        found
    }

    fn asked_upgrade(&self, headers: &HeaderMap) -> Option<HeaderValue> {
        if !self.upgrade || !self.connection {
            return None;
        }
        let asked = headers.get_all(CONNECTION).iter().any(|value| has_token(value, "upgrade"));
        headers.get(UPGRADE).filter(|_| asked).cloned()
    }

    fn remove_hop_by_hop(&self, headers: &mut HeaderMap) {
        if self.connection {
            let named: Vec<HeaderName> = headers
                .get_all(CONNECTION)
                .iter()
                .filter_map(|value| value.to_str().ok())
                .flat_map(|value| value.split(','))
                .filter_map(|name| HeaderName::from_bytes(name.trim().as_bytes()).ok())
                .collect();
            for name in named {
                headers.remove(name);
            }
            headers.remove(CONNECTION);
        }
        if self.hop_by_hop {
            for name in &HOP_BY_HOP {
                headers.remove(name);
            }
        }
    }
}

fn is_grpc(content_type: &HeaderValue) -> bool {
    let content_type = content_type.as_bytes();
    content_type.starts_with(b"application/grpc") && !content_type.starts_with(b"application/grpc-web")
}

fn has_token(value: &HeaderValue, token: &str) -> bool {
    value.to_str().is_ok_and(|list| list.split(',').any(|item| item.trim().eq_ignore_ascii_case(token)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(headers: &[(&str, &str)]) -> Request<()> {
        let mut request = Request::builder().uri("/path");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        request.body(()).unwrap()
    }

    #[test]
    fn what_belongs_to_the_connection_and_to_flint_does_not_pass() {
        let mut request = request(&[
            ("host", "h"),
            ("connection", "close, x-private"),
            ("x-private", "1"),
            ("keep-alive", "timeout=5"),
            ("transfer-encoding", "chunked"),
            ("expect", "100-continue"),
            ("te", "gzip, trailers"),
            ("x-flint-timeout-ms", "100"),
            ("x-request-id", "id"),
        ]);
        assert_eq!(to_server(&mut request), None);
        let names: Vec<_> = request.headers().keys().map(HeaderName::as_str).collect();
        assert_eq!(names, ["host", "x-request-id", "te"]);
        assert_eq!(request.headers()["te"], "trailers");
    }

    #[test]
    fn an_upgrade_passes_both_ways() {
        let mut request = request(&[("connection", "keep-alive, Upgrade"), ("upgrade", "websocket")]);
        assert_eq!(to_server(&mut request).unwrap(), "websocket");
        assert_eq!(request.headers()["upgrade"], "websocket");
        assert_eq!(request.headers()["connection"], "upgrade");
    }

    #[test]
    fn an_upgrade_header_that_connection_does_not_name_asks_for_nothing() {
        let mut request = request(&[("upgrade", "h2c")]);
        assert_eq!(to_server(&mut request), None);
        assert!(request.headers().is_empty());
    }

    #[test]
    fn a_function_cannot_speak_for_flint() {
        let mut headers = HeaderMap::new();
        headers.insert("x-flint-error", "too_many_requests".parse().unwrap());
        headers.insert("connection", "close".parse().unwrap());
        to_client(&mut headers, None);
        assert!(headers.is_empty());
    }

    #[test]
    fn grpc_is_told_by_its_content_type_and_grpc_web_is_none() {
        let is = |content_type| {
            let mut request = request(&[("content-type", content_type)]);
            to_server(&mut request);
            request.version() == Version::HTTP_2
        };
        assert!(is("application/grpc") && is("application/grpc+proto"));
        assert!(!is("application/grpc-web+proto") && !is("application/json"));
    }
}
