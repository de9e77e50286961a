//! Addresses, and what a function and a client get to see.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use flint_api::Mode;
use flint_gateway::function::Seen;
use flint_testing::upstream::Upstream;

use crate::support::{Running, answer, ask, function, get, header, mirror, post};

#[tokio::test]
async fn a_request_reaches_the_function_without_its_prefix_and_without_private_fields() {
    let mirror = mirror().await;
    let gateway = Running::with(function("hello"), &[mirror.address()]).await;
    let request = "GET /function/hello/a%20b?x=1 HTTP/1.1\r\nhost: gateway.example.com\r\nx-flint-invoke: raw\r\n\
        X-Flint-Timeout-Ms: 1\r\nx-flint-error: mine\r\nx-own: kept\r\n\r\n";
    let answer = gateway.ask(request).await;
    assert_eq!(answer.status, 200);
    let seen = &answer.body;
    assert!(seen.starts_with("GET /a%20b?x=1 HTTP/1.1\n"), "{seen}");
    assert_eq!(header(seen, "x-own"), Some("kept"));
    assert_eq!((header(seen, "x-flint-invoke"), header(seen, "x-flint-error")), (None, None));
    let timeout: u64 = header(seen, "x-flint-timeout-ms").unwrap().parse().unwrap();
    assert!((29_000..=30_000).contains(&timeout), "{timeout}");
    assert_eq!(header(seen, "x-flint-attempt"), None);
    assert_eq!(header(seen, "x-forwarded-for"), Some("127.0.0.1"));
    assert_eq!(header(seen, "x-forwarded-host"), Some("gateway.example.com"));
    assert_eq!(header(seen, "x-request-id"), answer.header("x-request-id"));
    assert_eq!(header(seen, "traceparent"), answer.header("traceparent"));
}

#[tokio::test]
async fn a_clients_request_id_and_trace_go_through_and_come_back() {
    let mirror = mirror().await;
    let gateway = Running::with(function("hello"), &[mirror.address()]).await;
    let trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00";
    let own = format!("x-request-id: order-17\r\ntraceparent: {trace}\r\ntracestate: a=b\r\n");
    let answer = gateway.ask(&post("/function/hello", &own, "")).await;
    for seen in [&answer.head, &answer.body] {
        assert_eq!(header(seen, "x-request-id"), Some("order-17"));
        assert_eq!(header(seen, "traceparent"), Some(trace));
    }
    assert_eq!(header(&answer.body, "tracestate"), Some("a=b"));
}

#[tokio::test]
async fn a_host_addresses_a_function_and_the_path_stays() {
    let mirror = mirror().await;
    let gateway = Running::with(function("hello"), &[mirror.address()]).await;
    for host in ["hello.default", "hello.default.svc.cluster.local:8080"] {
        let answer = gateway.ask(&format!("GET /function/x HTTP/1.1\r\nhost: {host}\r\n\r\n")).await;
        assert!(answer.body.starts_with("GET /function/x "), "{}", answer.body);
    }
}

#[tokio::test]
async fn an_address_that_is_none_is_refused_in_the_contracts_form() {
    let gateway = Running::with(function("hello"), &[]).await;
    for (path, code) in [
        ("/", "no_route"),
        ("/function/", "no_route"),
        ("/function/nobody", "function_not_found"),
        ("/function/Hello", "function_not_found"),
        ("/function/hello.shop", "function_not_found"),
    ] {
        let answer = gateway.get(path).await;
        assert_eq!((answer.status, answer.header("x-flint-error")), (404, Some(code)), "{path}");
        let body: serde_json::Value = serde_json::from_str(&answer.body).expect("JSON");
        assert_eq!(body["error"]["code"], code);
        assert_eq!(body["requestId"].as_str(), answer.header("x-request-id"));
    }
    let metrics = ask(gateway.admin, &get("/metrics")).await.body;
    assert!(!metrics.contains("nobody"), "an unknown name makes no series");
    assert!(metrics.contains("flint_gateway_unrouted_requests_total 5"), "{metrics}");
}

#[tokio::test]
async fn lambdas_invoke_sends_the_payload_as_it_is() {
    let mirror = mirror().await;
    let lambda = Seen { mode: Mode::Lambda, ..function("hello") };
    let gateway = Running::with(lambda, &[mirror.address()]).await;
    let path = "/2015-03-31/functions/arn%3Aaws%3Alambda%3Aeu-west-1%3A1%3Afunction%3Ahello/invocations";
    let answer = gateway.ask(&post(path, "x-amz-log-type: Tail\r\n", "{\"a\":1}")).await;
    assert!(answer.body.starts_with("POST / HTTP/1.1\n") && answer.body.ends_with("\n\n{\"a\":1}"));
    assert_eq!(header(&answer.body, "x-flint-invoke"), Some("raw"));
    assert_eq!(header(&answer.body, "x-amz-log-type"), Some("Tail"));
    let answer = gateway.get("/function/hello/x").await;
    assert_eq!(header(&answer.body, "x-flint-invoke"), None);
}

#[tokio::test]
async fn a_function_that_fails_is_counted_though_invoke_answers_200() {
    let requests = Arc::new(AtomicUsize::new(0));
    let failing = Upstream::start(move |_, mut peer| {
        let requests = Arc::clone(&requests);
        async move {
            while peer.request().await.is_some() {
                let code = match requests.fetch_add(1, Ordering::SeqCst) {
                    0 => "function_failed",
                    1 => "timeout",
                    2 => {
                        peer.ok("well").await;
                        continue;
                    }
                    _ => return peer.say("HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nhalf").await,
                };
                let fields = format!("x-amz-function-error: Unhandled\r\nx-flint-error: {code}");
                peer.say(&format!("HTTP/1.1 200 OK\r\n{fields}\r\ncontent-length: 2\r\n\r\n{{}}")).await;
            }
        }
    })
    .await;
    let lambda = Seen { mode: Mode::Lambda, ..function("hello") };
    let gateway = Running::with(lambda, &[failing.address()]).await;
    let invoke = post("/2015-03-31/functions/hello/invocations", "", "{}");
    for _ in 0..2 {
        let answer = gateway.ask(&invoke).await;
        assert_eq!((answer.status, answer.header("x-amz-function-error")), (200, Some("unhandled")));
        assert_eq!(answer.header("x-flint-error"), None, "to Invoke's clients it is an answer");
    }
    assert_eq!(gateway.ask(&invoke).await.header("x-amz-function-error"), None);
    let mut client = gateway.connect().await;
    client.say(&get("/function/hello")).await;
    client.closed().await;
    for kind in ["function_failed", "timeout", "cut_off"] {
        let labels = format!("namespace=\"default\",function=\"hello\",type=\"{kind}\"");
        gateway.metrics_show(&format!("flint_gateway_function_errors_total{{{labels}}} 1")).await;
    }
    let labels = "namespace=\"default\",function=\"hello\",code=\"2xx\"";
    gateway.metrics_show(&format!("flint_gateway_requests_total{{{labels}}} 4")).await;
}

#[tokio::test]
async fn lambdas_clients_get_lambdas_errors() {
    let gateway = Running::with(function("hello"), &[]).await;
    let invoke = "/2015-03-31/functions/nobody/invocations";
    let answer = gateway.ask(&post(invoke, "", "{}")).await;
    assert_eq!(answer.status, 404);
    assert_eq!(answer.header("x-amzn-errortype"), Some("resourcenotfoundexception"));
    assert_eq!(answer.header("x-flint-error"), Some("function_not_found"));
    let body: serde_json::Value = serde_json::from_str(&answer.body).expect("JSON");
    assert_eq!((&body["Type"], &body["Message"]), (&"User".into(), &"Function not found: nobody".into()));

    let invoke = "/2015-03-31/functions/hello/invocations";
    for (kind, status) in [("DryRun", 204), ("Event", 501), ("Nonsense", 400)] {
        let answer = gateway.ask(&post(invoke, &format!("x-amz-invocation-type: {kind}\r\n"), "{}")).await;
        assert_eq!(answer.status, status, "{kind}");
    }
}

#[tokio::test]
async fn invoke_with_response_stream_asks_for_the_stream_and_is_for_lambda_functions_alone() {
    let mirror = mirror().await;
    let path = "/2021-11-15/functions/hello/response-streaming-invocations?Qualifier=%24LATEST";
    let lambda = Seen { mode: Mode::Lambda, ..function("hello") };
    let gateway = Running::with(lambda, &[mirror.address()]).await;
    let answer = gateway.ask(&post(path, "", "{}")).await;
    assert!(answer.body.starts_with("POST / HTTP/1.1\n"), "{}", answer.body);
    assert_eq!(header(&answer.body, "x-flint-invoke"), Some("stream"));
    let gateway = Running::with(function("hello"), &[mirror.address()]).await;
    let answer = gateway.ask(&post(path, "", "{}")).await;
    assert_eq!(
        (answer.status, answer.header("x-amzn-errortype")),
        (400, Some("invalidparametervalueexception"))
    );
}

#[tokio::test]
async fn asynchronous_calls_are_not_served_yet_and_say_so() {
    let gateway = Running::with(function("hello"), &[]).await;
    let answer = gateway.ask(&post("/async-function/hello", "", "{}")).await;
    assert_eq!((answer.status, answer.header("x-flint-error")), (501, Some("not_implemented")));
}

#[tokio::test]
async fn the_event_format_is_asked_for_by_the_functions_annotation() {
    let mirror = mirror().await;
    let lambda = Seen { mode: Mode::Lambda, event_v1: true, ..function("hello") };
    let gateway = Running::with(lambda, &[mirror.address()]).await;
    let answer = gateway.get("/function/hello").await;
    assert_eq!(header(&answer.body, "x-flint-event-format"), Some("v1"));
}

#[tokio::test]
async fn a_functions_own_answer_passes_whatever_its_status() {
    let teapot = Upstream::start(|_, mut peer| async move {
        while peer.request().await.is_some() {
            peer.say("HTTP/1.1 418 I'm a teapot\r\nx-own: yes\r\ncontent-length: 5\r\n\r\nshort").await;
        }
    })
    .await;
    let gateway = Running::with(function("hello"), &[teapot.address()]).await;
    let answer = gateway.get("/function/hello").await;
    assert_eq!((answer.status, answer.header("x-own"), answer.body.as_str()), (418, Some("yes"), "short"));
    assert_eq!(answer.header("x-flint-error"), None);
    gateway
        .metrics_show("flint_gateway_requests_total{namespace=\"default\",function=\"hello\",code=\"4xx\"} 1")
        .await;
}

#[tokio::test]
async fn a_head_that_cannot_be_read_gets_the_contracts_answer() {
    let gateway = Running::with(function("hello"), &[]).await;
    let many: String = (0..101).map(|number| format!("x-{number}: 1\r\n")).collect();
    let long = format!("x-long: {}\r\n", "x".repeat(65 * 1024));
    for (request, status, code) in [
        ("GET /function/hello HTTP/1.1\r\nno colon\r\n\r\n".to_owned(), 400, "bad_request"),
        ("GET\r\n\r\n".to_owned(), 400, "bad_request"),
        (format!("GET / HTTP/1.1\r\n{many}\r\n"), 431, "request_too_large"),
        (format!("GET / HTTP/1.1\r\n{long}\r\n"), 431, "request_too_large"),
    ] {
        let mut client = gateway.connect().await;
        // After a request that is well, so that the refusal is told from its answer.
        client.say(&get("/function/nobody")).await;
        assert_eq!(answer(&mut client).await.status, 404);
        client.say(&request).await;
        let answer = answer(&mut client).await;
        assert_eq!((answer.status, answer.header("x-flint-error")), (status, Some(code)), "{}", answer.head);
        let body: serde_json::Value = serde_json::from_str(&answer.body).expect("JSON");
        assert_eq!(body["error"]["code"], code);
        assert_eq!(body["requestId"].as_str(), answer.header("x-request-id"));
        client.closed().await;
    }
}
