use std::{net::IpAddr, time::Duration};

use anstream::adapter::strip_str;
use jiff::Timestamp;
use serde_json::{Map, json};

use super::*;
use crate::languages::Language;

fn key() -> Key {
    Key::new("default", "hello")
}

fn screen(folder: &std::path::Path) -> Screen {
    let mut screen = Screen::new(Level::Info);
    let known = Known { language: Some(Language::Python), folder: folder.to_owned(), remarks: Vec::new() };
    screen.root = folder.to_owned();
    screen.functions.insert(key(), known);
    screen
}

/// The lines without their time and colours.
fn shown(screen: &mut Screen, event: Event) -> Option<String> {
    let told = Told { id: 1, time: Timestamp::UNIX_EPOCH, event };
    let line = strip_str(&screen.show(&told)?).to_string();
    Some(line.split_once(' ').map(|(_, text)| text.to_owned()).unwrap_or_default())
}

fn log(level: &str, message: &str, request_id: Option<&str>) -> Log {
    Log {
        function: key(),
        instance: "hello-1".into(),
        level: level.into(),
        request_id: request_id.map(str::to_owned),
        message: message.into(),
        fields: Map::new(),
    }
}

fn invocation() -> Invocation {
    Invocation {
        request_id: "3f2a91c0-0000".into(),
        caller: Caller::Client(IpAddr::from([127, 0, 0, 1])),
        function: Some(key()),
        instance: None,
        method: "POST".into(),
        target: "/function/hello?x=1".into(),
        status: 200,
        code: None,
        duration: Duration::from_millis(12),
        queued: Duration::from_millis(61),
        cold: true,
        attempts: 1,
        bytes_in: 0,
        bytes_out: 0,
        request: None,
        answer: None,
    }
}

#[test]
fn a_request_is_one_line() {
    let mut screen = Screen::new(Level::Info);
    let line = shown(&mut screen, Event::Invocation(Box::new(invocation()))).unwrap();
    assert_eq!(line, "POST /function/hello?x=1 200 12 ms cold=61ms hello req=3f2a91c0");
    let warm = Invocation { cold: false, status: 502, code: Some("function_failed".into()), ..invocation() };
    let line = shown(&mut screen, Event::Invocation(Box::new(warm))).unwrap();
    assert_eq!(line, "POST /function/hello?x=1 502 12 ms hello function_failed req=3f2a91c0");
}

#[test]
fn an_error_comes_with_the_source_that_it_came_from() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("app.py");
    std::fs::write(&file, "def handler(event, context):\n    return event['x']\n").unwrap();
    let message = format!(
        "[ERROR] KeyError: 'x'\rTraceback (most recent call last):\r  File \"{}\", line 2, in handler\r    return event['x']",
        file.display()
    );
    let lines = shown(&mut screen(folder.path()), Event::Log(log("error", &message, Some("7")))).unwrap();
    assert!(lines.starts_with("hello │ [ERROR] KeyError: 'x'\n"), "{lines}");
    assert!(
        lines.ends_with(
            "  ╭─ app.py:2\n  │ 1 │ def handler(event, context):\n  > 2 │     return event['x']\n  ╰─"
        ),
        "{lines}"
    );
}

#[test]
fn a_failed_start_is_drawn_once_and_says_what_serves() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("app.py");
    std::fs::write(&file, "def x(:\n").unwrap();
    let mut screen = screen(folder.path());
    let frame = format!("  File \"{}\" Line 1", file.display());
    let logged = format!("[ERROR] Runtime.UserCodeSyntaxError: Syntax error\r{frame}");
    assert!(shown(&mut screen, Event::Log(log("error", &logged, None))).unwrap().contains("> 1 │ def x(:"));
    let reason = Reason {
        error_type: "Runtime.UserCodeSyntaxError".into(),
        message: "Syntax error".into(),
        stack_trace: vec![frame],
    };
    let failed = Event::FunctionFailed { function: key(), revision: "r".into(), reason, older_serves: true };
    let lines = shown(&mut screen, failed).unwrap();
    assert_eq!(
        lines,
        "✗ hello does not start: Runtime.UserCodeSyntaxError: Syntax error\n  the version before serves on"
    );
}

#[test]
fn what_was_remarked_when_the_files_were_read_is_not_said_again() {
    let mut screen = screen(std::path::Path::new("/code"));
    let what = "hello is written in Go, and there is no go on the PATH";
    let known = screen.functions.get_mut(&key()).unwrap();
    known.remarks.push(Remark::Problem(what.to_owned(), Some("brew install go".to_owned())));
    let failed = |older_serves| Event::FunctionFailed {
        function: key(),
        revision: "r".into(),
        reason: Reason::new("NotInstalled", what),
        older_serves,
    };
    assert_eq!(shown(&mut screen, failed(false)), None);
    assert_eq!(shown(&mut screen, failed(true)).unwrap(), "hello: the version before serves on");
}

#[test]
fn a_missing_module_comes_with_the_command_that_installs_it() {
    let folder = tempfile::tempdir().unwrap();
    let reason =
        Reason::new("Runtime.ImportModuleError", "Unable to import module 'app': No module named 'requests'");
    let failed = Event::FunctionFailed { function: key(), revision: "r".into(), reason, older_serves: false };
    let lines = shown(&mut screen(folder.path()), failed).unwrap();
    assert!(lines.contains("try: in "), "{lines}");
    assert!(lines.ends_with(".venv/bin/pip install requests"), "{lines}");
}

#[test]
fn a_functions_output_cannot_steer_the_terminal() {
    let mut screen = Screen::new(Level::Info);
    let event = Event::Log(log("info", "a\u{1b}[2Jb\u{1b}]0;title\u{7}c\u{8}d\u{1b}[31mred\u{1b}[0m", None));
    let told = Told { id: 1, time: Timestamp::UNIX_EPOCH, event };
    let line = screen.show(&told).unwrap();
    assert!(line.contains("ab]0;titlecd\u{1b}[31mred\u{1b}[0m"), "{line:?}");
}

#[test]
fn what_does_not_matter_enough_is_not_shown() {
    let mut screen = Screen::new(Level::Info);
    let mut of_the_watchdog = log("info", "REPORT RequestId: 7", Some("7"));
    of_the_watchdog.fields.insert("source".into(), json!("watchdog"));
    assert_eq!(shown(&mut screen, Event::Log(of_the_watchdog.clone())), None);
    assert_eq!(screen.next_level(), Level::Warn);
    assert_eq!(shown(&mut screen, Event::Log(log("info", "hello", None))), None);
    assert!(shown(&mut screen, Event::Log(log("warn", "late", None))).is_some());
    screen.next_level();
    screen.next_level();
    assert!(shown(&mut screen, Event::Log(of_the_watchdog)).is_some());
}

#[test]
fn pythons_log_records_lose_what_the_line_has_anyway() {
    let record = "[INFO]\t2026-11-21T15:43:19.000Z\t3f2a91c0\ttwo\rlines";
    assert_eq!(tidy(record), "[INFO] two\nlines");
    assert_eq!(tidy("[not]\ta record"), "[not]\ta record");
}
