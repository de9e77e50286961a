//! One line of the access log.

use std::{fmt::Write as _, net::IpAddr, time::SystemTime};

use flint_proxy::End;
use http::{Method, StatusCode, Uri};
use jiff::Timestamp;

use crate::{
    clock::Micros,
    function::{Function, Seen},
};

/// What there is to say of a request.
#[derive(Debug)]
pub struct Line<'a> {
    /// The method.
    pub method: &'a Method,
    /// The target as the client wrote it.
    pub uri: &'a Uri,
    /// The function, if it is one's.
    pub function: Option<&'a Function>,
    /// The instance that answered.
    pub instance: Option<&'a str>,
    /// The status; 499 when the client went before there was one.
    pub status: StatusCode,
    /// The contract's error code, where the answer is no function's.
    pub code: Option<&'a str>,
    /// From arrival to end.
    pub duration: Micros,
    /// Of it, waiting for an instance.
    pub queued: Micros,
    /// There was no instance when it came.
    pub cold: bool,
    /// Bytes of the request's body.
    pub bytes_in: u64,
    /// Bytes of the answer's body.
    pub bytes_out: u64,
    /// The request's id.
    pub request_id: &'a str,
    /// The trace's header.
    pub trace: &'a str,
    /// The client; none for a schedule.
    pub client: Option<IpAddr>,
    /// The same as text, which a connection makes once; `schedule` for one.
    pub client_text: &'a str,
    /// How often it was sent to an instance.
    pub attempts: u32,
    /// How its answer ended.
    pub end: End,
}

/// The time of day as text; the part that stays the same for a second is made once.
#[derive(Debug, Default)]
pub(super) struct WallClock {
    second: u64,
    text: String,
}

// === impl Line ===

impl Line<'_> {
    /// Appends the line, its end included.
    pub(super) fn write(&self, out: &mut Vec<u8>, clock: &mut WallClock) {
        out.extend_from_slice(b"{\"time\":\"");
        clock.write(out);
        out.extend_from_slice(b"\",\"kind\":\"access\",\"method\":");
        plain(out, self.method.as_str());
        out.extend_from_slice(b",\"path\":");
        string(out, self.uri.path_and_query().map_or("", |path| path.as_str()));
        if let Some(function) = self.function {
            out.extend_from_slice(function.logged.as_bytes());
        }
        if let Some(instance) = self.instance {
            field(out, "instance", instance);
        }
        if let Some(code) = self.code {
            field(out, "code", code);
        }
        let end = match self.end {
            End::Complete => "complete",
            End::Failed => "failed",
            End::Dropped => "dropped",
        };
        number(out, ",\"status\":", self.status.as_u16().into());
        out.extend_from_slice(b",\"end\":\"");
        out.extend_from_slice(end.as_bytes());
        milliseconds(out, "\",\"durationMs\":", self.duration);
        milliseconds(out, ",\"queuedMs\":", self.queued);
        out.extend_from_slice(if self.cold { b",\"cold\":true" } else { b",\"cold\":false" });
        number(out, ",\"bytesIn\":", self.bytes_in);
        number(out, ",\"bytesOut\":", self.bytes_out);
        number(out, ",\"attempts\":", self.attempts.into());
        field(out, "requestId", self.request_id);
        // The trace's id is the second of the header's four parts.
        if let Some(trace) = self.trace.get(3..35) {
            out.extend_from_slice(b",\"traceId\":");
            plain(out, trace);
        }
        out.extend_from_slice(b",\"client\":");
        plain(out, self.client_text);
        out.extend_from_slice(b"}\n");
    }
}

/// The fields that are the same in every line of a function.
pub(crate) fn of_function(seen: &Seen) -> Box<str> {
    let mut out = Vec::new();
    field(&mut out, "namespace", &seen.key.namespace);
    field(&mut out, "function", &seen.key.name);
    if let Some(revision) = &seen.revision {
        field(&mut out, "revision", revision);
    }
    String::from_utf8_lossy(&out).into()
}

fn field(out: &mut Vec<u8>, name: &str, value: &str) {
    out.extend_from_slice(b",\"");
    out.extend_from_slice(name.as_bytes());
    out.extend_from_slice(b"\":");
    string(out, value);
}

/// A method, a number or an address: nothing in it that JSON wants escaped.
fn plain(out: &mut Vec<u8>, text: &str) {
    out.push(b'"');
    out.extend_from_slice(text.as_bytes());
    out.push(b'"');
}

fn string(out: &mut Vec<u8>, text: &str) {
    out.push(b'"');
    let mut rest = text.as_bytes();
    // Nearly all text is plain, and a look at all of it without a way out takes sixteen bytes at a time.
    if !rest.iter().fold(false, |found, byte| found | is_special(*byte)) {
        out.extend_from_slice(rest);
        out.push(b'"');
        return;
    }
    while let Some(at) = rest.iter().position(|byte| is_special(*byte)) {
        let (plain, special) = rest.split_at(at);
        out.extend_from_slice(plain);
        out.extend_from_slice(b"\\u00");
        out.extend_from_slice(&hex(special[0]));
        rest = &special[1..];
    }
    out.extend_from_slice(rest);
    out.push(b'"');
}

/// Whether JSON wants it escaped.
fn is_special(byte: u8) -> bool {
    (byte < 0x20) | (byte == b'"') | (byte == b'\\')
}

fn hex(byte: u8) -> [u8; 2] {
    [byte >> 4, byte & 15].map(|digit| b"0123456789abcdef"[usize::from(digit)])
}

fn number(out: &mut Vec<u8>, before: &str, number: u64) {
    out.extend_from_slice(before.as_bytes());
    out.extend_from_slice(itoa::Buffer::new().format(number).as_bytes());
}

fn milliseconds(out: &mut Vec<u8>, before: &str, time: Micros) {
    number(out, before, time / 1000);
    out.push(b'.');
    out.extend_from_slice(&three_digits(time % 1000));
}

fn three_digits(number: u64) -> [u8; 3] {
    [number / 100, number / 10, number].map(|digit| b"0123456789"[(digit % 10) as usize])
}

// === impl WallClock ===

impl WallClock {
    fn write(&mut self, out: &mut Vec<u8>) {
        let now = SystemTime::UNIX_EPOCH.elapsed().unwrap_or_default();
        if self.second != now.as_secs() || self.text.is_empty() {
            self.second = now.as_secs();
            let second = i64::try_from(self.second).unwrap_or(i64::MAX);
            let second = Timestamp::from_second(second).unwrap_or_default();
            self.text.clear();
            let _ = write!(self.text, "{}", second.strftime("%Y-%m-%dT%H:%M:%S"));
        }
        out.extend_from_slice(self.text.as_bytes());
        out.push(b'.');
        out.extend_from_slice(&three_digits(now.subsec_millis().into()));
        out.push(b'Z');
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_json_whatever_a_client_sends() {
        let uri: Uri = "/function/hello?q=%22\\x".parse().unwrap();
        let line = Line {
            method: &Method::GET,
            uri: &uri,
            function: None,
            instance: Some("pod\"1\n"),
            status: StatusCode::OK,
            code: None,
            duration: 12_345,
            queued: 7,
            cold: true,
            bytes_in: 1,
            bytes_out: 2,
            request_id: "id",
            trace: "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
            client: Some(IpAddr::from([127, 0, 0, 1])),
            client_text: "127.0.0.1",
            attempts: 1,
            end: End::Complete,
        };
        let mut out = Vec::new();
        line.write(&mut out, &mut WallClock::default());
        let read: serde_json::Value = serde_json::from_slice(&out).expect("JSON");
        assert_eq!(read["instance"], "pod\"1\n");
        assert_eq!(read["durationMs"], 12.345);
        assert_eq!(read["queuedMs"], 0.007);
        assert_eq!(read["traceId"], "0af7651916cd43dd8448eb211c80319c");
        assert_eq!((&read["status"], &read["client"]), (&200.into(), &"127.0.0.1".into()));
        assert!(read["time"].as_str().unwrap().parse::<Timestamp>().is_ok());
        assert_eq!(out.last(), Some(&b'\n'));
    }
}
