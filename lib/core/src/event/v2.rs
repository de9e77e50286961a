//! The event of payload format 2.0: HTTP APIs and Function URLs.

use std::borrow::Cow;
use std::collections::BTreeMap;

use http::header::COOKIE;
use http::request::Parts;
use serde::Serialize;

use super::{Context, host, is_internal, log_time, protocol, route, source_ip, text, user_agent};
use crate::paths;

/// The stage of an API that has only one.
const STAGE: &str = "$default";

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Event<'a> {
    version: &'static str,
    route_key: &'a str,
    raw_path: &'a str,
    raw_query_string: &'a str,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    cookies: Vec<Cow<'a, str>>,
    headers: BTreeMap<&'a str, Cow<'a, str>>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    query_string_parameters: BTreeMap<String, String>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    path_parameters: BTreeMap<String, String>,
    request_context: RequestContext<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    body: Option<Cow<'a, str>>,
    is_base64_encoded: bool,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct RequestContext<'a> {
    account_id: &'static str,
    api_id: &'a str,
    domain_name: &'a str,
    domain_prefix: &'a str,
    http: Http<'a>,
    request_id: &'a str,
    route_key: &'a str,
    stage: &'static str,
    time: String,
    time_epoch: i64,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Http<'a> {
    method: &'a str,
    path: &'a str,
    protocol: &'static str,
    source_ip: &'a str,
    user_agent: &'a str,
}

/// Repeated headers and parameters are joined with commas; cookies have a list of their own and leave the headers.
pub(super) fn event<'a>(request: &'a Parts, body: &'a [u8], context: Context<'a>) -> Event<'a> {
    let mut headers: BTreeMap<&str, Cow<'_, str>> = BTreeMap::new();
    let mut cookies = Vec::new();
    for (name, value) in &request.headers {
        let value = String::from_utf8_lossy(value.as_bytes());
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
    let domain_name = host(request);
    Event {
        version: "2.0",
        route_key,
        raw_path: request.uri.path(),
        raw_query_string,
        cookies,
        headers,
        query_string_parameters: parameters,
        path_parameters,
        request_context: RequestContext {
            account_id: "anonymous",
            api_id: context.function,
            domain_name,
            domain_prefix: domain_name.split('.').next().unwrap_or_default(),
            http: Http {
                method: request.method.as_str(),
                path: request.uri.path(),
                protocol: protocol(request),
                source_ip: source_ip(request),
                user_agent: user_agent(request),
            },
            request_id: context.request_id,
            route_key,
            stage: STAGE,
            time: log_time(context.time),
            time_epoch: context.time.as_millisecond(),
        },
        body,
        is_base64_encoded,
    }
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
