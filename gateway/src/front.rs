//! A worker's front: takes a client's request, finds its function, and answers with what the function said or why not.

use std::{
    borrow::Cow,
    cell::RefCell,
    collections::HashMap,
    rc::Rc,
    sync::{Arc, Weak},
    time::Duration,
};

use flint_api::Mode;
use flint_core::{
    route::{self, Miss, Path, Route},
    wire::ErrorCode,
};
use flint_proxy::{
    Body, Connection, Endpoint, Handler, Pool, PoolConfig, REPLAY_BUFFER, Replay, RequestBody, Worker,
    forward::{self, Passage},
};
use http::{HeaderValue, Request, Response, StatusCode, header, request::Parts, uri::PathAndQuery};

use crate::{
    access::{AccessLog, FLUSH_EVERY, LogSender},
    credentials::Credentials,
    dispatch::{Call, Client},
    exchange::{self, Answer, Exchange},
    function::Function,
    hub::Hub,
    ids::Ids,
    instance::Instance,
    live::Refusal,
    names,
    pace::Paced,
    record::Recorder,
    refuse::{self, Dialect},
    split::{self, Picked},
    table::{Lead, Tables},
};

/// What all workers share.
pub struct Shared {
    /// The functions.
    pub tables: Arc<Tables>,
    /// The functions' common ground.
    pub hub: Arc<Hub>,
    /// What the flags say.
    pub settings: Settings,
    /// Where lines of the access log go; off without it.
    pub log: Option<LogSender>,
    /// Who keeps what passes; nobody usually.
    pub recorder: Option<Arc<dyn Recorder>>,
}

/// What the flags say of requests.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The cluster's DNS domain.
    pub cluster_domain: String,
    /// How long a request waits for a first instance.
    pub start_timeout: Duration,
    /// The most bytes of a request's body for lambda functions.
    pub lambda_body_limit: u64,
    /// The same for http and process; none is no limit.
    pub body_limit: Option<u64>,
    /// How long a tunnel or a streamed answer may say nothing.
    pub idle_timeout: Duration,
    /// Whose signatures Lambda's Invoke asks for; without them everybody may call it.
    pub credentials: Option<Arc<Credentials>>,
}

/// A worker's own part of the data plane. Nothing of it leaves the worker's thread.
pub struct Front {
    pub(crate) shared: Arc<Shared>,
    pub(crate) worker: Rc<Worker>,
    pub(crate) ids: RefCell<Ids>,
    pub(crate) log: AccessLog,
    pool: Pool,
    endpoints: RefCell<HashMap<u64, (Weak<Instance>, Endpoint), ahash::RandomState>>,
    /// The last value of the header that tells what is left of a deadline: almost always the same one.
    left: RefCell<(Duration, HeaderValue)>,
}

/// How often endpoints of instances that are gone are looked for. Their idle connections have been closed by the other
/// end long before; this frees the rest.
const SWEEP_EVERY: Duration = Duration::from_secs(1);

// === impl Front ===

impl Front {
    /// A front for a worker, made on its thread.
    #[must_use]
    pub fn new(shared: Arc<Shared>, worker: Rc<Worker>, pool: PoolConfig) -> Rc<Self> {
        let log = AccessLog::new(shared.log.clone(), Arc::clone(&shared.hub.totals));
        let front = Rc::new(Self {
            shared,
            pool: Pool::start(pool, worker.timers().clone()),
            worker,
            ids: RefCell::default(),
            log,
            endpoints: RefCell::default(),
            left: RefCell::new((Duration::ZERO, HeaderValue::from_static("0"))),
        });
        tokio::task::spawn_local(look_after(Rc::downgrade(&front)));
        front
    }

    /// This worker's connections to an instance.
    pub(crate) fn endpoint(&self, instance: &Arc<Instance>) -> Endpoint {
        let mut endpoints = self.endpoints.borrow_mut();
        let (_, endpoint) = endpoints
            .entry(instance.id)
            .or_insert_with(|| (Arc::downgrade(instance), self.pool.endpoint(instance.address)));
        endpoint.clone()
    }

    /// A length of time as a header's value.
    pub(crate) fn milliseconds(&self, time: Duration) -> HeaderValue {
        let mut last = self.left.borrow_mut();
        if last.0 != time {
            *last = (time, HeaderValue::from(u64::try_from(time.as_millis()).unwrap_or(u64::MAX)));
        }
        last.1.clone()
    }

    fn sweep(&self) {
        self.endpoints.borrow_mut().retain(|_, (instance, endpoint)| {
            let there = instance.strong_count() > 0;
            if !there {
                endpoint.close();
            }
            there
        });
    }

    async fn serve(
        self: &Rc<Self>,
        body: RequestBody,
        connection: &Connection,
        mut exchange: Box<Exchange>,
    ) -> Response<Answer> {
        let settings = &self.shared.settings;
        let target = self.target(&exchange.parts);
        let invoke =
            matches!(target, Err(Miss::UnknownInvoke(_)) | Ok(Target::Call { way: Way::Invoke { .. }, .. }));
        let body = if invoke {
            exchange.dialect = Dialect::Lambda;
            match &settings.credentials {
                Some(credentials) => match Box::pin(self.believe(credentials, &exchange, body)).await {
                    Ok(body) => RequestBody::Whole(body),
                    Err((dialect, refusal)) => {
                        exchange.dialect = dialect;
                        return self.refuse(exchange, &refusal);
                    }
                },
                None => body,
            }
        } else {
            body
        };
        match self.prepare(target, connection, &mut exchange) {
            Ok(Prepared::Call { function, passage, lambda, lead }) => {
                let client = Client::of(&mut exchange.parts, passage);
                let limit = match function.seen.mode {
                    Mode::Lambda => Some(settings.lambda_body_limit),
                    Mode::Http | Mode::Process => settings.body_limit,
                };
                let body = match limit {
                    Some(limit) => Body::limited(body, limit),
                    None => Body::incoming(body),
                };
                if let (Some(length), Some(limit)) = (body.declared(), limit)
                    && length > limit
                {
                    return self.refuse(exchange, &too_large(limit));
                }
                exchange.body = Replay::new(body, REPLAY_BUFFER);
                self.call(Call { function, client, lambda, lead }, exchange).await
            }
            Ok(Prepared::DryRun) => exchange.respond(refuse::dry_run().map(Paced::free)),
            Err(refusal) => self.refuse(exchange, &refusal),
        }
    }

    /// Finds the function and makes the request ready for it.
    fn prepare(
        &self,
        target: Result<Target, Miss>,
        connection: &Connection,
        exchange: &mut Exchange,
    ) -> Result<Prepared, Refusal> {
        let Target::Call { function, qualifier, way } = target.map_err(missed)? else {
            return Err(Refusal {
                code: ErrorCode::NotImplemented,
                message: "asynchronous invocations are not served yet: call /function/NAME and wait".into(),
            });
        };
        let lambda = matches!(way, Way::Invoke { .. });
        let headers = &exchange.parts.headers;
        let named = match &qualifier {
            Some(named) => Some(Cow::Borrowed(named.as_str())),
            None => split::in_header(headers),
        };
        let picked = function.pick(&self.shared.hub, named.as_deref(), headers);
        let Picked { function, cookie, version } =
            picked.map_err(|function| unknown_qualifier(&function, &named.unwrap_or_default(), lambda))?;
        exchange.enter(&function);
        (exchange.cookie, exchange.version) = (cookie, version);
        let (passage, origin) = forward::lent(&mut exchange.parts, connection)
            .map_err(|refusal| Refusal { code: ErrorCode::BadRequest, message: refusal.to_string() })?;
        exchange.origin = Some(origin);
        if lambda {
            match exchange.parts.headers.get(names::INVOCATION_TYPE).map(HeaderValue::as_bytes) {
                None | Some(b"RequestResponse") => {}
                Some(b"DryRun") => return Ok(Prepared::DryRun),
                Some(b"Event") => {
                    return Err(Refusal {
                        code: ErrorCode::NotImplemented,
                        message: "the invocation type Event is not served yet: use RequestResponse".into(),
                    });
                }
                Some(_) => {
                    return Err(Refusal {
                        code: ErrorCode::BadRequest,
                        message: "X-Amz-Invocation-Type is RequestResponse, Event or DryRun".into(),
                    });
                }
            }
        }
        match way {
            Way::Http { path, lead } => {
                exchange.path = path;
                Ok(Prepared::Call { function, passage, lambda: false, lead })
            }
            Way::Invoke { streamed } => {
                if streamed && function.seen.mode != Mode::Lambda {
                    let message = "InvokeWithResponseStream is for functions of lambda mode: call /function/NAME, whose answers \
                                   stream by themselves";
                    return Err(Refusal { code: ErrorCode::BadRequest, message: message.into() });
                }
                exchange.streamed = streamed;
                exchange.path = exchange::Path::Root;
                Ok(Prepared::Call { function, passage, lambda: true, lead: None })
            }
        }
    }

    fn target(&self, parts: &Parts) -> Result<Target, Miss> {
        let uri = &parts.uri;
        let path_and_query = uri.path_and_query().map_or("/", PathAndQuery::as_str);
        let asked = route::Request {
            method: &parts.method,
            path: uri.path(),
            path_and_query,
            host: forward::host(uri, &parts.headers),
        };
        let table = self.shared.tables.load();
        let lookup = |name: &str, namespace: &str| table.get(name, namespace).cloned();
        let route = match route::route(asked, &self.shared.settings.cluster_domain, lookup) {
            Ok(route) => route,
            Err(miss) => {
                let (lead, function) = table.routed(&parts.method, uri.path()).ok_or(miss)?;
                let (function, lead) = (Arc::clone(function), Some(Arc::clone(lead)));
                let way = Way::Http { path: exchange::Path::Unchanged, lead };
                return Ok(Target::Call { function, qualifier: None, way });
            }
        };
        Ok(match route {
            Route::Function { function, path: Path::Unchanged, .. } => {
                let way = Way::Http { path: exchange::Path::Unchanged, lead: None };
                Target::Call { function, qualifier: None, way }
            }
            Route::Function { function, path: Path::Rest(rest), qualifier } => {
                let path = match rest {
                    Cow::Borrowed("/") => exchange::Path::Root,
                    // It is the end of what the client wrote.
                    Cow::Borrowed(rest) => exchange::Path::From(path_and_query.len() - rest.len()),
                    Cow::Owned(rest) => exchange::Path::Own(rest.into()),
                };
                let qualifier = qualifier.map(Cow::into_owned);
                Target::Call { function, qualifier, way: Way::Http { path, lead: None } }
            }
            Route::Invoke { function, qualifier, streamed } => {
                let way = Way::Invoke { streamed };
                Target::Call { function, qualifier: qualifier.map(Cow::into_owned), way }
            }
            Route::Async { .. } => Target::Async,
        })
    }

    /// Answers with a refusal of the gateway's own.
    pub(crate) fn refuse(&self, mut exchange: Box<Exchange>, refusal: &Refusal) -> Response<Answer> {
        exchange.refused(refusal);
        let answer = refuse::answer(refusal, &exchange.request_id, exchange.dialect);
        exchange.respond(answer.map(Paced::free))
    }
}

impl Handler for Front {
    type Body = Answer;

    async fn handle(
        self: Rc<Self>,
        request: Request<RequestBody>,
        connection: Rc<Connection>,
    ) -> Response<Answer> {
        // HTTP/2 is told with GOAWAY when the drain begins, which crosses with nothing.
        let of_one_request = request.version() < http::Version::HTTP_2;
        let (parts, body) = request.into_parts();
        let exchange = Exchange::begin(&self, parts, Some(&connection));
        let mut response = self.serve(body, &connection, exchange).await;
        if of_one_request
            && self.shared.hub.is_going()
            && response.status() != StatusCode::SWITCHING_PROTOCOLS
        {
            response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
        }
        response
    }
}

enum Target {
    Call { function: Arc<Function>, qualifier: Option<String>, way: Way },
    Async,
}

/// How a function is called.
enum Way {
    Http { path: exchange::Path, lead: Option<Arc<Lead>> },
    Invoke { streamed: bool },
}

enum Prepared {
    Call {
        function: Arc<Function>,
        /// What the client asks of the connection.
        passage: Passage,
        /// Lambda's Invoke.
        lambda: bool,
        /// The route that led here.
        lead: Option<Arc<Lead>>,
    },
    DryRun,
}

async fn look_after(front: std::rc::Weak<Front>) {
    let mut since_sweep = Duration::ZERO;
    loop {
        tokio::time::sleep(FLUSH_EVERY).await;
        let Some(front) = front.upgrade() else { return };
        front.log.flush();
        since_sweep += FLUSH_EVERY;
        if since_sweep >= SWEEP_EVERY {
            since_sweep = Duration::ZERO;
            front.sweep();
        }
    }
}

fn missed(miss: Miss) -> Refusal {
    match miss {
        Miss::NoRoute => Refusal {
            code: ErrorCode::NoRoute,
            message: "no function is addressed: call /function/NAME.NAMESPACE, or a host NAME.NAMESPACE"
                .into(),
        },
        Miss::UnknownFunction(name) => {
            Refusal { code: ErrorCode::FunctionNotFound, message: format!("there is no function {name}") }
        }
        Miss::UnknownInvoke(name) => {
            Refusal { code: ErrorCode::FunctionNotFound, message: format!("Function not found: {name}") }
        }
    }
}

/// Nothing of the function is called that.
fn unknown_qualifier(function: &Function, named: &str, invoke: bool) -> Refusal {
    let key = &function.seen.key;
    let named: String = named.chars().filter(|char| !char.is_control()).take(128).collect();
    let message = if invoke {
        format!("Function not found: {}.{}:{named}", key.name, key.namespace)
    } else {
        format!("{key} has no alias and no revision {named:?}: kubectl get revisions shows the numbers")
    };
    Refusal { code: ErrorCode::FunctionNotFound, message }
}

/// The refusal of a body over the limit.
pub(crate) fn too_large(limit: u64) -> Refusal {
    Refusal { code: ErrorCode::RequestTooLarge, message: format!("the body is larger than {limit} bytes") }
}
