//! A `bootstrap` that is a shell script with curl.

use crate::support::Function;

/// The loop of AWS's own tutorial for custom runtimes.
const BOOTSTRAP: &str = r#"
API="http://$AWS_LAMBDA_RUNTIME_API/2018-06-01/runtime"
while true; do
  HEADERS=$(mktemp)
  EVENT=$(curl -sS -L -D "$HEADERS" "$API/invocation/next")
  ID=$(grep -F Lambda-Runtime-Aws-Request-Id "$HEADERS" | tr -d '[:space:]' | cut -d: -f2)
  rm -f "$HEADERS"
  . ./function.sh
done
"#;

#[tokio::test]
async fn a_loop_of_curl_calls_is_a_runtime() {
    let watchdog = Function::bootstrap(BOOTSTRAP)
        .file("function.sh", r#"curl -sS -X POST "$API/invocation/$ID/response" -d "ECHO $EVENT" >/dev/null"#)
        .ready()
        .await;
    for _ in 0..3 {
        assert_eq!(watchdog.invoke(r#"{"a":1}"#).await.text(), r#"ECHO {"a":1}"#);
    }
}

#[tokio::test]
async fn an_answer_is_acknowledged_and_a_second_one_refused() {
    let function = r#"
      FIRST=$(curl -sS -w ' %{http_code}' -X POST "$API/invocation/$ID/response" -d '1')
      SECOND=$(curl -sS -w ' %{http_code}' -X POST "$API/invocation/$ID/response" -d '2')
      INIT=$(curl -sS -w ' %{http_code}' -X POST "$API/init/error" -d '{}')
      OTHER=$(curl -sS -o /dev/null -w '%{http_code}' "$API/unknown")
      echo "$FIRST"; echo "$SECOND"; echo "$INIT"; echo "$OTHER"
    "#;
    let watchdog = Function::bootstrap(BOOTSTRAP).file("function.sh", function).ready().await;
    assert_eq!(watchdog.invoke("{}").await.text(), "1");
    watchdog.line(|line| line["message"] == "404").await;
    let said: Vec<_> =
        watchdog.lines().iter().map(|line| line["status"].to_string() + line.to_string().as_str()).collect();
    let said = said.join("\n");
    // These answers are JSON and so are carried as fields; their texts are looked for in the raw lines.
    for text in ["InvalidRequestID", "InvalidStateTransition"] {
        assert!(said.contains(text), "{text} is not in {said}");
    }
}

#[tokio::test]
async fn a_mode_that_is_not_streaming_fails_the_invocation() {
    let function = r#"curl -sS -o /dev/null -X POST -H 'Lambda-Runtime-Function-Response-Mode: sideways' \
        "$API/invocation/$ID/response" -d '1'"#;
    let watchdog = Function::bootstrap(BOOTSTRAP).file("function.sh", function).ready().await;
    let answer = watchdog.invoke("{}").await;
    assert_eq!(answer.json()["errorType"], "Runtime.InvalidResponseModeHeader");
}

#[tokio::test]
async fn the_errors_header_says_whether_the_function_handled_it() {
    let function = r#"curl -sS -o /dev/null -X POST -H 'Lambda-Runtime-Function-Error-Type: Handled' \
        "$API/invocation/$ID/error" -d '{"errorMessage":"m","errorType":"T"}'"#;
    let watchdog = Function::bootstrap(BOOTSTRAP).file("function.sh", function).ready().await;
    assert_eq!(watchdog.invoke("{}").await.header("x-amz-function-error"), Some("Handled"));
}

#[tokio::test]
async fn a_runtime_that_forgets_to_answer_is_a_502_and_the_next_request_works() {
    let function = r#"case "$EVENT" in *forget*) ;; *) curl -sS -o /dev/null -X POST \
        "$API/invocation/$ID/response" -d '"well"';; esac"#;
    let watchdog = Function::bootstrap(BOOTSTRAP).file("function.sh", function).ready().await;
    let (status, _, message) = watchdog.get("/forget").await.refusal();
    assert_eq!(status, 502);
    assert!(message.starts_with("Runtime.NoResponse"), "{message}");
    assert_eq!(watchdog.get("/").await.text(), r#""well""#);
}

#[tokio::test]
async fn an_error_before_the_first_poll_ends_the_instance_and_its_status_says_why() {
    let script = r#"curl -sS -o /dev/null -X POST "http://$AWS_LAMBDA_RUNTIME_API/2018-06-01/runtime/init/error" \
        -H 'Lambda-Runtime-Function-Error-Type: Runtime.NoSuchThing' -d '{"errorMessage":"there is none"}'
        sleep 60"#;
    let mut watchdog = Function::bootstrap(script).start().await;
    assert_ne!(watchdog.exit().await, 0);
    let message = watchdog.termination_message();
    assert_eq!(message["errorType"], "Runtime.NoSuchThing");
    assert_eq!(message["errorMessage"], "there is none");
}

#[tokio::test]
async fn children_are_added_for_a_client_that_takes_one_at_a_time() {
    let function = r#"
      mkdir -p met; touch "met/$ID"
      while [ "$(ls met | wc -l)" -lt 3 ]; do sleep 0.01; done
      curl -sS -o /dev/null -X POST "$API/invocation/$ID/response" -d '{"statusCode":200}'
    "#;
    let watchdog = Function::bootstrap(BOOTSTRAP).file("function.sh", function).concurrency(3).ready().await;
    let answers = futures::future::join_all((0..3).map(|_| watchdog.get("/"))).await;
    assert!(answers.iter().all(|answer| answer.status == 200));
}
