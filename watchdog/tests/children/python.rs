//! awslambdaric, as it is published for Python.

use http::Method;

use crate::support::{Function, request};

#[tokio::test]
async fn an_event_goes_in_and_the_answer_comes_out() {
    let watchdog = Function::python(
        "def handler(event, context):\n\
         \x20   return {'statusCode': 201, 'headers': {'x-path': event['rawPath']}, 'body': event['body']}\n",
    )
    .ready()
    .await;
    let answer = watchdog.post("/a/b", "hello").await;
    assert_eq!(answer.status, 201);
    assert_eq!(answer.header("x-path"), Some("/a/b"));
    assert_eq!(answer.text(), "hello");
}

#[tokio::test]
async fn the_context_is_filled() {
    let watchdog = Function::python(
        "import os\n\
         def handler(event, context):\n\
         \x20   return {'id': context.aws_request_id, 'name': context.function_name, 'memory': context.memory_limit_in_mb,\n\
         \x20           'arn': context.invoked_function_arn, 'left': context.get_remaining_time_in_millis(),\n\
         \x20           'client': context.client_context.custom, 'trace': os.environ.get('_X_AMZN_TRACE_ID')}\n",
    )
    .var("FLINT_MEMORY_BYTES", "134217728")
    .timeout_ms(20_000)
    .ready()
    .await;
    let mut invoke = request(Method::POST, "/", "{}");
    let headers = invoke.headers_mut();
    headers.insert("x-flint-invoke", "raw".parse().unwrap());
    headers.insert("x-request-id", "8f507cfc".parse().unwrap());
    headers.insert("x-flint-timeout-ms", "5000".parse().unwrap());
    // {"custom":{"key":"value"}}
    headers.insert("x-amz-client-context", "eyJjdXN0b20iOnsia2V5IjoidmFsdWUifX0=".parse().unwrap());
    headers.insert("traceparent", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01".parse().unwrap());
    let context = watchdog.send(invoke).await.json();
    assert_eq!(context["id"], "8f507cfc");
    assert_eq!(context["name"], "thumbnail");
    assert_eq!(context["memory"], "128");
    assert_eq!(context["arn"], "arn:aws:lambda:us-east-1:000000000000:function:thumbnail");
    assert_eq!(context["client"]["key"], "value");
    assert_eq!(
        context["trace"],
        "Root=1-0af76519-16cd43dd8448eb211c80319c;Parent=b7ad6b7169203331;Sampled=1"
    );
    assert!((1..=5000).contains(&context["left"].as_u64().unwrap()));
}

#[tokio::test]
async fn an_exception_is_a_502_and_on_invoke_a_function_error_with_its_stack() {
    let watchdog = Function::python("def handler(event, context): return event['missing']\n").ready().await;
    let (status, code, message) = watchdog.get("/").await.refusal();
    assert_eq!((status, code.as_str(), message.as_str()), (502, "function_failed", "KeyError: 'missing'"));
    let answer = watchdog.invoke("{}").await;
    assert_eq!(answer.status, 200);
    assert_eq!(answer.header("x-amz-function-error"), Some("Unhandled"));
    assert_eq!(answer.json()["errorType"], "KeyError");
    assert!(answer.json()["stackTrace"].as_array().is_some_and(|stack| !stack.is_empty()));
    assert_eq!(watchdog.invoke(r#"{"missing": 7}"#).await.text(), "7");
}

#[tokio::test]
async fn a_deep_stack_with_its_megabyte_of_cause_in_a_header_arrives() {
    let watchdog = Function::python(
        "def handler(event, context):\n\
         \x20   raise ValueError('x' * 600000)\n",
    )
    .ready()
    .await;
    let answer = watchdog.invoke("{}").await;
    assert_eq!(answer.json()["errorType"], "ValueError");
    assert_eq!(answer.json()["errorMessage"].as_str().unwrap().len(), 600_000);
}

#[tokio::test]
async fn a_module_that_does_not_import_ends_the_instance_and_its_status_says_why() {
    let mut watchdog =
        Function::python("import does_not_exist\ndef handler(event, context): pass\n").start().await;
    assert_ne!(watchdog.exit().await, 0);
    let message = watchdog.termination_message();
    assert_eq!(message["errorType"], "Runtime.ImportModuleError");
    assert!(message["errorMessage"].as_str().unwrap().contains("No module named 'does_not_exist'"));
}

#[tokio::test]
async fn a_handler_that_is_not_there_ends_the_instance_and_its_status_says_why() {
    let mut watchdog = Function::python("def other(event, context): pass\n").start().await;
    assert_ne!(watchdog.exit().await, 0);
    assert_eq!(watchdog.termination_message()["errorType"], "Runtime.HandlerNotFound");
}

#[tokio::test]
async fn several_children_take_several_invocations_at_once() {
    let watchdog = Function::python(MEET).var("AWS_LAMBDA_MAX_CONCURRENCY", "1").concurrency(4).ready().await;
    meet(&watchdog, 4).await;
    assert_eq!(watchdog.metric("flint_watchdog_children").await, 4.0);
}

#[tokio::test]
async fn a_client_that_forks_takes_several_invocations_at_once() {
    let watchdog = Function::python(MEET).concurrency(4).ready().await;
    meet(&watchdog, 4).await;
}

/// Answers only when as many as asked for are there at the same time.
const MEET: &str = "\
import os, time
def handler(event, context):
    folder = os.environ['LAMBDA_TASK_ROOT'] + '/met'
    os.makedirs(folder, exist_ok=True)
    open(folder + '/' + context.aws_request_id, 'w').close()
    while len(os.listdir(folder)) < int(event['rawQueryString']):
        time.sleep(0.005)
    return {'statusCode': 200}
";

async fn meet(watchdog: &crate::support::Watchdog, count: usize) {
    let path = format!("/?{count}");
    let answers = futures::future::join_all((0..count).map(|_| watchdog.get(&path))).await;
    assert!(answers.iter().all(|answer| answer.status == 200));
}

#[tokio::test]
async fn a_timeout_ends_one_of_several_children_and_no_other() {
    let watchdog = Function::python(
        "import time, os\n\
         def handler(event, context):\n\
         \x20   if event['rawPath'] == '/hang': time.sleep(60)\n\
         \x20   time.sleep(0.2)\n\
         \x20   return {'statusCode': 200}\n",
    )
    .var("AWS_LAMBDA_MAX_CONCURRENCY", "1")
    .concurrency(2)
    .ready()
    .await;
    let mut hanging = request(Method::GET, "/hang", "");
    hanging.headers_mut().insert("x-flint-timeout-ms", "300".parse().unwrap());
    let others = async {
        for _ in 0..4 {
            assert_eq!(watchdog.get("/").await.status, 200);
        }
    };
    let (hung, ()) = tokio::join!(watchdog.send(hanging), others);
    assert_eq!(hung.refusal().0, 504);
}

#[tokio::test]
async fn a_record_of_several_lines_stays_one_with_its_level_and_request() {
    let watchdog =
        Function::python("def handler(event, context): raise RuntimeError('boom')\n").ready().await;
    let mut request = request(Method::GET, "/", "");
    request.headers_mut().insert("x-request-id", "the-one".parse().unwrap());
    watchdog.send(request).await;
    let line = watchdog
        .line(|line| line["message"].as_str().unwrap().starts_with("[ERROR] RuntimeError: boom\n"))
        .await;
    assert_eq!(line["level"], "error");
    assert_eq!(line["requestId"], "the-one");
    assert!(line["message"].as_str().unwrap().contains("Traceback"));
}
