//! From zero and back, many at a time, limits, and the end.

use std::{
    io::{BufRead as _, BufReader},
    process::{Command, Stdio},
};

use flint_api::{Duration, Mode};
use flint_local::{Ended, Event};

use crate::support::{Rig, key, no_processes, processes, request};

const HELLO: &str = "def handler(event): return 'hello'";

#[tokio::test(flavor = "multi_thread")]
async fn a_function_starts_with_its_first_request_and_goes_when_nobody_calls() {
    let mut rig = Rig::start(HELLO, |_| {}).await;
    assert_eq!(processes(rig.folder.path()), [] as [u32; 0]);
    let answer = rig.get("/function/hello").await;
    assert_eq!(answer.status, 200, "{answer:?}");
    assert!(answer.text.ends_with("\"hello\""), "{answer:?}");
    let cold = rig
        .event(|told| match &told.event {
            Event::Invocation(invocation) => Some(invocation.cold),
            _ => None,
        })
        .await;
    assert!(cold);
    let why = rig
        .event(|told| match &told.event {
            Event::InstanceEnded { reason, .. } => Some(reason.clone()),
            _ => None,
        })
        .await;
    assert_eq!(why, Ended::ScaledDown);
    no_processes(rig.folder.path()).await;
    assert_eq!(rig.get("/function/hello").await.status, 200);
    rig.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_that_need_each_other_get_processes_of_their_own_at_concurrency_1() {
    // Each waits for the other's file: one after the other they would wait for ever.
    let app = "
import os, time
def handler(event):
    me = event['rawPath'][1:]
    open(me, 'w').close()
    while not os.path.exists('b' if me == 'a' else 'a'): time.sleep(0.01)
    return me";
    let rig = Rig::start(app, |_| {}).await;
    let (a, b) = tokio::join!(rig.get("/function/hello/a"), rig.get("/function/hello/b"));
    assert_eq!((a.status, b.status), (200, 200));
    let functions = rig.platform.functions().await.unwrap();
    assert!(functions[0].instances.len() >= 2, "{functions:?}");
    rig.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_function_that_does_not_end_in_time_is_ended_and_the_next_request_is_served() {
    let app = "
import time
def handler(event):
    while event['rawPath'] == '/slow': time.sleep(1)
    return 'quick'";
    let rig =
        Rig::start(app, |project| project.functions[0].effective.timeout = Duration::from_secs(5)).await;
    let slow = rig.get("/function/hello/slow").await;
    assert_eq!(slow.status, 504, "{slow:?}");
    assert!(slow.text.contains("x-flint-error: timeout"), "{slow:?}");
    assert_eq!(rig.get("/function/hello/quick").await.status, 200);
    rig.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_program_is_run_for_each_request_in_process_mode() {
    let rig = Rig::start("", |project| {
        let function = &mut project.functions[0];
        function.effective.mode = Mode::Process;
        function.command =
            ["sh", "-c", "read name; echo hello $name from $WHERE"].map(str::to_owned).to_vec();
        function.env.insert("WHERE".to_owned(), "here".to_owned());
    })
    .await;
    let answer = request(rig.platform.address(), "POST /function/hello HTTP/1.1", "you\n").await;
    assert!(answer.text.contains("hello you from here\n"), "{answer:?}");
    rig.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_function_may_see_of_the_machine_is_little() {
    let app = "
import os
def handler(event): return sorted(name for name in os.environ if name.startswith(('CARGO', 'FLINT')))";
    let rig = Rig::start(app, |_| {}).await;
    let answer = rig.get("/function/hello").await;
    assert!(
        answer.text.ends_with(r#"["FLINT_FUNCTION", "FLINT_NAMESPACE", "FLINT_REVISION"]"#),
        "{answer:?}"
    );
    rig.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_memory_limit_ends_a_function_that_is_over_it_or_it_is_said_that_there_is_none() {
    let app = "
def handler(event): return len(b'x' * (300 * 1024 * 1024))";
    let mut rig = Rig::start(app, |project| project.functions[0].memory = Some(64 * 1024 * 1024)).await;
    let notice = rig.platform.events().past.iter().find_map(|told| match &told.event {
        Event::Notice { message, .. } => Some(message.clone()),
        _ => None,
    });
    let answer = rig.get("/function/hello").await;
    match notice {
        Some(notice) => {
            assert!(notice.contains("is not enforced here"), "{notice}");
            assert_eq!(answer.status, 200, "{answer:?}");
        }
        None => {
            assert_eq!(answer.status, 502, "{answer:?}");
            // Another one of the same process' family takes its place.
            rig.save(HELLO).await;
            assert_eq!(rig.get("/function/hello").await.status, 200);
        }
    }
    rig.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn at_the_end_requests_in_flight_are_answered_and_nothing_is_left() {
    let app = "
import os, time
def handler(event):
    open('begun', 'w').close()
    while not os.path.exists('go'): time.sleep(0.01)
    return 'done'";
    let rig = Rig::start(app, |_| {}).await;
    let (address, folder) = (rig.platform.address(), rig.folder.path().to_owned());
    let call = tokio::spawn(async move { request(address, "GET /function/hello HTTP/1.1", "").await });
    while !folder.join("begun").exists() {
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    }
    let go = folder.join("go");
    let (_, answer) = tokio::join!(rig.stop(), async {
        // Not before the stop has begun to take new ones no more.
        while tokio::net::TcpStream::connect(address).await.is_ok() {
            tokio::time::sleep(std::time::Duration::from_millis(10)).await;
        }
        std::fs::write(go, "").unwrap();
        call.await.unwrap()
    });
    assert!(answer.text.ends_with("\"done\""), "{answer:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_platform_that_is_killed_leaves_no_process() {
    let folder = tempfile::TempDir::new().unwrap();
    let mark = folder.path().file_name().unwrap().to_str().unwrap().to_owned();
    // A watchdog, its shell, and a child of that: all with the mark.
    let script = format!("MARK={mark} sleep 1000 & MARK={mark} sleep 1000");
    let mut platform = Command::new(env!("CARGO_BIN_EXE_local-platform"))
        .args(["serve", folder.path().to_str().unwrap(), "1", "1", "sh", "-c", &script])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut address = String::new();
    BufReader::new(platform.stdout.take().unwrap()).read_line(&mut address).unwrap();
    let address = address.trim().parse().unwrap();
    let call = tokio::spawn(async move { request(address, "GET /function/f1 HTTP/1.1", "").await });
    while processes(folder.path()).len() < 2 {
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    platform.kill().unwrap();
    platform.wait().unwrap();
    no_processes(folder.path()).await;
    call.abort();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_process_that_is_killed_is_told_of_and_replaced() {
    let mut rig = Rig::start(HELLO, |project| project.functions[0].effective.min_replicas = 1).await;
    let first = rig.ready().await;
    let functions = rig.platform.functions().await.unwrap();
    assert_eq!(functions[0].key, key());
    let pid = i32::try_from(functions[0].instances[0].pid).unwrap();
    nix::sys::signal::kill(nix::unistd::Pid::from_raw(pid), nix::sys::signal::Signal::SIGKILL).unwrap();
    let (instance, why) = rig
        .event(|told| match &told.event {
            Event::InstanceEnded { instance, reason: Ended::Failed(why), .. } => {
                Some((instance.clone(), why.to_string()))
            }
            _ => None,
        })
        .await;
    assert_eq!(instance, first);
    assert!(why.contains("signal: 9"), "{why}");
    assert_ne!(rig.ready().await, first);
    assert_eq!(rig.get("/function/hello").await.status, 200);
    rig.stop().await;
}
