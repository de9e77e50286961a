//! What a process writes: a JSON object a line, as the watchdog writes them.

use std::sync::Arc;

use serde_json::{Map, Value};
use tokio::{
    io::{AsyncBufRead, AsyncBufReadExt as _, BufReader},
    process::ChildStdout,
};

use crate::{Event, Key, Log, tell::Teller};

/// A line is cut there. The watchdog cuts a function's own lines at less.
const LINE: usize = 256 * 1024;

/// Reads lines to their end, and tells them.
pub(crate) async fn read(stdout: ChildStdout, function: Key, instance: String, teller: Arc<Teller>) {
    let mut stdout = BufReader::new(stdout);
    let mut line = Vec::new();
    while next(&mut stdout, &mut line).await {
        if let Some(log) = parse(&line, &function, &instance) {
            teller.tell(Event::Log(log));
        }
        line.clear();
    }
}

/// The next line without its end; false after the last.
async fn next(from: &mut (impl AsyncBufRead + Unpin), line: &mut Vec<u8>) -> bool {
    loop {
        let Ok(chunk) = from.fill_buf().await else { return !line.is_empty() };
        if chunk.is_empty() {
            return !line.is_empty();
        }
        let end = chunk.iter().position(|byte| *byte == b'\n');
        let part = &chunk[..end.unwrap_or(chunk.len())];
        line.extend_from_slice(&part[..part.len().min(LINE - line.len())]);
        let read = end.map_or(chunk.len(), |end| end + 1);
        from.consume(read);
        if end.is_some() {
            return true;
        }
    }
}

/// Reads a line; none where it is of the watchdog's own ordinary doings, which [`Event`]s tell better.
fn parse(line: &[u8], function: &Key, instance: &str) -> Option<Log> {
    let mut fields: Map<String, Value> = match serde_json::from_slice(line) {
        Ok(fields) => fields,
        Err(_) if line.is_empty() => return None,
        Err(_) => Map::from_iter([("message".to_owned(), String::from_utf8_lossy(line).into())]),
    };
    let mut text = |name: &str| match fields.remove(name) {
        Some(Value::String(text)) => Some(text),
        _ => None,
    };
    let (level, message, request_id) = (text("level"), text("message"), text("requestId"));
    for known in ["time", "function", "namespace", "revision"] {
        fields.remove(known);
    }
    let level = level.unwrap_or_else(|| "info".to_owned());
    let own = fields.get("source").is_some_and(|source| source == "watchdog");
    if own && level == "info" && request_id.is_none() {
        return None;
    }
    let message = message.unwrap_or_default();
    Some(Log {
        function: function.clone(),
        instance: instance.to_owned(),
        level,
        request_id,
        message,
        fields,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(line: &str) -> Option<Log> {
        parse(line.as_bytes(), &Key::new("default", "hello"), "hello-1")
    }

    #[test]
    fn a_functions_line_keeps_its_request_and_its_own_fields() {
        let log = read(
            r#"{"time":"2026-11-21T10:00:00Z","level":"error","function":"hello","namespace":"default","revision":"hello-1","requestId":"7","message":"boom","stream":"stderr"}"#,
        )
        .unwrap();
        assert_eq!((log.level.as_str(), log.message.as_str()), ("error", "boom"));
        assert_eq!(log.request_id.as_deref(), Some("7"));
        assert_eq!(log.fields.keys().collect::<Vec<_>>(), ["stream"]);
    }

    #[test]
    fn what_is_no_json_is_a_line_all_the_same() {
        assert_eq!(read("plain").unwrap().message, "plain");
    }

    #[test]
    fn the_watchdogs_ordinary_doings_are_left_out_and_its_reports_and_warnings_are_not() {
        assert!(read(r#"{"level":"info","message":"listening","source":"watchdog"}"#).is_none());
        assert!(read(r#"{"level":"warn","message":"late","source":"watchdog"}"#).is_some());
        assert!(read(r#"{"level":"info","message":"REPORT","requestId":"7","source":"watchdog"}"#).is_some());
        assert!(read(r#"{"level":"info","message":"listening"}"#).is_some());
    }

    #[tokio::test]
    async fn a_line_without_an_end_takes_no_more_than_its_share() {
        let text = [vec![b'x'; 3 * LINE], b"\nnext".to_vec()].concat();
        let (mut from, mut line) = (BufReader::new(text.as_slice()), Vec::new());
        assert!(next(&mut from, &mut line).await);
        assert_eq!(line.len(), LINE);
        line.clear();
        assert!(next(&mut from, &mut line).await);
        assert_eq!(line, b"next");
        line.clear();
        assert!(!next(&mut from, &mut line).await);
    }
}
