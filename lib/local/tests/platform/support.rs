//! A running platform with a folder of code, and a client.

use std::{
    fs,
    net::{Ipv4Addr, SocketAddr},
    path::Path,
    sync::Arc,
    time::Duration,
};

use flint_api::{Function, Mode, Scaling};
use flint_local::{Config, Event, FunctionSpec, Key, Platform, Program, Project, Route, Told};
use tempfile::TempDir;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    sync::broadcast,
    time::timeout,
};

/// A runtime client in a few lines: what every published one does, and nothing more.
const RUNTIME: &str = r#"
import http.client, importlib, json, os, sys
runtime = http.client.HTTPConnection(os.environ["AWS_LAMBDA_RUNTIME_API"])
def call(method, path, body=None):
    runtime.request(method, "/2018-06-01/runtime/" + path, body)
    answer = runtime.getresponse()
    return answer.headers, answer.read()
try:
    sys.path.insert(0, os.getcwd())
    handler = importlib.import_module("app").handler
except BaseException as error:
    call("POST", "init/error", json.dumps({"errorType": type(error).__name__, "errorMessage": str(error)}))
    sys.exit(1)
while True:
    headers, event = call("GET", "invocation/next")
    call("POST", "invocation/" + headers["Lambda-Runtime-Aws-Request-Id"] + "/response", json.dumps(handler(json.loads(event))))
"#;

/// Longer than anything takes on a machine that has other things to do.
pub(crate) const PATIENCE: Duration = Duration::from_secs(120);

/// A platform with one folder of code.
pub(crate) struct Rig {
    pub(crate) platform: Platform,
    pub(crate) folder: TempDir,
    pub(crate) project: Project,
    events: broadcast::Receiver<Arc<Told>>,
}

/// An answer, read whole.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) text: String,
}

/// What a function is in these tests unless they say otherwise.
pub(crate) fn python(folder: &Path) -> FunctionSpec {
    let scaling =
        Scaling { scale_to_zero_after: Some(flint_api::Duration::from_secs(1)), ..Scaling::default() };
    let spec = flint_api::FunctionSpec { scaling: Some(scaling), ..flint_api::FunctionSpec::default() };
    let command = ["python3", "-BS", "runtime.py"].map(str::to_owned).to_vec();
    let mut spec = FunctionSpec::new(&Function::new("hello", spec), Mode::Lambda, folder.to_owned(), command);
    // By which its processes are found.
    spec.env.insert("MARK".to_owned(), mark(folder));
    spec
}

pub(crate) fn key() -> Key {
    Key::new("default", "hello")
}

pub(crate) fn route(method: Option<http::Method>, path: &str) -> Route {
    Route { method, path: path.to_owned(), function: key(), event: None }
}

fn mark(folder: &Path) -> String {
    folder.file_name().unwrap().to_str().unwrap().to_owned()
}

/// Processes with the folder's mark in their environment.
pub(crate) fn processes(folder: &Path) -> Vec<u32> {
    let mark = format!("MARK={}", mark(folder));
    let numbers = fs::read_dir("/proc").unwrap().flatten().filter_map(|entry| {
        let pid: u32 = entry.file_name().to_str()?.parse().ok()?;
        let environ = fs::read(entry.path().join("environ")).ok()?;
        environ.split(|byte| *byte == 0).any(|variable| variable == mark.as_bytes()).then_some(pid)
    });
    numbers.collect()
}

/// Waits until the folder has no process.
pub(crate) async fn no_processes(folder: &Path) {
    let gone = async {
        while !processes(folder).is_empty() {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    timeout(PATIENCE, gone).await.unwrap_or_else(|_| panic!("still there: {:?}", processes(folder)));
}

pub(crate) fn program() -> Program {
    Program { path: env!("CARGO_BIN_EXE_local-platform").into(), args: vec!["instance".into()] }
}

// === impl Rig ===

impl Rig {
    /// Serves `app`, the text of app.py, changed by `change`.
    pub(crate) async fn start(app: &str, change: impl FnOnce(&mut Project)) -> Self {
        let folder = TempDir::new().unwrap();
        fs::write(folder.path().join("runtime.py"), RUNTIME).unwrap();
        fs::write(folder.path().join("app.py"), app).unwrap();
        let mut project = Project { functions: vec![python(folder.path())], routes: Vec::new() };
        change(&mut project);
        let listen = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        let platform = Platform::start(Config::new(listen, program()), project.clone()).await.unwrap();
        let events = platform.events().live;
        Self { platform, folder, project, events }
    }

    /// Puts other code in the folder and says so.
    pub(crate) async fn save(&mut self, app: &str) {
        fs::write(self.folder.path().join("app.py"), app).unwrap();
        self.project.functions[0].generation += 1;
        self.platform.update(self.project.clone()).await.unwrap();
    }

    pub(crate) async fn get(&self, path: &str) -> Answer {
        request(self.platform.address(), &format!("GET {path} HTTP/1.1"), "").await
    }

    /// The next event that `wanted` makes something of.
    pub(crate) async fn event<T>(&mut self, wanted: impl Fn(&Told) -> Option<T>) -> T {
        let found = async {
            loop {
                match self.events.recv().await {
                    Ok(told) => {
                        if let Some(found) = wanted(&told) {
                            return found;
                        }
                    }
                    Err(broadcast::error::RecvError::Lagged(missed)) => panic!("missed {missed} events"),
                    Err(error) => panic!("{error}"),
                }
            }
        };
        match timeout(PATIENCE, found).await {
            Ok(found) => found,
            Err(_) => {
                let past: Vec<_> =
                    self.platform.events().past.iter().map(|told| told.event.clone()).collect();
                panic!("it was not told; what was: {past:#?}")
            }
        }
    }

    /// The event that an instance is ready, and its name.
    pub(crate) async fn ready(&mut self) -> String {
        self.event(|told| match &told.event {
            Event::InstanceReady { instance, .. } => Some(instance.clone()),
            _ => None,
        })
        .await
    }

    pub(crate) async fn stop(self) {
        self.platform.stop().await.unwrap();
        assert_eq!(processes(self.folder.path()), [] as [u32; 0]);
    }
}

/// One request on a connection of its own.
pub(crate) async fn request(address: SocketAddr, line: &str, body: &str) -> Answer {
    let exchange = async {
        let mut stream = TcpStream::connect(address).await.unwrap();
        let length = body.len();
        let head =
            format!("{line}\r\nhost: localhost\r\nconnection: close\r\ncontent-length: {length}\r\n\r\n");
        stream.write_all(format!("{head}{body}").as_bytes()).await.unwrap();
        let mut text = String::new();
        stream.read_to_string(&mut text).await.unwrap();
        text
    };
    let text = timeout(PATIENCE, exchange).await.expect("an answer");
    let status =
        text.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or_else(|| panic!("{text}"));
    Answer { status, text }
}
