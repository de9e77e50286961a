//! The program `flint`, run as a user runs it: with a kubeconfig, in a folder, reading what it prints.

use std::{
    path::{Path, PathBuf},
    process::{Output, Stdio},
};

use tempfile::TempDir;
use tokio::{
    io::{AsyncBufReadExt, AsyncRead, BufReader},
    process::{Child, Command},
    sync::OnceCell,
};

use crate::Namespace;

/// A user of the program, in a namespace and a folder of their own.
pub struct Flint {
    program: PathBuf,
    namespace: String,
    url: String,
    kubeconfig: Option<PathBuf>,
    /// Set last; or taken away.
    variables: Vec<(String, Option<String>)>,
    folder: TempDir,
}

/// What a command printed, and how it ended.
#[derive(Debug)]
pub struct Ran {
    /// The exit code.
    pub code: i32,
    /// Standard output.
    pub out: String,
    /// Standard error.
    pub err: String,
}

/// A command that runs.
pub struct Running {
    child: Child,
    err: tokio::io::Lines<BufReader<Box<dyn AsyncRead + Send + Unpin>>>,
    seen: String,
}

// === impl Flint ===

impl Flint {
    /// The program that `FLINT_CLI` names, or built from this checkout.
    ///
    /// # Panics
    /// When it cannot be built.
    pub async fn new(namespace: &Namespace) -> Self {
        Self {
            program: program().await,
            namespace: namespace.name.clone(),
            url: namespace.cluster.url.clone(),
            kubeconfig: None,
            variables: Vec::new(),
            folder: TempDir::new().expect("a folder"),
        }
    }

    /// The same user with another kubeconfig.
    ///
    /// # Panics
    /// When it cannot be written.
    #[must_use]
    pub fn with_kubeconfig(mut self, kubeconfig: &serde_json::Value) -> Self {
        self.file("kubeconfig", &kubeconfig.to_string());
        self.kubeconfig = Some(self.folder.path().join("kubeconfig"));
        self
    }

    /// The same user with a variable set, or taken away.
    #[must_use]
    pub fn with(mut self, variable: &str, value: Option<&str>) -> Self {
        self.variables.push((variable.to_owned(), value.map(str::to_owned)));
        self
    }

    /// Writes a file into the folder.
    ///
    /// # Panics
    /// When it cannot be written.
    pub fn file(&self, name: &str, text: &str) {
        let path = self.folder.path().join(name);
        std::fs::create_dir_all(path.parent().expect("a folder")).expect("a folder");
        std::fs::write(path, text).expect("a file");
    }

    /// The folder that commands run in.
    #[must_use]
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Runs a command to its end.
    ///
    /// # Panics
    /// When it cannot be started.
    pub async fn run(&self, args: &[&str]) -> Ran {
        Ran::of(self.command(args).output().await.expect("the program starts"))
    }

    /// Starts a command, to look at it while it runs.
    ///
    /// # Panics
    /// When it cannot be started.
    #[must_use]
    pub fn start(&self, args: &[&str]) -> Running {
        let mut child = self.command(args).spawn().expect("the program starts");
        let err: Box<dyn AsyncRead + Send + Unpin> =
            Box::new(child.stderr.take().expect("its standard error"));
        Running { child, err: BufReader::new(err).lines(), seen: String::new() }
    }

    fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(&self.program);
        command.args(args).current_dir(self.folder.path()).kill_on_drop(true);
        command.env("FLINT_NAMESPACE", &self.namespace).env("FLINT_URL", &self.url).env("NO_COLOR", "1");
        // The tests' own: a user has none unless they say so.
        command.env_remove("FLINT_REGISTRY");
        if let Some(kubeconfig) = &self.kubeconfig {
            command.env("KUBECONFIG", kubeconfig);
        }
        for (name, value) in &self.variables {
            match value {
                Some(value) => command.env(name, value),
                None => command.env_remove(name),
            };
        }
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }
}

// === impl Ran ===

impl Ran {
    fn of(output: Output) -> Self {
        Self {
            code: output.status.code().unwrap_or(-1),
            out: String::from_utf8_lossy(&output.stdout).into_owned(),
            err: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }

    /// The command went well; its standard output.
    ///
    /// # Panics
    /// When it did not.
    #[must_use]
    pub fn ok(self) -> String {
        assert_eq!(self.code, 0, "{self:#?}");
        self.out
    }
}

// === impl Running ===

impl Running {
    /// Reads standard error until a line has this in it.
    ///
    /// # Panics
    /// When it ends before.
    pub async fn says(&mut self, text: &str) {
        while let Some(line) = self.err.next_line().await.expect("its standard error") {
            self.seen.push_str(&line);
            self.seen.push('\n');
            if line.contains(text) {
                return;
            }
        }
        panic!("never said {text:?}, but:\n{}", self.seen);
    }

    /// Ctrl-C.
    ///
    /// # Panics
    /// When there is nobody to send it to.
    pub async fn interrupt(&self) {
        let pid = self.child.id().expect("a process").to_string();
        let sent = Command::new("kill").args(["-INT", &pid]).status().await.expect("kill");
        assert!(sent.success());
    }

    /// Waits for the end.
    ///
    /// # Panics
    /// When its output cannot be read.
    pub async fn ended(mut self) -> Ran {
        while let Some(line) = self.err.next_line().await.expect("its standard error") {
            self.seen.push_str(&line);
            self.seen.push('\n');
        }
        let mut ran = Ran::of(self.child.wait_with_output().await.expect("its output"));
        ran.err = self.seen;
        ran
    }
}

/// The program that `FLINT_CLI` names, or built from this checkout, once.
///
/// # Panics
/// When it cannot be built.
pub async fn program() -> PathBuf {
    static PROGRAM: OnceCell<PathBuf> = OnceCell::const_new();
    PROGRAM.get_or_init(find_or_build).await.clone()
}

async fn find_or_build() -> PathBuf {
    if let Some(program) = std::env::var_os("FLINT_CLI") {
        return program.into();
    }
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let built = Command::new(env!("CARGO"))
        .args(["build", "--quiet", "--locked", "--package", "flint-cli"])
        .current_dir(&root)
        .status()
        .await
        .expect("cargo");
    assert!(built.success(), "flint cannot be built");
    let target = std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root.join("target"), PathBuf::from);
    target.join("debug/flint")
}
