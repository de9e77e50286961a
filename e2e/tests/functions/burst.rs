//! Many requests at once at a function that is not there yet.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};

use flint_e2e::namespace::with_namespace;
use futures::future::join_all;
use serde_json::json;

#[tokio::test]
async fn five_hundred_requests_at_zero_are_all_answered_by_at_most_eight_pods() {
    with_namespace("burst", |namespace| async move {
        let code = "import time\ndef handler(event, context):\n    time.sleep(0.05)\n    return 'done'\n";
        let function = namespace
            .function("burst")
            .python(code)
            .set("concurrency", json!(1))
            .scaling("maxReplicas", json!(8))
            .apply()
            .await;
        function.ready().await;
        function.zero().await;

        let (over, most) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
        let watcher = {
            let (over, most, namespace) = (over.clone(), most.clone(), namespace.clone());
            tokio::spawn(async move {
                while !over.load(Ordering::Relaxed) {
                    most.fetch_max(namespace.pods("burst").await.len(), Ordering::Relaxed);
                    tokio::time::sleep(Duration::from_millis(100)).await;
                }
            })
        };
        let answers = join_all((0..500).map(|_| function.get("/"))).await;
        over.store(true, Ordering::Relaxed);
        watcher.await.expect("the watcher");
        let failed: Vec<_> = answers.iter().filter(|answer| answer.status != 200).take(5).collect();
        assert!(failed.is_empty(), "such as {failed:#?}");
        let most = most.load(Ordering::Relaxed);
        assert!(most <= 8, "{most} pods");
        assert!(most >= 2, "the demand was seen: {most} pods");
        println!("500 requests from zero: all 200, at most {most} pods");
    })
    .await;
}

#[tokio::test]
async fn an_instance_never_has_more_requests_than_its_concurrency() {
    with_namespace("concurrency", |namespace| async move {
        let code = r"
import threading, time
now = 0
def handler(event, context):
    global now
    now += 1
    seen = now
    time.sleep(0.02)
    now -= 1
    return seen
";
        let function = namespace
            .function("one")
            .python(code)
            .set("concurrency", json!(1))
            .scaling("maxReplicas", json!(3))
            .apply()
            .await;
        function.ok("/").await;
        let answers = join_all((0..200).map(|_| function.get("/"))).await;
        for answer in answers {
            assert_eq!((answer.status, answer.body.as_str()), (200, "1"));
        }
    })
    .await;
}
