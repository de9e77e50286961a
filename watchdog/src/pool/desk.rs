//! Where a waiting pod is claimed: one claim is taken, ever.

use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use flint_core::pool::{self, LARGEST_TICKET, PROOF_HEADER, Refused};
use http::header::{CONTENT_TYPE, HeaderValue};
use http::{Method, Request, Response, StatusCode};
use http_body_util::{BodyExt as _, Limited};
use hyper::body::Incoming;
use parking_lot::Mutex;
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, timeout};

use super::PoolConfig;
use crate::answer::Answer;
use crate::config::Config;

/// Takes the first good claim.
pub(crate) struct Desk {
    config: Arc<PoolConfig>,
    /// Taken with the claim.
    claims: Mutex<Option<mpsc::Sender<Claim>>>,
}

/// A claim that was taken.
pub(crate) struct Claim {
    /// The function's configuration.
    pub(crate) config: Box<Config>,
    /// When it came.
    pub(crate) at: Instant,
    /// Where to say that the function is ready, and how long its start took; or why it cannot.
    pub(crate) verdict: oneshot::Sender<Result<Duration, String>>,
}

/// A ticket comes with the head or right behind it.
const READ_LIMIT: Duration = Duration::from_secs(2);

// === impl Desk ===

impl Desk {
    /// A desk, and where its one claim comes out.
    pub(crate) fn new(config: Arc<PoolConfig>) -> (Self, mpsc::Receiver<Claim>) {
        let (sender, claims) = mpsc::channel(1);
        (Self { config, claims: Mutex::new(Some(sender)) }, claims)
    }

    /// What a claim is told at a pod that never waited in a pool.
    pub(crate) fn none() -> Response<Answer> {
        taken()
    }

    /// Whether the pod has been claimed.
    pub(crate) fn is_taken(&self) -> bool {
        self.claims.lock().is_none()
    }

    /// Answers a claim: 200 when the function is ready, 409 when another one was first, 403 for one that is not good, 503 when
    /// the function cannot start.
    pub(crate) async fn claim(&self, request: Request<Incoming>) -> Response<Answer> {
        let at = Instant::now();
        if request.method() != Method::POST {
            return answer(StatusCode::METHOD_NOT_ALLOWED, "a claim is a POST");
        }
        if self.is_taken() {
            return taken();
        }
        let (head, body) = request.into_parts();
        let proof = head.headers.get(PROOF_HEADER).and_then(|value| value.to_str().ok()).unwrap_or_default();
        let sealed = match timeout(READ_LIMIT, Limited::new(body, LARGEST_TICKET).collect()).await {
            Ok(Ok(body)) => body.to_bytes(),
            Ok(Err(_)) => return answer(StatusCode::PAYLOAD_TOO_LARGE, "no ticket is as large"),
            Err(_) => return answer(StatusCode::REQUEST_TIMEOUT, "the ticket did not arrive"),
        };
        let config = match self.open(&sealed, proof) {
            Ok(config) => Box::new(config),
            Err(message) => return answer(StatusCode::FORBIDDEN, &message),
        };
        let Some(claims) = self.claims.lock().take() else { return taken() };
        let (verdict, heard) = oneshot::channel();
        if claims.try_send(Claim { config, at, verdict }).is_err() {
            return answer(StatusCode::SERVICE_UNAVAILABLE, "the pod is going");
        }
        match heard.await {
            Ok(Ok(init)) => {
                let millis = |time: Duration| time.as_secs_f64() * 1000.0;
                let body = serde_json::json!({"initMs": millis(init), "tookMs": millis(at.elapsed())});
                answer(StatusCode::OK, &body.to_string())
            }
            Ok(Err(failure)) => answer(StatusCode::SERVICE_UNAVAILABLE, &failure),
            Err(_) => answer(StatusCode::SERVICE_UNAVAILABLE, "the pod is going"),
        }
    }

    fn open(&self, sealed: &[u8], proof: &str) -> Result<Config, String> {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
        let PoolConfig { pool, key, identity, .. } = self.config.as_ref();
        let ticket = pool::open(&key.0, pool, &identity.uid, sealed, proof, now)
            .map_err(|refused: Refused| refused.to_string())?;
        self.config.with_ticket(ticket.environment).map_err(|error| error.to_string())
    }
}

fn taken() -> Response<Answer> {
    answer(StatusCode::CONFLICT, "the pod is a function's already")
}

fn answer(status: StatusCode, text: &str) -> Response<Answer> {
    let mut response = Response::new(Answer::Whole(Some(Bytes::copy_from_slice(text.as_bytes()))));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    response
}
