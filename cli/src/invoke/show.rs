//! An answer as a terminal shows it, as a pipe gets it, and as scripts read it.

use std::time::Duration;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde_json::{Value, json};

use super::answer::Answer;
use crate::{
    output::{BAD, DIM, GOOD},
    text,
};

/// What goes to standard output.
#[derive(Clone, Debug, PartialEq)]
pub enum Shown {
    /// These bytes and nothing else.
    Bytes(Vec<u8>),
    /// Nothing: what a terminal cannot show is told instead.
    Instead(String),
}

/// The body: as it is for a pipe; for a terminal JSON is laid out, and what is no text is held back.
#[must_use]
pub fn body(answer: &Answer, terminal: bool) -> Shown {
    if !terminal {
        return Shown::Bytes(answer.body.clone());
    }
    if let Ok(value) = serde_json::from_slice::<Value>(&answer.body) {
        return Shown::Bytes(format!("{value:#}\n").into_bytes());
    }
    match std::str::from_utf8(&answer.body) {
        Ok("") => Shown::Bytes(Vec::new()),
        Ok(text) if !text.contains('\0') => {
            Shown::Bytes(format!("{}\n", text.trim_end_matches('\n')).into_bytes())
        }
        _ => {
            let size = text::size(i64::try_from(answer.body.len()).unwrap_or(i64::MAX));
            let kind = answer.header("content-type").unwrap_or("bytes");
            Shown::Instead(format!("{size} of {kind}, which a terminal cannot show; add `> FILE`"))
        }
    }
}

/// What is told about a call: how it ended, how long it took, its id.
#[must_use]
pub fn headline(answer: &Answer, took: Duration) -> String {
    let millis = took.as_secs_f64() * 1e3;
    let outcome = match answer.header("x-amz-function-error") {
        Some(kind) => format!("{BAD}{} {kind} error{BAD:#}", answer.status.as_u16()),
        None if answer.status.is_success() => format!("{GOOD}{}{GOOD:#}", answer.status.as_u16()),
        None => format!("{BAD}{}{BAD:#}", answer.status.as_u16()),
    };
    let id = answer.request_id().unwrap_or("none");
    format!("{outcome} {DIM}in{DIM:#} {millis:.0} ms {DIM}request{DIM:#} {id}")
}

/// The answer for scripts.
#[must_use]
pub fn value(answer: &Answer, took: Duration) -> Value {
    let mut value = json!({
        "statusCode": answer.status.as_u16(),
        "requestId": answer.request_id(),
        "functionError": answer.header("x-amz-function-error"),
        "flintError": answer.refusal(),
        "durationMs": (took.as_secs_f64() * 1e6).round() / 1e3,
        "contentType": answer.header("content-type"),
    });
    if let Ok(payload) = serde_json::from_slice::<Value>(&answer.body) {
        value["payload"] = payload;
    } else if let Ok(text) = std::str::from_utf8(&answer.body) {
        value["payloadText"] = text.into();
    } else {
        value["payloadBase64"] = STANDARD.encode(&answer.body).into();
    }
    if let Some(log) = answer.log() {
        value["log"] = log.into();
    }
    value
}

#[cfg(test)]
mod tests {
    use super::{super::answer::tests::answer, *};

    fn on_terminal(body: &str) -> Shown {
        super::body(&answer(200, &[("content-type", "image/png")], body), true)
    }

    #[test]
    fn a_pipe_gets_the_bytes_and_no_other() {
        let mut answer = answer(200, &[], "");
        for bytes in [&b"{\"a\":1}"[..], &[0xff, 0x00], b"", b"\n"] {
            answer.body = bytes.to_vec();
            assert_eq!(body(&answer, false), Shown::Bytes(bytes.to_vec()));
        }
    }

    #[test]
    fn a_terminal_gets_json_laid_out_and_text_with_a_line_end() {
        assert_eq!(on_terminal("{\"a\":1}"), Shown::Bytes(b"{\n  \"a\": 1\n}\n".to_vec()));
        assert_eq!(on_terminal("text"), Shown::Bytes(b"text\n".to_vec()));
        assert_eq!(on_terminal(""), Shown::Bytes(Vec::new()));
    }

    #[test]
    fn a_terminal_gets_no_bytes_that_are_no_text() {
        let told = "2 B of image/png, which a terminal cannot show; add `> FILE`";
        assert_eq!(on_terminal("\0x"), Shown::Instead(told.to_owned()));
    }

    #[test]
    fn the_headline_says_how_it_ended() {
        let plain = |answer: &Answer| {
            anstream::adapter::strip_str(&headline(answer, Duration::from_micros(12_400))).to_string()
        };
        assert_eq!(plain(&answer(200, &[("x-request-id", "8f5e")], "")), "200 in 12 ms request 8f5e");
        let failed = answer(200, &[("x-request-id", "8f5e"), ("x-amz-function-error", "Unhandled")], "");
        assert_eq!(plain(&failed), "200 Unhandled error in 12 ms request 8f5e");
    }

    #[test]
    fn scripts_get_all_of_it() {
        let encoded = STANDARD.encode("said\n");
        let headers = [
            ("x-request-id", "8f5e"),
            ("x-amz-log-result", encoded.as_str()),
            ("content-type", "application/json"),
        ];
        let value = value(&answer(200, &headers, "{\"a\":1}"), Duration::from_micros(12_400));
        insta::assert_snapshot!(format!("{value:#}"));
        let text = super::value(&answer(200, &[], "text"), Duration::ZERO);
        assert_eq!(text["payloadText"], "text");
    }
}
