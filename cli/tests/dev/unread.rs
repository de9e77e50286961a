//! Output that nobody reads: a pipe that is full, as of a terminal that was stopped or a program that hangs.

use nix::sys::signal::Signal;

use crate::support::{Dev, Folder};

/// More than the pipe and what waits for it hold, twice over: each event has the request's body and the answer's.
async fn flood(dev: &Dev) {
    let body: &'static str = "x".repeat(60 * 1024).leak();
    for _ in 0..30 {
        let answer = dev.post("/function/echo", body).await;
        assert_eq!((answer.status, answer.text.len()), (200, body.len()));
    }
}

async fn echo() -> (Folder, Dev) {
    let folder = Folder::with(&[("flint.yaml", "name: echo\nruntime: process\nhandler: cat\n")]);
    let dev = folder.dev().await;
    (folder, dev)
}

#[tokio::test]
async fn requests_are_served_and_what_was_left_out_is_told_to_who_reads_again() {
    let (_folder, mut dev) = echo().await;
    flood(&dev).await;
    let missed = dev.event("missed", |_| true).await;
    assert!(missed["count"].as_u64().unwrap() > 0, "{missed}");
    assert_eq!(dev.post("/function/echo", "after").await.text, "after");
    dev.event("invocation", |event| event["request"]["text"] == "after").await;
}

#[tokio::test]
async fn ctrl_c_ends_it_all_the_same() {
    let (_folder, mut dev) = echo().await;
    flood(&dev).await;
    dev.signal(Signal::SIGINT);
    assert_eq!(dev.ended().await.code(), Some(0));
}
