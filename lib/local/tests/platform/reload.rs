//! Another revision: beside the old one, without a lost request, or not at all.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use flint_local::{Ended, Event, Reason, Told};
use tokio::time::timeout;

use crate::support::{PATIENCE, Rig, key, request};

fn version(number: u32) -> String {
    format!("def handler(event): return 'version {number}'")
}

fn failed(told: &Told) -> Option<(Reason, bool)> {
    match &told.event {
        Event::FunctionFailed { reason, older_serves, .. } => Some((reason.clone(), *older_serves)),
        _ => None,
    }
}

fn updated(told: &Told) -> Option<()> {
    matches!(&told.event, Event::FunctionUpdated { .. }).then_some(())
}

/// The gateway hears of the change a moment after it is told; until then the old one answers.
async fn serves(rig: &Rig, number: u32) {
    loop {
        let answer = rig.get("/function/hello").await;
        assert_eq!(answer.status, 200, "{answer:?}");
        if answer.text.contains(&format!("version {number}")) {
            return;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn no_request_is_lost_while_the_code_changes_again_and_again() {
    let mut rig = Rig::start(&version(0), |_| {}).await;
    rig.get("/function/hello").await;
    let (address, over) = (rig.platform.address(), Arc::new(AtomicBool::new(false)));
    // Heard as it is told: the history forgets under so many requests.
    let mut live = rig.platform.events().live;
    let replaced = tokio::spawn(async move {
        let mut count = 0;
        while count < 2 {
            let told = timeout(PATIENCE, live.recv()).await.expect("old instances end").unwrap();
            count += u32::from(matches!(&told.event, Event::InstanceEnded { reason: Ended::Replaced, .. }));
        }
        count
    });
    let clients = (0..2).map(|_| {
        let over = Arc::clone(&over);
        tokio::spawn(async move {
            let mut answers = Vec::new();
            while !over.load(Ordering::Relaxed) {
                answers.push(request(address, "GET /function/hello HTTP/1.1", "").await);
            }
            answers
        })
    });
    let clients: Vec<_> = clients.collect();
    for number in 1..=3 {
        rig.save(&version(number)).await;
        rig.event(updated).await;
        serves(&rig, number).await;
    }
    over.store(true, Ordering::Relaxed);
    for client in clients {
        let answers = client.await.unwrap();
        assert!(!answers.is_empty());
        for answer in answers {
            assert_eq!(answer.status, 200, "{answer:?}");
        }
    }
    let replaced = replaced.await.unwrap();
    assert!(replaced >= 2, "{replaced}");
    rig.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn code_that_does_not_load_gets_no_request_and_the_reason_is_told() {
    let mut rig = Rig::start(&version(1), |_| {}).await;
    rig.get("/function/hello").await;
    rig.save("import nowhere").await;
    let (reason, older_serves) = rig.event(failed).await;
    assert_eq!(reason, Reason::new("ModuleNotFoundError", "No module named 'nowhere'"));
    assert!(older_serves);
    assert!(rig.get("/function/hello").await.text.contains("version 1"));
    let functions = rig.platform.functions().await.unwrap();
    assert_eq!(functions[0].failing, Some(reason));
    rig.save(&version(2)).await;
    rig.event(updated).await;
    serves(&rig, 2).await;
    rig.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn code_that_never_loaded_is_answered_with_its_reason_and_then_tried_again() {
    let mut rig = Rig::start("import nowhere", |_| {}).await;
    let answer = rig.get("/function/hello").await;
    assert_eq!(answer.status, 503, "{answer:?}");
    assert!(answer.text.contains("not_startable"), "{answer:?}");
    assert!(answer.text.contains("ModuleNotFoundError: No module named 'nowhere'"), "{answer:?}");
    assert!(!rig.event(failed).await.1);
    rig.save(&version(1)).await;
    assert_eq!(rig.get("/function/hello").await.status, 200);
    rig.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_program_that_is_not_there_is_named() {
    let rig =
        Rig::start("", |project| project.functions[0].command = vec!["no-such-program".to_owned()]).await;
    let answer = rig.get("/function/hello").await;
    assert_eq!(answer.status, 503, "{answer:?}");
    assert!(answer.text.contains("no-such-program is not in"), "{answer:?}");
    rig.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_function_that_is_removed_is_not_found_and_its_process_goes() {
    let mut rig = Rig::start(&version(1), |_| {}).await;
    rig.get("/function/hello").await;
    rig.project.functions.clear();
    rig.platform.update(rig.project.clone()).await.unwrap();
    let removed = |told: &Told| match &told.event {
        Event::FunctionRemoved { function } => Some(function.clone()),
        _ => None,
    };
    assert_eq!(rig.event(removed).await, key());
    let ended = |told: &Told| match &told.event {
        Event::InstanceEnded { reason, .. } => Some(reason.clone()),
        _ => None,
    };
    assert_eq!(rig.event(ended).await, Ended::Stopped);
    assert_eq!(rig.get("/function/hello").await.status, 404);
    rig.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restart_brings_another_process_for_the_same_code() {
    let mut rig = Rig::start(&version(1), |_| {}).await;
    rig.get("/function/hello").await;
    let first = rig.ready().await;
    rig.platform.restart(&key()).await.unwrap();
    assert_ne!(rig.ready().await, first);
    assert!(rig.get("/function/hello").await.text.contains("version 1"));
    rig.stop().await;
}
