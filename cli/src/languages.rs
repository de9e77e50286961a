//! Languages on this machine: what to run for a function in a folder, with what is installed here.
//!
//! [`plan`] only looks: at the folder's files, and at the programs on the PATH. What has to be compiled first is a
//! [`Build`], which the caller runs. What is missing is a [`Missing`], which says how to get it.

mod build;
mod clients;
mod go;
mod hint;
mod java;
mod machine;
mod node;
mod packages;
mod php;
mod provided;
mod python;
mod ruby;
mod rust;

use std::path::{Path, PathBuf};

pub use self::{
    build::{Broken, Build},
    clients::Clients,
    hint::hint,
    machine::{Here, Machine, Version},
};

/// A function, as far as it decides what is run.
#[derive(Clone, Copy, Debug)]
pub struct Wanted<'a> {
    /// The function's name.
    pub name: &'a str,
    /// Where its code is.
    pub folder: &'a Path,
    /// The Runtime's name, as the Function has it.
    pub runtime: &'a str,
    /// What the runtime calls.
    pub handler: &'a str,
    /// The port on loopback for a debugger; `None` runs without.
    pub debug: Option<u16>,
}

/// The language of a function's code.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Language {
    /// `python3.11` and its like.
    Python,
    /// `nodejs`.
    Node,
    /// `provided`, with a Go module.
    Go,
    /// `provided`, with a Cargo package.
    Rust,
    /// `provided`, with an executable `bootstrap`.
    Bootstrap,
    /// `ruby`.
    Ruby,
    /// `php`.
    Php,
    /// `java17`.
    Java,
    /// `process`: a command line per request.
    Process,
}

/// What to run.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Launch {
    /// Which language it is.
    pub language: Language,
    /// The program and its arguments, for the watchdog. A build's result is put first.
    pub command: Vec<String>,
    /// Variables that the program needs beside the user's.
    pub env: Vec<(String, String)>,
    /// What has to be compiled before.
    pub build: Option<Build>,
    /// What the user should know: another version than on the cluster.
    pub notes: Vec<String>,
}

/// What is not there, or too old; and how to get it.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[error("{what}")]
pub struct Missing {
    /// One sentence without a full stop.
    pub what: String,
    /// What to do: a command, or where to get it.
    pub remedy: String,
}

/// Where things are put that outlive a run: runtime clients, compiled functions.
#[derive(Clone, Debug)]
pub struct Cache(PathBuf);

/// What to run for this function here.
///
/// # Errors
/// When something is missing, with how to get it.
pub fn plan(wanted: &Wanted<'_>, machine: &impl Machine, clients: &Clients) -> Result<Launch, Missing> {
    match family(wanted.runtime) {
        "python" => python::plan(wanted, machine, clients),
        "nodejs" => node::plan(wanted, machine, clients),
        "ruby" => ruby::plan(wanted, machine, clients),
        "php" => php::plan(wanted, machine, clients),
        "java" => java::plan(wanted, machine, clients),
        "provided" if go::is(wanted.folder) => go::plan(wanted, machine, clients.cache()),
        "provided" if rust::is(wanted.folder) => rust::plan(wanted, machine),
        "provided" => provided::plan(wanted),
        "process" => Ok(Launch::of(Language::Process, ["/bin/sh", "-c", "{handler}"])),
        _ => Err(Missing {
            what: format!("{} wants the runtime {}, which is not known here", wanted.name, wanted.runtime),
            remedy: "write one of python3.11, nodejs, java17, ruby, php, provided and process".to_owned(),
        }),
    }
}

/// What has to be compiled here before a cluster can run it.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct ForCluster {
    /// How.
    pub build: Build,
    /// The result's path in the function's folder.
    pub name: String,
    /// Whether the result is all there is of the function; otherwise it stands beside the folder's files.
    pub alone: bool,
}

/// What has to be compiled for the cluster: linux on amd64, whatever this machine is. Nothing where the files are read as they are.
///
/// # Errors
/// When a compiler is missing, with how to get it.
pub fn for_cluster(
    wanted: &Wanted<'_>,
    machine: &impl Machine,
    cache: &Cache,
) -> Result<Option<ForCluster>, Missing> {
    let program = |build| Some(ForCluster { build, name: "bootstrap".to_owned(), alone: true });
    match family(wanted.runtime) {
        "provided" if wanted.folder.join("bootstrap").is_file() => Ok(None),
        "provided" if go::is(wanted.folder) => go::for_cluster(wanted, machine, cache).map(program),
        "provided" if rust::is(wanted.folder) => rust::for_cluster(wanted, machine).map(program),
        "nodejs" => {
            let bundle = node::for_cluster(wanted, machine, cache)?;
            Ok(bundle.map(|(build, name)| ForCluster { build, name, alone: false }))
        }
        _ => Ok(None),
    }
}

/// `python` of `python3.11`, `nodejs` of `nodejs22.x`, `provided` of `provided.al2023`.
fn family(runtime: &str) -> &str {
    runtime.split(|c: char| c == '.' || c.is_ascii_digit()).next().unwrap_or(runtime)
}

// === impl Wanted ===

impl Wanted<'_> {
    /// What the user should know of another version than the cluster's.
    fn other_version(&self, language: &str, here: Option<Version>, there: Version) -> Option<String> {
        let here = here.filter(|here| *here != there)?;
        Some(format!("{} runs on {language} {here} here, on {there} in the cluster", self.name))
    }
}

// === impl Launch ===

impl Launch {
    fn of<const N: usize>(language: Language, command: [&str; N]) -> Self {
        Self {
            language,
            command: command.map(str::to_owned).to_vec(),
            env: Vec::new(),
            build: None,
            notes: Vec::new(),
        }
    }
}

// === impl Cache ===

impl Cache {
    /// The user's own: `$FLINT_CACHE`, `$XDG_CACHE_HOME/flint` or `~/.cache/flint`; without a home, a folder for temporary files.
    #[must_use]
    pub fn of_user() -> Self {
        let folder = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
        let path = folder("FLINT_CACHE")
            .or_else(|| folder("XDG_CACHE_HOME").map(|cache| cache.join("flint")))
            .or_else(|| folder("HOME").map(|home| home.join(".cache/flint")))
            .unwrap_or_else(|| std::env::temp_dir().join(format!("flint-{}", nix::unistd::getuid())));
        Self(path)
    }

    /// A cache in this folder.
    #[must_use]
    pub fn at(folder: impl Into<PathBuf>) -> Self {
        Self(folder.into())
    }

    /// A place in it.
    #[must_use]
    pub fn join(&self, path: impl AsRef<Path>) -> PathBuf {
        self.0.join(path)
    }
}

#[cfg(test)]
mod tests;
