//! The event of payload format 2.0: HTTP APIs and Function URLs.

use std::borrow::Cow;
use std::collections::BTreeMap;

use http::header::COOKIE;
use http::request::Parts;

use super::{Context, host, is_internal, log_time, protocol, route, source_ip, text, user_agent};
use crate::json::Object;
use crate::paths;

/// The stage of an API that has only one.
const STAGE: &str = "$default";

/// Writes it. Repeated headers and parameters are joined with commas; cookies have a list of their own and leave the headers.
pub(super) fn write(out: &mut Vec<u8>, request: &Parts, body: &[u8], context: Context<'_>) {
    let mut headers: BTreeMap<&str, Cow<'_, str>> = BTreeMap::new();
    let mut cookies = Vec::new();
    for (name, value) in &request.headers {
        // Nearly all values are text, which is known sooner than what would stand for what is none.
        let value = match std::str::from_utf8(value.as_bytes()) {
            Ok(text) => Cow::Borrowed(text),
            Err(_) => String::from_utf8_lossy(value.as_bytes()),
        };
        if name == COOKIE {
            cookies.extend(split_cookies(value));
        } else if !is_internal(name) {
            join(headers.entry(name.as_str()).or_default(), value);
        }
    }
    let mut parameters: BTreeMap<String, String> = BTreeMap::new();
    let raw_query_string = request.uri.query().unwrap_or_default();
    for (name, value) in text::query(raw_query_string) {
        parameters
            .entry(name)
            .and_modify(|joined| {
                joined.push(',');
                joined.push_str(&value);
            })
            .or_insert(value);
    }
    let (body, is_base64_encoded) = text::body(&request.headers, body);
    let (route_key, path_parameters) = match route(request, context) {
        Some(route) => (route.key, route.parameters),
        None => (paths::DEFAULT, BTreeMap::new()),
    };
    Object::write(out, |event| {
        event.text("version", "2.0");
        event.text("routeKey", route_key);
        event.text("rawPath", request.uri.path());
        event.text("rawQueryString", raw_query_string);
        if !cookies.is_empty() {
            event.array("cookies", &cookies);
        }
        event.texts("headers", &headers);
        if !parameters.is_empty() {
            event.texts("queryStringParameters", &parameters);
        }
        if !path_parameters.is_empty() {
            event.texts("pathParameters", &path_parameters);
        }
        event.object("requestContext", |about| request_context(about, request, context, route_key));
        if let Some(body) = &body {
            event.text("body", body);
        }
        event.plain("isBase64Encoded", if is_base64_encoded { "true" } else { "false" });
    });
}

fn request_context(about: &mut Object<'_>, request: &Parts, context: Context<'_>, route_key: &str) {
    let domain_name = host(request);
    about.text("accountId", "anonymous");
    about.text("apiId", context.function);
    about.text("domainName", domain_name);
    about.text("domainPrefix", domain_name.split('.').next().unwrap_or_default());
    about.object("http", |http| {
        http.text("method", request.method.as_str());
        http.text("path", request.uri.path());
        http.text("protocol", protocol(request));
        http.text("sourceIp", source_ip(request));
        http.text("userAgent", user_agent(request));
    });
    about.text("requestId", context.request_id);
    about.text("routeKey", route_key);
    about.text("stage", STAGE);
    about.text("time", &log_time(context.time));
    about.plain("timeEpoch", &context.time.as_millisecond().to_string());
}

fn split_cookies(header: Cow<'_, str>) -> Vec<Cow<'_, str>> {
    match header {
        Cow::Borrowed(text) => {
            text.split(';').map(str::trim).filter(|cookie| !cookie.is_empty()).map(Cow::Borrowed).collect()
        }
        Cow::Owned(text) => text
            .split(';')
            .map(str::trim)
            .filter(|cookie| !cookie.is_empty())
            .map(|cookie| Cow::Owned(cookie.to_owned()))
            .collect(),
    }
}

fn join<'a>(joined: &mut Cow<'a, str>, value: Cow<'a, str>) {
    if joined.is_empty() {
        *joined = value;
    } else {
        let joined = joined.to_mut();
        joined.push(',');
        joined.push_str(&value);
    }
}
