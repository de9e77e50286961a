//! Pods that wait in a warm pool, and their claims.

use std::path::Path;

use crate::support::{Function, POOL_UID, python_with_awslambdaric};

const HELLO: &str = "import os\ndef handler(event, context):\n    return {'pid': os.getpid(), 'name': os.environ['FLINT_FUNCTION'], 'cwd': os.getcwd(), 'mine': os.environ.get('MINE'), 'stdin': os.read(0, 1).decode()}\n";

fn warm_python() -> Vec<String> {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../runtimes/python3.11/warm/warm.py");
    vec![python_with_awslambdaric(), script.to_str().unwrap().to_owned()]
}

/// As [`Function::waiting`] with the interpreter loaded.
async fn waiting(function: Function) -> (crate::support::Watchdog, Vec<u8>) {
    let command = warm_python();
    function.waiting(&command.iter().map(String::as_str).collect::<Vec<_>>()).await
}

#[tokio::test]
async fn the_process_that_was_loaded_ahead_becomes_the_functions() {
    let (watchdog, ticket) = waiting(Function::python(HELLO).var("MINE", "yes")).await;
    let [(loaded, _)] = watchdog.descendants()[..] else { panic!("{:?}", watchdog.descendants()) };
    let claim = watchdog.claim(&ticket, POOL_UID).await;
    assert_eq!(claim.status, 200, "{}", claim.text());
    let said = watchdog.invoke("{}").await.json();
    assert_eq!(said["pid"], loaded);
    assert_eq!(said["name"], "thumbnail");
    assert_eq!(said["mine"], "yes");
    assert_eq!(said["stdin"], "");
    assert_eq!(said["cwd"], watchdog.path("task").to_str().unwrap());
    let report = watchdog
        .line(|line| {
            line["type"] == "report" || line["message"].as_str().is_some_and(|m| m.starts_with("REPORT"))
        })
        .await;
    assert_eq!(report["function"], "thumbnail");
}

#[tokio::test]
async fn gateways_that_claim_for_one_function_at_once_share_the_pod_and_a_bad_claim_learns_nothing() {
    let (watchdog, ticket) = waiting(Function::python(HELLO)).await;
    let (one, other) = tokio::join!(watchdog.claim(&ticket, POOL_UID), watchdog.claim(&ticket, POOL_UID));
    assert_eq!((one.status.as_u16(), other.status.as_u16()), (200, 200));
    assert_eq!(watchdog.claim(b"forged", POOL_UID).await.status, 409);
    assert_eq!(watchdog.descendants().len(), 1, "one instance");
    assert_eq!(watchdog.invoke("{}").await.status, 200);
}

#[tokio::test]
async fn a_claim_that_is_not_good_leaves_the_pod_waiting() {
    let (watchdog, ticket) = waiting(Function::python(HELLO)).await;
    assert_eq!(watchdog.claim(b"forged", POOL_UID).await.status, 403);
    assert_eq!(watchdog.claim(&ticket, "another pod's").await.status, 403);
    let mut changed = ticket.clone();
    *changed.last_mut().unwrap() ^= 1;
    assert_eq!(watchdog.claim(&changed, POOL_UID).await.status, 403);
    assert_eq!(watchdog.admin("/readyz").await.status, 200);
    assert_eq!(watchdog.claim(&ticket, POOL_UID).await.status, 200);
}

#[tokio::test]
async fn variables_that_are_read_at_the_start_have_a_process_started_anew() {
    let (watchdog, ticket) = waiting(Function::python(HELLO).var("PYTHONUNBUFFERED", "1")).await;
    let [(loaded, _)] = watchdog.descendants()[..] else { panic!("{:?}", watchdog.descendants()) };
    assert_eq!(watchdog.claim(&ticket, POOL_UID).await.status, 200);
    let said = watchdog.invoke("{}").await.json();
    assert_ne!(said["pid"], loaded);
    watchdog.descendants_become(|all| all.iter().all(|(pid, _)| *pid != loaded)).await;
}

#[tokio::test]
async fn a_function_that_cannot_start_is_told_to_who_claimed_it() {
    let (mut watchdog, ticket) = waiting(Function::python("import nowhere\n")).await;
    let claim = watchdog.claim(&ticket, POOL_UID).await;
    assert_eq!(claim.status, 503);
    assert!(claim.text().contains("nowhere"), "{}", claim.text());
    assert_eq!(watchdog.exit().await, 1);
}

#[tokio::test]
async fn a_container_that_starts_again_in_a_claimed_pod_does_not_wait_for_another_function() {
    let function = Function::process("cat");
    std::fs::write(function.path("claimed"), "thumbnail").unwrap();
    let mut watchdog = function.started_in_a_pool().await;
    assert_eq!(watchdog.exit().await, 1);
    let said = watchdog.termination_message();
    assert!(said["errorMessage"].as_str().unwrap().contains("another function"), "{said}");
}

#[tokio::test]
async fn a_pool_without_a_process_starts_the_child_when_it_is_claimed() {
    let (watchdog, ticket) = Function::process("cat").waiting(&[]).await;
    assert!(watchdog.descendants().is_empty());
    assert_eq!(watchdog.claim(&ticket, POOL_UID).await.status, 200);
    assert_eq!(watchdog.post("/", "echo").await.text(), "echo");
}

#[tokio::test]
async fn a_process_that_dies_while_it_waits_ends_the_pod_with_its_words() {
    let function = Function::python(HELLO).program("dies", "echo ready; echo broken >&2; sleep 0.1; exit 3");
    let (mut watchdog, _) = function.waiting(&["./dies"]).await;
    assert_eq!(watchdog.exit().await, 1);
    let said = watchdog.termination_message();
    assert!(said["errorMessage"].as_str().unwrap().contains("broken"), "{said}");
}

#[tokio::test]
async fn a_pod_that_was_never_claimed_ends_when_it_is_told_to() {
    let (mut watchdog, _) = waiting(Function::python(HELLO)).await;
    watchdog.terminate();
    assert_eq!(watchdog.exit().await, 0);
}
