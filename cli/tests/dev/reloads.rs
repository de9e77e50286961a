//! What a save does.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use crate::support::{Folder, has};

fn says(word: &str) -> String {
    format!("def handler(event, context):\n    return {{'statusCode': 200, 'body': '{word}'}}\n")
}

fn manifest() -> (&'static str, &'static str) {
    ("flint.yaml", "name: hello\nhandler: app.handler\nruntime: python3.11\n")
}

#[tokio::test]
async fn a_save_is_served_and_no_request_is_lost_on_the_way() {
    if !has("python3") {
        return;
    }
    let folder = Folder::with(&[manifest(), ("app.py", &says("one"))]);
    let mut dev = folder.dev().await;
    dev.event("functionUpdated", |_| true).await;
    assert_eq!(dev.get("/function/hello").await.text, "one");

    let over = Arc::new(AtomicBool::new(false));
    let (stop, http, url) = (Arc::clone(&over), dev.client().clone(), format!("{}/function/hello", dev.url));
    let clients = tokio::spawn(async move {
        let mut answers = 0;
        while !stop.load(Ordering::Relaxed) {
            let answer = http.get(&url).send().await.unwrap();
            assert_eq!(answer.status(), 200, "{}", answer.text().await.unwrap());
            answers += 1;
        }
        answers
    });
    for word in ["two", "three"] {
        folder.write("app.py", &says(word));
        let updated = dev.event("functionUpdated", |_| true).await;
        eprintln!("{word} after {} ms", updated["tookMs"]);
        assert_eq!(dev.get("/function/hello").await.text, word);
    }
    over.store(true, Ordering::Relaxed);
    assert!(clients.await.unwrap() > 0);
}

#[tokio::test]
async fn what_does_not_parse_is_told_with_its_line_and_the_version_before_serves_on() {
    if !has("python3") {
        return;
    }
    let folder = Folder::with(&[manifest(), ("app.py", &says("good"))]);
    let mut dev = folder.dev().await;
    dev.event("functionUpdated", |_| true).await;
    assert_eq!(dev.get("/function/hello").await.text, "good");
    folder.write("app.py", "def handler(event, context:\n    pass\n");
    let failed = dev.event("functionFailed", |_| true).await;
    assert_eq!(failed["reason"]["errorType"], "Runtime.UserCodeSyntaxError", "{failed}");
    assert!(failed["reason"].to_string().contains("app.py"), "{failed}");
    assert_eq!(failed["olderServes"], true);
    assert_eq!(dev.get("/function/hello").await.text, "good");
    folder.write("app.py", &says("mended"));
    dev.event("functionUpdated", |_| true).await;
    assert_eq!(dev.get("/function/hello").await.text, "mended");
}

#[tokio::test]
async fn a_changed_manifest_adds_functions_and_routes() {
    if !has("python3") {
        return;
    }
    let folder = Folder::with(&[manifest(), ("app.py", &says("one"))]);
    let mut dev = folder.dev().await;
    assert_eq!(dev.get("/nothing").await.status, 404);
    folder.write(
        "flint.yaml",
        "name: hello\nhandler: app.handler\nruntime: python3.11\nroutes: [\"GET /things/{id}\"]\n",
    );
    // The route is there when the platform has taken it: until then the gateway says that it is not.
    loop {
        let answer = dev.get("/things/7").await;
        let told = dev.event("invocation", |event| event["target"] == "/things/7").await;
        assert_eq!(told["status"], answer.status);
        if answer.status != 404 {
            assert_eq!(answer.text, "one");
            return;
        }
    }
}

#[tokio::test]
async fn a_save_restarts_the_functions_that_include_the_file_and_no_others() {
    if !has("python3") {
        return;
    }
    let manifest = "service: shop\nprovider: {name: aws, runtime: python3.11}\nfunctions:\n  \
                    users: {handler: users.handler}\n  orders: {handler: orders.handler}\n";
    let folder = Folder::with(&[
        ("serverless.yml", manifest),
        ("users.py", &says("users")),
        ("orders.py", &format!("import prices\n{}", says("orders"))),
        ("prices.py", ""),
    ]);
    let mut dev = folder.dev().await;
    // So that nothing is changed by the first start.
    dev.event("functionUpdated", |event| event["function"]["name"] == "users").await;
    let (_, functions) = dev.ask("functions", None).await;
    let named = |part: &str| {
        let names =
            functions.as_array().unwrap().iter().map(|function| function["key"]["name"].as_str().unwrap());
        names.into_iter().find(|name| name.contains(part)).unwrap().to_owned()
    };
    let (users, orders) = (named("users"), named("orders"));
    for (saved, text, restarted) in [
        ("users.py", says("new users"), &users),
        ("prices.py", "PRICE = 1\n".to_owned(), &orders),
        ("orders.py", format!("import prices\n{}", says("new orders")), &orders),
    ] {
        folder.write(saved, &text);
        let updated = dev.event("functionUpdated", |_| true).await;
        assert_eq!(updated["function"]["name"], restarted.as_str(), "{saved}");
    }
    assert_eq!(dev.get(&format!("/function/{users}")).await.text, "new users");
    assert_eq!(dev.get(&format!("/function/{orders}")).await.text, "new orders");
}
