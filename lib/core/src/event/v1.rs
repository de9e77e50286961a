//! The event of payload format 1.0: REST APIs.

use std::borrow::Cow;
use std::collections::BTreeMap;

use http::request::Parts;
use serde::Serialize;

use super::{Context, host, is_internal, log_time, protocol, route, source_ip, text, user_agent};

/// The resource that catches every path, and the stage of an API that has only one.
const RESOURCE: &str = "/{proxy+}";
const STAGE: &str = "$default";

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Event<'a> {
    version: &'static str,
    resource: &'a str,
    path: &'a str,
    http_method: &'a str,
    headers: BTreeMap<String, Cow<'a, str>>,
    multi_value_headers: BTreeMap<String, Vec<Cow<'a, str>>>,
    query_string_parameters: Option<BTreeMap<String, String>>,
    multi_value_query_string_parameters: Option<BTreeMap<String, Vec<String>>>,
    path_parameters: Option<BTreeMap<String, String>>,
    stage_variables: Option<BTreeMap<String, String>>,
    request_context: RequestContext<'a>,
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
    extended_request_id: &'a str,
    http_method: &'a str,
    identity: Identity<'a>,
    path: &'a str,
    protocol: &'static str,
    request_id: &'a str,
    request_time: String,
    request_time_epoch: i64,
    resource_id: &'static str,
    resource_path: &'a str,
    stage: &'static str,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Identity<'a> {
    source_ip: &'a str,
    user_agent: &'a str,
}

/// The single maps hold the last of several values, the multi maps all of them. Header names are written `Like-This`:
/// functions written for REST APIs look them up so.
pub(super) fn event<'a>(request: &'a Parts, body: &'a [u8], context: Context<'a>) -> Event<'a> {
    let mut multi_headers: BTreeMap<String, Vec<Cow<'_, str>>> = BTreeMap::new();
    for (name, value) in request.headers.iter().filter(|(name, _)| !is_internal(name)) {
        multi_headers
            .entry(capitalized(name.as_str()))
            .or_default()
            .push(String::from_utf8_lossy(value.as_bytes()));
    }
    let mut multi_parameters: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for (name, value) in text::query(request.uri.query().unwrap_or_default()) {
        multi_parameters.entry(name).or_default().push(value);
    }
    let (body, is_base64_encoded) = text::body(&request.headers, body);
    let path = request.uri.path();
    let (resource, path_parameters) = match route(request, context) {
        Some(route) => (route.pattern, route.parameters),
        None => (RESOURCE, proxy(path)),
    };
    let domain_name = host(request);
    Event {
        version: "1.0",
        resource,
        path,
        http_method: request.method.as_str(),
        headers: last_of_each(&multi_headers),
        query_string_parameters: some_if_any(last_of_each(&multi_parameters)),
        multi_value_query_string_parameters: some_if_any(multi_parameters),
        multi_value_headers: multi_headers,
        path_parameters: some_if_any(path_parameters),
        stage_variables: None,
        request_context: RequestContext {
            account_id: "anonymous",
            api_id: context.function,
            domain_name,
            domain_prefix: domain_name.split('.').next().unwrap_or_default(),
            extended_request_id: context.request_id,
            http_method: request.method.as_str(),
            identity: Identity { source_ip: source_ip(request), user_agent: user_agent(request) },
            path,
            protocol: protocol(request),
            request_id: context.request_id,
            request_time: log_time(context.time),
            request_time_epoch: context.time.as_millisecond(),
            resource_id: "proxy",
            resource_path: resource,
            stage: STAGE,
        },
        body,
        is_base64_encoded,
    }
}

/// The parameter of the resource that catches every path.
fn proxy(path: &str) -> BTreeMap<String, String> {
    let proxy = path.trim_start_matches('/');
    if proxy.is_empty() { BTreeMap::new() } else { BTreeMap::from([("proxy".to_owned(), proxy.to_owned())]) }
}

fn last_of_each<V: Clone>(multi: &BTreeMap<String, Vec<V>>) -> BTreeMap<String, V> {
    multi.iter().filter_map(|(name, values)| Some((name.clone(), values.last()?.clone()))).collect()
}

fn some_if_any<V>(map: BTreeMap<String, V>) -> Option<BTreeMap<String, V>> {
    (!map.is_empty()).then_some(map)
}

fn capitalized(name: &str) -> String {
    let mut at_start = true;
    name.chars()
        .map(|letter| {
            let shown = if at_start { letter.to_ascii_uppercase() } else { letter };
            at_start = letter == '-';
            shown
        })
        .collect()
}
