//! The platform on this machine for one call: `flint dev` of this very program, started for it and ended after it.

use std::{path::Path, process::Stdio, time::Duration};

use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use serde_json::Value;
use tokio::{
    io::{AsyncBufReadExt as _, BufReader},
    process::{Child, Command},
    time::timeout,
};

use crate::{error::Error, output::Output, waiting};

/// A `flint dev` that serves one folder until [`Local::end`].
#[derive(Debug)]
pub struct Local {
    child: Child,
    /// Where its gateway listens.
    pub url: String,
}

/// It lets what is in flight finish; after one call nothing is, but for a program that does not end when it is told to.
const END: Duration = Duration::from_secs(10);

// === impl Local ===

impl Local {
    /// Starts it for the project at `path`, and waits until it serves: that includes compiling.
    ///
    /// # Errors
    /// When the project is wrong, which it has said on standard error, or this program cannot be started once more.
    pub async fn start(path: &Path, output: &Output) -> Result<Self, Error> {
        let failed =
            |error: std::io::Error| Error::platform("the platform cannot be started here").because(error);
        let mut child = Command::new(std::env::current_exe().map_err(failed)?)
            .args(["--output", "json", "dev", "--port", "0", "--no-reload"])
            .arg(path)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .map_err(failed)?;
        let mut lines = child.stdout.take().map(|stdout| BufReader::new(stdout).lines());
        let ready = async {
            while let Some(lines) = &mut lines
                && let Some(line) = lines.next_line().await.ok().flatten()
            {
                if let Ok(event) = serde_json::from_str::<Value>(&line)
                    && event["kind"] == "ready"
                {
                    return event["url"].as_str().map(str::to_owned);
                }
            }
            None
        };
        let Some(url) = waiting::show(output, "starting the platform here", ready).await else {
            // It has said why; its code says whose fault it is.
            let usage = child.wait().await.map_err(failed)?.code() != Some(crate::error::PLATFORM.into());
            let message = format!("the functions of {} cannot be run here", path.display());
            return Err(if usage { Error::usage(message) } else { Error::platform(message) });
        };
        // It tells of all that it does; who does not listen would stop it.
        tokio::spawn(async move {
            while let Some(lines) = &mut lines
                && let Ok(Some(_)) = lines.next_line().await
            {}
        });
        Ok(Self { child, url })
    }

    /// Ends it, and with it every process of a function.
    pub async fn end(mut self) {
        if let Some(pid) = self.child.id().and_then(|pid| i32::try_from(pid).ok()) {
            // It may have ended by itself.
            let _ = kill(Pid::from_raw(pid), Signal::SIGINT);
        }
        // What does not end is killed with the last of this.
        let _ = timeout(END, self.child.wait()).await;
    }
}
