//! AWS's own clients on this machine, from its package indexes, kept in `build/sdks` from one run to the next.

use std::{
    path::{Path, PathBuf},
    process::Stdio,
};

use serde_json::Value;
use tokio::{process::Command, sync::Mutex};

/// The folder with the clients' scripts and versions.
fn fixtures() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/sdks")
}

fn folder(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../build/sdks").join(name)
}

/// Python with boto3 and the AWS CLI; the folder of its programs.
///
/// # Panics
/// When they cannot be had.
pub async fn python() -> PathBuf {
    let wanted = fixtures().join("requirements.txt");
    let folder = folder("python");
    let programs = folder.join("bin");
    once(&folder, &wanted, async || {
        run(Command::new("python3").args(["-m", "venv", "--clear"]).arg(&folder)).await;
        run(Command::new(programs.join("python"))
            .args(["-m", "pip", "install", "--quiet", "--requirement"])
            .arg(&wanted))
        .await;
    })
    .await;
    programs
}

/// A folder with AWS's SDK for JavaScript and the client's script.
///
/// # Panics
/// When they cannot be had.
pub async fn node() -> PathBuf {
    let wanted = fixtures().join("package.json");
    let folder = folder("node");
    once(&folder, &wanted, async || {
        tokio::fs::create_dir_all(&folder).await.expect("a folder in build/");
        tokio::fs::copy(&wanted, folder.join("package.json")).await.expect("package.json");
        run(Command::new("npm")
            .args(["install", "--silent", "--no-audit", "--no-fund"])
            .current_dir(&folder))
        .await;
    })
    .await;
    tokio::fs::copy(fixtures().join("client.mjs"), folder.join("client.mjs")).await.expect("the client");
    folder
}

/// The script of a language.
#[must_use]
pub fn script(name: &str) -> PathBuf {
    fixtures().join(name)
}

/// What a client saw.
///
/// # Panics
/// When it failed, or says something else than JSON.
pub async fn saw(command: &mut Command) -> Value {
    let text = run(command).await;
    serde_json::from_str(&text).unwrap_or_else(|error| panic!("{command:?}: {error}: {text}"))
}

/// Runs a program to its good end; what it printed.
///
/// # Panics
/// When it ends otherwise, with what it said.
pub async fn run(command: &mut Command) -> String {
    let output = command.stdin(Stdio::null()).kill_on_drop(true).output().await;
    let output = output.unwrap_or_else(|error| panic!("{command:?}: {error}"));
    let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{command:?}: {}\n{out}\n{err}", output.status);
    out.into_owned()
}

/// Makes a folder for what `wanted` says, unless it was made for exactly that before.
async fn once(folder: &Path, wanted: &Path, make: impl AsyncFnOnce()) {
    let wanted = tokio::fs::read(wanted).await.expect("what is wanted");
    // Several tests want the same.
    static MAKING: Mutex<()> = Mutex::const_new(());
    let _one = MAKING.lock().await;
    let mark = folder.join(".made-for");
    if tokio::fs::read(&mark).await.is_ok_and(|made| made == wanted) {
        return;
    }
    make().await;
    tokio::fs::write(&mark, wanted).await.expect("the mark");
}
