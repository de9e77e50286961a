//! From files to what the platform serves: the project is read, each function gets its program, what has to be compiled is compiled.

mod environment;
mod function;
mod includes;

use std::{
    collections::{BTreeMap, BTreeSet},
    path::{Path, PathBuf},
    time::SystemTime,
};

use flint_local::{self as local, Key};
use tempfile::TempDir;

use self::includes::Sources;
use super::watch::{Changes, Watched};
use crate::{
    error::Error,
    languages::{Cache, Clients, Here, Language},
    project::{self, EventFormat, Note, Options, Project},
};

/// Reads a project again and again, and remembers what has to outlive a reading.
pub(super) struct Loader {
    path: PathBuf,
    options: Options,
    clients: Clients,
    machine: Here,
    /// Code that is written in a manifest is unpacked here.
    unpacked: TempDir,
    /// What is known of each function from the readings before.
    memory: BTreeMap<Key, Memory>,
    /// The port of each function that a debugger attaches to.
    debugged: BTreeMap<Key, u16>,
}

#[derive(Clone, Debug, Default)]
struct Memory {
    generation: u64,
    /// The compiled program, or why there is none.
    built: Option<Result<PathBuf, String>>,
    /// Length and time of the program that was compiled last.
    program: Option<(u64, SystemTime)>,
}

/// What is new in a reading.
struct Fresh<'a> {
    changes: &'a Changes,
    /// The folders with code, each as often as there are functions in it.
    folders: Vec<&'a Path>,
    /// What the files of a folder include, where somebody had to know.
    sources: BTreeMap<PathBuf, Option<Sources>>,
}

/// Files that choose a version of an interpreter, beside those that begin with a dot.
const CHOOSING: [&str; 2] = ["mise.toml", "pyvenv.cfg"];

/// A project that was read.
#[derive(Clone, Debug)]
pub(super) struct Loaded {
    /// Its name.
    pub(super) name: String,
    /// The folder that paths are shown relative to.
    pub(super) root: PathBuf,
    /// What the platform is to serve.
    pub(super) served: local::Project,
    /// What is known of each function beside that.
    pub(super) functions: BTreeMap<Key, Known>,
    /// What changes when it does.
    pub(super) watched: Watched,
    /// What the files say and is not honoured.
    pub(super) notes: Vec<Note>,
}

/// A function, as far as the developer is concerned.
#[derive(Clone, Debug)]
pub(super) struct Known {
    /// The language; none where the code cannot run here.
    pub(super) language: Option<Language>,
    /// The folder with the code.
    pub(super) folder: PathBuf,
    /// What the user should know, or do.
    pub(super) remarks: Vec<Remark>,
}

/// Something about a function that the user should know.
#[derive(Clone, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(super) enum Remark {
    /// It runs, with this difference.
    Note(String),
    /// It does not run; and what to do about it.
    Problem(String, Option<String>),
}

// === impl Loader ===

impl Loader {
    /// For the project at this path.
    ///
    /// # Errors
    /// When there is nowhere to put the runtime clients.
    pub(super) fn new(path: PathBuf, options: Options) -> Result<Self, Error> {
        let cache = Cache::of_user();
        let nowhere = |error: std::io::Error| {
            Error::platform("the runtime clients cannot be put into the cache")
                .because(error)
                .try_this("set FLINT_CACHE to a folder that you may write")
        };
        Ok(Self {
            path,
            options,
            clients: Clients::install(cache).map_err(nowhere)?,
            machine: Here::default(),
            unpacked: tempfile::Builder::new().prefix("flint-dev-").tempdir().map_err(nowhere)?,
            memory: BTreeMap::new(),
            debugged: BTreeMap::new(),
        })
    }

    /// Which functions a debugger attaches to, and where.
    pub(super) fn debugged(&mut self) -> &mut BTreeMap<Key, u16> {
        &mut self.debugged
    }

    /// Reads the project; `changes` says what is new since the last time, and `say` is told what takes a while.
    ///
    /// # Errors
    /// What is wrong in its files.
    pub(super) async fn load(
        &mut self,
        changes: &Changes,
        say: &(dyn Fn(&str) + Sync),
    ) -> Result<Loaded, Vec<Note>> {
        if changes.all || changes.files.iter().any(|file| chooses_a_version(file)) {
            self.machine.forget();
        }
        let project = project::load(&self.path, &self.options)?;
        let mut fresh = Fresh::new(&project, changes);
        let mut loaded = Loaded {
            name: project.name.clone(),
            root: project.root.clone(),
            served: local::Project::default(),
            functions: BTreeMap::new(),
            watched: watched(&project),
            notes: project.notes.clone(),
        };
        for function in &project.functions {
            let (spec, known) = self.function(&project, function, &mut fresh, say).await;
            loaded.functions.insert(spec.key.clone(), known);
            loaded.served.functions.push(spec);
        }
        loaded.served.routes = routes(&project, &loaded.served.functions);
        self.memory.retain(|key, _| loaded.functions.contains_key(key));
        Ok(loaded)
    }
}

fn chooses_a_version(file: &Path) -> bool {
    let name = file.file_name().unwrap_or_default().to_string_lossy();
    name.starts_with('.') || CHOOSING.contains(&name.as_ref())
}

fn watched(project: &Project) -> Watched {
    let mut watched = Watched { folders: BTreeSet::new(), files: project.files.iter().cloned().collect() };
    for function in &project.functions {
        watched.files.extend(environment::files(project, function));
        if let project::Code::Folder(folder) = &function.code {
            watched.folders.insert(folder.root.clone());
        }
    }
    watched
}

fn routes(project: &Project, functions: &[local::FunctionSpec]) -> Vec<local::Route> {
    let of = |route: &project::Route| {
        let key = functions.iter().find(|function| function.key.name == route.function)?.key.clone();
        Some(local::Route {
            method: route.method.parse().ok().filter(|_| route.method != "ANY"),
            path: route.path.clone(),
            function: key,
            event: Some(match route.event {
                EventFormat::V1 => flint_core::event::Format::V1,
                EventFormat::V2 => flint_core::event::Format::V2,
            }),
        })
    };
    project.routes.iter().filter_map(of).collect()
}

// === impl Fresh ===

impl<'a> Fresh<'a> {
    fn new(project: &'a Project, changes: &'a Changes) -> Self {
        let folders = project.functions.iter().filter_map(|function| match &function.code {
            project::Code::Folder(folder) => Some(folder.root.as_path()),
            project::Code::Image if function.run.is_some() => Some(project.root.as_path()),
            project::Code::Image | project::Code::InManifest => None,
        });
        Self { changes, folders: folders.collect(), sources: BTreeMap::new() }
    }

    /// The saved files that are code of this folder: the project's own are compared by what they say.
    fn code_in(&self, folder: &Path, project: &Project) -> BTreeSet<PathBuf> {
        let is_code = |file: &&PathBuf| {
            file.starts_with(folder)
                && !project.files.contains(file)
                && file.file_name().is_none_or(|name| name != ".env")
        };
        self.changes.files.iter().filter(is_code).cloned().collect()
    }

    /// Whether what was saved is code of the function whose code begins in these files.
    fn touches(&mut self, folder: &Path, project: &Project, first: &[PathBuf]) -> bool {
        let code = self.code_in(folder, project);
        if self.changes.all || code.is_empty() {
            return self.changes.all;
        }
        // Nobody else could be meant.
        let shared =
            |file: &PathBuf| self.folders.iter().filter(|folder| file.starts_with(folder)).count() > 1;
        if !code.iter().all(shared) {
            return true;
        }
        let sources =
            self.sources.entry(folder.to_owned()).or_insert_with_key(|folder| Sources::below(folder));
        sources.as_ref().is_none_or(|sources| sources.reach(first, &code))
    }
}
