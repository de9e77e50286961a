//! The page's own door: what it shows and does, and whom it keeps out.

use serde_json::{Value, json};

use crate::support::{Dev, Folder};

async fn echo() -> (Folder, Dev) {
    let folder = Folder::with(&[("flint.yaml", "name: echo\nruntime: process\nhandler: cat\n")]);
    let dev = folder.dev().await;
    (folder, dev)
}

#[tokio::test]
async fn a_request_can_be_looked_at_and_made_again() {
    let (_folder, mut dev) = echo().await;
    dev.post("/function/echo", "hello").await;
    let told = dev.event("invocation", |_| true).await;
    let (status, full) = dev.ask(&format!("events/{}", told["id"]), None).await;
    assert_eq!(status, 200);
    assert_eq!((&full["request"]["text"], &full["answer"]["text"]), (&json!("hello"), &json!("hello")));
    let (status, answer) = dev.ask(&format!("events/{}/replay", told["id"]), Some(json!({}))).await;
    assert_eq!((status, &answer["body"]), (200, &json!("hello")), "{answer}");
    let again = dev.event("invocation", |event| event["id"] != told["id"]).await;
    assert_eq!(again["target"], "/function/echo");
    assert_ne!(again["requestId"], told["requestId"]);
}

#[tokio::test]
async fn what_happens_is_streamed_without_bodies() {
    let (_folder, dev) = echo().await;
    dev.post("/function/echo", "a secret body").await;
    let mut events = dev.client().get(format!("{}api/events", dev.page)).send().await.unwrap();
    let mut text = String::new();
    while !text.contains("\"kind\":\"invocation\"") || !text.ends_with("\n\n") {
        text.push_str(std::str::from_utf8(&events.chunk().await.unwrap().unwrap()).unwrap());
    }
    assert!(!text.contains("a secret body"));
    let told = text.lines().filter_map(|line| line.strip_prefix("data: "));
    assert!(told.map(|line| serde_json::from_str::<Value>(line).unwrap()).any(|event| event["cold"] == true));
}

#[tokio::test]
async fn other_names_and_other_sites_are_kept_out() {
    let (_folder, dev) = echo().await;
    let about = format!("{}api/about", dev.page);
    for (name, value) in [("host", "evil.example"), ("origin", "https://evil.example")] {
        let answer = dev.client().get(&about).header(name, value).send().await.unwrap();
        assert_eq!(answer.status(), 403, "{name}");
    }
    let restart = dev.client().post(format!("{}api/restart", dev.page)).body("{}");
    assert_eq!(restart.send().await.unwrap().status(), 403);
    let page = dev.client().get(&dev.page).send().await.unwrap();
    assert!(page.headers()["content-security-policy"].to_str().unwrap().contains("default-src 'none'"));
    assert!(page.text().await.unwrap().contains("flint"));
}
