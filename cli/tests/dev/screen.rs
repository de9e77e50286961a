//! A real terminal: tmux, with a server of the test's own.

use std::{
    path::Path,
    process::Command,
    sync::atomic::{AtomicU32, Ordering},
    time::Duration,
};

use tokio::time::{Instant, sleep};

use crate::support::{has, without_settings};

/// A terminal in which `flint dev` runs.
pub(crate) struct Screen {
    socket: String,
}

static TERMINALS: AtomicU32 = AtomicU32::new(0);
/// Nothing takes this long to be shown.
const STUCK: Duration = Duration::from_secs(60);

/// Whether there is a terminal to be had; says so where there is none.
pub(crate) fn has_terminal() -> bool {
    has("tmux")
}

// === impl Screen ===

impl Screen {
    /// Starts `flint dev` in the folder and waits for its keys.
    pub(crate) async fn dev(folder: &Path, args: &str) -> Self {
        let number = TERMINALS.fetch_add(1, Ordering::Relaxed);
        let socket = format!("flint-{}-{number}", std::process::id());
        let screen = Self { socket };
        let flint = env!("CARGO_BIN_EXE_flint");
        // A shell stays, so that what is said last can be read.
        let shell =
            format!("{flint} dev --port 0 {args} {}; echo \"ended with $?\"; exec cat", folder.display());
        let mut tmux = screen.tmux();
        without_settings(&mut tmux);
        let started = tmux
            .env("TERM", "xterm-256color")
            .args(["-f", "/dev/null", "new-session", "-d", "-x", "160", "-y", "50", &shell])
            .status()
            .unwrap();
        assert!(started.success());
        screen.shows("quit").await;
        screen
    }

    /// Presses keys, by tmux's names.
    pub(crate) fn press(&self, keys: &[&str]) {
        assert!(self.tmux().arg("send-keys").args(keys).status().unwrap().success());
    }

    /// What is on the screen, and what scrolled away above it.
    pub(crate) fn text(&self) -> String {
        let output = self.tmux().args(["capture-pane", "-p", "-J", "-S", "-"]).output().unwrap();
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    /// Waits for a text, and gives the line that it is in.
    pub(crate) async fn shows(&self, wanted: &str) -> String {
        self.shows_times(wanted, 1).await
    }

    /// Waits until a text is in so many lines, and gives the last of them.
    pub(crate) async fn shows_times(&self, wanted: &str, times: usize) -> String {
        let until = Instant::now() + STUCK;
        loop {
            let text = self.text();
            if let Some(line) = text.lines().filter(|line| line.contains(wanted)).nth(times - 1) {
                return line.to_owned();
            }
            assert!(Instant::now() < until, "{wanted:?} is not shown {times} times:\n{text}");
            sleep(Duration::from_millis(50)).await;
        }
    }

    /// The URL that it serves at.
    pub(crate) async fn url(&self) -> String {
        let line = self.shows("Ready on ").await;
        let url = line.split_whitespace().find(|word| word.starts_with("http://")).unwrap();
        url.replace("localhost", "127.0.0.1")
    }

    fn tmux(&self) -> Command {
        let mut tmux = Command::new("tmux");
        tmux.args(["-L", &self.socket]).env_remove("TMUX");
        tmux
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        let _ = self.tmux().arg("kill-server").status();
    }
}
