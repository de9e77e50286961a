//! The page in a real browser: chromium, driven by its DevTools protocol.

use std::{
    path::{Path, PathBuf},
    process::Stdio,
    time::Duration,
};

use base64::{Engine as _, prelude::BASE64_STANDARD};
use futures::{SinkExt as _, StreamExt as _};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::{
    net::TcpStream,
    process::{Child, Command},
    time::{Instant, sleep, timeout},
};
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async, tungstenite::Message};

use crate::support::{Dev, Folder};

/// A browser with one page open.
struct Browser {
    _child: Child,
    _profile: TempDir,
    socket: WebSocketStream<MaybeTlsStream<TcpStream>>,
    session: Option<String>,
    asked: u64,
}

/// Nothing in a browser takes this long.
const STUCK: Duration = Duration::from_secs(90);
const NAMES: [&str; 4] = ["chromium", "chromium-browser", "google-chrome", "google-chrome-stable"];

/// The browser of this machine; says so where there is none.
fn program() -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap();
    let found = NAMES
        .iter()
        .flat_map(|name| std::env::split_paths(&path).map(move |folder| folder.join(name)))
        .find(|program| program.is_file());
    if found.is_none() {
        eprintln!("no chromium is installed: nothing is shown");
    }
    found
}

// === impl Browser ===

impl Browser {
    async fn open(program: &Path, url: &str) -> Self {
        let profile = tempfile::tempdir().unwrap();
        let child = Command::new(program)
            .args([
                "--headless=new",
                "--no-sandbox",
                "--disable-gpu",
                "--disable-dev-shm-usage",
                "--no-first-run",
            ])
            .args(["--remote-debugging-port=0", "--window-size=1500,900", "--no-proxy-server", "about:blank"])
            .arg(format!("--user-data-dir={}", profile.path().display()))
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let told = profile.path().join("DevToolsActivePort");
        let until = Instant::now() + STUCK;
        let address = loop {
            let text = std::fs::read_to_string(&told).unwrap_or_default();
            if let Some((port, path)) = text.split_once('\n').filter(|(_, path)| !path.is_empty()) {
                break format!("ws://127.0.0.1:{port}{}", path.trim());
            }
            assert!(Instant::now() < until, "the browser does not start");
            sleep(Duration::from_millis(50)).await;
        };
        let (socket, _) = connect_async(address).await.unwrap();
        let mut browser = Self { _child: child, _profile: profile, socket, session: None, asked: 0 };
        let target = browser.ask("Target.createTarget", json!({ "url": url })).await;
        let attach = json!({"targetId": target["targetId"], "flatten": true});
        let attached = browser.ask("Target.attachToTarget", attach).await;
        browser.session = attached["sessionId"].as_str().map(str::to_owned);
        browser.until("document.readyState === 'complete' && !!document.getElementById('live')").await;
        browser
    }

    async fn ask(&mut self, method: &str, params: Value) -> Value {
        self.asked += 1;
        let mut message = json!({"id": self.asked, "method": method, "params": params});
        if let Some(session) = &self.session {
            message["sessionId"] = json!(session);
        }
        self.socket.send(Message::text(message.to_string())).await.unwrap();
        loop {
            let answer = timeout(STUCK, self.socket.next()).await.expect(method).unwrap().unwrap();
            let Message::Text(text) = answer else { continue };
            let answer: Value = serde_json::from_str(&text).unwrap();
            if answer["id"] == self.asked {
                assert_eq!(answer.get("error"), None, "{method}");
                return answer["result"].clone();
            }
        }
    }

    /// What an expression comes to in the page.
    async fn run(&mut self, expression: &str) -> Value {
        let params = json!({"expression": expression, "returnByValue": true, "awaitPromise": true});
        let outcome = self.ask("Runtime.evaluate", params).await;
        assert_eq!(outcome.get("exceptionDetails"), None, "{expression}");
        outcome["result"]["value"].clone()
    }

    /// Waits until an expression is true.
    async fn until(&mut self, expression: &str) {
        let until = Instant::now() + STUCK;
        while self.run(expression).await != json!(true) {
            if Instant::now() > until {
                let text = self.run("document.body.innerText").await;
                panic!("never: {expression}\n{}", text.as_str().unwrap());
            }
            sleep(Duration::from_millis(50)).await;
        }
    }

    async fn click(&mut self, selector: &str, text: &str) {
        let find = format!(
            "[...document.querySelectorAll({selector:?})].find((node) => node.textContent.includes({text:?}))"
        );
        self.until(&format!("!!{find}")).await;
        self.run(&format!("{find}.click()")).await;
    }

    /// A picture of the page for people, where `FLINT_TEST_PICTURES` names a folder for it.
    async fn picture(&mut self, name: &str) {
        let Some(folder) = std::env::var_os("FLINT_TEST_PICTURES") else { return };
        let taken = self.ask("Page.captureScreenshot", json!({"format": "png"})).await;
        let bytes = BASE64_STANDARD.decode(taken["data"].as_str().unwrap()).unwrap();
        std::fs::write(Path::new(&folder).join(format!("{name}.png")), bytes).unwrap();
    }
}

async fn shop() -> (Folder, Dev) {
    let folder = Folder::with(&[(
        "flint.yaml",
        "functions:\n  echo: {runtime: process, handler: cat, routes: [\"POST /say/{word}\"]}\n  \
         nightly: {runtime: process, handler: \"echo working >&2; wc -c\", schedules: {nightly: 0 2 * * *}}\n  \
         broken: {runtime: process, handler: \"echo it is broken >&2; exit 3\"}\n",
    )]);
    let dev = folder.dev().await;
    (folder, dev)
}

#[tokio::test]
async fn a_request_is_seen_looked_into_and_made_again() {
    let Some(program) = program() else { return };
    let (_folder, dev) = shop().await;
    let mut page = Browser::open(&program, &dev.page).await;
    page.until("document.getElementById('live').textContent === 'live'").await;
    assert_eq!(dev.post("/say/hello?to=you", "{\"a\": [1, 2]}").await.status, 200);
    page.until("document.querySelectorAll('#requests tr').length === 1").await;
    let row = page.run("document.querySelector('#requests tr').innerText").await;
    let row = row.as_str().unwrap();
    for part in ["200", "POST /say/hello?to=you", "echo", "cold"] {
        assert!(row.contains(part), "{part} is not in {row}");
    }
    page.click("#requests tr", "/say/hello").await;
    page.until("document.getElementById('detail').innerText.includes('\"a\": [')").await;
    page.picture("request").await;
    page.click("#detail button", "replay").await;
    page.until("document.querySelectorAll('#requests tr').length === 2").await;
    let again = page.run("document.querySelector('#requests tr').innerText").await;
    assert!(again.as_str().unwrap().contains("warm"), "{again}");
}

#[tokio::test]
async fn functions_are_invoked_fired_and_restarted_and_their_logs_filtered() {
    let Some(program) = program() else { return };
    let (_folder, dev) = shop().await;
    let mut page = Browser::open(&program, &dev.page).await;
    page.click(".fn button", "fire").await;
    page.until("document.getElementById('requests').innerText.includes('◷ schedule')").await;
    page.until("document.getElementById('logs').innerText.includes('working')").await;
    page.run("window.prompt = () => '{\"typed\": true}'").await;
    page.click(".fn button", "invoke…").await;
    page.until("document.getElementById('requests').innerText.includes('/invocations')").await;
    assert_eq!(dev.get("/function/broken").await.status, 502);
    page.until("document.getElementById('logs').innerText.includes('it is broken')").await;
    page.run(
        "(() => { const input = document.getElementById('filter'); input.value = 'BROKEN'; \
              input.dispatchEvent(new Event('input')); })()",
    )
    .await;
    page.until("!document.getElementById('logs').innerText.includes('working')").await;
    page.until("document.getElementById('logs').innerText.includes('it is broken')").await;
    page.picture("functions").await;
    page.run("document.getElementById('filter').value = ''; filter()").await;
    page.click(".fn button", "restart").await;
    page.until("document.getElementById('logs').innerText.includes('up to date after')").await;
}

#[tokio::test]
async fn what_a_function_writes_is_text_on_the_page_and_the_end_is_seen() {
    let Some(program) = program() else { return };
    let folder = Folder::with(&[(
        "flint.yaml",
        "name: evil\nruntime: process\nhandler: \"echo '<img src=x onerror=window.hit=1>' >&2; cat\"\n",
    )]);
    let mut dev = folder.dev().await;
    let mut page = Browser::open(&program, &dev.page).await;
    dev.post("/function/evil", "<script>window.hit = 1</script>").await;
    page.until("document.getElementById('logs').innerText.includes('<img src=x')").await;
    page.click("#requests tr", "/function/evil").await;
    page.until("document.getElementById('detail').innerText.includes('<script>')").await;
    assert_eq!(page.run("typeof window.hit").await, "undefined");
    dev.signal(nix::sys::signal::Signal::SIGINT);
    dev.ended().await;
    page.until("document.getElementById('live').textContent === 'not running'").await;
}
