//! Functions that crash, hang, lie, eat memory, leave early, shout or leave zombies: the contract's answer each time, and
//! the next request works.

use flint_e2e::namespace::with_namespace;
use serde_json::json;

/// One function with every bad habit, chosen by the path.
const HABITS: &str = r#"
import os, subprocess, sys, time
def handler(event, context):
    habit = event["rawPath"]
    if habit == "/crash":
        os._exit(3)
    if habit == "/exit-0":
        os._exit(0)
    if habit == "/hang":
        time.sleep(60)
    if habit == "/raise":
        raise ValueError("no such thing")
    if habit == "/nonsense":
        return {"statusCode": "not a number"}
    if habit == "/memory":
        hog = []
        while True:
            hog.append(bytearray(8 * 1024 * 1024))
    if habit == "/shout":
        print("x" * (1024 * 1024))
        return "shouted"
    if habit == "/zombies":
        for _ in range(20):
            subprocess.Popen(["sh", "-c", "sleep 0.01 &"])
        time.sleep(0.3)
        return "left some"
    if habit == "/count-zombies":
        count = 0
        for pid in filter(str.isdigit, os.listdir("/proc")):
            try:
                count += " Z " in open(f"/proc/{pid}/stat").read()
            except OSError:
                pass
        own = subprocess.run(["true"]).returncode
        return count + own
    return "well"
"#;

#[tokio::test]
async fn bad_habits_get_the_contracts_answer_and_the_next_request_works() {
    with_namespace("habits", |namespace| async move {
        let function = namespace
            .function("habits")
            .python(HABITS)
            .set("timeout", json!("3s"))
            .set("resources", json!({"limits": {"memory": "128Mi"}}))
            .scaling("maxReplicas", json!(1))
            .apply()
            .await;
        assert_eq!(function.ok("/").await, "\"well\"");
        let cases = [
            ("/crash", 502, "function_failed"),
            ("/exit-0", 502, "function_failed"),
            ("/raise", 502, "function_failed"),
            ("/nonsense", 502, "function_failed"),
            ("/hang", 504, "timeout"),
            ("/memory", 502, "function_failed"),
        ];
        for (habit, status, code) in cases {
            let answer = function.get(habit).await;
            assert_eq!((answer.status, answer.error.as_deref()), (status, Some(code)), "{habit}: {answer:?}");
            let body: serde_json::Value = serde_json::from_str(&answer.body).expect("a refusal is JSON");
            assert_eq!(body["error"]["code"], code, "{habit}");
            assert!(
                body["error"]["message"].as_str().is_some_and(|message| message.len() > 5),
                "{habit}: {body}"
            );
            assert!(body["requestId"].as_str().is_some_and(|id| !id.is_empty()), "{habit}: {body}");
            let next = function.get("/").await;
            assert_eq!((next.status, next.body.as_str()), (200, "\"well\""), "after {habit}");
        }
        let raised = function.get("/raise").await;
        assert!(raised.body.contains("ValueError") && raised.body.contains("no such thing"), "{raised:?}");
        assert_eq!(function.get("/shout").await.body, "\"shouted\"");
        assert_eq!(function.get("/").await.status, 200, "after a line of 1 MiB");
    })
    .await;
}

#[tokio::test]
async fn zombies_are_reaped() {
    with_namespace("zombies", |namespace| async move {
        let function =
            namespace.function("zombies").python(HABITS).scaling("maxReplicas", json!(1)).apply().await;
        function.ok("/").await;
        assert_eq!(function.get("/zombies").await.body, "\"left some\"");
        flint_e2e::eventually("no zombies", flint_e2e::functions::PATIENCE, || async {
            let left: i32 = function.get("/count-zombies").await.body.parse().unwrap_or(-1);
            // The handler's own unreaped `sh` children are its business until it collects them; Popen does at the next call.
            if left == 0 { Ok(()) } else { Err(left) }
        })
        .await;
    })
    .await;
}

#[tokio::test]
async fn a_handler_that_does_not_import_is_said_at_once_and_a_fix_heals_it() {
    with_namespace("broken-import", |namespace| async move {
        let function = namespace
            .function("broken")
            .python("import nothing_of_this_name\ndef handler(e, c): pass\n")
            .apply()
            .await;
        let ready = function.condition("Ready", "False").await;
        let answer = function.get("/").await;
        assert_eq!(
            (answer.status, answer.error.as_deref()),
            (503, Some("not_startable")),
            "{answer:?}, {ready:?}"
        );
        assert!(answer.body.contains("nothing_of_this_name"), "the reason is the import: {answer:?}");
        let fixed = function.python("def handler(event, context):\n    return 'fixed'\n").apply().await;
        assert_eq!(fixed.ok("/").await, "\"fixed\"");
        fixed.ready().await;
    })
    .await;
}
