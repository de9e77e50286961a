//! A `flint dev` of a test's own, in a folder of its own, told of by its JSON events.

use std::{
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    process::{ExitStatus, Stdio},
    time::Duration,
};

use serde_json::Value;
use tempfile::TempDir;
use tokio::{
    io::{AsyncBufReadExt as _, AsyncReadExt as _, BufReader, Lines},
    process::{Child, ChildStdout, Command},
    time::timeout,
};

/// Nothing here takes this long; what does is stuck. Compilers are slow on a busy machine.
const STUCK: Duration = Duration::from_secs(180);

/// A folder with a project.
pub(crate) struct Folder(TempDir);

/// A running `flint dev`.
pub(crate) struct Dev {
    child: Child,
    lines: Lines<BufReader<ChildStdout>>,
    pub(crate) url: String,
    pub(crate) page: String,
    http: reqwest::Client,
}

/// An answer.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) text: String,
}

/// The program, without what the developer's own shell would tell it.
pub(crate) fn flint() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_flint"));
    without_settings(command.as_std_mut());
    command.stdin(Stdio::null()).kill_on_drop(true);
    command
}

/// Without the variables that are flags.
pub(crate) fn without_settings(command: &mut std::process::Command) {
    for (name, _) in std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("FLINT_")) {
        command.env_remove(name);
    }
}

/// Whether a program is there; a test of a language that is not there has nothing to show.
pub(crate) fn has(program: &str) -> bool {
    let found =
        std::env::split_paths(&std::env::var_os("PATH").unwrap()).any(|path| path.join(program).is_file());
    if !found {
        eprintln!("{program} is not installed: nothing is shown");
    }
    found
}

// === impl Folder ===

impl Folder {
    pub(crate) fn with(files: &[(&str, &str)]) -> Self {
        let folder = Self(tempfile::Builder::new().prefix("project-").tempdir().unwrap());
        for (name, text) in files {
            folder.write(name, text);
        }
        folder
    }

    pub(crate) fn path(&self) -> &Path {
        self.0.path()
    }

    pub(crate) fn write(&self, name: &str, text: &str) -> PathBuf {
        let path = self.path().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, text).unwrap();
        if text.starts_with("#!") {
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
        }
        path
    }

    pub(crate) async fn dev(&self) -> Dev {
        self.dev_with(&[]).await
    }

    pub(crate) async fn dev_with(&self, args: &[&str]) -> Dev {
        let mut child = flint()
            .args(["-o", "json", "dev", "--port", "0"])
            .args(args)
            .arg(self.path())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let ready = loop {
            let line = timeout(STUCK, lines.next_line())
                .await
                .unwrap()
                .unwrap()
                .expect("it ended before it was ready");
            match serde_json::from_str::<Value>(&line) {
                Ok(value) if value["kind"] == "ready" => break value,
                _ => eprintln!("{line}"),
            }
        };
        let text = |name: &str| ready[name].as_str().unwrap().replace("localhost", "127.0.0.1");
        let http = reqwest::Client::builder().no_proxy().build().unwrap();
        Dev { child, lines, url: text("url"), page: text("page"), http }
    }
}

// === impl Dev ===

impl Dev {
    pub(crate) async fn get(&self, path: &str) -> Answer {
        answer(self.http.get(format!("{}{path}", self.url)).send().await.unwrap()).await
    }

    pub(crate) async fn post(&self, path: &str, body: &'static str) -> Answer {
        answer(self.http.post(format!("{}{path}", self.url)).body(body).send().await.unwrap()).await
    }

    /// A request to the page; with a body, as its own script makes it.
    pub(crate) async fn ask(&self, path: &str, body: Option<Value>) -> (u16, Value) {
        let url = format!("{}api/{path}", self.page);
        let request = match body {
            None => self.http.get(url),
            Some(body) => self
                .http
                .post(url)
                .header("x-flint-page", "1")
                .header("content-type", "application/json")
                .body(body.to_string()),
        };
        let answer = answer(request.send().await.unwrap()).await;
        (answer.status, serde_json::from_str(&answer.text).unwrap_or(Value::Null))
    }

    pub(crate) fn client(&self) -> &reqwest::Client {
        &self.http
    }

    /// The next event of which this holds.
    pub(crate) async fn event(&mut self, kind: &str, holds: impl Fn(&Value) -> bool) -> Value {
        loop {
            let line = timeout(STUCK, self.lines.next_line()).await.expect(kind).unwrap().expect("it ended");
            let event: Value = serde_json::from_str(&line).unwrap();
            if event["kind"] == kind && holds(&event) {
                return event;
            }
        }
    }

    /// The processes of all instances.
    pub(crate) async fn processes(&self) -> Vec<i32> {
        let (_, functions) = self.ask("functions", None).await;
        let instances = functions
            .as_array()
            .unwrap()
            .iter()
            .flat_map(|function| function["instances"].as_array().unwrap());
        instances.map(|instance| i32::try_from(instance["pid"].as_i64().unwrap()).unwrap()).collect()
    }

    pub(crate) fn pid(&self) -> i32 {
        self.child.id().unwrap().try_into().unwrap()
    }

    pub(crate) fn signal(&self, signal: nix::sys::signal::Signal) {
        nix::sys::signal::kill(nix::unistd::Pid::from_raw(self.pid()), signal).unwrap();
    }

    pub(crate) async fn ended(&mut self) -> ExitStatus {
        timeout(STUCK, self.child.wait()).await.unwrap().unwrap()
    }
}

/// A `flint dev` that ends by itself: how, and what it said on standard error.
pub(crate) async fn refused(args: &[&str], path: &Path) -> (Option<i32>, String) {
    let mut child =
        flint().arg("dev").args(args).arg(path).stderr(Stdio::piped()).stdout(Stdio::null()).spawn().unwrap();
    let mut said = String::new();
    timeout(STUCK, child.stderr.take().unwrap().read_to_string(&mut said)).await.unwrap().unwrap();
    (timeout(STUCK, child.wait()).await.unwrap().unwrap().code(), said)
}

/// Waits until a process is gone; one that nobody waits for counts as gone.
pub(crate) async fn is_gone(pid: i32) -> bool {
    let gone = async {
        loop {
            let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
            if stat.is_empty() || stat.contains(") Z ") {
                return;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    timeout(STUCK, gone).await.is_ok()
}

async fn answer(response: reqwest::Response) -> Answer {
    Answer { status: response.status().as_u16(), text: response.text().await.unwrap() }
}
