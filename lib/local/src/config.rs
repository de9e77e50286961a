//! What a platform is told: where to listen, and the functions and routes to serve.

use std::{collections::BTreeMap, ffi::OsString, net::SocketAddr, path::PathBuf, time::Duration};

use flint_api::{Effective, Mode, Runtime, RuntimeSpec, Schedule, quantity};
use flint_core::event::Format;
use flint_gateway::function::{Blocked, Key};

/// What a platform goes by for as long as it runs.
#[derive(Clone, Debug)]
pub struct Config {
    /// Where functions are called; port 0 takes a free one.
    pub listen: SocketAddr,
    /// The program that runs an instance.
    pub program: Program,
    /// Threads that serve traffic; 0 is one per core.
    pub workers: usize,
    /// How long a request waits for a first instance before 504 `start_timeout`.
    pub start_timeout: Duration,
    /// How long requests in flight may take to end after [`crate::Platform::stop`].
    pub drain_timeout: Duration,
    /// Processes at a time, over all functions: one machine is no cluster. Requests beyond wait.
    pub processes: usize,
    /// Of them, those that may be starting at a time.
    pub starting: usize,
}

/// A program that calls [`crate::instance::main`].
#[derive(Clone, Debug)]
pub struct Program {
    /// The file.
    pub path: PathBuf,
    /// Its arguments.
    pub args: Vec<OsString>,
}

/// All that a platform serves.
#[derive(Clone, Debug, Default)]
pub struct Project {
    /// The functions; a namespace and name is there once.
    pub functions: Vec<FunctionSpec>,
    /// Paths of functions, beside `/function/NAME` and the other addresses that each function has.
    pub routes: Vec<Route>,
}

/// A function, with everything resolved that needs a machine to look at.
#[derive(Clone, Debug, PartialEq)]
pub struct FunctionSpec {
    /// Its namespace and name.
    pub key: Key,
    /// Mode, timeout, concurrency and scaling, with every default filled in.
    pub effective: Effective,
    /// What the runtime calls; `{handler}` in the command stands for it.
    pub handler: String,
    /// The program to start in [`Self::folder`]: the interpreter with its runtime client, or the executable.
    pub command: Vec<String>,
    /// The folder with the code, which is the program's working directory.
    pub folder: PathBuf,
    /// http mode: the port that the program insists on. None: each instance is given a free one in `PORT`. With a fixed
    /// port there can be one instance only.
    pub port: Option<u16>,
    /// The program's environment: values, whatever they came from. Of the platform's own environment it gets `PATH`,
    /// `HOME`, `USER`, `LANG`, `TZ` and `TMPDIR` and nothing else, and what is written here wins over those.
    pub env: BTreeMap<String, String>,
    /// Only one process at a time, and the one before ends before the next one begins: it holds something that there is once,
    /// such as a debugger's port. With a [`Self::port`] it is so anyway.
    pub alone: bool,
    /// The most memory of one instance, in bytes.
    pub memory: Option<u64>,
    /// Its schedules.
    pub schedules: Vec<Schedule>,
    /// The event of its HTTP requests, where a route does not say.
    pub event: Format,
    /// A number that the caller raises when the code has changed: another generation is another revision.
    pub generation: u64,
    /// It cannot start as it is (an interpreter is missing, the handler does not parse): requests are answered 503
    /// `not_startable` with this reason, unless an older revision runs.
    pub blocked: Option<Blocked>,
}

/// A path that leads to a function, by the rules of API Gateway: the longest literal match wins, `{name}` takes one segment,
/// `{name+}` at the end takes the rest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Route {
    /// The method; none is any.
    pub method: Option<http::Method>,
    /// The path's pattern, such as `/users/{id}`; `$default` takes what nothing else does.
    pub path: String,
    /// Whose it is.
    pub function: Key,
    /// The event of its requests; none is the function's own.
    pub event: Option<Format>,
}

/// Interpreters take some tens of MiB each; machines have a GiB or more per core.
const PROCESSES_PER_CORE: usize = 16;
/// A start is work for a core: many at once only make each of them late.
const STARTING_PER_CORE: usize = 2;

// === impl Config ===

impl Config {
    /// Listens there, with the usual settings.
    #[must_use]
    pub fn new(listen: SocketAddr, program: Program) -> Self {
        Self {
            listen,
            program,
            // Two, so that one that is busy with a large body does not hold up the page beside it.
            workers: 2,
            start_timeout: Duration::from_secs(60),
            drain_timeout: Duration::from_secs(30),
            processes: PROCESSES_PER_CORE * cores(),
            starting: STARTING_PER_CORE * cores(),
        }
    }
}

// === impl FunctionSpec ===

impl FunctionSpec {
    /// The function that a Kubernetes object describes, with its code in `folder` and started by `command`. Environment,
    /// port and generation are the caller's to fill in.
    #[must_use]
    pub fn new(function: &flint_api::Function, mode: Mode, folder: PathBuf, command: Vec<String>) -> Self {
        let meta = &function.metadata;
        let namespace = meta.namespace.as_deref().unwrap_or(flint_core::route::DEFAULT_NAMESPACE);
        let spec = &function.spec;
        let memory = spec.resources.as_ref().and_then(|resources| {
            let limit = resources.limits.as_ref()?.get("memory")?;
            quantity::bytes(&limit.0).filter(|bytes| *bytes > 0)
        });
        let v1 = meta.annotations.as_ref().is_some_and(|annotations| {
            annotations.get(flint_api::labels::EVENT_FORMAT).is_some_and(|format| format == "v1")
        });
        Self {
            key: Key::new(namespace, meta.name.clone().unwrap_or_default()),
            effective: Effective::new(function, Some(&runtime(mode))),
            handler: spec.handler.clone().unwrap_or_default(),
            command,
            folder,
            port: spec.port,
            alone: false,
            env: BTreeMap::new(),
            memory,
            schedules: spec.schedules.clone(),
            event: if v1 { Format::V1 } else { Format::V2 },
            generation: 0,
            blocked: None,
        }
    }
}

fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

/// A Runtime that says its mode and nothing else: what defaults depend on.
fn runtime(mode: Mode) -> Runtime {
    let spec = RuntimeSpec {
        mode,
        image: String::new(),
        command: Vec::new(),
        port: None,
        build: None,
        pool: None,
        resources: None,
        env: Vec::new(),
    };
    Runtime::new("local", spec)
}
