use serde_json::{Value, json};

use super::*;

fn now() -> Timestamp {
    "2026-11-21T10:00:00Z".parse().unwrap()
}

fn pod(status: Value) -> Pod {
    serde_json::from_value(json!({"metadata": {"name": "cart-1"}, "status": status})).unwrap()
}

/// A pod whose container `function` has these fields beside the usual ones.
fn container(fields: Value) -> Pod {
    let mut status =
        json!({"name": "function", "image": "shop/cart:1", "imageID": "", "ready": false, "restartCount": 0});
    for (name, value) in fields.as_object().unwrap() {
        status[name] = value.clone();
    }
    pod(json!({"containerStatuses": [status]}))
}

fn waiting(reason: &str, message: &str) -> Pod {
    container(json!({"state": {"waiting": {"reason": reason, "message": message}}}))
}

fn told(pod: &Pod) -> (&'static str, String) {
    let failure = judge(None, [pod], now()).expect("a failure");
    (failure.reason, failure.message)
}

#[test]
fn both_stages_of_a_failing_pull_tell_the_same() {
    let cause = r#"failed to resolve reference "shop/cart:1": shop/cart:1: not found"#;
    let first = told(&waiting("ErrImagePull", cause));
    let later = told(&waiting(
        "ImagePullBackOff",
        &format!(r#"Back-off pulling image "shop/cart:1": ErrImagePull: {cause}"#),
    ));
    assert_eq!(first, later);
    assert_eq!(first.0, IMAGE_PULL_FAILED);
    assert!(
        first.1.starts_with("The image shop/cart:1 cannot be pulled: check its name and tag."),
        "{}",
        first.1
    );
}

#[test]
fn each_way_of_not_starting_has_its_reason() {
    let ended = json!({"exitCode": 1, "reason": "Error", "message": "Traceback\nModuleNotFoundError: no module named 'x'\n"});
    let words =
        r#"{"errorType": "Runtime.ImportModuleError", "errorMessage": "Unable to import module 'app'"}"#;
    for (pod, reason, part) in [
        (waiting("InvalidImageName", ""), IMAGE_PULL_FAILED, "is not valid"),
        (waiting("ErrImagePull", "unauthorized: no"), IMAGE_PULL_FAILED, "imagePullSecrets"),
        (
            waiting("CreateContainerConfigError", "container has runAsNonRoot and image will run as root"),
            RUNS_AS_ROOT,
            "runAsUser",
        ),
        (
            waiting("CreateContainerConfigError", r#"secret "db" not found"#),
            CONFIG_ERROR,
            r#"secret "db" not found"#,
        ),
        (
            container(
                json!({"restartCount": 1, "state": {"waiting": {"reason": "CrashLoopBackOff", "message": "back-off 10s"}}, "lastState": {"terminated": ended}}),
            ),
            CRASH_LOOP,
            "exit code 1 at every start; its last line: ModuleNotFoundError: no module named 'x'.",
        ),
        (
            container(json!({"state": {"terminated": {"exitCode": 1, "message": words}}})),
            INIT_FAILED,
            "The code cannot start: Runtime.ImportModuleError: Unable to import module 'app'.",
        ),
        (
            container(
                json!({"lastState": {"terminated": {"exitCode": 137, "reason": "OOMKilled"}}, "state": {"running": {}}}),
            ),
            OUT_OF_MEMORY,
            "limits.memory",
        ),
        (
            pod(json!({"conditions": [{"type": "PodScheduled", "status": "False", "reason": "Unschedulable",
                "message": "0/1 nodes are available: 1 Insufficient cpu. preemption: 0/1 nodes.", "lastTransitionTime": "2026-11-21T09:59:00Z"}]})),
            UNSCHEDULABLE,
            "0/1 nodes are available: 1 Insufficient cpu. Lower",
        ),
    ] {
        let (told_reason, message) = told(&pod);
        assert_eq!(told_reason, reason, "{message}");
        assert!(message.contains(part), "{message}");
    }
}

#[test]
fn what_may_still_work_is_no_failure() {
    for pod in [
        waiting("ContainerCreating", ""),
        // A node that is overrun.
        waiting("CreateContainerConfigError", "failed to sync secret cache: timed out waiting for the condition"),
        // One crash, and running again: the next request may well work.
        container(json!({"restartCount": 1, "state": {"running": {}}, "lastState": {"terminated": {"exitCode": 1}}})),
        // The pod that failed is going.
        serde_json::from_value(json!({"metadata": {"deletionTimestamp": "2026-11-21T09:59:59Z"}, "status": {"containerStatuses": [
            {"name": "function", "image": "i", "imageID": "", "ready": false, "restartCount": 9, "state": {"waiting": {"reason": "ErrImagePull"}}}]}}))
        .unwrap(),
        pod(json!({"conditions": [{"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "lastTransitionTime": "2026-11-21T09:59:58Z"}]})),
    ] {
        assert_eq!(judge(None, [&pod], now()), None);
    }
}

#[test]
fn a_deployment_tells_of_quotas_and_policies_without_the_pods_changing_names() {
    let deployment = |message: &str| -> Deployment {
        let condition =
            json!({"type": "ReplicaFailure", "status": "True", "reason": "FailedCreate", "message": message});
        serde_json::from_value(json!({"metadata": {}, "status": {"conditions": [condition]}})).unwrap()
    };
    let quota = deployment(
        r#"pods "cart-1-abc" is forbidden: exceeded quota: small, requested: pods=1, used: pods=2, limited: pods=2"#,
    );
    let failure = judge(Some(&quota), [], now()).unwrap();
    assert_eq!(failure.reason, QUOTA_EXCEEDED);
    assert!(failure.is_lack_of_room() && !failure.message.contains("cart-1-abc"), "{}", failure.message);
    let policy = deployment(
        r#"pods "cart-1-abc" is forbidden: violates PodSecurity "restricted:latest": runAsNonRoot != true"#,
    );
    assert_eq!(judge(Some(&policy), [], now()).unwrap().reason, PODS_REFUSED);
}
