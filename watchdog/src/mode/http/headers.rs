//! Headers between gateway and server: what belongs to one connection stays there.

use http::header::{CONNECTION, CONTENT_TYPE, EXPECT, HOST, HeaderName, TE, TRANSFER_ENCODING, UPGRADE};
use http::{HeaderMap, HeaderValue, Request, Version};

use flint_core::wire;

/// Headers that are about one connection, whatever `connection` says.
const HOP_BY_HOP: [HeaderName; 4] = [
    TRANSFER_ENCODING,
    UPGRADE,
    HeaderName::from_static("keep-alive"),
    HeaderName::from_static("proxy-connection"),
];

/// What the client wants to speak after an upgrade (RFC 9110, 7.8), if it wants one.
pub(super) fn upgrade(headers: &HeaderMap) -> Option<HeaderValue> {
    let asked = headers.get_all(CONNECTION).iter().any(|value| has_token(value, "upgrade"));
    headers.get(UPGRADE).filter(|_| asked).cloned()
}

pub(super) fn is_grpc(headers: &HeaderMap) -> bool {
    headers.get(CONTENT_TYPE).is_some_and(|value| value.as_bytes().starts_with(b"application/grpc"))
        && headers
            .get(CONTENT_TYPE)
            .is_some_and(|value| !value.as_bytes().starts_with(b"application/grpc-web"))
}

/// Prepares a request for the server.
pub(super) fn to_server<B>(request: &mut Request<B>, upgrade: Option<&HeaderValue>) {
    if !request.headers().contains_key(HOST)
        && let Some(host) =
            request.uri().authority().and_then(|host| HeaderValue::from_str(host.as_str()).ok())
    {
        request.headers_mut().insert(HOST, host);
    }
    *request.version_mut() = Version::HTTP_11;
    let headers = request.headers_mut();
    // The body is asked for by reading it; the server is not to be asked again.
    headers.remove(EXPECT);
    for name in [wire::TIMEOUT_HEADER, wire::INVOKE_HEADER, wire::EVENT_FORMAT_HEADER] {
        headers.remove(name);
    }
    let wants_trailers = headers.get_all(TE).iter().any(|value| has_token(value, "trailers"));
    remove_hop_by_hop(headers);
    headers.remove(TE);
    if wants_trailers {
        headers.insert(TE, HeaderValue::from_static("trailers"));
    }
    set_upgrade(headers, upgrade);
}

/// Prepares the server's headers for the gateway.
pub(super) fn to_client(headers: &mut HeaderMap, upgrade: Option<&HeaderValue>) {
    let agreed = headers.get(UPGRADE).cloned();
    remove_hop_by_hop(headers);
    headers.remove(wire::ERROR_HEADER);
    set_upgrade(headers, upgrade.map(|asked| agreed.as_ref().unwrap_or(asked)));
}

fn set_upgrade(headers: &mut HeaderMap, upgrade: Option<&HeaderValue>) {
    if let Some(upgrade) = upgrade {
        headers.insert(CONNECTION, HeaderValue::from_static("upgrade"));
        headers.insert(UPGRADE, upgrade.clone());
    }
}

fn remove_hop_by_hop(headers: &mut HeaderMap) {
    if headers.contains_key(CONNECTION) {
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
    for name in &HOP_BY_HOP {
        headers.remove(name);
    }
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
        to_server(&mut request, None);
        let names: Vec<_> = request.headers().keys().map(HeaderName::as_str).collect();
        assert_eq!(names, ["host", "x-request-id", "te"]);
        assert_eq!(request.headers()["te"], "trailers");
    }

    #[test]
    fn an_upgrade_passes_both_ways() {
        let mut request = request(&[("connection", "keep-alive, Upgrade"), ("upgrade", "websocket")]);
        let wanted = upgrade(request.headers());
        assert_eq!(wanted.as_ref().unwrap(), "websocket");
        to_server(&mut request, wanted.as_ref());
        assert_eq!(request.headers()["upgrade"], "websocket");
        assert_eq!(request.headers()["connection"], "upgrade");
    }

    #[test]
    fn an_upgrade_header_that_connection_does_not_name_asks_for_nothing() {
        assert_eq!(upgrade(request(&[("upgrade", "h2c")]).headers()), None);
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
        let is = |content_type| is_grpc(request(&[("content-type", content_type)]).headers());
        assert!(is("application/grpc") && is("application/grpc+proto"));
        assert!(!is("application/grpc-web+proto") && !is("application/json"));
    }
}
