//! What goes wrong on a laptop, and what is said then.

use std::net::TcpListener;

use crate::support::{Folder, has, refused};

#[tokio::test]
async fn a_port_in_use_is_named_with_its_holder_and_a_free_one() {
    let folder = Folder::with(&[("handler.sh", "#!/bin/sh\ncat\n")]);
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port();
    let (code, said) = refused(&["--port", &port.to_string()], folder.path()).await;
    assert_eq!(code, Some(5), "{said}");
    assert!(said.contains(&format!("port {port} is in use by ")), "{said}");
    assert!(said.contains("try: flint dev --port "), "{said}");
}

#[tokio::test]
async fn two_in_one_folder_both_serve() {
    let folder = Folder::with(&[("flint.yaml", "name: echo\nruntime: process\nhandler: cat\n")]);
    let (one, other) = tokio::join!(folder.dev(), folder.dev());
    assert_eq!(one.post("/function/echo", "a").await.text, "a");
    assert_eq!(other.post("/function/echo", "b").await.text, "b");
    assert_ne!(one.url, other.url);
}

#[tokio::test]
async fn a_function_that_never_answers_is_ended_at_its_timeout_and_the_next_request_is_served() {
    if !has("python3") {
        return;
    }
    let code = "import time\ndef handler(event, context):\n    if event['rawPath'] == '/hang': time.sleep(600)\n    return 'fine'\n";
    let folder = Folder::with(&[
        ("flint.yaml", "name: hello\nhandler: app.handler\nruntime: python3.11\ntimeout: 10s\n"),
        ("app.py", code),
    ]);
    let dev = folder.dev().await;
    let answer = dev.get("/function/hello/hang").await;
    assert_eq!(answer.status, 504, "{}", answer.text);
    assert_eq!(dev.get("/function/hello").await.text, "\"fine\"");
}

#[tokio::test]
async fn a_handler_that_never_parsed_is_answered_with_its_reason_until_it_is_mended() {
    if !has("python3") {
        return;
    }
    let folder = Folder::with(&[
        ("flint.yaml", "name: hello\nhandler: app.handler\nruntime: python3.11\n"),
        ("app.py", "def handler(event, context:\n"),
    ]);
    let mut dev = folder.dev().await;
    let answer = dev.get("/function/hello").await;
    assert_eq!(answer.status, 503, "{}", answer.text);
    assert!(answer.text.contains("Runtime.UserCodeSyntaxError"), "{}", answer.text);
    folder.write("app.py", "def handler(event, context):\n    return 'mended'\n");
    let at_first = dev.event("functionUpdated", |_| true).await;
    let mended = dev.event("functionUpdated", |_| true).await;
    assert_ne!(at_first["revision"], mended["revision"]);
    assert_eq!(dev.get("/function/hello").await.text, "\"mended\"");
}

#[tokio::test]
async fn what_cannot_run_here_does_not_keep_the_others_from_serving() {
    let folder = Folder::with(&[(
        "flint.yaml",
        "functions:\n  echo: {runtime: process, handler: cat}\n  web: {image: example.com/web:1}\n",
    )]);
    let dev = folder.dev().await;
    assert_eq!(dev.post("/function/echo", "a").await.text, "a");
    let answer = dev.get("/function/web").await;
    assert_eq!(answer.status, 503);
    assert!(answer.text.contains("it is a container image"), "{}", answer.text);
}

#[tokio::test]
async fn a_folder_of_fifty_thousand_files_starts_and_reloads() {
    let folder = Folder::with(&[
        ("flint.yaml", "name: echo\nruntime: process\nhandler: ./echo.sh\n"),
        ("echo.sh", "#!/bin/sh\necho one\n"),
    ]);
    for number in 0..50_000 {
        let path = folder.path().join(format!("data/{}/{number}", number / 500));
        if number % 500 == 0 {
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        }
        std::fs::write(path, "").unwrap();
    }
    let mut dev = folder.dev().await;
    dev.event("functionUpdated", |_| true).await;
    assert_eq!(dev.get("/function/echo").await.text, "one\n");
    folder.write("echo.sh", "#!/bin/sh\necho two\n");
    dev.event("functionUpdated", |_| true).await;
    assert_eq!(dev.get("/function/echo").await.text, "two\n");
}

#[tokio::test]
async fn a_path_that_is_not_there_says_how_to_begin() {
    let folder = Folder::with(&[]);
    let (code, said) = refused(&[], &folder.path().join("nowhere")).await;
    assert_eq!(code, Some(3), "{said}");
    assert!(said.contains("flint new"), "{said}");
}
