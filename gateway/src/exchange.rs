//! One request from its arrival to the end of its answer: what is known of it, and the bookkeeping when it is over.

use std::{rc::Rc, sync::Arc};

use flint_proxy::{Connection, End, Guard, Guarded, Replay, forward::Origin};
use http::{HeaderValue, Response, StatusCode, header, request::Parts, uri::PathAndQuery};

use crate::{
    access::Line,
    clock::Micros,
    front::Front,
    function::Function,
    ids::Said,
    live::{Refusal, Slot},
    metrics::{Failing, Phase},
    pace::Paced,
    record::Tape,
    refuse::Dialect,
};

/// The body of every answer of the gateway.
pub type Answer = Guarded<Ending, Paced>;

/// A request under way. When it is dropped the request is over, however that came: its slot is given back, and it is
/// counted and logged.
pub struct Exchange {
    front: Rc<Front>,
    /// When it came.
    pub started: Micros,
    /// Its id.
    pub request_id: HeaderValue,
    /// The client's own words are not that, or none.
    pub id_is_new: bool,
    /// Its `traceparent`.
    pub trace: HeaderValue,
    /// The trace was made here.
    pub trace_is_new: bool,
    /// Fields of the client's must go because the gateway says them itself.
    pub replaces: bool,
    /// Where the instance is told who the client is; a schedule is nobody.
    pub origin: Option<Origin>,
    /// In what form a refusal is told.
    pub dialect: Dialect,
    /// Requests sent to instances.
    pub attempts: u32,
    /// Time that it waited for an instance.
    pub queued: Micros,
    /// There was no instance at all when it came.
    pub cold: bool,
    /// Its body.
    pub body: Replay,
    /// What has come of its body may be read before it is wanted: the client does not wait for a `100 Continue`.
    pub look_ahead: bool,
    /// It is Lambda's Invoke, or a schedule's.
    pub lambda: bool,
    /// It is Lambda's InvokeWithResponseStream.
    pub streamed: bool,
    /// What keeps its client with a revision.
    pub cookie: Option<HeaderValue>,
    /// The number of its revision, where it is one of several.
    pub version: Option<u32>,
    /// Its head, as it goes on; but for its target, which stays as the client wrote it.
    pub parts: Parts,
    /// The path and query that the function gets.
    pub path: Path,
    pub(crate) client: Option<Rc<Connection>>,
    function: Option<Arc<Function>>,
    slot: Option<Slot>,
    status: Option<StatusCode>,
    code: Option<&'static str>,
    end: End,
    bytes_out: u64,
    /// What is kept of it; nothing unless somebody records.
    tape: Option<Box<Tape>>,
}

/// The path and query that a function gets of what the client wrote.
#[derive(Debug)]
pub enum Path {
    /// All of it.
    Unchanged,
    /// Nothing of it.
    Root,
    /// From that byte on.
    From(usize),
    /// Something else.
    Own(Box<str>),
}

/// Tells an exchange how its answer's body ended. A tunnel's answer has no exchange: that lives on with the tunnel.
pub struct Ending(Option<Box<Exchange>>);

/// What nginx calls a client that went away before it had an answer; seen in logs only.
const CLIENT_GONE: StatusCode = match StatusCode::from_u16(499) {
    Ok(status) => status,
    Err(_) => StatusCode::BAD_REQUEST,
};

// === impl Exchange ===

impl Exchange {
    /// A request has come.
    pub fn begin(front: &Rc<Front>, parts: Parts, connection: Option<&Rc<Connection>>) -> Box<Self> {
        let said = Said::of(&parts.headers);
        let ((request_id, id_is_new), (trace, trace_is_new)) = {
            let mut ids = front.ids.borrow_mut();
            (ids.request_id(&said), ids.trace(&said))
        };
        let (look_ahead, replaces) = (!said.expects, said.is_replaced(id_is_new, trace_is_new));
        Box::new(Self {
            started: front.shared.hub.clock.now(),
            request_id,
            id_is_new,
            origin: None,
            trace,
            trace_is_new,
            dialect: Dialect::Http,
            attempts: 0,
            queued: 0,
            cold: false,
            body: Replay::default(),
            look_ahead,
            replaces,
            lambda: false,
            streamed: false,
            path: Path::Unchanged,
            cookie: None,
            version: None,
            client: connection.cloned(),
            function: None,
            slot: None,
            status: None,
            code: None,
            end: End::Dropped,
            bytes_out: 0,
            tape: front.shared.recorder.as_ref().map(|_| Tape::of(&parts.headers)),
            front: Rc::clone(front),
            parts,
        })
    }

    /// The path and query that the function gets.
    pub fn path(&self) -> &str {
        let whole = || self.parts.uri.path_and_query().map_or("/", PathAndQuery::as_str);
        match &self.path {
            Path::Unchanged => whole(),
            Path::Root => "/",
            Path::From(start) => whole().get(*start..).unwrap_or("/"),
            Path::Own(path) => path,
        }
    }

    /// It is for that function.
    pub fn enter(&mut self, function: &Arc<Function>) {
        function.live.demand.enter(self.started);
        self.function = Some(Arc::clone(function));
    }

    /// It got a slot, after waiting or at once.
    pub fn granted(&mut self, slot: &Slot, now: Micros) {
        if let (true, Some(function)) = (self.cold, &self.function) {
            let usable = slot.instance().since.clamp(self.started, now);
            let counts = function.live.metrics.counts();
            let start = slot.instance().start;
            counts.cold(start, Phase::Start, usable - self.started);
            counts.cold(start, Phase::Forward, now - usable);
        }
    }

    /// An instance answers it, from the slot that it got at `granted`.
    pub fn answered(&mut self, slot: Slot, granted: Micros, code: Option<&'static str>) {
        self.code = code;
        if let (true, Some(function)) = (self.cold, &self.function) {
            let now = self.front.shared.hub.clock.now();
            let start = slot.instance().start;
            function.live.metrics.counts().cold(start, Phase::Answer, now.saturating_sub(granted));
        }
        self.slot = Some(slot);
    }

    /// The gateway itself refuses it.
    pub fn refused(&mut self, refusal: &Refusal) {
        self.code = Some(refusal.code.as_str());
    }

    /// The answer's head is known. The body that is given back tells the end.
    pub fn respond(mut self: Box<Self>, mut response: Response<Paced>) -> Response<Answer> {
        self.status = Some(response.status());
        let headers = response.headers_mut();
        headers.insert(crate::names::REQUEST_ID, self.request_id.clone());
        headers.insert(crate::names::TRACEPARENT, self.trace.clone());
        if let Some(cookie) = self.cookie.take() {
            headers.append(header::SET_COOKIE, cookie);
        }
        if let Some(tape) = &mut self.tape {
            response = tape.answered(response);
        }
        response.map(|body| Guarded::new(body, Ending(Some(self))))
    }

    /// The answer's head goes to the client now, and the exchange lives on elsewhere.
    pub fn respond_apart(&mut self, mut response: Response<Paced>) -> Response<Answer> {
        self.status = Some(response.status());
        let headers = response.headers_mut();
        headers.insert(crate::names::REQUEST_ID, self.request_id.clone());
        headers.insert(crate::names::TRACEPARENT, self.trace.clone());
        if let Some(tape) = &mut self.tape {
            response = tape.answered(response);
        }
        response.map(|body| Guarded::new(body, Ending(None)))
    }

    /// The answer has ended.
    pub fn ended(&mut self, end: End, bytes: u64) {
        self.end = end;
        self.bytes_out = bytes;
    }
}

impl Drop for Exchange {
    fn drop(&mut self) {
        let now = self.front.shared.hub.clock.now();
        let duration = now.saturating_sub(self.started);
        let status = self.status.unwrap_or(CLIENT_GONE);
        match &self.function {
            Some(function) => {
                let live = &function.live;
                live.demand.leave(now);
                let counts = live.metrics.counts();
                counts.answered(status, duration);
                let failing = Failing::of(self.code, status, self.end);
                if let Some(failing) = failing {
                    counts.failed(failing);
                }
                if live.revision().is_some() {
                    // A start is the platform's time, not the code's.
                    live.outcomes.ended(self.status, failing.is_some(), duration.saturating_sub(self.queued));
                }
            }
            None => {
                let unrouted = &self.front.shared.hub.totals.unrouted;
                unrouted.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
            }
        }
        let line = Line {
            method: &self.parts.method,
            uri: &self.parts.uri,
            function: self.function.as_deref(),
            instance: self.slot.as_ref().map(|slot| slot.instance().pod.as_str()),
            status,
            code: self.code,
            duration,
            queued: self.queued,
            cold: self.cold,
            bytes_in: self.body.bytes(),
            bytes_out: self.bytes_out,
            request_id: self.request_id.to_str().unwrap_or_default(),
            trace: self.trace.to_str().unwrap_or_default(),
            client: self.client.as_ref().map(|client| client.peer().ip()),
            client_text: self
                .client
                .as_ref()
                .and_then(|client| client.forwarded_for().to_str().ok())
                .unwrap_or("schedule"),
            attempts: self.attempts,
            end: self.end,
        };
        self.front.log.write(&line);
        if let (Some(recorder), Some(tape)) = (&self.front.shared.recorder, &mut self.tape) {
            recorder.record(&line, tape.end(&self.body));
        }
    }
}

// === impl Ending ===

impl Guard for Ending {
    fn ended(self, end: End, bytes: u64) {
        if let Some(mut exchange) = self.0 {
            exchange.ended(end, bytes);
        }
    }
}
