//! The start: configuration, readiness, the announcement.

use std::process::Command;

use flint_core::wire::{Announcement, verify};

use crate::support::{Function, Home};

fn run(vars: &[(&str, &str)], arguments: &[&str]) -> (i32, String, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_flint-watchdog"))
        .args(arguments)
        .env_clear()
        .envs(vars.iter().copied())
        .output()
        .unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (output.status.code().unwrap(), text(output.stdout), text(output.stderr))
}

#[test]
fn a_wrong_configuration_ends_it_with_64_before_it_binds() {
    let (code, stdout, stderr) = run(&[("FLINT_FUNCTION", "f")], &[]);
    assert_eq!((code, stdout.as_str(), stderr.as_str()), (64, "", "flint-watchdog: FLINT_MODE is not set\n"));
    let (code, _, stderr) = run(&[], &["--nonsense"]);
    assert_eq!(code, 64);
    assert!(stderr.contains("--help"), "{stderr}");
}

#[test]
fn it_says_what_it_is() {
    let (code, stdout, _) = run(&[], &["--version"]);
    assert_eq!((code, stdout.as_str()), (0, concat!("flint-watchdog ", env!("CARGO_PKG_VERSION"), "\n")));
    assert!(run(&[], &["--help"]).1.contains("FLINT_MODE"));
}

#[tokio::test]
async fn a_port_that_is_taken_ends_it() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port().to_string();
    let vars =
        [("FLINT_MODE", "http"), ("FLINT_FUNCTION", "f"), ("FLINT_BIND", "127.0.0.1"), ("FLINT_PORT", &port)];
    let (code, _, stderr) = tokio::task::spawn_blocking({
        let vars = vars.map(|(name, value)| (name, value.to_owned()));
        move || run(&vars.each_ref().map(|(name, value)| (*name, value.as_str())), &[])
    })
    .await
    .unwrap();
    assert_eq!(code, 1);
    assert!(stderr.contains("in use"), "{stderr}");
}

#[tokio::test]
async fn it_is_ready_when_the_child_has_asked_for_its_first_invocation_and_not_before() {
    let watchdog = Function::python(
        "import os, time\n\
         while not os.path.exists(os.environ['LAMBDA_TASK_ROOT'] + '/go'): time.sleep(0.005)\n\
         def handler(event, context): return 'well'\n",
    )
    .start()
    .await;
    assert_eq!(watchdog.admin("/healthz").await.status, 200);
    assert_eq!(watchdog.admin("/readyz").await.status, 503);
    assert_eq!(watchdog.metric("flint_watchdog_ready ").await, 0.0);
    // A request that comes this early waits.
    let (answer, ()) = tokio::join!(watchdog.get("/"), async {
        while watchdog.metric("flint_watchdog_in_flight ").await < 1.0 {}
        assert_eq!(watchdog.admin("/readyz").await.status, 503);
        std::fs::write(watchdog.path("task/go"), "").unwrap();
    });
    assert_eq!(answer.text(), r#""well""#);
    assert_eq!(watchdog.admin("/readyz").await.text(), "ready\n");
    assert_eq!(watchdog.admin("/nothing").await.status, 404);
}

#[tokio::test]
async fn a_program_that_is_not_there_or_not_executable_ends_the_instance_and_its_status_says_why() {
    let cases = [
        (Function::new("process", &["./missing"]), "./missing is not in"),
        (Function::new("process", &["missing"]), "missing is not in"),
        (Function::new("process", &["./plain"]).file("plain", "text"), "is not executable"),
        (Function::new("lambda", &["./bootstrap"]), "./bootstrap is not in"),
        (Function::new("http", &["./server"]), "./server is not in"),
    ];
    for (function, message) in cases {
        let mut watchdog = function.start().await;
        assert_eq!(watchdog.exit().await, 1);
        let said = watchdog.termination_message();
        assert_eq!(said["errorType"], "Runtime.InvalidEntrypoint");
        assert!(said["errorMessage"].as_str().unwrap().contains(message), "{said}");
    }
}

#[tokio::test]
async fn a_child_that_exits_before_it_is_ready_is_an_error_even_with_code_0() {
    let mut watchdog = Function::bootstrap("exit 0").start().await;
    assert_ne!(watchdog.exit().await, 0);
    let said = watchdog.termination_message();
    assert_eq!(said["errorType"], "Runtime.ExitError");
    assert_eq!(said["errorMessage"], "Runtime exited without providing a reason");
}

fn announcing(home: &Home) -> Function {
    Function::process("true")
        .var("FLINT_NAMESPACE", "shop")
        .var("FLINT_HOME_URL", &home.url)
        .var("FLINT_KEY", "the key")
        .var("FLINT_POD_NAME", "thumbnail-1-x2x4z")
        .var("FLINT_POD_UID", "uid-1")
        .var("FLINT_POD_IP", "10.244.0.17")
}

#[tokio::test]
async fn the_instance_calls_home_when_it_is_ready_and_signs_what_it_says() {
    let mut home = Home::start().await;
    let watchdog = announcing(&home).start().await;
    let (headers, body) = home.announcement().await;
    assert!(verify("the key", &body, headers["x-flint-signature"].to_str().unwrap()));
    let said: Announcement = serde_json::from_slice(&body).unwrap();
    assert_eq!((said.namespace.as_str(), said.function.as_str()), ("shop", "thumbnail"));
    assert_eq!((said.pod.as_str(), said.uid.as_str()), ("thumbnail-1-x2x4z", "uid-1"));
    assert_eq!(said.address, format!("10.244.0.17:{}", watchdog.address().1));
    watchdog.said("announced").await;
}

#[tokio::test]
async fn an_instance_that_is_not_known_yet_tells_again() {
    let mut home = Home::start().await;
    home.answer_with([409, 503]);
    let watchdog = announcing(&home).start().await;
    for _ in 0..3 {
        home.announcement().await;
    }
    watchdog.said("announced").await;
}

#[tokio::test]
async fn an_instance_that_is_refused_does_not_tell_again() {
    let mut home = Home::start().await;
    home.answer_with([403]);
    let watchdog = announcing(&home).start().await;
    home.announcement().await;
    let line = watchdog.line(|line| line["message"].as_str().unwrap().contains("was refused (403")).await;
    assert_eq!(line["level"], "warn");
    assert_eq!(watchdog.get("/").await.status, 200);
}
