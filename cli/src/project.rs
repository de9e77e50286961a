//! A project: the functions that a folder or a file comes to, in whichever format they are written.
//!
//! Five forms are read: objects as the cluster takes them, `flint.yaml`, `serverless.yml`, a SAM template, and a folder
//! with nothing but code. Whatever a form says that Flint cannot do is a [`Note`] with its line and column, never dropped.

pub mod args;
mod detect;
mod draft;
mod env_file;
mod files;
mod load;
mod manifest;
mod note;
mod objects;
mod pack;
mod routes;
mod rules;
mod runtimes;
mod sam;
mod schema;
mod serverless;
mod short;
mod taken;
mod tree;
mod variables;
mod yaml;

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use flint_api::Function;

pub(crate) use draft::{Draft, name_of, pruned};
pub use env_file::parse_env_file;
pub(crate) use files::Files;
pub use note::{Note, Severity};
pub(crate) use pack::Texts;
pub(crate) use runtimes::known as known_runtime;
pub(crate) use schema::closest;
pub(crate) use short::seconds;
pub(crate) use tree::{Entry, Node};
pub(crate) use yaml::parse as parse_yaml;

/// What a project is read with.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// `--stage`: what `${sls:stage}` and `${opt:stage}` are.
    pub stage: Option<String>,
    /// What `${opt:NAME}`, and the parameters of a SAM template, are.
    pub opts: BTreeMap<String, String>,
    /// What `${env:NAME}` reads.
    pub env: BTreeMap<String, String>,
}

/// The functions of a folder or file, checked.
#[derive(Clone, Debug)]
pub struct Project {
    /// The folder that paths are relative to; absolute.
    pub root: PathBuf,
    /// In which form it was written.
    pub form: Form,
    /// Every file that was read for it: when one changes, it is to be read again.
    pub files: Vec<PathBuf>,
    /// Its name: as written, or the folder's.
    pub name: String,
    /// The functions, in the order they are written; no two of one name and namespace.
    pub functions: Vec<ProjectFunction>,
    /// Paths beside `/function/NAME` that lead to functions, in the order they are written.
    pub routes: Vec<Route>,
    /// Objects of other kinds in the files (Runtimes, Secrets, …), as they are.
    pub others: Vec<serde_json::Value>,
    /// What was read but is not honoured, or not as it may be expected.
    pub notes: Vec<Note>,
}

/// In which form a project is written.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Form {
    /// Objects as `kubectl apply` takes them.
    Objects,
    /// `flint.yaml`.
    Flint,
    /// `serverless.yml` of the Serverless Framework.
    Serverless,
    /// A template of AWS SAM.
    Sam,
    /// Code and no file that describes it.
    Folder,
}

/// One function of a project.
#[derive(Clone, Debug)]
pub struct ProjectFunction {
    /// The Function; without `spec.source` where the code is a [`Code::Folder`].
    pub function: Function,
    /// Where its code is.
    pub code: Code,
    /// What it is written in, as far as files and runtime tell.
    pub language: Option<Language>,
    /// A command line that serves [`Code::Image`]'s port when it is run here, told by `PORT`.
    pub run: Option<String>,
    /// Files of `NAME=VALUE` lines for running it here; they are not deployed.
    pub env_files: Vec<PathBuf>,
    /// Where it is written: file, line and column for messages about it as a whole.
    pub place: Place,
}

/// Where a function's code is.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Code {
    /// In a folder on this machine.
    Folder(Folder),
    /// Where the Function's `spec.source` says.
    InManifest,
    /// In the image of `spec.image`.
    Image,
}

/// A folder of code, and what of it belongs to the function.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Folder {
    /// The folder; absolute.
    pub root: PathBuf,
    /// Patterns as in a `.gitignore`, of which the last that matches a file decides: `!docs/**` leaves out, `src/**` takes in.
    /// Without any, everything belongs that `.gitignore` and `.flintignore` do not leave out.
    pub patterns: Vec<String>,
}

/// What a function is written in.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Language {
    /// `.py`
    Python,
    /// `.js`, `.mjs`, `.cjs`
    Node,
    /// `.ts`, `.mts`
    TypeScript,
    /// `go.mod` or `.go`, to be built into `bootstrap`
    Go,
    /// `Cargo.toml`, to be built into `bootstrap`
    Rust,
    /// `.rb`
    Ruby,
    /// `.php`
    Php,
    /// `.java`, to be compiled, or what came of it
    Java,
    /// A shell script
    Shell,
}

/// A path that leads to a function, as API Gateway has it.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Route {
    /// In capitals; `ANY` for all.
    pub method: String,
    /// With parameters, `/users/{id}`, or the rest, `/files/{proxy+}`; `$default` is what nothing else matches.
    pub path: String,
    /// `metadata.name` of the function.
    pub function: String,
    /// Which event the function gets.
    pub event: EventFormat,
    /// Where it is written.
    pub place: Place,
}

/// The shape of an HTTP request's event.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum EventFormat {
    /// API Gateway's payload format 1.0: REST APIs.
    V1,
    /// API Gateway's payload format 2.0: HTTP APIs.
    #[default]
    V2,
}

/// A place in a file.
#[derive(Clone, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub struct Place {
    /// The file, or the folder where there is none.
    pub file: PathBuf,
    /// From 1; 0 is the file as a whole.
    pub line: u32,
    /// From 1; 0 is the line as a whole.
    pub column: u32,
}

/// Reads the project at `path`: a file in any of the forms, or a folder that is looked through for one.
///
/// # Errors
/// Everything that is wrong, in the order of the files, with at least one [`Severity::Error`]; notes are among it.
pub fn load(path: &Path, options: &Options) -> Result<Project, Vec<Note>> {
    load::load(path, options)
}

// === impl Options ===

impl Options {
    /// With this process' environment.
    #[must_use]
    pub fn from_environment() -> Self {
        // Names and values that are no Unicode cannot be written in YAML either.
        let unicode = |(name, value): (std::ffi::OsString, std::ffi::OsString)| {
            Some((name.into_string().ok()?, value.into_string().ok()?))
        };
        Self { env: std::env::vars_os().filter_map(unicode).collect(), ..Self::default() }
    }
}
