use std::io::{Read as _, Seek as _};

use jiff::Timestamp;
use serde_json::json;

use super::*;

/// What a closure logs, as JSON.
async fn logged(level: Level, log: impl FnOnce(&Logger)) -> Vec<Value> {
    let mut file = tempfile::tempfile().unwrap();
    let sink = Sink::over(Output::Plain(file.try_clone().unwrap()));
    let identity = Identity {
        namespace: "shop".to_owned(),
        function: "thumbnail".to_owned(),
        revision: "thumbnail-1".to_owned(),
        pod: String::new(),
        uid: String::new(),
        ip: None,
    };
    let logger = Logger::new(sink, level, &identity);
    log(&logger);
    logger.flush();
    let mut text = String::new();
    file.rewind().unwrap();
    file.read_to_string(&mut text).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[tokio::test]
async fn every_line_has_time_level_function_revision_request_id_and_message() {
    let lines = logged(Level::Info, |logger| {
        logger.log(Level::Warn, Some("id-1"), "a \"message\"", &[("count", Field::Count(7))]);
    })
    .await;
    let line = &lines[0];
    assert!(line["time"].as_str().unwrap().parse::<Timestamp>().is_ok());
    assert_eq!(line["time"].as_str().unwrap().len(), "2026-01-01T00:00:00.000Z".len());
    assert_eq!(line["level"], "warn");
    assert_eq!(line["function"], "thumbnail");
    assert_eq!(line["revision"], "thumbnail-1");
    assert_eq!(line["requestId"], "id-1");
    assert_eq!(line["message"], "a \"message\"");
    assert_eq!(line["count"], 7);
}

#[tokio::test]
async fn lines_below_the_level_are_not_written_and_the_childs_always_are() {
    let lines = logged(Level::Error, |logger| {
        logger.say(Level::Info, "no");
        logger.relay(Origin::Stdout, None, "yes", None);
    })
    .await;
    assert_eq!(lines.len(), 1);
    assert_eq!(lines[0]["message"], "yes");
}

#[tokio::test]
async fn what_the_watchdog_says_itself_is_told_from_what_the_child_says() {
    let lines = logged(Level::Info, |logger| {
        logger.say(Level::Info, "ready");
        logger.relay(Origin::Stdout, None, "ready", None);
    })
    .await;
    assert_eq!(lines[0]["source"], "watchdog");
    assert_eq!(lines[1].get("source"), None);
}

#[tokio::test]
async fn a_childs_json_line_keeps_its_fields() {
    let lines = logged(Level::Info, |logger| {
        let line = r#"{"level":"WARNING","msg":"hot","temperature":41,"nested":{"a":[1]},"time":"theirs"}"#;
        logger.relay(Origin::Stdout, Some("id-2"), line, None);
    })
    .await;
    assert_eq!(lines[0]["level"], "warn");
    assert_eq!(lines[0]["message"], "hot");
    assert_eq!(lines[0]["requestId"], "id-2");
    assert_eq!(lines[0]["temperature"], 41);
    assert_eq!(lines[0]["nested"], json!({"a": [1]}));
    assert_ne!(lines[0]["time"], "theirs");
}

#[tokio::test]
async fn a_message_that_is_no_text_is_carried_all_the_same() {
    let lines = logged(Level::Info, |logger| {
        logger.relay(Origin::Stdout, None, r#"{"message":{"a":1}}"#, None);
    })
    .await;
    assert_eq!(lines[0]["message"], r#"{"a":1}"#);
}

#[tokio::test]
async fn a_json_line_that_names_its_request_belongs_to_it() {
    let lines = logged(Level::Info, |logger| {
        logger.relay(Origin::Stdout, None, r#"{"message":"m","requestId":"theirs"}"#, None);
    })
    .await;
    assert_eq!(lines[0]["requestId"], "theirs");
}

#[tokio::test]
async fn text_is_carried_as_it_is_with_its_level_where_it_says_one() {
    let lines = logged(Level::Info, |logger| {
        logger.relay(Origin::Stderr, None, "[ERROR] KeyError: 'x'\nTraceback", None);
        logger.relay(Origin::Stdout, None, "{not json", None);
        logger.relay(Origin::Stdout, None, "[1] is no level", None);
        logger.relay(Origin::Stdout, None, "part", Some(Piece { number: 2, last: true }));
    })
    .await;
    assert_eq!(lines[0]["level"], "error");
    assert_eq!(lines[0]["stream"], "stderr");
    assert_eq!(lines[0]["message"], "[ERROR] KeyError: 'x'\nTraceback");
    assert_eq!(lines[1]["message"], "{not json");
    assert_eq!(lines[2]["level"], "info");
    assert_eq!((&lines[3]["part"], &lines[3]["last"]), (&json!(2), &json!(true)));
}
