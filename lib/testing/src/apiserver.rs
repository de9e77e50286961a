//! An API server in memory: enough of Kubernetes for a client that reads, applies, scales, deletes and watches.
//!
//! It keeps objects, counts versions and generations, and notes every request, so that a test can say what was asked, not only
//! what came of it. [`ApiServer::fail`] makes the next matching request fail. It validates nothing and runs no controllers:
//! pods appear because a test [puts](ApiServer::put) them.

use std::{collections::VecDeque, convert::Infallible, sync::Arc};

use bytes::Bytes;
use http::{Method, Request, Response, StatusCode};
use http_body_util::{BodyExt, Full, StreamBody, combinators::UnsyncBoxBody};
use hyper::body::Frame;
use kube::{Client, client::Body};
use parking_lot::Mutex;
use serde_json::{Value, json};
use tokio::sync::watch;

use self::{
    path::{Path, plural},
    state::{Answer, State},
};

mod path;
mod state;

/// An API server in memory; clones share everything.
#[derive(Clone)]
pub struct ApiServer {
    inner: Arc<Inner>,
}

/// A request that arrived.
#[derive(Clone, Debug, PartialEq)]
pub struct Recorded {
    /// The method, in capitals.
    pub method: String,
    /// The path, without the query.
    pub path: String,
    /// The query as it came.
    pub query: String,
    /// The body; null where there was none.
    pub body: Value,
}

struct Inner {
    state: Mutex<State>,
    requests: Mutex<Vec<Recorded>>,
    faults: Mutex<VecDeque<Fault>>,
    version: watch::Sender<u64>,
}

struct Fault {
    method: String,
    path: String,
    answer: Answer,
}

type Reply = Response<UnsyncBoxBody<Bytes, Infallible>>;

// === impl Recorded ===

impl Recorded {
    /// The request in the words of RBAC: API group, resource (with its subresource) and verb.
    #[must_use]
    pub fn rbac(&self) -> (String, String, String) {
        let path = Path::parse(&self.path).unwrap_or_default();
        let watch = self.query.contains("watch=true");
        let verb = match (self.method.as_str(), path.name.is_some()) {
            ("GET", true) => "get",
            ("GET", false) if watch => "watch",
            ("GET", false) => "list",
            ("POST", _) => "create",
            ("PUT", _) => "update",
            ("PATCH", _) => "patch",
            ("DELETE", true) => "delete",
            ("DELETE", false) => "deletecollection",
            (other, _) => other,
        };
        let resource = match &path.subresource {
            Some(subresource) => format!("{}/{subresource}", path.plural),
            None => path.plural.clone(),
        };
        (path.group().to_owned(), resource, verb.to_owned())
    }
}

// === impl ApiServer ===

impl Default for ApiServer {
    fn default() -> Self {
        Self::new()
    }
}

impl ApiServer {
    /// An API server without objects.
    #[must_use]
    pub fn new() -> Self {
        Self {
            inner: Arc::new(Inner {
                state: Mutex::default(),
                requests: Mutex::default(),
                faults: Mutex::default(),
                version: watch::Sender::new(0),
            }),
        }
    }

    /// A client of this server; must be made inside a runtime.
    #[must_use]
    pub fn client(&self) -> Client {
        let inner = Arc::clone(&self.inner);
        let service = tower::service_fn(move |request: Request<Body>| {
            let inner = Arc::clone(&inner);
            async move { inner.serve(request).await }
        });
        Client::new(service, "default")
    }

    /// Stores an object as it is, new or in the place of an older one: what a user or another controller did.
    pub fn put(&self, object: &Value) {
        let version = self.inner.state.lock().put(&Path::of(object), object.clone());
        self.inner.version.send_replace(version);
    }

    /// The object at a path such as `/api/v1/namespaces/shop/services/cart`.
    #[must_use]
    pub fn get(&self, path: &str) -> Option<Value> {
        self.inner.state.lock().get(&Path::parse(path)?).cloned()
    }

    /// Removes an object: what a user or the garbage collector did.
    pub fn remove(&self, path: &str) {
        if let Some(path) = Path::parse(path) {
            let version = self.inner.state.lock().remove(&path);
            self.inner.version.send_replace(version);
        }
    }

    /// The names of all objects of a kind, in order of namespace and name.
    #[must_use]
    pub fn names(&self, kind: &str) -> Vec<String> {
        self.inner.state.lock().names(&plural(kind))
    }

    /// All objects of a kind, in order of namespace and name.
    #[must_use]
    pub fn objects(&self, kind: &str) -> Vec<Value> {
        self.inner.state.lock().objects(&plural(kind))
    }

    /// Every request so far, in order.
    #[must_use]
    pub fn requests(&self) -> Vec<Recorded> {
        self.inner.requests.lock().clone()
    }

    /// Forgets the requests so far, so that a test can look at what comes next alone.
    pub fn forget_requests(&self) {
        self.inner.requests.lock().clear();
    }

    /// The requests that change something, as `METHOD path`.
    #[must_use]
    pub fn writes(&self) -> Vec<String> {
        let requests = self.inner.requests.lock();
        let writes = requests.iter().filter(|request| request.method != "GET");
        writes.map(|request| format!("{} {}", request.method, request.path)).collect()
    }

    /// From now on nothing new can be made in the namespace, as while it is deleted.
    pub fn end(&self, namespace: &str) {
        self.inner.state.lock().end(namespace);
    }

    /// Makes the next request of this method whose path contains `path` fail. Several are used up in order.
    pub fn fail(&self, method: &str, path: &str, code: u16, reason: &str, message: &str) {
        let answer = Answer::failure(code, reason, message);
        self.inner.faults.lock().push_back(Fault {
            method: method.to_owned(),
            path: path.to_owned(),
            answer,
        });
    }
}

// === impl Inner ===

impl Inner {
    async fn serve(self: Arc<Self>, request: Request<Body>) -> Result<Reply, Infallible> {
        let (parts, body) = request.into_parts();
        let bytes = body.collect().await.map(http_body_util::Collected::to_bytes).unwrap_or_default();
        let body: Value = serde_json::from_slice(&bytes).unwrap_or(Value::Null);
        let path = parts.uri.path().to_owned();
        let query = parts.uri.query().unwrap_or_default().to_owned();
        let method = parts.method.clone();
        self.requests.lock().push(Recorded {
            method: method.to_string(),
            path: path.clone(),
            query: query.clone(),
            body: body.clone(),
        });
        if let Some(answer) = self.fault(&method, &path) {
            return Ok(reply(answer));
        }
        let Some(path) = Path::parse(&path) else {
            return Ok(reply(Answer::failure(404, "NotFound", "no such path")));
        };
        if query.contains("watch=true") {
            return Ok(self.watch(path, &query));
        }
        let content_type =
            parts.headers.get(http::header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
        let apply = content_type.is_some_and(|value| value.contains("apply-patch"));
        let (answer, version) = self.state.lock().handle(&method, &path, &query, body, apply);
        self.version.send_replace(version);
        Ok(reply(answer))
    }

    fn fault(&self, method: &Method, path: &str) -> Option<Answer> {
        let mut faults = self.faults.lock();
        let index =
            faults.iter().position(|fault| fault.method == method.as_str() && path.contains(&fault.path))?;
        faults.remove(index).map(|fault| fault.answer)
    }

    /// Events after the version asked for, then each as it comes.
    fn watch(self: Arc<Self>, path: Path, query: &str) -> Reply {
        let after = query
            .split('&')
            .find_map(|pair| pair.strip_prefix("resourceVersion="))
            .and_then(|version| version.parse().ok())
            .unwrap_or(0);
        let changes = self.version.subscribe();
        let events = futures::stream::unfold(
            (self, path, after, changes),
            |(inner, path, after, mut changes)| async move {
                loop {
                    changes.borrow_and_update();
                    let next = inner.state.lock().event_after(&path, after);
                    if let Some((version, event)) = next {
                        let frame = Frame::data(Bytes::from(format!("{event}\n")));
                        return Some((Ok(frame), (inner, path, version, changes)));
                    }
                    if changes.changed().await.is_err() {
                        return None;
                    }
                }
            },
        );
        Response::new(UnsyncBoxBody::new(StreamBody::new(events)))
    }
}

fn reply(answer: Answer) -> Reply {
    let body = Full::new(Bytes::from(answer.body.to_string()));
    let mut response = Response::new(UnsyncBoxBody::new(body));
    *response.status_mut() = StatusCode::from_u16(answer.code).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    response
}

impl Answer {
    fn failure(code: u16, reason: &str, message: &str) -> Self {
        let body = json!({
            "apiVersion": "v1", "kind": "Status", "status": "Failure", "code": code, "reason": reason, "message": message,
        });
        Self { code, body }
    }
}

#[cfg(test)]
mod tests;
