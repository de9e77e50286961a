//! Where a waiting pod is claimed: for one function, ever.
//!
//! Gateways that hear the first requests of one function in the same moment choose the same pod, so that they need not agree. The first good claim
//! makes the pod the function's; the others, if they come within [`SHARED`] and are for that revision too, get the same answer.

use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use flint_core::pool::{self, LARGEST_TICKET, PROOF_HEADER, Refused};
use http::header::{CONTENT_TYPE, HeaderValue};
use http::{Method, Request, Response, StatusCode};
use http_body_util::{BodyExt as _, Limited};
use hyper::body::Incoming;
use parking_lot::Mutex;
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, timeout};

use super::PoolConfig;
use crate::answer::Answer;
use crate::config::{Config, Identity};

/// Takes the first good claim.
pub(crate) struct Desk {
    config: Arc<PoolConfig>,
    state: Mutex<State>,
}

enum State {
    /// Waits; where the claim comes out.
    Open(mpsc::Sender<Claim>),
    Taken(Taken),
}

/// Whose the pod is.
struct Taken {
    function: String,
    revision: String,
    at: Instant,
    verdict: watch::Receiver<Option<Verdict>>,
}

/// Why a claim that is good comes to nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Vain {
    /// The pod is another function's.
    Taken,
    /// The pod ends.
    Going,
}

/// The function is ready, and how long its start took; or why it cannot.
pub(crate) type Verdict = Result<Duration, String>;

/// A claim that was taken.
pub(crate) struct Claim {
    /// The function's configuration.
    pub(crate) config: Box<Config>,
    /// When it came.
    pub(crate) at: Instant,
    /// Where to say what became of it.
    pub(crate) verdict: watch::Sender<Option<Verdict>>,
}

/// A ticket comes with the head or right behind it.
const READ_LIMIT: Duration = Duration::from_secs(2);
/// A gateway that has not heard within this that the pod was claimed goes by a list that is too old.
const SHARED: Duration = Duration::from_secs(2);

// === impl Desk ===

impl Desk {
    /// A desk, and where its one claim comes out.
    pub(crate) fn new(config: Arc<PoolConfig>) -> (Self, mpsc::Receiver<Claim>) {
        let (sender, claims) = mpsc::channel(1);
        (Self { config, state: Mutex::new(State::Open(sender)) }, claims)
    }

    /// What a claim is told at a pod that never waited in a pool.
    pub(crate) fn none() -> Response<Answer> {
        taken()
    }

    /// Answers a claim: 200 when the function is ready, 409 when the pod is another one's, 403 for one that is not good, 503 when
    /// the function cannot start.
    pub(crate) async fn claim(&self, request: Request<Incoming>) -> Response<Answer> {
        let at = Instant::now();
        if request.method() != Method::POST {
            return answer(StatusCode::METHOD_NOT_ALLOWED, "a claim is a POST");
        }
        if self.is_closed(at) {
            return taken();
        }
        let (head, body) = request.into_parts();
        let proof = head.headers.get(PROOF_HEADER).and_then(|value| value.to_str().ok()).unwrap_or_default();
        let sealed = match timeout(READ_LIMIT, Limited::new(body, LARGEST_TICKET).collect()).await {
            Ok(Ok(body)) => body.to_bytes(),
            Ok(Err(_)) => return answer(StatusCode::PAYLOAD_TOO_LARGE, "no ticket is as large"),
            Err(_) => return answer(StatusCode::REQUEST_TIMEOUT, "the ticket did not arrive"),
        };
        let mut verdict = match self.open(&sealed, proof).map(|config| self.take(config, at)) {
            Ok(Ok(verdict)) => verdict,
            Ok(Err(Vain::Taken)) => return taken(),
            Ok(Err(Vain::Going)) => return going(),
            // A claim that is not good learns nothing of whose the pod is.
            Err(_) if self.is_taken() => return taken(),
            Err(message) => return answer(StatusCode::FORBIDDEN, &message),
        };
        let Ok(told) = verdict.wait_for(Option::is_some).await else {
            return going();
        };
        match told.as_ref() {
            Some(Ok(init)) => {
                let millis = |time: Duration| time.as_secs_f64() * 1000.0;
                let body = serde_json::json!({"initMs": millis(*init), "tookMs": millis(at.elapsed())});
                answer(StatusCode::OK, &body.to_string())
            }
            Some(Err(failure)) => answer(StatusCode::SERVICE_UNAVAILABLE, failure),
            None => going(),
        }
    }

    /// Makes the pod that function's, if it is nobody's, and gives where the verdict will be.
    fn take(&self, config: Config, at: Instant) -> Result<watch::Receiver<Option<Verdict>>, Vain> {
        let mut state = self.state.lock();
        let claims = match &*state {
            State::Taken(taken) if taken.is(&config.identity) => return Ok(taken.verdict.clone()),
            State::Taken(_) => return Err(Vain::Taken),
            State::Open(claims) => claims,
        };
        let (told, verdict) = watch::channel(None);
        let Identity { function, revision, .. } = &config.identity;
        let now =
            Taken { function: function.clone(), revision: revision.clone(), at, verdict: verdict.clone() };
        let sent = claims.try_send(Claim { config: Box::new(config), at, verdict: told });
        *state = State::Taken(now);
        sent.map(|()| verdict).map_err(|_| Vain::Going)
    }

    /// Whether the pod has been claimed.
    fn is_taken(&self) -> bool {
        matches!(&*self.state.lock(), State::Taken(_))
    }

    /// Whether nobody's claim is heard any more.
    fn is_closed(&self, now: Instant) -> bool {
        matches!(&*self.state.lock(), State::Taken(taken) if now - taken.at > SHARED)
    }

    fn open(&self, sealed: &[u8], proof: &str) -> Result<Config, String> {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
        let PoolConfig { pool, key, identity, .. } = self.config.as_ref();
        let ticket = pool::open(&key.0, pool, &identity.uid, sealed, proof, now)
            .map_err(|refused: Refused| refused.to_string())?;
        self.config.with_ticket(ticket.environment).map_err(|error| error.to_string())
    }
}

// === impl Taken ===

impl Taken {
    fn is(&self, identity: &Identity) -> bool {
        self.function == identity.function && self.revision == identity.revision
    }
}

fn taken() -> Response<Answer> {
    answer(StatusCode::CONFLICT, "the pod is a function's already")
}

fn going() -> Response<Answer> {
    answer(StatusCode::SERVICE_UNAVAILABLE, "the pod is going")
}

fn answer(status: StatusCode, text: &str) -> Response<Answer> {
    let mut response = Response::new(Answer::Whole(Some(Bytes::copy_from_slice(text.as_bytes()))));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    response
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pool::config::tests::{pool, ticket};

    fn claim(desk: &Desk, function: &str) -> Result<watch::Receiver<Option<Verdict>>, Vain> {
        let mut variables = ticket(&[]);
        for (name, value) in &mut variables {
            if name == "FLINT_FUNCTION" {
                *value = function.to_owned();
            }
        }
        desk.take(desk.config.with_ticket(variables).unwrap(), Instant::now())
    }

    #[tokio::test(start_paused = true)]
    async fn a_pod_is_one_functions_for_ever_and_soon_closed_to_latecomers() {
        let (desk, mut claims) = Desk::new(Arc::new(pool()));
        assert!(!desk.is_taken());
        let mut first = claim(&desk, "cart").unwrap();
        let mut second = claim(&desk, "cart").unwrap();
        assert_eq!(claim(&desk, "checkout").unwrap_err(), Vain::Taken);
        assert_eq!(claims.try_recv().unwrap().verdict.send(Some(Ok(Duration::ZERO))), Ok(()));
        assert!(claims.try_recv().is_err(), "one instance comes of it");
        for verdict in [&mut first, &mut second] {
            assert_eq!(*verdict.wait_for(Option::is_some).await.unwrap(), Some(Ok(Duration::ZERO)));
        }
        assert!(!desk.is_closed(Instant::now()));
        tokio::time::advance(SHARED + Duration::from_millis(1)).await;
        assert!(desk.is_closed(Instant::now()));
    }
}
