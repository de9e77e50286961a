//! A request's target and headers as the wire to the instance needs them.

use std::{net::SocketAddr, sync::Arc};

use http::{
    HeaderValue, Request, StatusCode, Uri, header,
    uri::{Authority, Parts, PathAndQuery, Scheme},
};

use crate::{body::Body, gate::Gate};

/// Path and query only, as an origin server expects them on HTTP/1.1.
pub(crate) fn origin_form(request: &mut Request<Body>) {
    if request.uri().authority().is_none() {
        return;
    }
    let path = std::mem::take(request.uri_mut()).into_parts().path_and_query;
    *request.uri_mut() = Uri::from(path.unwrap_or_else(|| PathAndQuery::from_static("/")));
}

/// Scheme and authority too, from which HTTP/2 makes its pseudo-headers; `host` becomes one of them.
pub(crate) fn absolute_form(request: &mut Request<Body>, address: SocketAddr) {
    let host = request.headers_mut().remove(header::HOST);
    let mut parts = Parts::default();
    parts.path_and_query = std::mem::take(request.uri_mut()).into_parts().path_and_query;
    if parts.path_and_query.is_none() {
        parts.path_and_query = Some(PathAndQuery::from_static("/"));
    }
    parts.scheme = Some(Scheme::HTTP);
    parts.authority = host
        .and_then(|host| Authority::try_from(host.as_bytes()).ok())
        .or_else(|| Authority::try_from(address.to_string()).ok());
    *request.uri_mut() = Uri::from_parts(parts).unwrap_or_default();
}

/// Asks the instance to say when it wants the body, and opens the gate when it does.
pub(crate) fn expect_continue(request: &mut Request<Body>, gate: &Arc<Gate>) {
    request.headers_mut().insert(header::EXPECT, HeaderValue::from_static("100-continue"));
    let gate = Arc::clone(gate);
    hyper::ext::on_informational(request, move |answer| {
        if answer.status() == StatusCode::CONTINUE {
            gate.open();
        }
    });
}
