//! How it ends: what is in flight finishes, and nothing is left running.

use nix::sys::signal::Signal;

use crate::support::{Folder, has, is_gone};

const SLOW: &str =
    "import time\ndef handler(event, context):\n    print('working')\n    time.sleep(1)\n    return 'done'\n";
const MANIFEST: (&str, &str) = ("flint.yaml", "name: slow\nhandler: app.handler\nruntime: python3.11\n");

#[tokio::test]
async fn ctrl_c_in_the_middle_of_a_request_finishes_it_and_leaves_no_process() {
    if !has("python3") {
        return;
    }
    let folder = Folder::with(&[MANIFEST, ("app.py", SLOW)]);
    let mut dev = folder.dev().await;
    let request = tokio::spawn(dev.client().get(format!("{}/function/slow", dev.url)).send());
    dev.event("log", |event| event["message"] == "working").await;
    let processes = dev.processes().await;
    assert_eq!(processes.len(), 1);
    dev.signal(Signal::SIGINT);
    let answer = request.await.unwrap().unwrap();
    assert_eq!((answer.status().as_u16(), answer.text().await.unwrap().as_str()), (200, "\"done\""));
    assert_eq!(dev.ended().await.code(), Some(0));
    assert!(is_gone(processes[0]).await);
}

#[tokio::test]
async fn a_second_ctrl_c_ends_it_at_once() {
    if !has("python3") {
        return;
    }
    let hangs = SLOW.replace("time.sleep(1)", "time.sleep(600)");
    let folder = Folder::with(&[
        ("flint.yaml", "name: slow\nhandler: app.handler\nruntime: python3.11\ntimeout: 600s\n"),
        ("app.py", &hangs),
    ]);
    let mut dev = folder.dev().await;
    let _request = tokio::spawn(dev.client().get(format!("{}/function/slow", dev.url)).send());
    dev.event("log", |event| event["message"] == "working").await;
    let processes = dev.processes().await;
    dev.signal(Signal::SIGINT);
    // The first is heard before the second is sent: it stops listening.
    while std::net::TcpStream::connect(dev.url.trim_start_matches("http://")).is_ok() {
        tokio::task::yield_now().await;
    }
    dev.signal(Signal::SIGINT);
    assert_eq!(dev.ended().await.code(), Some(130));
    assert!(is_gone(processes[0]).await);
}

#[tokio::test]
async fn killed_it_leaves_no_process() {
    if !has("python3") {
        return;
    }
    let folder = Folder::with(&[MANIFEST, ("app.py", &SLOW.replace("time.sleep(1)", "pass"))]);
    let mut dev = folder.dev().await;
    assert_eq!(dev.get("/function/slow").await.status, 200);
    let processes = dev.processes().await;
    dev.signal(Signal::SIGKILL);
    dev.ended().await;
    assert!(is_gone(processes[0]).await);
}
