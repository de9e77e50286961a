//! Calls that come from the gateway itself: schedules, by the same way as requests.

use std::{rc::Rc, sync::Arc, time::Duration};

use bytes::Bytes;
use flint_core::route::DEFAULT_NAMESPACE;
use flint_proxy::{Body, REPLAY_BUFFER, Replay};
use http::{HeaderMap, HeaderValue, Method, Request, StatusCode, header};
use http_body_util::BodyExt;
use tokio::sync::{mpsc, oneshot};

use crate::{
    dispatch::{Call, Client},
    exchange::Exchange,
    front::Front,
    function::Function,
    names,
};

/// A call of a function with an event.
pub struct ScheduledCall {
    /// The function.
    pub function: Arc<Function>,
    /// The event, as JSON.
    pub event: Bytes,
    /// The same for every attempt at the same firing.
    pub request_id: String,
    /// Where the answer's status goes.
    pub answered: oneshot::Sender<StatusCode>,
}

/// How long the rest of an answer that nobody reads is waited for; the work is done when it ends.
const REST: Duration = Duration::from_secs(900);

/// Makes the calls that come in, each in a task of its own, for as long as the worker lives. Who sends them bounds
/// how many there are at a time.
pub(crate) async fn make_calls(front: Rc<Front>, mut calls: mpsc::Receiver<ScheduledCall>) {
    while let Some(call) = calls.recv().await {
        let worker = Rc::clone(&front.worker);
        let front = Rc::clone(&front);
        worker.spawn(async move {
            let ScheduledCall { function, event, request_id, answered } = call;
            let status = make_call(&front, function, event, &request_id).await;
            // A scheduler that lost its office does not ask any more.
            let _ = answered.send(status);
        });
    }
}

async fn make_call(front: &Rc<Front>, function: Arc<Function>, event: Bytes, request_id: &str) -> StatusCode {
    // Schedules follow the weights as requests do.
    let function = match function.pick(&front.shared.hub, None, &HeaderMap::new()) {
        Ok(picked) => picked.function,
        Err(function) => function,
    };
    let key = &function.seen.key;
    let namespace = if key.namespace.is_empty() { DEFAULT_NAMESPACE } else { &key.namespace };
    let mut request = Request::new(());
    *request.method_mut() = Method::POST;
    let headers = request.headers_mut();
    let host = HeaderValue::try_from(format!("{}.{namespace}", key.name));
    headers.insert(header::HOST, host.unwrap_or(HeaderValue::from_static("function")));
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    // The firing's id makes a repetition recognizable, and lets a firing that was cut off be tried once more.
    if let Ok(id) = HeaderValue::from_str(request_id) {
        headers.insert(names::IDEMPOTENCY_KEY, id.clone());
        headers.insert(names::REQUEST_ID, id);
    }
    let (parts, ()) = request.into_parts();
    let mut exchange = Exchange::begin(front, parts, None);
    exchange.enter(&function);
    exchange.body = Replay::new(Body::full(event), REPLAY_BUFFER);
    let call = Call { function, client: Client::plain(), lambda: true, lead: None };
    let response = front.call(call, exchange).await;
    // Lambda's Invoke answers 200 for a function that failed, and says so in a header.
    let failed = response.headers().contains_key(names::FUNCTION_ERROR);
    let status = if failed { StatusCode::BAD_GATEWAY } else { response.status() };
    let drained = read_to_end(response.into_body());
    let deadline = tokio::time::Instant::now() + REST;
    match front.worker.timers().timeout(deadline, drained).await {
        Ok(true) => status,
        _ => StatusCode::BAD_GATEWAY,
    }
}

async fn read_to_end(mut body: crate::exchange::Answer) -> bool {
    while let Some(frame) = body.frame().await {
        if frame.is_err() {
            return false;
        }
    }
    true
}
