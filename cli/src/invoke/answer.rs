//! What came back, and whether the function, Flint or the user is at fault.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use http::{HeaderMap, StatusCode};
use serde::Deserialize;
use serde_json::Value;

use crate::error::Error;

/// An answer of the gateway's.
#[derive(Clone, Debug)]
pub struct Answer {
    /// Its status.
    pub status: StatusCode,
    /// Its headers.
    pub headers: HeaderMap,
    /// Its body.
    pub body: Vec<u8>,
}

/// How a function failed, as runtimes report it.
#[derive(Clone, Debug, Default, Deserialize, PartialEq)]
#[serde(rename_all = "camelCase", default)]
pub struct Failure {
    /// `KeyError`, `Runtime.ExitError`, …
    pub error_type: Option<String>,
    /// The text.
    pub error_message: Option<String>,
    /// The stack in Python's, Go's, Rust's and Java's words.
    stack_trace: Option<Value>,
    /// The stack in Node's word.
    trace: Option<Value>,
}

/// What Flint itself says, to any client.
#[derive(Debug, Deserialize)]
struct Refusal {
    error: Said,
}

#[derive(Debug, Deserialize)]
struct Said {
    message: String,
}

// === impl Answer ===

impl Answer {
    /// A header as text.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }

    /// The request's id.
    #[must_use]
    pub fn request_id(&self) -> Option<&str> {
        self.header("x-request-id").or_else(|| self.header("x-amzn-requestid"))
    }

    /// Flint's own code, where the answer is Flint's and not the function's.
    #[must_use]
    pub fn refusal(&self) -> Option<&str> {
        self.header("x-flint-error")
    }

    /// How the function failed, of an answer to Lambda's Invoke.
    #[must_use]
    pub fn failure(&self) -> Option<Failure> {
        self.header("x-amz-function-error")?;
        Some(serde_json::from_slice(&self.body).unwrap_or_default())
    }

    /// The end of the log, where it was asked for.
    #[must_use]
    pub fn log(&self) -> Option<String> {
        let bytes = STANDARD.decode(self.header("x-amz-log-result")?).ok()?;
        Some(String::from_utf8_lossy(&bytes).into_owned())
    }

    /// The failure of the command, if this answer is one. `function` is how people call it.
    #[must_use]
    pub fn error(&self, function: &str) -> Option<Error> {
        if let Some(code) = self.refusal() {
            return Some(self.refused(function, code));
        }
        if let Some(failure) = self.failure() {
            return Some(Error::function(format!("{function} failed: {}", failure.line())));
        }
        // The function's own 4xx is an answer; its own 5xx says that it failed.
        self.status.is_server_error().then(|| Error::function(format!("{function} answered {}", self.status)))
    }

    fn refused(&self, function: &str, code: &str) -> Error {
        let said = serde_json::from_slice::<Refusal>(&self.body).map(|refusal| refusal.error.message);
        let said = said.unwrap_or_else(|_| String::from_utf8_lossy(&self.body).trim().to_owned());
        let why = if said.is_empty() { code.to_owned() } else { said };
        let logs = match self.request_id() {
            Some(id) => format!("`flint logs {function} --request {id}`"),
            None => format!("`flint logs {function}`"),
        };
        let describe = format!("`flint describe {function}` says why");
        match code {
            "function_not_found" | "no_route" => Error::not_found(why)
                .try_this("`flint ls -A` lists the functions of all namespaces; -n names another namespace"),
            "bad_request" => Error::usage(why),
            "request_too_large" => {
                Error::usage(why).try_this("put it where the function can fetch it, and send its address")
            }
            "function_failed" => Error::function(format!("{function} failed: {why}")).try_this(logs),
            "timeout" => Error::function(format!("{function} did not answer in time: {why}"))
                .try_this(format!("raise its `timeout`; {logs} shows how far it came")),
            "too_many_requests" => {
                Error::platform(why).try_this("again in a moment, or raise `scaling.maxReplicas`")
            }
            "not_startable" | "start_timeout" => Error::platform(why).try_this(describe),
            _ => Error::platform(why).because(format!("the gateway answered {} {code}", self.status)),
        }
    }
}

// === impl Failure ===

impl Failure {
    /// Type and message in one line.
    #[must_use]
    pub fn line(&self) -> String {
        let message = self.error_message.as_deref().unwrap_or_default().trim();
        match self.error_type.as_deref().filter(|kind| !kind.is_empty()) {
            Some(kind) if message.is_empty() => kind.to_owned(),
            Some(kind) => format!("{kind}: {message}"),
            None if message.is_empty() => "it does not say why".to_owned(),
            None => message.to_owned(),
        }
    }

    /// The stack, a line for each frame, as the function's language writes it.
    #[must_use]
    pub fn stack(&self) -> Vec<String> {
        let frames =
            [&self.stack_trace, &self.trace].into_iter().flatten().filter_map(Value::as_array).flatten();
        let lines = frames.flat_map(|frame| match frame {
            Value::String(text) => text.lines().map(|line| line.trim_end().to_owned()).collect(),
            frame => vec![placed(frame)],
        });
        // Node's stack begins with what the message says already.
        let first = self.line();
        lines.filter(|line| !line.is_empty() && *line != first).collect()
    }
}

/// A frame in Go's form: label, path, line.
fn placed(frame: &Value) -> String {
    let text = |name: &str| frame.get(name).and_then(Value::as_str).unwrap_or("?");
    let line = frame.get("line").and_then(Value::as_u64).unwrap_or(0);
    format!("    at {} ({}:{line})", text("label"), text("path"))
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::error::{FUNCTION, NOT_FOUND, PLATFORM, USAGE};

    /// An answer with these headers.
    pub(in crate::invoke) fn answer(status: u16, headers: &[(&'static str, &str)], body: &str) -> Answer {
        let headers = headers.iter().map(|(name, value)| {
            (http::HeaderName::from_static(name), http::HeaderValue::from_str(value).unwrap())
        });
        Answer {
            status: StatusCode::from_u16(status).unwrap(),
            headers: headers.collect(),
            body: body.as_bytes().to_vec(),
        }
    }

    fn failed(body: &str) -> Failure {
        answer(200, &[("x-amz-function-error", "Unhandled")], body).failure().unwrap()
    }

    #[test]
    fn an_answer_of_the_functions_is_no_error_unless_it_says_so() {
        assert!(answer(200, &[], "{}").error("hello").is_none());
        assert!(answer(404, &[], "not here").error("hello").is_none());
        let error = answer(503, &[], "").error("hello").unwrap();
        assert_eq!(
            (error.code(), error.to_string().as_str()),
            (FUNCTION, "hello answered 503 Service Unavailable")
        );
    }

    #[test]
    fn flints_own_answers_have_their_exit_codes_and_say_what_to_do() {
        for (status, code, exit) in [
            (404, "function_not_found", NOT_FOUND),
            (400, "bad_request", USAGE),
            (413, "request_too_large", USAGE),
            (502, "function_failed", FUNCTION),
            (504, "timeout", FUNCTION),
            (429, "too_many_requests", PLATFORM),
            (503, "not_startable", PLATFORM),
            (504, "start_timeout", PLATFORM),
            (501, "not_implemented", PLATFORM),
        ] {
            let body = format!(r#"{{"error":{{"code":"{code}","message":"because"}},"requestId":"8f5e"}}"#);
            let error = answer(status, &[("x-flint-error", code)], &body).error("hello").unwrap();
            assert_eq!(error.code(), exit, "{code}");
            assert!(error.to_string().contains("because"), "{error}");
            let helps = error.remedy().is_some();
            assert_eq!(helps, !matches!(code, "bad_request" | "not_implemented"), "{code}");
        }
    }

    #[test]
    fn a_functions_error_is_told_with_its_type() {
        let error = answer(
            200,
            &[("x-amz-function-error", "Unhandled")],
            r#"{"errorType":"KeyError","errorMessage":"'x'"}"#,
        );
        let error = error.error("hello").unwrap();
        assert_eq!((error.code(), error.to_string().as_str()), (FUNCTION, "hello failed: KeyError: 'x'"));
        assert_eq!(failed("no json").line(), "it does not say why");
    }

    #[test]
    fn stacks_of_every_language_are_lines() {
        let python = failed(
            r#"{"errorType":"KeyError","errorMessage":"'x'","stackTrace":["  File \"/var/task/app.py\", line 3, in handler\n    return event[\"x\"]\n"]}"#,
        );
        assert_eq!(
            python.stack(),
            ["  File \"/var/task/app.py\", line 3, in handler", "    return event[\"x\"]"]
        );
        let node = failed(
            r#"{"errorType":"TypeError","errorMessage":"no","trace":["TypeError: no","    at handler (/var/task/app.js:1:9)"]}"#,
        );
        assert_eq!(node.stack(), ["    at handler (/var/task/app.js:1:9)"]);
        let go = failed(
            r#"{"errorMessage":"no","stackTrace":[{"path":"main.go","line":7,"label":"main.handle"}]}"#,
        );
        assert_eq!(go.stack(), ["    at main.handle (main.go:7)"]);
        assert!(failed(r#"{"stackTrace":null}"#).stack().is_empty());
    }

    #[test]
    fn the_log_comes_in_a_header() {
        let encoded = STANDARD.encode("hello\nREPORT RequestId: 8f5e\n");
        let answer = answer(200, &[("x-amz-log-result", &encoded)], "");
        assert_eq!(answer.log().unwrap(), "hello\nREPORT RequestId: 8f5e\n");
    }
}
