//! Flint's client for Node.

use http::Method;
use http_body_util::BodyExt as _;
use serde_json::{Value, json};

use crate::support::{Answer, Function, request};

async fn invoke(code: &str) -> Answer {
    Function::node(code).ready().await.invoke(r#"{"key":"value"}"#).await
}

#[tokio::test]
async fn handlers_of_every_style_answer() {
    for code in [
        "exports.handler = async (event) => event.key;",
        "exports.handler = (event, context, callback) => callback(null, event.key);",
        "exports.handler = (event, context) => { context.succeed(event.key); };",
        "exports.handler = (event, context) => { context.done(null, event.key); };",
        "exports.handler = (event) => event.key;",
        "module.exports = async (event) => event.key;",
        "module.exports = function (event, context, callback) { callback(null, event.key); };",
        "module.exports.handler = (event) => Promise.resolve(event.key);",
        "exports.handler = (event, context, callback) => { setTimeout(() => callback(null, event.key), 5); };",
    ] {
        let answer = invoke(code).await;
        assert_eq!(answer.text(), r#""value""#, "{code}");
        assert_eq!(answer.header("x-amz-function-error"), None, "{code}");
    }
}

#[tokio::test]
async fn errors_of_every_style_are_the_functions() {
    for code in [
        "exports.handler = (event, context) => { context.fail(new TypeError('no')); };",
        "exports.handler = (event, context) => { context.done(new TypeError('no')); };",
        "exports.handler = (event, context, callback) => callback(new TypeError('no'));",
        "exports.handler = () => Promise.reject(new TypeError('no'));",
        "exports.handler = () => { throw new TypeError('no'); };",
    ] {
        let answer = invoke(code).await;
        assert!(answer.header("x-amz-function-error").is_some(), "{code}");
        assert!(answer.text().contains("\"errorType\":\"TypeError\""), "{code}: {}", answer.text());
    }
}

#[tokio::test]
async fn handlers_are_found_in_modules_of_both_kinds_and_in_folders() {
    let node = |handler: &str, file: &str, code: &str| {
        Function::new("lambda", &["node", &crate::support::node_client(), "{handler}"])
            .var("FLINT_HANDLER", handler)
            .file(file, code)
    };
    let functions = [
        node("app.handler", "app.mjs", "export const handler = async () => 'es';"),
        node("app.handler", "app.cjs", "exports.handler = async () => 'es';"),
        node("app.handler", "app.js", "export const handler = async () => 'es';")
            .file("package.json", r#"{"type":"module"}"#),
        node("app.handler", "app.js", "export const handler = await Promise.resolve(async () => 'es');")
            .file("package.json", r#"{"type":"module"}"#),
        node("src/deep/app.handler", "src/deep/app.js", "exports.handler = async () => 'es';"),
        node("app.nested.handler", "app.js", "exports.nested = {handler: async () => 'es'};"),
        node("app.default", "app.mjs", "export default async () => 'es';"),
        node("app.handler", "app/index.js", "exports.handler = async () => 'es';"),
    ];
    for function in functions {
        assert_eq!(function.ready().await.invoke("{}").await.text(), r#""es""#);
    }
}

#[tokio::test]
async fn an_instance_that_cannot_initialize_says_why_in_its_status() {
    let cases = [
        ("app.handler", "require('does-not-exist');", "Runtime.ImportModuleError"),
        ("other.handler", "", "Runtime.ImportModuleError"),
        ("app.handler", "exports.other = () => {};", "Runtime.HandlerNotFound"),
        ("app.handler", "exports.handler = 7;", "Runtime.HandlerNotFound"),
        ("app.handler", "exports.handler = (", "Runtime.UserCodeSyntaxError"),
        ("app", "exports.handler = () => {};", "Runtime.MalformedHandlerName"),
        ("app.handler", "throw new TypeError('at once');", "TypeError"),
        (
            "app.handler",
            "exports.handler = 7; Promise.reject(new Error('nobody'));",
            "Runtime.HandlerNotFound",
        ),
    ];
    for (handler, code, error_type) in cases {
        let mut watchdog = Function::node(code).var("FLINT_HANDLER", handler).start().await;
        assert_ne!(watchdog.exit().await, 0, "{code}");
        assert_eq!(watchdog.termination_message()["errorType"], error_type, "{code}");
    }
}

#[tokio::test]
async fn the_context_is_filled() {
    let context = invoke(
        "exports.handler = async (event, context) => ({...context, left: context.getRemainingTimeInMillis(), trace: process.env._X_AMZN_TRACE_ID});",
    )
    .await
    .json();
    assert_eq!(context["functionName"], "thumbnail");
    assert_eq!(context["functionVersion"], "$LATEST");
    assert!(context["memoryLimitInMB"].is_string());
    assert_eq!(context["logGroupName"], "/aws/lambda/thumbnail");
    assert_eq!(context["callbackWaitsForEmptyEventLoop"], true);
    assert!((1..=30_000).contains(&context["left"].as_u64().unwrap()));
}

#[tokio::test]
async fn errors_have_their_type_message_and_trace() {
    let cases = [
        ("exports.handler = async () => { throw new RangeError('far'); };", "RangeError", "far"),
        ("exports.handler = (e, c, callback) => callback(new Error('back'));", "Error", "back"),
        ("exports.handler = (e, c, callback) => callback('text');", "string", "text"),
        ("exports.handler = (e, c) => c.fail(new TypeError('failed'));", "TypeError", "failed"),
        ("exports.handler = () => { throw new Error('sync'); };", "Error", "sync"),
        (
            "class Mine extends Error { name = 'Mine'; } exports.handler = async () => { throw new Mine('own'); };",
            "Mine",
            "own",
        ),
        ("exports.handler = async () => { const a = {}; a.a = a; return a; };", "Runtime.MarshalError", ""),
        ("exports.handler = () => new Promise(() => {});", "Runtime.NodeJsExit", ""),
    ];
    for (code, error_type, message) in cases {
        let answer = invoke(code).await;
        assert_eq!(answer.header("x-amz-function-error"), Some("Unhandled"), "{code}");
        let error = answer.json();
        assert_eq!(error["errorType"], error_type, "{code}");
        assert!(message.is_empty() || error["errorMessage"] == message, "{code}: {error}");
        assert!(error["trace"].is_array(), "{code}");
    }
}

#[tokio::test]
async fn a_rejection_that_nobody_handles_is_answered_and_the_next_request_works() {
    let watchdog = Function::node(
        "exports.handler = async (event) => {\n\
           if (event.bad) { Promise.reject(new Error('lost')); await new Promise((done) => setTimeout(done, 1000)); }\n\
           return 'well';\n\
         };",
    )
    .ready()
    .await;
    let answer = watchdog.invoke(r#"{"bad":true}"#).await;
    assert_eq!(answer.json()["errorType"], "Runtime.UnhandledPromiseRejection");
    assert_eq!(answer.json()["errorMessage"], "Error: lost");
    assert_eq!(watchdog.invoke("{}").await.text(), r#""well""#);
}

#[tokio::test]
async fn a_process_that_exits_is_answered_and_the_next_request_works() {
    let watchdog = Function::node(
        "exports.handler = async (event) => { if (event.bad) process.exit(0); return 'well'; };",
    )
    .ready()
    .await;
    assert_eq!(watchdog.invoke(r#"{"bad":true}"#).await.json()["errorType"], "Runtime.ExitError");
    assert_eq!(watchdog.invoke("{}").await.text(), r#""well""#);
}

#[tokio::test]
async fn an_answer_by_callback_waits_for_what_is_left_to_do_unless_told_not_to() {
    let watchdog = Function::node(
        "let done = false;\n\
         exports.handler = (event, context, callback) => {\n\
           context.callbackWaitsForEmptyEventLoop = event.wait;\n\
           const before = done; done = false;\n\
           setTimeout(() => { done = true; console.log('left ' + event.wait); }, 100);\n\
           callback(null, before);\n\
         };",
    )
    .ready()
    .await;
    watchdog.invoke(r#"{"wait":true}"#).await;
    watchdog.line(|line| line["message"] == "left true").await;
    assert_eq!(
        watchdog.invoke(r#"{"wait":false}"#).await.json(),
        json!(true),
        "the first one's timer came before its answer"
    );
    assert!(!watchdog.lines().iter().any(|line| line["message"] == "left false"));
}

#[tokio::test]
async fn one_process_takes_several_invocations_and_tells_their_lines_apart() {
    let watchdog = Function::node(
        "const waiting = [];\n\
         exports.handler = async (event) => {\n\
           console.log('in ' + event.rawPath);\n\
           await new Promise((go) => { waiting.push(go); if (waiting.length === 4) waiting.forEach((go) => go()); });\n\
           return {statusCode: 200, body: String(process.pid)};\n\
         };",
    )
    .concurrency(4)
    .ready()
    .await;
    let requests = ["a", "b", "c", "d"].map(|name| {
        let mut request = request(Method::GET, &format!("/{name}"), "");
        request.headers_mut().insert("x-request-id", format!("id-{name}").parse().unwrap());
        watchdog.send(request)
    });
    let answers = futures::future::join_all(requests).await;
    assert!(
        answers.iter().all(|answer| answer.text() == answers[0].text()),
        "one process answered all of them"
    );
    for name in ["a", "b", "c", "d"] {
        assert_eq!(watchdog.said(&format!("in /{name}")).await["requestId"], format!("id-{name}"));
    }
}

#[tokio::test]
async fn a_deadline_among_several_leaves_the_others_alone() {
    let watchdog = Function::node(
        "exports.handler = async (event) => {\n\
           await new Promise((go) => setTimeout(go, event.rawPath === '/hang' ? 60000 : 600));\n\
           return {statusCode: 200, body: String(process.pid)};\n\
         };",
    )
    .concurrency(2)
    .ready()
    .await;
    let mut hanging = request(Method::GET, "/hang", "");
    hanging.headers_mut().insert("x-flint-timeout-ms", "200".parse().unwrap());
    let (hung, other) = tokio::join!(watchdog.send(hanging), watchdog.get("/"));
    assert_eq!(hung.refusal().0, 504);
    assert_eq!(other.status, 200);
    let after = watchdog.get("/").await;
    assert_ne!(after.text(), other.text(), "the process that hung took nothing new");
    let gone = other.text().parse::<i32>().unwrap();
    watchdog.descendants_become(|all| all.iter().all(|(pid, _)| *pid != gone)).await;
}

#[tokio::test]
async fn a_streamed_answer_has_a_head_of_its_own_and_comes_piece_by_piece() {
    let watchdog = Function::node(
        "exports.handler = awslambda.streamifyResponse(async (event, stream) => {\n\
           stream = awslambda.HttpResponseStream.from(stream, {statusCode: 206, headers: {'x-a': 'b', 'content-type': 'text/event-stream'}, cookies: ['c=d']});\n\
           stream.write('data: 1\\n\\n');\n\
           await new Promise((go) => setTimeout(go, 300));\n\
           stream.end('data: 2\\n\\n');\n\
         });",
    )
    .ready()
    .await;
    let response = watchdog.open(request(Method::GET, "/", "")).await;
    assert_eq!(response.status(), 206);
    assert_eq!(response.headers()["x-a"], "b");
    assert_eq!(response.headers()["content-type"], "text/event-stream");
    assert_eq!(response.headers()["set-cookie"], "c=d");
    let mut body = response.into_body();
    let first = body.frame().await.unwrap().unwrap().into_data().unwrap();
    assert_eq!(first, "data: 1\n\n", "the first piece is here before the second is written");
    assert_eq!(body.collect().await.unwrap().to_bytes(), "data: 2\n\n");
    assert_eq!(watchdog.get("/").await.status, 206);
}

#[tokio::test]
async fn an_error_in_the_middle_of_a_stream_cuts_it_off_and_one_before_it_is_a_502() {
    let watchdog = Function::node(
        "exports.handler = awslambda.streamifyResponse(async (event, stream) => {\n\
           if (event.rawPath === '/before') throw new Error('before');\n\
           stream.write('begun');\n\
           await new Promise((go) => setTimeout(go, 20));\n\
           throw new Error('in the middle');\n\
         });",
    )
    .ready()
    .await;
    let (status, _, message) = watchdog.get("/before").await.refusal();
    assert_eq!((status, message.as_str()), (502, "Error: before"));
    let response = watchdog.open(request(Method::GET, "/", "")).await;
    assert_eq!(response.status(), 200);
    assert!(response.into_body().collect().await.is_err());
    watchdog.line(|line| line["message"] == "Error: in the middle").await;
}

#[tokio::test]
async fn a_stream_of_many_mebibytes_passes_whole() {
    let watchdog = Function::node(
        "const {Readable} = require('stream'); const {pipeline} = require('stream/promises');\n\
         exports.handler = awslambda.streamifyResponse(async (event, stream) => {\n\
           await pipeline(Readable.from(Array.from({length: 256}, () => Buffer.alloc(65536, 'x'))), stream);\n\
         });",
    )
    .ready()
    .await;
    let answer = watchdog.get("/").await;
    assert_eq!(answer.body.len(), 16 * 1024 * 1024);
    assert_eq!(answer.header("content-type"), Some("application/octet-stream"));
}

#[tokio::test]
async fn an_error_is_one_record_in_the_log() {
    let watchdog =
        Function::node("exports.handler = async () => { throw new Error('boom'); };").ready().await;
    watchdog.invoke("{}").await;
    let is_record =
        |line: &Value| line["message"].as_str().is_some_and(|text| text.starts_with("[ERROR] Error: boom\n"));
    let record = watchdog.line(is_record).await;
    assert_eq!(record["level"], "error");
}
