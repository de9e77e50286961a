//! A git repository on disk and what git's own server says of it: for whoever fetches from one.
//!
//! ```no_run
//! # use flint_testing::git::Repository;
//! let repository = Repository::new();
//! let commit = repository.write("app.py", "x = 1").commit();
//! let answer = repository.advertisement();
//! # assert!(!commit.is_empty() && !answer.is_empty());
//! ```

use std::{
    io::{Read as _, Write as _},
    path::Path,
    process::{Command, Stdio},
};

use tempfile::TempDir;

/// A repository with a working folder. Everything panics that does not work: it is for tests.
#[derive(Debug)]
pub struct Repository(TempDir);

// === impl Repository ===

impl Default for Repository {
    fn default() -> Self {
        Self::new()
    }
}

impl Repository {
    /// An empty one whose branch is `main`, on a server that can leave files out.
    ///
    /// # Panics
    /// Without git.
    pub fn new() -> Self {
        let repository = Self(tempfile::tempdir().expect("a folder"));
        repository.git(&["init", "--quiet", "--initial-branch=main"]);
        repository.set("uploadpack.allowFilter", "true");
        repository
    }

    /// Its folder.
    pub fn folder(&self) -> &Path {
        self.0.path()
    }

    /// Sets a configuration of its own.
    pub fn set(&self, name: &str, value: &str) {
        self.git(&["config", name, value]);
    }

    /// Writes a file.
    ///
    /// # Panics
    /// When it cannot.
    pub fn write(&self, name: &str, text: impl AsRef<[u8]>) -> &Self {
        let path = self.0.path().join(name);
        std::fs::create_dir_all(path.parent().expect("a folder")).expect("a folder");
        std::fs::write(path, text).expect("a file");
        self
    }

    /// Makes a symbolic link.
    ///
    /// # Panics
    /// When it cannot.
    pub fn link(&self, name: &str, target: &str) -> &Self {
        std::os::unix::fs::symlink(target, self.0.path().join(name)).expect("a link");
        self
    }

    /// Commits everything and gives the commit.
    pub fn commit(&self) -> String {
        self.git(&["add", "--all"]);
        self.git(&["commit", "--quiet", "--allow-empty", "--message=change"]);
        self.git(&["rev-parse", "HEAD"])
    }

    /// Runs git, with `arguments`, and gives what it writes.
    ///
    /// # Panics
    /// When git fails.
    pub fn git(&self, arguments: &[&str]) -> String {
        self.git_with(arguments, "")
    }

    /// The same with an input.
    ///
    /// # Panics
    /// When git fails.
    pub fn git_with(&self, arguments: &[&str], input: &str) -> String {
        let (output, worked) = self.run(arguments, input.as_bytes());
        let text = String::from_utf8(output).expect("text").trim().to_owned();
        assert!(worked, "git {arguments:?}: {text}");
        text
    }

    /// What a server says of itself first.
    pub fn advertisement(&self) -> Vec<u8> {
        self.run(&["upload-pack", "--http-backend-info-refs", "."], b"").0
    }

    /// What a server answers; it may be a refusal.
    pub fn ask(&self, request: &[u8]) -> Vec<u8> {
        self.run(&["upload-pack", "--stateless-rpc", "."], request).0
    }

    fn run(&self, arguments: &[&str], input: &[u8]) -> (Vec<u8>, bool) {
        let mut git = Command::new("git");
        git.args(arguments).current_dir(self.0.path());
        git.env("GIT_CONFIG_GLOBAL", "/dev/null")
            .env("GIT_CONFIG_NOSYSTEM", "1")
            .env("GIT_PROTOCOL", "version=2");
        for role in ["AUTHOR", "COMMITTER"] {
            git.env(format!("GIT_{role}_NAME"), "Anna").env(format!("GIT_{role}_EMAIL"), "anna@example.com");
        }
        let mut git =
            git.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().expect("git");
        // A refusal may come before all is read.
        let _ = git.stdin.take().expect("its input").write_all(input);
        let mut output = Vec::new();
        git.stdout.take().expect("its output").read_to_end(&mut output).expect("its output");
        (output, git.wait().expect("its end").success())
    }
}
