//! `lambda` mode as requests see it: events, answers, the log of an invocation.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::Method;
use serde_json::{Value, json};

use crate::support::{Function, Watchdog, request};

/// Answers with the event.
async fn echo() -> Watchdog {
    Function::python("def handler(event, context): return event\n").ready().await
}

#[tokio::test]
async fn an_http_request_becomes_the_event_of_format_2() {
    let mut request = request(Method::POST, "/a/b?c=d&c=e", r#"{"x":1}"#);
    request.headers_mut().insert("content-type", "application/json".parse().unwrap());
    request.headers_mut().insert("cookie", "k=v".parse().unwrap());
    request.headers_mut().insert("x-request-id", "id-1".parse().unwrap());
    let event = echo().await.send(request).await.json();
    assert_eq!(event["version"], "2.0");
    assert_eq!(event["rawPath"], "/a/b");
    assert_eq!(event["queryStringParameters"], json!({"c": "d,e"}));
    assert_eq!(event["cookies"], json!(["k=v"]));
    assert_eq!(event["body"], r#"{"x":1}"#);
    assert_eq!(event["requestContext"]["http"]["method"], "POST");
    assert_eq!(event["requestContext"]["requestId"], "id-1");
    assert_eq!(event["requestContext"]["domainName"], "thumbnail.shop");
}

#[tokio::test]
async fn the_event_of_format_1_is_there_for_the_asking() {
    let mut request = request(Method::GET, "/a?b=c", "");
    request.headers_mut().insert("x-flint-event-format", "v1".parse().unwrap());
    let event = echo().await.send(request).await.json();
    assert_eq!(event["version"], "1.0");
    assert_eq!(event["httpMethod"], "GET");
    assert_eq!(event["multiValueQueryStringParameters"], json!({"b": ["c"]}));
}

#[tokio::test]
async fn bytes_go_in_and_come_out_as_they_are() {
    let watchdog = Function::python(
        "def handler(event, context):\n\
         \x20   return {'statusCode': 200, 'body': event['body'], 'isBase64Encoded': event['isBase64Encoded'],\n\
         \x20           'headers': {'content-type': 'image/png'}, 'cookies': ['a=1', 'b=2']}\n",
    )
    .ready()
    .await;
    let bytes: Vec<u8> = (0..=255).collect();
    let answer = watchdog.post("/", bytes.clone()).await;
    assert_eq!(answer.body, bytes);
    assert_eq!(answer.header("content-type"), Some("image/png"));
    assert_eq!(answer.headers.get_all("set-cookie").iter().count(), 2);
}

#[tokio::test]
async fn a_raw_payload_passes_as_it_is() {
    let watchdog = echo().await;
    let answer = watchdog.invoke(r#"{"statusCode": 500, "body": "no response"}"#).await;
    assert_eq!(answer.status, 200);
    assert_eq!(answer.json(), json!({"statusCode": 500, "body": "no response"}));
    assert_eq!(answer.header("x-amz-executed-version"), Some("$LATEST"));
    assert_eq!(watchdog.invoke("").await.json(), json!({}));
}

#[tokio::test]
async fn a_function_cannot_speak_for_flint() {
    let watchdog = Function::python(
        "def handler(event, context): return {'statusCode': 429, 'headers': {'x-flint-error': 'too_many_requests'}}\n",
    )
    .ready()
    .await;
    let answer = watchdog.get("/").await;
    assert_eq!(answer.status, 429);
    assert_eq!(answer.header("x-flint-error"), None);
}

#[tokio::test]
async fn the_functions_routes_are_named_in_its_events_and_nothing_else_is_there() {
    let watchdog = Function::python("def handler(event, context): return event\n")
        .var("FLINT_ROUTES", "GET /users/{id}, POST /users")
        .ready()
        .await;
    let event = watchdog.get("/users/7").await.json();
    assert_eq!(
        (&event["routeKey"], &event["pathParameters"]),
        (&json!("GET /users/{id}"), &json!({"id": "7"}))
    );
    let mut old = request(Method::GET, "/users/7", "");
    old.headers_mut().insert("x-flint-event-format", "v1".parse().unwrap());
    let event = watchdog.send(old).await.json();
    assert_eq!(
        (&event["resource"], &event["requestContext"]["resourcePath"]),
        (&json!("/users/{id}"), &json!("/users/{id}"))
    );
    let (status, code, message) = watchdog.get("/orders").await.refusal();
    assert_eq!((status, code.as_str()), (404, "no_route"));
    assert!(message.contains("GET /orders"), "{message}");
}

#[tokio::test]
async fn an_answer_to_invoke_with_response_stream_is_events_with_the_log_at_the_end() {
    let watchdog =
        Function::python("def handler(event, context):\n\x20   print('a line')\n\x20   return event['a']\n")
            .ready()
            .await;
    let stream = |payload: &'static str| {
        let mut request = request(Method::POST, "/", payload);
        request.headers_mut().insert("x-flint-invoke", "stream".parse().unwrap());
        request.headers_mut().insert("x-amz-log-type", "Tail".parse().unwrap());
        request
    };
    let answer = watchdog.send(stream(r#"{"a": "b"}"#)).await;
    assert_eq!(answer.header("content-type"), Some("application/vnd.amazon.eventstream"));
    let body = String::from_utf8_lossy(&answer.body).into_owned();
    assert!(body.contains("PayloadChunk") && body.contains("\"b\""), "{body}");
    let (_, log) = body.split_once("\"LogResult\":\"").expect("a log");
    let log = STANDARD.decode(log.split('"').next().unwrap()).unwrap();
    assert!(String::from_utf8(log).unwrap().contains("a line\nEND RequestId: "));
    let answer = watchdog.send(stream("{}")).await;
    assert_eq!(answer.status, 200);
    let body = String::from_utf8_lossy(&answer.body).into_owned();
    assert!(body.contains("\"ErrorCode\":\"Unhandled\"") && body.contains("KeyError"), "{body}");
}

#[tokio::test]
async fn the_tail_of_the_log_comes_with_the_answer() {
    let watchdog = Function::python("def handler(event, context): print('a line')\n").ready().await;
    let mut request = request(Method::POST, "/", "{}");
    request.headers_mut().insert("x-flint-invoke", "raw".parse().unwrap());
    request.headers_mut().insert("x-request-id", "tail-1".parse().unwrap());
    request.headers_mut().insert("x-amz-log-type", "Tail".parse().unwrap());
    let answer = watchdog.send(request).await;
    let tail =
        String::from_utf8(STANDARD.decode(answer.header("x-amz-log-result").unwrap()).unwrap()).unwrap();
    let lines: Vec<_> = tail.lines().collect();
    assert_eq!(lines[..3], ["START RequestId: tail-1 Version: $LATEST", "a line", "END RequestId: tail-1"]);
    assert!(lines[3].starts_with("REPORT RequestId: tail-1\tDuration: "), "{tail}");
    assert_eq!(watchdog.invoke("{}").await.header("x-amz-log-result"), None);
}

#[tokio::test]
async fn each_invocation_has_one_report_and_the_first_shows_the_time_to_initialize() {
    let watchdog = Function::python(
        "import time\ntime.sleep(0.05)\ndef handler(event, context):\n\x20   if event['rawPath'] == '/raise': raise ValueError()\n",
    )
    .var("FLINT_MEMORY_BYTES", "268435456")
    .ready()
    .await;
    for (id, path) in [("r-1", "/"), ("r-2", "/"), ("r-3", "/raise")] {
        let mut request = request(Method::GET, path, "");
        request.headers_mut().insert("x-request-id", id.parse().unwrap());
        watchdog.send(request).await;
    }
    let first = watchdog.report("r-1").await;
    assert!(first["initDurationMs"].as_f64().unwrap() >= 50.0);
    assert!(first["message"].as_str().unwrap().contains("\tInit Duration: "));
    assert!(first["billedDurationMs"].as_u64().unwrap() >= 50);
    assert_eq!(first["memorySizeMB"], 256);
    assert!(first["maxMemoryUsedMB"].as_u64().unwrap() >= 5, "{first}");
    assert_eq!(first["requestId"], "r-1");
    let second = watchdog.report("r-2").await;
    assert_eq!(second["initDurationMs"], Value::Null);
    assert_eq!(second["status"], "success");
    assert_eq!(watchdog.report("r-3").await["status"], "error");
    let reports = watchdog.lines().iter().filter(|line| line["durationMs"].is_f64()).count();
    assert_eq!(reports, 3);
}

#[tokio::test]
async fn every_line_says_whose_it_is() {
    let watchdog = Function::python(
        "import json, sys\nprint('outside')\n\
         def handler(event, context):\n\
         \x20   print('inside')\n\
         \x20   print('to stderr', file=sys.stderr)\n\
         \x20   print(json.dumps({'level': 'warning', 'msg': 'structured', 'count': 7}))\n",
    )
    .ready()
    .await;
    let mut request = request(Method::GET, "/", "");
    request.headers_mut().insert("x-request-id", "lines-1".parse().unwrap());
    watchdog.send(request).await;
    for line in watchdog.lines() {
        assert!(
            line["time"].is_string() && line["level"].is_string() && line["message"].is_string(),
            "{line}"
        );
        assert_eq!(
            (line["function"].as_str(), line["revision"].as_str()),
            (Some("thumbnail"), Some("thumbnail-1"))
        );
    }
    assert_eq!(watchdog.said("outside").await["requestId"], Value::Null);
    assert_eq!(watchdog.said("inside").await["requestId"], "lines-1");
    assert_eq!(watchdog.said("to stderr").await["stream"], "stderr");
    let structured = watchdog.said("structured").await;
    assert_eq!((&structured["level"], &structured["count"]), (&json!("warn"), &json!(7)));
    assert_eq!(structured["requestId"], "lines-1");
}

#[tokio::test]
async fn a_client_that_goes_does_not_end_the_invocation() {
    let watchdog =
        Function::python("import time\ndef handler(event, context): time.sleep(0.2)\n").ready().await;
    let mut request = request(Method::GET, "/", "");
    request.headers_mut().insert("x-request-id", "gone".parse().unwrap());
    let brief = std::time::Duration::from_millis(50);
    assert!(tokio::time::timeout(brief, watchdog.open(request)).await.is_err());
    let report = watchdog.report("gone").await;
    assert_eq!(report["status"], "success");
    assert!(report["durationMs"].as_f64().unwrap() >= 200.0);
}

#[tokio::test]
async fn two_requests_of_the_same_id_are_both_answered() {
    let watchdog = Function::python(
        "import time\ndef handler(event, context):\n\x20   time.sleep(0.1)\n\x20   return context.aws_request_id\n",
    )
    .var("AWS_LAMBDA_MAX_CONCURRENCY", "1")
    .concurrency(2)
    .ready()
    .await;
    let twin = || {
        let mut request = request(Method::GET, "/", "");
        request.headers_mut().insert("x-request-id", "twin".parse().unwrap());
        watchdog.send(request)
    };
    let (one, other) = tokio::join!(twin(), twin());
    assert_eq!((one.status.as_u16(), other.status.as_u16()), (200, 200));
    assert_ne!(one.text(), other.text());
}
