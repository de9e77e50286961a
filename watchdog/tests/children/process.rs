//! `process` mode: one program per request.

use std::time::Duration;

use http::Method;
use http_body_util::BodyExt as _;

use crate::support::{Function, request};

#[tokio::test]
async fn all_headers_that_a_gateway_takes_pass_with_those_that_it_adds() {
    let watchdog = Function::process("env | grep -c ^Http_X_Mine_").ready().await;
    let mut request = request(Method::GET, "/", "");
    let names = (0..98).map(|number| format!("x-mine-{number}"));
    let added = ["x-request-id", "traceparent", "x-forwarded-for", "x-forwarded-host", "x-forwarded-proto"];
    for name in names.chain(added.map(str::to_owned)) {
        request.headers_mut().insert(http::HeaderName::try_from(name).unwrap(), "1".parse().unwrap());
    }
    let answer = watchdog.send(request).await;
    assert_eq!((answer.status.as_u16(), answer.text().as_str()), (200, "98\n"));
}

#[tokio::test]
async fn the_body_goes_to_stdin_and_the_answer_comes_from_stdout() {
    let watchdog = Function::process("printf 'got '; cat").ready().await;
    let answer = watchdog.post("/", "this").await;
    assert_eq!((answer.status.as_u16(), answer.text().as_str()), (200, "got this"));
    assert_eq!(answer.header("content-type"), Some("text/plain; charset=utf-8"));
}

#[tokio::test]
async fn the_request_is_in_the_environment_and_the_key_is_not() {
    let watchdog = Function::process("env").var("FLINT_KEY", "secret").var("MINE", "kept").ready().await;
    let mut request = request(Method::PUT, "/a/b?c=d", "");
    request.headers_mut().insert("x-forwarded-for", "192.0.2.1".parse().unwrap());
    let environment = watchdog.send(request).await.text();
    for line in [
        "Http_Method=PUT",
        "Http_Path=/a/b",
        "Http_Query=c=d",
        "Http_X_Forwarded_For=192.0.2.1",
        "Http_Host=thumbnail.shop",
        "MINE=kept",
        "FLINT_FUNCTION=thumbnail",
    ] {
        assert!(environment.lines().any(|other| other == line), "{line} is not in\n{environment}");
    }
    assert!(!environment.contains("secret"));
}

#[tokio::test]
async fn bytes_that_are_no_text_are_said_to_be_none() {
    let watchdog = Function::process(r"printf '\377\376\000'").ready().await;
    let answer = watchdog.get("/").await;
    assert_eq!(answer.body.to_vec(), [0xff, 0xfe, 0]);
    assert_eq!(answer.header("content-type"), Some("application/octet-stream"));
}

#[tokio::test]
async fn a_program_without_output_is_an_empty_answer() {
    let watchdog = Function::process("true").ready().await;
    let answer = watchdog.get("/").await;
    assert_eq!((answer.status.as_u16(), answer.body.len()), (200, 0));
}

#[tokio::test]
async fn a_program_that_fails_is_a_502_with_its_last_words() {
    let watchdog = Function::process("echo first >&2; echo 'last words' >&2; exit 3").ready().await;
    let (status, code, message) = watchdog.get("/").await.refusal();
    assert_eq!((status, code.as_str()), (502, "function_failed"));
    assert_eq!(message, "Runtime exited with error: exit status 3: last words");
    assert_eq!(watchdog.said("first").await["stream"], "stderr");
}

#[tokio::test]
async fn a_program_that_fails_after_it_began_to_answer_is_cut_off() {
    let watchdog = Function::process("echo begun; exit 3").ready().await;
    let response = watchdog.open(request(Method::GET, "/", "")).await;
    assert_eq!(response.status(), 200);
    assert!(response.into_body().collect().await.is_err());
}

#[tokio::test]
async fn an_answer_streams() {
    let watchdog =
        Function::process("echo one; while [ ! -e go ]; do sleep 0.01; done; echo two").ready().await;
    let mut body = watchdog.open(request(Method::GET, "/", "")).await.into_body();
    let first = body.frame().await.unwrap().unwrap().into_data().unwrap();
    assert_eq!(first, "one\n");
    std::fs::write(watchdog.path("task/go"), "").unwrap();
    assert_eq!(body.collect().await.unwrap().to_bytes(), "two\n");
}

#[tokio::test]
async fn twenty_mebibytes_pass_both_ways() {
    let watchdog = Function::process("cat").ready().await;
    let body: Vec<u8> = (0..20 * 1024 * 1024_u32).map(|at| (at % 251) as u8).collect();
    assert!(watchdog.post("/", body.clone()).await.body == body);
}

#[tokio::test]
async fn a_program_that_does_not_read_its_input_is_in_its_right() {
    let watchdog = Function::process("echo done").ready().await;
    assert_eq!(watchdog.post("/", "x".repeat(1024 * 1024)).await.text(), "done\n");
}

#[tokio::test]
async fn the_deadline_ends_the_program_and_what_it_started() {
    let watchdog = Function::process("sleep 61 & setsid sleep 62 & sleep 63").timeout_ms(300).ready().await;
    let (status, _, message) = watchdog.get("/").await.refusal();
    assert_eq!((status, message.as_str()), (504, "Task timed out after 0.30 seconds"));
    watchdog.descendants_become(<[_]>::is_empty).await;
}

#[tokio::test]
async fn a_client_that_goes_ends_the_program() {
    let watchdog = Function::process("sleep 61").ready().await;
    let brief = Duration::from_millis(100);
    assert!(tokio::time::timeout(brief, watchdog.open(request(Method::GET, "/", ""))).await.is_err());
    watchdog.descendants_become(<[_]>::is_empty).await;
    assert_eq!(watchdog.metric("flint_watchdog_in_flight ").await, 0.0);
}

#[tokio::test]
async fn a_process_left_behind_holds_up_no_answer_and_does_not_stay() {
    let watchdog = Function::process("sleep 61 & echo done").ready().await;
    assert_eq!(watchdog.get("/").await.text(), "done\n");
    watchdog.descendants_become(<[_]>::is_empty).await;
}

#[tokio::test]
async fn several_programs_run_at_once_up_to_the_limit_and_no_more() {
    let watchdog = Function::process("while [ ! -e go ]; do sleep 0.01; done").concurrency(2).ready().await;
    let (first, second, ()) = tokio::join!(watchdog.get("/"), watchdog.get("/"), async {
        watchdog.descendants_become(|all| all.len() >= 2).await;
        assert_eq!(watchdog.get("/").await.refusal().1, "too_many_requests");
        std::fs::write(watchdog.path("task/go"), "").unwrap();
    });
    assert_eq!((first.status.as_u16(), second.status.as_u16()), (200, 200));
}
