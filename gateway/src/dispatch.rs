//! Brings a request to an instance and its answer back: waits for room, forwards, and goes elsewhere where that is safe.
//!
//! Two times bound a request. The function's timeout counts from the moment an instance gets the request. Waiting for an
//! instance is bounded by itself, from the request's arrival: by the start timeout while there is no instance, and by the
//! longer of start timeout and function's timeout while there are some and all are busy.

use std::{
    rc::Rc,
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use flint_api::Mode;
use flint_core::{
    retry::{self, Outcome, Verdict},
    wire::{self, ErrorCode},
};
use flint_proxy::{
    Added, Body, BodyError, End, SendError,
    forward::{self, Origin, Passage},
    upgrade,
};
use http::{HeaderName, HeaderValue, Request, Response, StatusCode, Uri, Version, request::Parts};
use http_body_util::BodyExt;
use hyper::upgrade::OnUpgrade;
use smallvec::SmallVec;
use tokio::time::Instant;

use crate::{
    clock::Micros,
    exchange::{Answer, Exchange},
    front::{Front, too_large},
    function::{Function, Seen},
    instance::Instance,
    live::{Admitted, Refusal, Slot, Ticket},
    names,
    pace::{Pace, Paced},
    table::Lead,
};

/// A request for a function, ready but for what changes with each attempt.
pub struct Call {
    /// The function.
    pub function: Arc<Function>,
    /// The client's side.
    pub client: Client,
    /// The body is the payload: Lambda's Invoke, or a schedule.
    pub lambda: bool,
    /// The route that led to the function.
    pub lead: Option<Arc<Lead>>,
}

/// What the client asks of the connection.
pub struct Client {
    passage: Passage,
    upgrade: Option<OnUpgrade>,
}

/// What an attempt came to, other than an answer for the client.
struct Failed {
    outcome: Outcome,
    refusal: Refusal,
}

/// How long after the function's timeout the watchdog's own word is waited for.
const GRACE: Duration = Duration::from_millis(250);
/// How long an instance that is going gets no more requests. The watch tells of its end long before.
const DRAINING_REST: Duration = Duration::from_secs(10);
/// How long the few bytes of a watchdog's refusal may take, so that its connection can be kept.
const REFUSAL_TIME: Duration = Duration::from_millis(20);
/// More than any refusal of a watchdog has.
const REFUSAL_BYTES: usize = 4096;

// === impl Client ===

impl Client {
    /// The client of a request that came by HTTP.
    pub fn of(parts: &mut Parts, passage: Passage) -> Self {
        let upgrade = if passage == Passage::Upgrade { parts.extensions.remove() } else { None };
        Self { passage, upgrade }
    }

    /// Nobody who could want more than an answer.
    #[must_use]
    pub fn plain() -> Self {
        Self { passage: Passage::Plain, upgrade: None }
    }
}

// === impl Front ===

impl Front {
    /// Calls a function, to the head of its answer.
    ///
    /// What few requests need (waiting in line, another attempt) is boxed: a future is as large as its largest branch, and is
    /// moved when it is made.
    pub(crate) async fn call(self: &Rc<Self>, call: Call, mut exchange: Box<Exchange>) -> Response<Answer> {
        let Call { function, client, lambda, lead } = call;
        prepare(&function, lambda, lead.as_deref(), &mut exchange);
        exchange.lambda = lambda;
        let clock = self.shared.hub.clock;
        let timeout = function.seen.timeout;
        let mut deadline = None;
        let mut was_cut = false;
        loop {
            let (slot, granted) = match function.live.admit(exchange.attempts > 0) {
                // The first comes at once: it is as good as just arrived.
                Ok(Admitted::Slot(slot)) if exchange.attempts == 0 => (slot, exchange.started),
                Ok(Admitted::Slot(slot)) => (slot, clock.now()),
                Ok(Admitted::Ticket(ticket)) => {
                    match Box::pin(self.wait(&function, ticket, &mut exchange)).await {
                        Ok(slot) => (slot, clock.now()),
                        Err(refusal) => return self.refuse(exchange, &refusal),
                    }
                }
                Err(refusal) => return self.refuse(exchange, &refusal),
            };
            exchange.granted(&slot, granted);
            exchange.attempts += 1;
            if exchange.attempts > 1 {
                function.live.metrics.counts().retries.fetch_add(1, Ordering::Relaxed);
            }
            let until = *deadline.get_or_insert_with(|| clock.instant(granted) + timeout);
            let left = until.saturating_duration_since(clock.instant(granted));
            let attempt = self.attempt(&exchange, &function, slot.instance(), until, left);
            let failed = match attempt.await {
                Ok(response) => {
                    return self.answer(&function, client, exchange, response, slot, granted, until);
                }
                Err(failed) => failed,
            };
            let Parts { method, headers, .. } = &exchange.parts;
            let idempotent = retry::is_idempotent(method, headers);
            let replay = retry::Replay { idempotent, replayable: exchange.body.intact(), was_cut };
            self.leave(slot, failed.outcome);
            match retry::decide(failed.outcome, replay) {
                // Nothing was processed, so the function's time has not begun.
                Verdict::Elsewhere => deadline = None,
                Verdict::Again => was_cut = true,
                Verdict::Fail => return self.refuse(exchange, &failed.refusal),
            }
        }
    }

    /// Waits in line for a slot.
    async fn wait(
        self: &Rc<Self>,
        function: &Function,
        mut ticket: Ticket,
        exchange: &mut Exchange,
    ) -> Result<Slot, Refusal> {
        let live = &function.live;
        let clock = self.shared.hub.clock;
        exchange.cold |= ticket.cold;
        let joined = clock.now();
        let arrived = clock.instant(exchange.started);
        let start_timeout = self.shared.settings.start_timeout;
        let mut bound = start_timeout;
        let turn = loop {
            match self.worker.timers().timeout(arrived + bound, ticket.turn()).await {
                Ok(turn) => break turn,
                // There are instances, only all are busy: as long as one of their requests may take.
                Err(_) if !live.instances().is_empty() && bound < function.seen.timeout => {
                    bound = function.seen.timeout;
                }
                Err(_) => break Err(waited_in_vain(function, bound)),
            }
        };
        let waited = clock.now().saturating_sub(joined);
        exchange.queued += waited;
        live.metrics.counts().wait.observe(waited);
        turn
    }

    /// Sends the request to an instance, which has that much time, and waits for the head of the answer.
    async fn attempt(
        self: &Rc<Self>,
        exchange: &Exchange,
        function: &Function,
        instance: &Arc<Instance>,
        until: Instant,
        left: Duration,
    ) -> Result<Response<Body>, Failed> {
        let endpoint = self.endpoint(instance);
        let timers = self.worker.timers();
        let parts = &exchange.parts;
        let lent = self.beside(exchange, left, |added| match parts.version {
            Version::HTTP_2 => None,
            _ => endpoint.lend(parts, exchange.path(), added, &exchange.body),
        });
        let sent = match lent {
            Some(sending) => timers.timeout(until + GRACE, sending).await,
            None => {
                let request = self.own_request(exchange, left);
                Box::pin(timers.timeout(until + GRACE, endpoint.send(request))).await
            }
        };
        let response = match sent {
            Ok(Ok(response)) => response,
            Ok(Err(error)) => return Err(failure(&error, function, instance)),
            Err(_) => return Err(silent(function)),
        };
        match watchdog_refusal(&response, function) {
            None => {
                instance.answered();
                Ok(response)
            }
            Some(failed) => {
                Box::pin(self.read_refusal(response)).await;
                Err(failed)
            }
        }
    }

    /// Reads a refusal's few bytes, so that the connection can be kept.
    async fn read_refusal(&self, mut response: Response<Body>) {
        let body = http_body_util::Limited::new(response.body_mut(), REFUSAL_BYTES).collect();
        let _ = self.worker.timers().timeout(Instant::now() + REFUSAL_TIME, body).await;
    }

    /// The fields that an attempt adds to the client's, for as long as `with` needs them.
    fn beside<T>(&self, exchange: &Exchange, left: Duration, with: impl FnOnce(Added<'_>) -> T) -> T {
        let left = self.milliseconds(left);
        let attempt;
        let mut added = SmallVec::<[_; 8]>::new();
        added.push((wire::TIMEOUT_HEADER, &left));
        if exchange.id_is_new {
            added.push((wire::REQUEST_ID_HEADER, &exchange.request_id));
        }
        if exchange.trace_is_new {
            added.push((names::TRACEPARENT_HEADER, &exchange.trace));
        }
        if let (Some(Origin::Beside), Some(client)) = (exchange.origin, &exchange.client) {
            added.extend(forward::origin(&exchange.parts.headers, client));
        }
        if exchange.attempts > 1 {
            attempt = HeaderValue::from(exchange.attempts);
            added.push((wire::ATTEMPT_HEADER, &attempt));
        }
        with(&added)
    }

    /// A request of its own for one attempt, where it cannot be lent: the first on a connection, a body that is not here
    /// yet, another protocol.
    fn own_request(&self, exchange: &Exchange, left: Duration) -> Request<Body> {
        let parts = &exchange.parts;
        let mut request = Request::new(exchange.body.attempt());
        *request.method_mut() = parts.method.clone();
        // A part of what was a valid target is one too.
        *request.uri_mut() = Uri::try_from(exchange.path()).unwrap_or_default();
        *request.version_mut() = parts.version;
        // Extensions stay behind: they belong to the client's connection.
        let headers = request.headers_mut();
        headers.clone_from(&parts.headers);
        self.beside(exchange, left, |added| {
            for &(name, value) in added {
                headers.insert(HeaderName::from_static(name), value.clone());
            }
        });
        request
    }

    /// The instance did not take the request: it rests, its slot is given back, and those who wait are looked at again
    /// when it has rested.
    fn leave(self: &Rc<Self>, slot: Slot, outcome: Outcome) {
        let now = self.shared.hub.clock.now();
        let rest = match outcome {
            Outcome::Busy => slot.instance().busy(now),
            Outcome::NotSent => slot.instance().unreachable(now),
            Outcome::Draining => slot.instance().rest(now, DRAINING_REST),
            Outcome::Cut | Outcome::Broken => return,
        };
        let live = slot.live();
        drop(slot);
        if let Some(live) = live {
            tokio::task::spawn_local(async move {
                tokio::time::sleep(rest).await;
                live.settle();
            });
        }
    }

    #[allow(clippy::too_many_arguments, reason = "a step of `call`, with its variables")]
    fn answer(
        self: &Rc<Self>,
        function: &Function,
        client: Client,
        mut exchange: Box<Exchange>,
        mut response: Response<Body>,
        slot: Slot,
        granted: Micros,
        until: Instant,
    ) -> Response<Answer> {
        let code = own_code(&response);
        // To Invoke's clients a function's failure is an answer like any other, told by `x-amz-function-error`.
        if exchange.lambda && response.status().is_success() {
            response.headers_mut().remove(names::ERROR);
        }
        if let Some(version) = exchange.version.filter(|_| exchange.lambda) {
            response.headers_mut().insert(names::EXECUTED_VERSION, HeaderValue::from(version));
        }
        exchange.answered(slot, granted, code);
        let Client { passage, upgrade } = client;
        forward::answer(&mut response, passage);
        let settings = &self.shared.settings;
        if let (Some(client), StatusCode::SWITCHING_PROTOCOLS) = (upgrade, response.status()) {
            let instance = hyper::upgrade::on(&mut response);
            let head = exchange.respond_apart(response.map(Paced::free));
            let (timers, idle) = (self.worker.timers().clone(), settings.idle_timeout);
            self.worker.spawn(async move {
                match upgrade::tunnel(client, instance, idle, &timers).await {
                    Ok(traffic) => exchange.ended(End::Complete, traffic.down),
                    Err(error) => {
                        tracing::debug!(%error, "a tunnel ended");
                        exchange.ended(End::Failed, 0);
                    }
                }
            });
            return head;
        }
        let pace = match function.seen.mode {
            // The watchdog ends the work at the deadline; this ends the answer should the watchdog not.
            Mode::Lambda | Mode::Process => Pace::Until(until + GRACE),
            // A stream may last; it must only go on.
            Mode::Http => Pace::Idle(settings.idle_timeout),
        };
        exchange.respond(response.map(|body| Paced::new(body, pace, self.worker.timers())))
    }
}

/// What is the same for every attempt.
fn prepare(function: &Function, lambda: bool, lead: Option<&Lead>, exchange: &mut Exchange) {
    if exchange.look_ahead {
        exchange.body.look_ahead();
    }
    if exchange.replaces {
        remove_ours(exchange);
    }
    let headers = &mut exchange.parts.headers;
    let seen = &function.seen;
    if seen.mode == Mode::Lambda {
        if lambda {
            let how = if exchange.streamed { "stream" } else { "raw" };
            headers.insert(names::INVOKE, HeaderValue::from_static(how));
        } else if lead.and_then(|lead| lead.event_v1).unwrap_or(seen.event_v1) {
            headers.insert(names::EVENT_FORMAT, HeaderValue::from_static("v1"));
        }
        if let Some(lead) = lead {
            headers.insert(names::ROUTE, lead.name.clone());
        }
    }
    // A watchdog of a lambda or process function reads a request, whatever protocol brings it.
    if seen.mode != Mode::Http {
        exchange.parts.version = Version::HTTP_11;
    }
}

/// Removes what only the gateway may say to a watchdog, and what it says in the client's place.
fn remove_ours(exchange: &mut Exchange) {
    let headers = &exchange.parts.headers;
    let ours = |name: &str| match name {
        wire::REQUEST_ID_HEADER => exchange.id_is_new,
        // What belongs to a trace is void with a new one.
        names::TRACEPARENT_HEADER | names::TRACESTATE_HEADER => exchange.trace_is_new,
        _ => name.starts_with(names::PRIVATE_PREFIX),
    };
    let removed: Vec<_> = headers.keys().filter(|name| ours(name.as_str())).cloned().collect();
    for name in removed {
        exchange.parts.headers.remove(name);
    }
}

/// Reads why a request was not answered.
fn failure(error: &SendError, function: &Function, instance: &Instance) -> Failed {
    let key = &function.seen.key;
    tracing::debug!(function = %key, instance = instance.pod, %error, "an attempt failed");
    if let Some(BodyError::TooLarge { limit }) = error.body() {
        return Failed { outcome: Outcome::Broken, refusal: too_large(*limit) };
    }
    let (outcome, code, message) = match error {
        SendError::NotSent(_) => {
            (Outcome::NotSent, ErrorCode::FunctionFailed, format!("no instance of {key} could be reached"))
        }
        SendError::NoAnswer { refused: true, .. } => {
            (Outcome::Draining, ErrorCode::FunctionFailed, format!("{key} is going"))
        }
        SendError::NoAnswer { .. } => {
            (Outcome::Cut, ErrorCode::FunctionFailed, format!("{key} ended the connection without an answer"))
        }
        SendError::BadAnswer(_) => {
            (Outcome::Broken, ErrorCode::FunctionFailed, format!("the answer of {key} is not HTTP"))
        }
        SendError::Body(_) => {
            (Outcome::Broken, ErrorCode::BadRequest, "the request's body ended early".to_owned())
        }
    };
    Failed { outcome, refusal: Refusal { code, message } }
}

/// The instance said nothing in time.
fn silent(function: &Function) -> Failed {
    let Function { seen: Seen { key, timeout, .. }, .. } = function;
    let message = format!("{key} did not answer within {timeout:?}");
    Failed { outcome: Outcome::Broken, refusal: Refusal { code: ErrorCode::Timeout, message } }
}

/// Reads a watchdog's word that it did nothing with the request.
fn watchdog_refusal(response: &Response<Body>, function: &Function) -> Option<Failed> {
    let code = response.headers().get(names::ERROR)?;
    let key = &function.seen.key;
    if code == ErrorCode::TooManyRequests.as_str() && response.status() == StatusCode::TOO_MANY_REQUESTS {
        let refusal =
            Refusal { code: ErrorCode::TooManyRequests, message: format!("every instance of {key} is busy") };
        return Some(Failed { outcome: Outcome::Busy, refusal });
    }
    if code == ErrorCode::Draining.as_str() && response.status() == StatusCode::SERVICE_UNAVAILABLE {
        let refusal =
            Refusal { code: ErrorCode::FunctionFailed, message: format!("the instance of {key} is going") };
        return Some(Failed { outcome: Outcome::Draining, refusal });
    }
    None
}

/// The contract's code in a watchdog's answer, for the log.
fn own_code(response: &Response<Body>) -> Option<&'static str> {
    use ErrorCode::{
        BadRequest, FunctionFailed, NoRoute, NotStartable, RequestTooLarge, StartTimeout, Timeout,
    };
    let code = response.headers().get(names::ERROR)?;
    [FunctionFailed, Timeout, RequestTooLarge, NotStartable, StartTimeout, BadRequest, NoRoute]
        .into_iter()
        .map(ErrorCode::as_str)
        .find(|known| code == known)
}

fn waited_in_vain(function: &Function, waited: Duration) -> Refusal {
    let key = &function.seen.key;
    if function.live.instances().is_empty() {
        let message = format!("no instance of {key} was ready within {waited:?}");
        return Refusal { code: ErrorCode::StartTimeout, message };
    }
    let message = format!("every instance of {key} was busy for {waited:?}");
    Refusal { code: ErrorCode::TooManyRequests, message }
}
