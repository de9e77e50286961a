//! Who signed a call of Lambda's Invoke, where the gateway asks for it.

use std::time::Duration;

use bytes::Bytes;
use flint_core::{
    sigv4::{self, Claim, Denial},
    wire::ErrorCode,
};
use flint_proxy::{Body, BodyError, RequestBody, forward};
use http::{HeaderValue, header, request::Parts};
use http_body_util::BodyExt;
use jiff::Timestamp;
use tokio::time::Instant;

use crate::{
    credentials::Credentials,
    exchange::Exchange,
    front::{Front, too_large},
    live::Refusal,
    refuse::Dialect,
};

/// What the signature's scope has to name.
const SERVICE: &str = "lambda";
/// How long a body may take that has to be here whole before anything is done with it.
const BODY_TIME: Duration = Duration::from_secs(60);

// === impl Front ===

impl Front {
    /// Reads the body of a call and checks who signed it; the refusal otherwise, with the form that it is told in.
    ///
    /// Nothing of the body is read before the key is known and the date is right, so who has no key costs a look at the head.
    pub(crate) async fn believe(
        &self,
        credentials: &Credentials,
        exchange: &Exchange,
        body: RequestBody,
    ) -> Result<Bytes, (Dialect, Refusal)> {
        let Parts { method, uri, headers, .. } = &exchange.parts;
        let mut with_host;
        let headers = match forward::host(uri, headers) {
            // HTTP/2 has it elsewhere.
            Some(host) if !headers.contains_key(header::HOST) => {
                with_host = headers.clone();
                with_host.extend(HeaderValue::from_str(host).ok().map(|host| (header::HOST, host)));
                &with_host
            }
            _ => headers,
        };
        let claim = Claim::read(headers, SERVICE, Timestamp::now()).map_err(denied)?;
        credentials.knows(&claim).map_err(denied)?;
        let limit = self.shared.settings.lambda_body_limit;
        let body = Body::limited(body, limit);
        let plain = |code, message: String| (Dialect::Lambda, Refusal { code, message });
        if body.declared().is_some_and(|length| length > limit) {
            return Err((Dialect::Lambda, too_large(limit)));
        }
        let body = match self.worker.timers().timeout(Instant::now() + BODY_TIME, body.collect()).await {
            Ok(Ok(body)) => body.to_bytes(),
            Ok(Err(BodyError::TooLarge { limit })) => return Err((Dialect::Lambda, too_large(limit))),
            Ok(Err(_)) => {
                return Err(plain(ErrorCode::BadRequest, "the request's body ended early".to_owned()));
            }
            Err(_) => {
                let message = format!("the request's body did not come within {BODY_TIME:?}");
                return Err(plain(ErrorCode::BadRequest, message));
            }
        };
        let request =
            sigv4::Request { method, path: uri.path(), query: uri.query().unwrap_or_default(), headers };
        credentials.verify(&claim, request, &body).map_err(denied)?;
        Ok(body)
    }
}

/// AWS's names for what is wrong.
fn denied(denial: Denial) -> (Dialect, Refusal) {
    let name = match &denial {
        Denial::Missing => "MissingAuthenticationTokenException",
        Denial::Incomplete(_) => "IncompleteSignatureException",
        Denial::UnknownKey => "UnrecognizedClientException",
        Denial::Skewed { .. } | Denial::Body | Denial::Mismatch => "InvalidSignatureException",
    };
    (Dialect::Unsigned(name), Refusal { code: ErrorCode::Forbidden, message: denial.to_string() })
}
