//! This machine: what `flint dev` runs functions with.

use std::{process::Stdio, time::Duration};

use tokio::process::Command;

use super::Finding;

/// A language, the program that runs or builds it, how to ask its version, and how to get it.
const TOOLS: [(&str, &str, &str, &str); 4] = [
    (
        "Python",
        "python3",
        "--version",
        "install it with your system's packages, such as `apt install python3`",
    ),
    ("Node", "node", "--version", "https://nodejs.org, or your system's packages"),
    ("Go", "go", "version", "https://go.dev/dl"),
    ("Rust", "cargo", "--version", "https://rustup.rs"),
];

/// A program that hangs is as good as none.
const PATIENCE: Duration = Duration::from_secs(5);

/// Looks for all of them at once.
pub(super) async fn look() -> Vec<Finding> {
    futures::future::join_all(TOOLS.map(|(language, program, flag, remedy)| async move {
        judge(language, program, version(program, flag).await, remedy)
    }))
    .await
}

fn judge(language: &str, program: &str, version: Option<String>, remedy: &str) -> Finding {
    match version {
        Some(version) => {
            Finding::pass(program, format!("{version}: `flint dev` runs {language} functions with it"))
        }
        None => {
            Finding::warn(program, format!("not found: `flint dev` cannot run {language} functions"), remedy)
        }
    }
}

/// The first line that the program says of itself.
async fn version(program: &str, flag: &str) -> Option<String> {
    let mut command = Command::new(program);
    command.arg(flag).stdin(Stdio::null()).stderr(Stdio::null()).kill_on_drop(true);
    let output = tokio::time::timeout(PATIENCE, command.output()).await.ok()?.ok()?;
    let text = String::from_utf8_lossy(&output.stdout);
    output.status.success().then(|| text.lines().next().unwrap_or_default().trim().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_is_not_there_is_a_warning_that_says_where_to_get_it() {
        assert_eq!(version("no-such-program", "--version").await, None);
        let finding = judge("Go", "go", None, "https://go.dev/dl");
        assert_eq!(
            (finding.verdict, finding.remedy.as_deref()),
            (super::super::Verdict::Warn, Some("https://go.dev/dl"))
        );
    }
}
