//! What a function can do to itself, and that the next request works all the same.

use http::Method;
use nix::sys::signal::Signal;

use crate::support::{Function, Watchdog, request};

const BAD: &str = "\
import os, signal, subprocess, sys, time
def handler(event, context):
    path = event['rawPath']
    if path == '/exit0': os._exit(0)
    if path == '/exit3':
        print('last words', file=sys.stderr, flush=True)
        os._exit(3)
    if path == '/killed': os.kill(os.getpid(), signal.SIGKILL)
    if path == '/segfault': os.kill(os.getpid(), signal.SIGSEGV)
    if path == '/hang': time.sleep(60)
    if path == '/hang-with-others':
        subprocess.Popen(['sleep', '61'])
        subprocess.Popen(['setsid', 'sleep', '62'])
        subprocess.Popen(['sh', '-c', 'setsid sleep 63 & exit'])
        time.sleep(60)
    if path == '/nonsense': return {'statusCode': 'not a number'}
    if path == '/huge': return 'x' * 7000000
    if path == '/line': print('L' * 1024 * 1024)
    if path == '/zombies':
        for _ in range(5):
            subprocess.Popen(['sh', '-c', 'sleep 0.01 & exit'])
        subprocess.Popen(['true'])
    return {'statusCode': 200, 'body': str(os.getpid())}
";

async fn bad() -> Watchdog {
    Function::python(BAD).timeout_ms(5_000).ready().await
}

async fn within(watchdog: &Watchdog, path: &str, millis: &str) -> (u16, String, String) {
    let mut request = request(Method::GET, path, "");
    request.headers_mut().insert("x-flint-timeout-ms", millis.parse().unwrap());
    watchdog.send(request).await.refusal()
}

#[tokio::test]
async fn a_crash_is_a_502_at_once_and_the_next_request_works() {
    let watchdog = bad().await;
    for (path, message) in [
        ("/exit3", "Runtime.ExitError: Runtime exited with error: exit status 3"),
        ("/exit0", "Runtime.ExitError: Runtime exited without providing a reason"),
        ("/segfault", "Runtime.ExitError: Runtime exited with error: signal: segmentation fault"),
        ("/killed", "Runtime.ExitError: Runtime exited with error: signal: killed (likely out of memory)"),
    ] {
        let refusal = watchdog.get(path).await.refusal();
        assert_eq!(refusal, (502, "function_failed".to_owned(), message.to_owned()));
        assert_eq!(watchdog.get("/").await.status, 200);
    }
    assert_eq!(watchdog.metric("flint_watchdog_restarts_total").await, 4.0);
    watchdog.said("last words").await;
}

#[tokio::test]
async fn a_crash_on_invoke_is_a_function_error() {
    let watchdog = Function::python("import os\ndef handler(event, context): os._exit(1)\n").ready().await;
    let answer = watchdog.invoke("{}").await;
    assert_eq!(answer.status, 200);
    assert_eq!(answer.header("x-amz-function-error"), Some("Unhandled"));
    assert_eq!(answer.json()["errorType"], "Runtime.ExitError");
}

#[tokio::test]
async fn the_deadline_ends_the_work_and_the_next_request_works() {
    let watchdog = bad().await;
    let before = watchdog.get("/").await.text();
    let (status, code, message) = within(&watchdog, "/hang", "250").await;
    assert_eq!(
        (status, code.as_str(), message.as_str()),
        (504, "timeout", "Task timed out after 0.25 seconds")
    );
    let after = watchdog.get("/").await.text();
    assert_ne!(before, after, "the process that hung is not the one that answers");
    let gone = before.parse::<i32>().unwrap();
    watchdog.descendants_become(|all| all.iter().all(|(pid, _)| *pid != gone)).await;
}

#[tokio::test]
async fn the_deadline_ends_everything_that_the_work_started() {
    let watchdog = bad().await;
    within(&watchdog, "/hang-with-others", "500").await;
    assert_eq!(watchdog.get("/").await.status, 200);
    watchdog.descendants_become(|all| all.len() == 1).await;
}

#[tokio::test]
async fn the_functions_own_timeout_holds_where_the_gateway_names_none_or_a_longer_one() {
    let watchdog = Function::python(BAD).timeout_ms(250).ready().await;
    for millis in ["999999", "nonsense"] {
        assert_eq!(within(&watchdog, "/hang", millis).await.2, "Task timed out after 0.25 seconds");
        watchdog.becomes_ready().await;
    }
}

#[tokio::test]
async fn nonsense_is_a_502_that_says_what_to_return() {
    let watchdog = bad().await;
    let (status, _, message) = watchdog.get("/nonsense").await.refusal();
    assert_eq!(status, 502);
    assert!(message.contains("statusCode"), "{message}");
    assert_eq!(watchdog.get("/").await.status, 200);
}

#[tokio::test]
async fn an_answer_over_six_mebibytes_is_a_502_and_the_next_request_works() {
    let watchdog = bad().await;
    let (status, _, message) = watchdog.get("/huge").await.refusal();
    assert_eq!(status, 502);
    assert!(message.contains("6291556"), "{message}");
    assert_eq!(watchdog.get("/").await.status, 200);
}

#[tokio::test]
async fn a_request_over_six_mebibytes_is_a_413() {
    let watchdog = bad().await;
    let (status, code, _) = watchdog.post("/", "x".repeat(7 * 1024 * 1024)).await.refusal();
    assert_eq!((status, code.as_str()), (413, "request_too_large"));
    assert_eq!(watchdog.get("/").await.status, 200);
}

#[tokio::test]
async fn a_line_of_a_mebibyte_is_carried_whole_with_its_request() {
    let watchdog = bad().await;
    let mut request = request(Method::GET, "/line", "");
    request.headers_mut().insert("x-request-id", "long".parse().unwrap());
    assert_eq!(watchdog.send(request).await.status, 200);
    watchdog.report("long").await;
    let pieces: Vec<_> = watchdog.lines().into_iter().filter(|line| line["part"].is_u64()).collect();
    let text: usize = pieces.iter().map(|piece| piece["message"].as_str().unwrap().len()).sum();
    assert_eq!(text, 1024 * 1024);
    assert!(pieces.iter().all(|piece| piece["requestId"] == "long"));
    assert_eq!(watchdog.get("/").await.status, 200);
}

#[tokio::test]
async fn orphans_are_reaped() {
    let watchdog = bad().await;
    assert_eq!(watchdog.get("/zombies").await.status, 200);
    let python = |all: &[(i32, char)]| all.iter().filter(|(_, state)| *state != 'Z').count() == 1;
    watchdog.descendants_become(|all| python(all)).await;
    // What the child did not wait for itself is the child's; everything that came to the watchdog is gone.
    let zombies = watchdog.descendants().len() - 1;
    assert!(zombies <= 6, "{:?}", watchdog.descendants());
    assert_eq!(watchdog.get("/exit0").await.status, 502);
    assert_eq!(watchdog.get("/").await.status, 200);
    watchdog.descendants_become(|all| all.len() == 1).await;
}

#[tokio::test]
async fn memory_eaten_is_a_502_and_the_next_request_works() {
    let script = format!(
        "ulimit -v 400000; exec {} -m awslambdaric app.handler",
        crate::support::python_with_awslambdaric()
    );
    let code = "\
def handler(event, context):
    if event['rawPath'] == '/eat': return len('x' * 4000000000)
    return {'statusCode': 200}
";
    let watchdog = Function::bootstrap(&script).file("app.py", code).ready().await;
    let (status, _, message) = watchdog.get("/eat").await.refusal();
    assert_eq!(status, 502);
    assert!(message.starts_with("MemoryError"), "{message}");
    assert_eq!(watchdog.get("/").await.status, 200);
}

#[tokio::test]
async fn a_child_that_ends_while_idle_is_replaced() {
    let watchdog = bad().await;
    let pid = watchdog.get("/").await.text();
    nix::sys::signal::kill(nix::unistd::Pid::from_raw(pid.parse().unwrap()), Signal::SIGKILL).unwrap();
    watchdog
        .line(|line| line["level"] == "error" && line["message"].as_str().unwrap().contains("process ended"))
        .await;
    let after = watchdog.get("/").await;
    assert_eq!(after.status, 200);
    assert_ne!(after.text(), pid);
}

#[tokio::test]
async fn children_that_are_of_no_use_any_more_end_the_instance_and_its_status_says_why() {
    let mut watchdog = Function::python(
        "import os\n\
         marker = os.environ['LAMBDA_TASK_ROOT'] + '/broken'\n\
         if os.path.exists(marker): raise RuntimeError('broken for good')\n\
         def handler(event, context):\n\
         \x20   open(marker, 'w').close()\n\
         \x20   os._exit(1)\n",
    )
    .ready()
    .await;
    assert_eq!(watchdog.get("/").await.status, 502);
    assert_ne!(watchdog.exit().await, 0);
    let message = watchdog.termination_message();
    assert_eq!(message["errorType"], "RuntimeError");
    assert_eq!(message["errorMessage"], "broken for good");
}

#[tokio::test]
async fn it_is_not_ready_while_its_child_starts_again() {
    let watchdog = Function::python(
        "import os, time\n\
         gate = os.environ['LAMBDA_TASK_ROOT'] + '/closed'\n\
         while os.path.exists(gate): time.sleep(0.005)\n\
         def handler(event, context):\n\
         \x20   open(gate, 'w').close()\n\
         \x20   os._exit(1)\n",
    )
    .ready()
    .await;
    assert_eq!(watchdog.admin("/readyz").await.status, 200);
    assert_eq!(watchdog.get("/").await.status, 502);
    assert_eq!(watchdog.admin("/readyz").await.status, 503);
    assert_eq!(watchdog.admin("/healthz").await.status, 200);
    let (status, code, _) = within(&watchdog, "/", "100").await;
    assert_eq!((status, code.as_str()), (504, "start_timeout"));
    std::fs::remove_file(watchdog.path("task/closed")).unwrap();
    assert_eq!(watchdog.get("/").await.status, 502);
}
