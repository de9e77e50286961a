//! A real terminal of a test's own: tmux with a shell in it, typed into and read as a person does.

use std::{
    path::Path,
    process::{Command, Output},
    time::Duration,
};

use tempfile::TempDir;

use crate::{eventually, node};

/// A terminal. When it is dropped, everything that was started in it gets its hang-up, as with a window that is closed.
pub struct Terminal {
    /// Holds tmux' socket, so that no other tmux of this machine is met.
    room: TempDir,
    /// Every process that was started here has this in its environment.
    mark: String,
    commands: usize,
}

/// Commands of a newcomer take a second; a cluster with much to do takes longer.
const PATIENCE: Duration = Duration::from_secs(120);
/// In the environment of all that is started in a terminal.
const MARK: &str = "FLINT_E2E_TERMINAL";
/// As wide and as high as people have it.
const SIZE: [&str; 4] = ["-x", "140", "-y", "48"];

// === impl Terminal ===

impl Terminal {
    /// Opens one in this folder, with these variables beside the test's own.
    ///
    /// # Panics
    /// When there is no tmux (hack/tools installs it).
    #[must_use]
    pub fn open(folder: &Path, variables: &[(&str, &str)]) -> Self {
        let room = TempDir::new().expect("a folder");
        let mark = format!("{MARK}={}", room.path().display());
        let terminal = Self { room, mark, commands: 0 };
        let mut open = terminal.tmux(&["-f", "/dev/null", "new-session", "-d"]);
        open.args(SIZE).arg("-c").arg(folder);
        // The number of the command is in the prompt, so that its end can be seen. The shell between tmux and ours keeps no PS1.
        let ours = [("PROMPT_COMMAND", r"PS1='\#> '"), ("HISTFILE", "/dev/null"), ("LANG", "C.UTF-8")];
        // What starts tmux' server hands its environment on to every shell in it.
        open.envs(ours.iter().chain(variables).copied());
        // The mark is not the server's own.
        open.arg("-e").arg(&terminal.mark).arg("bash --norc --noprofile");
        done(&open.output().expect("tmux"));
        terminal
    }

    /// Types a line and Enter.
    ///
    /// # Panics
    /// When the terminal has gone.
    pub fn types(&mut self, line: &str) {
        self.commands += 1;
        done(&self.tmux(&["send-keys", "-l", line]).output().expect("tmux"));
        self.presses("Enter");
    }

    /// Presses a key by tmux' name for it: `q`, `C-c`, `Enter`.
    ///
    /// # Panics
    /// When the terminal has gone.
    pub fn presses(&self, key: &str) {
        done(&self.tmux(&["send-keys", key]).output().expect("tmux"));
    }

    /// What is on the screen and what has scrolled off it, without the room below.
    ///
    /// # Panics
    /// When the terminal has gone.
    #[must_use]
    pub fn screen(&self) -> String {
        let captured = self.tmux(&["capture-pane", "-p", "-J", "-S", "-500"]).output().expect("tmux");
        done(&captured);
        String::from_utf8_lossy(&captured.stdout).trim_end().to_owned()
    }

    /// Waits until the screen has this on it; the whole screen.
    ///
    /// # Panics
    /// When it never comes.
    pub async fn shows(&self, what: &str) -> String {
        eventually(&format!("{what:?} on the screen"), PATIENCE, || async {
            let screen = self.screen();
            if screen.contains(what) { Ok(screen) } else { Err(Screen(screen)) }
        })
        .await
    }

    /// Waits until the command that was typed last has ended; what it has put on the screen.
    ///
    /// # Panics
    /// When it does not end.
    pub async fn ended(&self) -> String {
        let (typed, next) = (format!("{}> ", self.commands), format!("{}>", self.commands + 1));
        let screen = eventually("the next prompt", PATIENCE, || async {
            let screen = self.screen();
            // What is printed need not end its line.
            if screen.ends_with(&next) { Ok(screen) } else { Err(Screen(screen)) }
        })
        .await;
        let of_it = screen.rsplit_once(&typed).map_or(screen.as_str(), |(_, after)| after);
        let shown = of_it.trim_end_matches(&next).trim_end().to_owned();
        // For who looks on: `--nocapture`.
        eprintln!("{typed}{shown}\n");
        shown
    }

    /// Types a line and waits for its end; what it has put on the screen, the line itself first.
    ///
    /// # Panics
    /// When it does not end.
    pub async fn runs(&mut self, line: &str) -> String {
        self.types(line);
        self.ended().await
    }

    /// Processes that were started here and still run, the terminal's own shell among them.
    #[must_use]
    pub fn processes(&self) -> Vec<u32> {
        node::processes_with(&self.mark)
    }

    fn tmux(&self, args: &[&str]) -> Command {
        let mut command = Command::new("tmux");
        command.arg("-S").arg(self.room.path().join("socket")).args(args);
        // A tmux that the tests themselves run in is another one.
        command.env_remove("TMUX");
        command
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        // It may have ended with its shell.
        let _ = self.tmux(&["kill-server"]).output();
    }
}

/// A screen that a failure prints as it is, not in one line.
struct Screen(String);

impl std::fmt::Debug for Screen {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "\n{}\n", self.0)
    }
}

fn done(output: &Output) {
    assert!(output.status.success(), "tmux: {}", String::from_utf8_lossy(&output.stderr));
}
