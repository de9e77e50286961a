//! What a developer sees and presses, in a real terminal.

use crate::{
    screen::{Screen, has_terminal},
    support::{Folder, has},
};

fn shop() -> Folder {
    Folder::with(&[(
        "flint.yaml",
        "functions:\n  echo: {runtime: process, handler: cat}\n  \
         nightly: {runtime: process, handler: wc -c, schedules: {one: 0 2 * * *, two: rate(5 days)}}\n",
    )])
}

async fn post(url: &str, body: &'static str) -> u16 {
    let http = reqwest::Client::builder().no_proxy().build().unwrap();
    http.post(url).body(body).send().await.unwrap().status().as_u16()
}

#[tokio::test]
async fn the_last_request_is_made_again_by_a_key() {
    if !has_terminal() {
        return;
    }
    let folder = shop();
    let screen = Screen::dev(folder.path(), "").await;
    screen.press(&["i"]);
    screen.shows("nothing was invoked yet").await;
    assert_eq!(post(&format!("{}/function/echo", screen.url().await), "again").await, 200);
    screen.shows("POST /function/echo 200").await;
    screen.press(&["i"]);
    screen.shows_times("POST /function/echo 200", 2).await;
}

#[tokio::test]
async fn a_schedule_is_chosen_by_its_number_and_fired() {
    if !has_terminal() {
        return;
    }
    let folder = shop();
    let screen = Screen::dev(folder.path(), "").await;
    screen.press(&["s"]);
    let question = screen.shows("which schedule?").await;
    assert!(question.contains("[1] nightly one  [2] nightly two"), "{question}");
    screen.press(&["2"]);
    screen.shows("◷ schedule 200").await;
}

#[tokio::test]
async fn restart_and_level_do_what_they_say_and_quit_leaves_a_terminal_that_echoes() {
    if !has_terminal() {
        return;
    }
    let folder = shop();
    let screen = Screen::dev(folder.path(), "").await;
    let url = format!("{}/function/echo", screen.url().await);
    assert_eq!(post(&url, "a").await, 200);
    screen.press(&["r"]);
    screen.shows("echo is up to date after ").await;
    screen.press(&["l"]);
    screen.shows("showing warnings and errors").await;
    screen.press(&["l", "l"]);
    screen.shows("showing everything").await;
    assert_eq!(post(&url, "b").await, 200);
    screen.shows("REPORT RequestId").await;
    screen.press(&["q"]);
    screen.shows("bye: nothing is left running").await;
    screen.shows("ended with 0").await;
    screen.press(&["-l", "typed"]);
    screen.shows("typed").await;
}

#[tokio::test]
async fn a_terminal_that_is_stopped_holds_nobody_up_and_goes_on_where_it_was() {
    if !has_terminal() {
        return;
    }
    let folder = shop();
    let screen = Screen::dev(folder.path(), "").await;
    let url = format!("{}/function/echo", screen.url().await);
    screen.press(&["C-s"]);
    for _ in 0..20 {
        assert_eq!(post(&url, "while it is stopped").await, 200);
    }
    assert!(!screen.text().contains("POST /function/echo"), "{}", screen.text());
    screen.press(&["C-q"]);
    screen.shows_times("POST /function/echo 200", 20).await;
}

#[tokio::test]
async fn nodes_debugger_is_opened_and_closed_by_a_key() {
    if !has_terminal() || !has("node") {
        return;
    }
    let folder = Folder::with(&[
        ("flint.yaml", "name: hello\nruntime: nodejs\nhandler: index.handler\n"),
        ("index.js", "exports.handler = async () => 'hello';\n"),
    ]);
    let screen = Screen::dev(folder.path(), "").await;
    let url = format!("{}/function/hello", screen.url().await);
    assert_eq!(post(&url, "").await, 200);
    screen.press(&["d"]);
    let line = screen.shows("waits for a debugger at ").await;
    let address = line.split_whitespace().find(|word| word.starts_with("127.0.0.1:")).unwrap();
    let http = reqwest::Client::builder().no_proxy().build().unwrap();
    let targets = http.get(format!("http://{address}/json/list")).send().await.unwrap().text().await.unwrap();
    assert!(targets.contains("webSocketDebuggerUrl"), "{targets}");
    assert_eq!(post(&url, "").await, 200);
    // The port goes from one process to the next.
    folder.write("index.js", "exports.handler = async () => 'changed';\n");
    screen.shows_times("waits for a debugger at ", 2).await;
    assert_eq!(post(&url, "").await, 200);
    assert!(!screen.text().contains("port 9229 is in use"), "{}", screen.text());
    assert!(http.get(format!("http://{address}/json/list")).send().await.unwrap().status().is_success());
    screen.press(&["d"]);
    screen.shows("no debugger any more").await;
    screen.shows_times("hello is up to date after ", 3).await;
}

#[tokio::test]
async fn what_has_no_debugger_says_so() {
    if !has_terminal() {
        return;
    }
    let folder = Folder::with(&[("handler.sh", "#!/bin/sh\ncat\n")]);
    let screen = Screen::dev(folder.path(), "").await;
    screen.press(&["d"]);
    screen.shows("there is no debugger for this language here").await;
}
