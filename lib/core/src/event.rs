//! HTTP requests as API Gateway events, and functions' answers as HTTP responses: what `lambda` mode puts between the two.
//!
//! A request becomes the event of payload format 2.0 (HTTP APIs, Function URLs) or 1.0 (REST APIs). An answer is read by the
//! Function URL rules whatever the format was: an object with a `statusCode` is a response, any other JSON is the body
//! of a 200. Everything here is pure: the time and the caller's address come in as parameters.

mod answer;
mod text;
mod v1;
mod v2;

use std::collections::BTreeMap;

use http::request::Parts;

use crate::{paths, wire::ROUTE_HEADER};

pub use self::answer::{Malformed, Reply, head_from_prelude, response_from_payload};

/// The shape of the event.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Format {
    /// API Gateway payload format 1.0 (REST APIs).
    V1,
    /// API Gateway payload format 2.0 (HTTP APIs, Function URLs).
    #[default]
    V2,
}

/// What the event says beside the request itself.
#[derive(Clone, Copy, Debug)]
pub struct Context<'a> {
    /// The invocation's id.
    pub request_id: &'a str,
    /// The function's name; it stands where an API's id does.
    pub function: &'a str,
    /// When the request came.
    pub time: jiff::Timestamp,
    /// The name of the route that leads here, where the request itself names none.
    pub route: Option<&'a str>,
}

/// Room for the event of a request with a dozen headers, in bytes: to grow from nothing would copy it three times.
const USUAL_EVENT: usize = 2048;

/// The event of an HTTP request, as JSON bytes.
///
/// # Errors
/// Only when the serializer fails, which it does not on these types.
pub fn event_from_request(
    format: Format,
    request: &Parts,
    body: &[u8],
    context: Context<'_>,
) -> Result<Vec<u8>, serde_json::Error> {
    let mut event = Vec::with_capacity(USUAL_EVENT + body.len());
    match format {
        Format::V1 => serde_json::to_writer(&mut event, &v1::event(request, body, context))?,
        Format::V2 => v2::write(&mut event, request, body, context),
    }
    Ok(event)
}

/// The address that the gateway saw: the last of `x-forwarded-for`. The ones before it are what the client claims, and a
/// function may decide by this field.
fn source_ip(request: &Parts) -> &str {
    let forwarded = request.headers.get_all("x-forwarded-for").iter().next_back();
    let list = forwarded.and_then(|value| value.to_str().ok()).unwrap_or_default();
    list.rsplit(',').next().map_or("", str::trim)
}

fn host(request: &Parts) -> &str {
    let named = request.headers.get(http::header::HOST).and_then(|value| value.to_str().ok());
    named.or_else(|| request.uri.authority().map(http::uri::Authority::as_str)).unwrap_or_default()
}

fn user_agent(request: &Parts) -> &str {
    request.headers.get(http::header::USER_AGENT).and_then(|value| value.to_str().ok()).unwrap_or_default()
}

/// The route that led here: its name, its pattern, and the path's parameters. None for a function's own address.
struct Route<'a> {
    key: &'a str,
    pattern: &'a str,
    parameters: BTreeMap<String, String>,
}

fn route<'a>(request: &'a Parts, context: Context<'a>) -> Option<Route<'a>> {
    let named = request.headers.get(ROUTE_HEADER).and_then(|key| std::str::from_utf8(key.as_bytes()).ok());
    let key = named.or(context.route)?;
    let pattern = paths::pattern_of(key);
    let parsed = paths::Pattern::parse(pattern).ok()?;
    let parameters = parsed.parameters(request.uri.path())?;
    let parameters = parameters.into_iter().map(|(name, value)| (name.to_owned(), value.into_owned()));
    Some(Route { key, pattern, parameters: parameters.collect() })
}

/// What the client spoke to the gateway is not known here; functions only ever see these two.
fn protocol(request: &Parts) -> &'static str {
    if request.version == http::Version::HTTP_2 { "HTTP/2.0" } else { "HTTP/1.1" }
}

/// Common Log Format, as API Gateway writes it: `12/Mar/2020:19:03:58 +0000`.
fn log_time(time: jiff::Timestamp) -> String {
    const MONTHS: [&str; 12] =
        ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
    let time = jiff::tz::Offset::UTC.to_datetime(time);
    let mut text = String::with_capacity("12/Mar/2020:19:03:58 +0000".len());
    let two = |text: &mut String, number: i8| {
        let number = number.unsigned_abs();
        text.push(char::from(b'0' + number / 10 % 10));
        text.push(char::from(b'0' + number % 10));
    };
    two(&mut text, time.day());
    text.push('/');
    text.push_str(MONTHS[usize::from(time.month().unsigned_abs() - 1) % MONTHS.len()]);
    text.push('/');
    // From -9999 to 9999, of which the clock shows those of this age.
    for hundreds in [time.year() / 100, time.year() % 100] {
        two(&mut text, i8::try_from(hundreds).unwrap_or_default());
    }
    for part in [time.hour(), time.minute(), time.second()] {
        text.push(':');
        two(&mut text, part);
    }
    text.push_str(" +0000");
    text
}

/// Flint's own headers steer the watchdog and are no part of the request.
fn is_internal(name: &http::HeaderName) -> bool {
    name.as_str().starts_with("x-flint-")
}

#[cfg(test)]
mod tests;
