//! The page: the last events with replay, logs, instances; on a loopback port of its own beside the gateway's.
//!
//! Another site in the same browser must not reach it. A name that resolves to this machine (DNS rebinding) does not pass as `Host`;
//! a request from another origin has that `Origin`, or lacks the header that only a script of the page can set.

use std::{
    convert::Infallible,
    net::{Ipv4Addr, SocketAddr},
    sync::Arc,
    time::Duration,
};

use axum::{
    Json, Router,
    extract::{DefaultBodyLimit, Path, Request, State},
    http::{HeaderMap, HeaderValue, StatusCode, header},
    middleware::{self, Next},
    response::{
        Html, IntoResponse, Response,
        sse::{Event as Sent, KeepAlive, Sse},
    },
    routing::{get, post},
};
use bytes::Bytes;
use flint_local::{Answer, Error, Event, Events, Key, Told};
use futures::{StreamExt as _, stream};
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::{net::TcpListener, sync::watch};
use tokio_stream::wrappers::{BroadcastStream, errors::BroadcastStreamRecvError};

use super::actions::Actions;

/// Where the page is on its port.
pub(super) const PATH: &str = "/__flint/";
const HTML: &str = include_str!("page/page.html");
/// No script, style or connection but the page's own.
const POLICY: &str = "default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; connect-src 'self'; \
                      img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";
/// What a script of the page sets on what changes something.
const OURS: &str = "x-flint-page";
/// Events that a page begins with.
const PAST: usize = 500;
/// A payload that somebody types or replays.
const LARGEST: usize = 1024 * 1024;
/// A page that went without a word is noticed by then.
const ALIVE: Duration = Duration::from_secs(15);

/// What the page shows that does not change, and how it reaches the platform.
#[derive(Clone)]
struct Shared {
    actions: Actions,
    about: watch::Receiver<Value>,
    port: u16,
}

/// Serves the page until it is dropped; `about` says what it is a page of. Tells its address.
///
/// # Errors
/// When no port can be had.
pub(super) async fn serve(
    beside: u16,
    actions: Actions,
    about: watch::Receiver<Value>,
) -> std::io::Result<(SocketAddr, tokio::task::JoinHandle<()>)> {
    let listener = listen(beside).await?;
    let address = listener.local_addr()?;
    let shared = Arc::new(Shared { actions, about, port: address.port() });
    let router = router(shared);
    let task = tokio::spawn(async move {
        // It ends with its task, and has no other end.
        let _ = axum::serve(listener, router).await;
    });
    Ok((address, task))
}

/// The port after the gateway's, so that the address stays the same from run to run; any other where that is taken.
async fn listen(beside: u16) -> std::io::Result<TcpListener> {
    match TcpListener::bind((Ipv4Addr::LOCALHOST, beside.checked_add(1).unwrap_or(0))).await {
        Ok(listener) => Ok(listener),
        Err(_) => TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await,
    }
}

fn router(shared: Arc<Shared>) -> Router {
    Router::new()
        .route("/__flint/", get(|| async { Html(HTML) }))
        .route("/__flint/api/about", get(about))
        .route("/__flint/api/functions", get(functions))
        .route("/__flint/api/events", get(events))
        .route("/__flint/api/events/{id}", get(event))
        .route("/__flint/api/events/{id}/replay", post(replay))
        .route("/__flint/api/invoke/{namespace}/{name}", post(invoke))
        .route("/__flint/api/fire", post(fire))
        .route("/__flint/api/restart", post(restart))
        .layer(DefaultBodyLimit::max(LARGEST))
        .layer(middleware::from_fn_with_state(Arc::clone(&shared), guard))
        .with_state(shared)
}

/// Lets in the page itself and nobody else.
async fn guard(State(shared): State<Arc<Shared>>, request: Request, next: Next) -> Response {
    if let Err(why) = is_ours(request.headers(), request.method() != "GET", shared.port) {
        return (StatusCode::FORBIDDEN, why).into_response();
    }
    let mut response = next.run(request).await;
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_SECURITY_POLICY, HeaderValue::from_static(POLICY));
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(header::REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

/// Whether a request comes from the page, or from the developer's own tools.
fn is_ours(headers: &HeaderMap, changes: bool, port: u16) -> Result<(), &'static str> {
    let text = |name: header::HeaderName| headers.get(name).map(HeaderValue::as_bytes);
    let hosts = ["localhost", "127.0.0.1", "[::1]"].map(|host| format!("{host}:{port}"));
    if !text(header::HOST).is_some_and(|host| hosts.iter().any(|ours| ours.as_bytes() == host)) {
        return Err("this page is reached as localhost only\n");
    }
    if let Some(origin) = text(header::ORIGIN)
        && !hosts.iter().any(|host| origin == format!("http://{host}").as_bytes())
    {
        return Err("another site may not call this page\n");
    }
    if changes && !headers.contains_key(OURS) {
        return Err("x-flint-page is missing: only the page itself may do this\n");
    }
    Ok(())
}

async fn about(State(shared): State<Arc<Shared>>) -> Json<Value> {
    let about = shared.about.borrow().clone();
    Json(about)
}

async fn functions(State(shared): State<Arc<Shared>>) -> Response {
    match shared.actions.functions().await {
        Ok(functions) => Json(functions).into_response(),
        Err(error) => failed(&error),
    }
}

/// What was told lately, then what is told from now on; without bodies, which are asked for one by one.
async fn events(State(shared): State<Arc<Shared>>) -> Response {
    let Events { past, live } = match shared.actions.events() {
        Ok(events) => events,
        Err(error) => return failed(&error),
    };
    let past = past.into_iter().rev().take(PAST).collect::<Vec<_>>().into_iter().rev();
    let live = BroadcastStream::new(live).map(|told| match told {
        Ok(told) => brief(&told),
        Err(BroadcastStreamRecvError::Lagged(missed)) => json!({"kind": "missed", "count": missed}),
    });
    let all = stream::iter(past.map(|told| brief(&told))).chain(live);
    let mut shutdown = shared.actions.ended();
    let until = async move { shutdown.wait_for(|ending| *ending).await.map(drop) };
    let all = all.take_until(until).map(|value| Ok::<_, Infallible>(Sent::default().data(value.to_string())));
    Sse::new(all).keep_alive(KeepAlive::new().interval(ALIVE)).into_response()
}

fn brief(told: &Told) -> Value {
    let mut value = serde_json::to_value(told).unwrap_or(Value::Null);
    if let Some(fields) = value.as_object_mut() {
        fields.remove("request");
        fields.remove("answer");
    }
    value
}

async fn event(State(shared): State<Arc<Shared>>, Path(id): Path<u64>) -> Response {
    let past = shared.actions.events().map(|events| events.past).unwrap_or_default();
    match past.iter().find(|told| told.id == id) {
        Some(told) if matches!(told.event, Event::Invocation(_)) => Json(told.as_ref()).into_response(),
        _ => (StatusCode::NOT_FOUND, Json(json!({"error": "too long ago"}))).into_response(),
    }
}

async fn replay(State(shared): State<Arc<Shared>>, Path(id): Path<u64>) -> Response {
    answered(shared.actions.replay(id).await)
}

async fn invoke(
    State(shared): State<Arc<Shared>>,
    Path((namespace, name)): Path<(String, String)>,
    payload: Bytes,
) -> Response {
    answered(shared.actions.invoke(&Key::new(namespace, name), payload).await)
}

#[derive(Deserialize)]
struct Firing {
    namespace: String,
    name: String,
    schedule: String,
}

async fn fire(State(shared): State<Arc<Shared>>, Json(firing): Json<Firing>) -> Response {
    let key = Key::new(firing.namespace, firing.name);
    done(shared.actions.fire(&key, &firing.schedule).await)
}

#[derive(Deserialize)]
struct Named {
    namespace: String,
    name: String,
}

async fn restart(State(shared): State<Arc<Shared>>, Json(named): Json<Named>) -> Response {
    done(shared.actions.restart(&Key::new(named.namespace, named.name)).await)
}

fn answered(answer: Result<Answer, Error>) -> Response {
    match answer {
        Ok(answer) => Json(json!({
            "status": answer.status.as_u16(),
            "body": String::from_utf8_lossy(&answer.body),
        }))
        .into_response(),
        Err(error) => failed(&error),
    }
}

fn done(done: Result<(), Error>) -> Response {
    match done {
        Ok(()) => StatusCode::NO_CONTENT.into_response(),
        Err(error) => failed(&error),
    }
}

fn failed(error: &Error) -> Response {
    let status = match error {
        Error::UnknownFunction(_) | Error::UnknownSchedule { .. } | Error::UnknownEvent(_) => {
            StatusCode::NOT_FOUND
        }
        Error::NotRecorded(_) => StatusCode::CONFLICT,
        _ => StatusCode::SERVICE_UNAVAILABLE,
    };
    (status, Json(json!({"error": error.to_string()}))).into_response()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(of: &[(&'static str, &str)]) -> HeaderMap {
        of.iter()
            .map(|(name, value)| (header::HeaderName::from_static(name), value.parse().unwrap()))
            .collect()
    }

    #[test]
    fn the_page_and_tools_on_this_machine_get_in() {
        for host in ["localhost:3001", "127.0.0.1:3001", "[::1]:3001"] {
            assert_eq!(is_ours(&headers(&[("host", host)]), false, 3001), Ok(()));
        }
        let own = [("host", "localhost:3001"), ("origin", "http://localhost:3001"), ("x-flint-page", "1")];
        assert_eq!(is_ours(&headers(&own), true, 3001), Ok(()));
    }

    #[test]
    fn a_name_that_resolves_to_this_machine_does_not() {
        for host in ["evil.example:3001", "localhost:3002", "localhost", "localhost.evil.example:3001"] {
            assert!(is_ours(&headers(&[("host", host)]), false, 3001).is_err(), "{host}");
        }
        assert!(is_ours(&headers(&[]), false, 3001).is_err());
    }

    #[test]
    fn another_site_can_neither_read_nor_do_anything() {
        let theirs = [("host", "localhost:3001"), ("origin", "https://evil.example")];
        assert!(is_ours(&headers(&theirs), false, 3001).is_err());
        // A form is sent without asking, and with `Origin: null` from some places.
        assert!(is_ours(&headers(&[("host", "localhost:3001"), ("origin", "null")]), true, 3001).is_err());
        assert!(is_ours(&headers(&[("host", "localhost:3001")]), true, 3001).is_err());
    }

    #[test]
    fn the_page_asks_nobody_else_for_anything() {
        for elsewhere in ["http://", "https://", "//cdn", "src=", "@import", "url("] {
            assert!(!HTML.contains(elsewhere), "{elsewhere}");
        }
    }
}
