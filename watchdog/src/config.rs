//! The watchdog's configuration: read from the environment once, checked before anything binds.
//!
//! The variables are those of `docs/internals.md`. Every other variable is the user's and goes to the child as it is.

use std::ffi::{OsStr, OsString};
use std::fmt;
use std::net::IpAddr;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use flint_core::paths::{self, Paths};
use flint_core::wire;
use http::Uri;

use crate::logs::Level;

/// Everything that the environment decides.
#[derive(Debug)]
pub struct Config {
    /// Whose instance this is.
    pub identity: Identity,
    /// How the watchdog speaks to the code.
    pub mode: ModeKind,
    /// The child to start; empty where another container serves the port.
    pub command: Vec<String>,
    /// The handler, as written in the Function.
    pub handler: String,
    /// http mode: the port that the child or the container serves.
    pub upstream_port: u16,
    /// lambda mode: where a container beside us finds the Runtime API, on loopback; `None` where we start the child.
    pub runtime_api_port: Option<u16>,
    /// lambda mode: the routes that events name; `None` where the function takes every path.
    pub routes: Option<Paths<String>>,
    /// The function's timeout.
    pub timeout: Duration,
    /// Requests at a time; `None` is no limit.
    pub concurrency: Option<usize>,
    /// The memory limit, where there is one.
    pub memory_bytes: Option<u64>,
    /// Where the code is; `None` when the image has it.
    pub package: Option<PackageSource>,
    /// Whom to tell that the instance is ready; `None`: nobody.
    pub home: Option<Uri>,
    /// Signs announcements.
    pub key: Key,
    /// What is logged of the watchdog's own doings.
    pub log_level: Level,
    /// The address that both ports are bound on.
    pub bind: IpAddr,
    /// Port for traffic.
    pub port: u16,
    /// Port for health and metrics.
    pub admin_port: u16,
    /// Where the code is unpacked: the child's working directory.
    pub task_root: PathBuf,
    /// How long requests are still taken after SIGTERM: the news of the end needs as long to every gateway.
    pub grace: Duration,
    /// Where Kubernetes looks for the reason of an end.
    pub termination_log: PathBuf,
    /// What goes on to the child: the user's variables, and Flint's three names.
    pub environment: Variables,
}

/// Environment variables, in order; the last of a name counts.
pub type Variables = Vec<(OsString, OsString)>;

/// Whose instance this is.
#[derive(Debug, Clone)]
pub struct Identity {
    /// The function's namespace.
    pub namespace: String,
    /// The function's name.
    pub function: String,
    /// The revision's name.
    pub revision: String,
    /// The pod's name; empty outside of Kubernetes.
    pub pod: String,
    /// The pod's uid; empty outside of Kubernetes.
    pub uid: String,
    /// The pod's address.
    pub ip: Option<IpAddr>,
}

/// How the watchdog speaks to the code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ModeKind {
    /// The AWS Lambda Runtime API on loopback.
    Lambda,
    /// A port that serves HTTP.
    Http,
    /// One program per request.
    Process,
}

/// A package: a tar.gz, by its digest.
#[derive(Debug, Clone)]
pub struct PackageSource {
    /// Where it is fetched: plain HTTP.
    pub url: Uri,
    /// Its SHA-256.
    pub digest: [u8; 32],
}

/// A secret that shows itself to nobody.
#[derive(Clone, Default)]
pub struct Key(pub String);

/// What is wrong with the environment, and what to write instead.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// A variable that has to be there is not.
    #[error("{0} is not set")]
    Missing(&'static str),
    /// A variable's value cannot be understood.
    #[error("{name}={value:?} is not valid: {expected}")]
    Invalid {
        /// The variable.
        name: &'static str,
        /// What it holds.
        value: String,
        /// What it should hold.
        expected: &'static str,
    },
    /// Two variables only make sense together.
    #[error("{0}")]
    Conflict(&'static str),
}

/// In a cluster the news goes through the API server.
const DEFAULT_GRACE: Duration = Duration::from_secs(2);
/// Lambda and process work on one request at a time unless told otherwise, a server on many.
const DEFAULT_HTTP_CONCURRENCY: usize = 100;

// === impl Config ===

impl Config {
    /// Reads the variables, usually `std::env::vars_os()`.
    ///
    /// # Errors
    /// The first thing that is wrong.
    pub fn from_vars(vars: impl IntoIterator<Item = (OsString, OsString)>) -> Result<Self, ConfigError> {
        let (vars, environment) = split(vars);
        let mode = vars
            .parsed("FLINT_MODE", "lambda, http or process")?
            .ok_or(ConfigError::Missing("FLINT_MODE"))?;
        let command = command(&vars, "FLINT_COMMAND")?;
        let runtime_api_port: Option<u16> = vars.parsed("FLINT_RUNTIME_API_PORT", "a port")?;
        if runtime_api_port.is_some() && (mode != ModeKind::Lambda || !command.is_empty()) {
            return Err(ConfigError::Conflict(
                "FLINT_RUNTIME_API_PORT is for a container beside us in lambda mode, and FLINT_COMMAND for a child",
            ));
        }
        if command.is_empty() && mode != ModeKind::Http && runtime_api_port.is_none() {
            return Err(ConfigError::Conflict(
                "FLINT_COMMAND is empty: lambda and process mode need a program to start",
            ));
        }
        let timeout_ms: u64 = vars.parsed("FLINT_TIMEOUT_MS", "a number of milliseconds")?.unwrap_or(30_000);
        if timeout_ms == 0 {
            return Err(ConfigError::Conflict("FLINT_TIMEOUT_MS is 0: a function needs some time"));
        }
        let default_concurrency = if mode == ModeKind::Http { DEFAULT_HTTP_CONCURRENCY } else { 1 };
        let concurrency: usize = vars.parsed("FLINT_CONCURRENCY", "a number")?.unwrap_or(default_concurrency);
        let handler = vars.text("FLINT_HANDLER")?.unwrap_or_default();
        Ok(Self {
            identity: Identity {
                namespace: vars.text("FLINT_NAMESPACE")?.unwrap_or_else(|| "default".to_owned()),
                function: vars.text("FLINT_FUNCTION")?.ok_or(ConfigError::Missing("FLINT_FUNCTION"))?,
                revision: vars.text("FLINT_REVISION")?.unwrap_or_default(),
                pod: vars.text("FLINT_POD_NAME")?.unwrap_or_default(),
                uid: vars.text("FLINT_POD_UID")?.unwrap_or_default(),
                ip: vars.parsed("FLINT_POD_IP", "an IP address")?,
            },
            mode,
            command: command.into_iter().map(|item| item.replace("{handler}", &handler)).collect(),
            handler,
            upstream_port: vars.parsed("FLINT_UPSTREAM_PORT", "a port")?.unwrap_or(8080),
            runtime_api_port,
            routes: routes(&vars)?,
            timeout: Duration::from_millis(timeout_ms),
            concurrency: (concurrency > 0).then_some(concurrency),
            memory_bytes: vars.parsed("FLINT_MEMORY_BYTES", "a number of bytes")?.filter(|bytes| *bytes > 0),
            package: package(&vars)?,
            home: vars.url("FLINT_HOME_URL")?,
            key: key(&vars)?,
            log_level: vars.parsed("FLINT_LOG_LEVEL", "debug, info, warn or error")?.unwrap_or(Level::Info),
            bind: vars.parsed("FLINT_BIND", "an IP address")?.unwrap_or(IpAddr::from([0; 16])),
            port: vars.parsed("FLINT_PORT", "a port")?.unwrap_or(wire::WATCHDOG_PORT),
            admin_port: vars.parsed("FLINT_ADMIN_PORT", "a port")?.unwrap_or(wire::WATCHDOG_ADMIN_PORT),
            task_root: vars
                .text("FLINT_TASK_ROOT")?
                .map_or_else(|| PathBuf::from("/var/task"), PathBuf::from),
            grace: vars
                .parsed("FLINT_GRACE_MS", "a number of milliseconds")?
                .map_or(DEFAULT_GRACE, Duration::from_millis),
            termination_log: vars
                .text("FLINT_TERMINATION_LOG")?
                .map_or_else(|| PathBuf::from("/dev/termination-log"), PathBuf::from),
            environment,
        })
    }

    /// A variable of the user's.
    #[must_use]
    pub fn user_variable(&self, name: &str) -> Option<&OsStr> {
        self.environment.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_os_str())
    }
}

/// The `FLINT_*` ones are ours; three of them are the child's too.
pub(crate) fn split(vars: impl IntoIterator<Item = (OsString, OsString)>) -> (Vars, Variables) {
    let (mut ours, mut theirs) = (Vars(Vec::new()), Variables::new());
    for (name, value) in vars {
        match name.to_str().filter(|name| name.starts_with("FLINT_")) {
            Some(flint) => {
                if matches!(flint, "FLINT_FUNCTION" | "FLINT_NAMESPACE" | "FLINT_REVISION") {
                    theirs.push((name.clone(), value.clone()));
                }
                ours.0.push((flint.to_owned(), value));
            }
            None => theirs.push((name, value)),
        }
    }
    (ours, theirs)
}

pub(crate) fn command(vars: &Vars, name: &'static str) -> Result<Vec<String>, ConfigError> {
    let Some(value) = vars.text(name)? else { return Ok(Vec::new()) };
    let command: Vec<String> = serde_json::from_str(&value).map_err(|_| ConfigError::Invalid {
        name,
        value,
        expected: r#"a JSON array of strings like ["./bootstrap"]"#,
    })?;
    if command.first().is_some_and(String::is_empty) {
        return Err(ConfigError::Conflict("FLINT_COMMAND names no program: its first item is empty"));
    }
    Ok(command)
}

/// The function's key as it is or, in a pod of its own, its namespace's, which it is derived from.
fn key(vars: &Vars) -> Result<Key, ConfigError> {
    if let Some(key) = vars.text("FLINT_KEY")? {
        return Ok(Key(key));
    }
    let function = vars.text("FLINT_FUNCTION")?.unwrap_or_default();
    let namespace_key = vars.text("FLINT_NAMESPACE_KEY")?;
    Ok(namespace_key.map_or_else(Key::default, |key| Key(wire::instance_key_of(&key, &function))))
}

/// `GET /users/{id}, POST /users`, as the Function's annotation has it.
fn routes(vars: &Vars) -> Result<Option<Paths<String>>, ConfigError> {
    let name = "FLINT_ROUTES";
    let Some(value) = vars.text(name)? else { return Ok(None) };
    let expected = "METHOD /path, separated by commas";
    paths::routes(&value).map(Some).map_err(|_| ConfigError::Invalid { name, value, expected })
}

fn package(vars: &Vars) -> Result<Option<PackageSource>, ConfigError> {
    match (vars.url("FLINT_PACKAGE_URL")?, vars.text("FLINT_PACKAGE_DIGEST")?) {
        (None, None) => Ok(None),
        (Some(url), Some(text)) => {
            let mut digest = [0; 32];
            let hexadecimal = text.strip_prefix("sha256:").unwrap_or_default();
            hex::decode_to_slice(hexadecimal, &mut digest).map_err(|_| ConfigError::Invalid {
                name: "FLINT_PACKAGE_DIGEST",
                value: text.clone(),
                expected: "sha256: and 64 hexadecimal digits",
            })?;
            Ok(Some(PackageSource { url, digest }))
        }
        _ => Err(ConfigError::Conflict("FLINT_PACKAGE_URL and FLINT_PACKAGE_DIGEST go together")),
    }
}

// === impl Vars ===

/// The variables that are ours.
pub(crate) struct Vars(Vec<(String, OsString)>);

impl Vars {
    /// An empty variable is as good as none.
    pub(crate) fn text(&self, name: &'static str) -> Result<Option<String>, ConfigError> {
        let Some((_, value)) = self.0.iter().find(|(key, _)| key == name) else { return Ok(None) };
        let text = value.to_str().ok_or_else(|| ConfigError::Invalid {
            name,
            value: value.to_string_lossy().into_owned(),
            expected: "UTF-8",
        })?;
        Ok((!text.is_empty()).then(|| text.to_owned()))
    }

    pub(crate) fn parsed<T: FromStr>(
        &self,
        name: &'static str,
        expected: &'static str,
    ) -> Result<Option<T>, ConfigError> {
        let Some(value) = self.text(name)? else { return Ok(None) };
        let parsed = value.parse().map_err(|_| ConfigError::Invalid { name, value, expected })?;
        Ok(Some(parsed))
    }

    pub(crate) fn url(&self, name: &'static str) -> Result<Option<Uri>, ConfigError> {
        let expected = "an http:// URL";
        let Some(url) = self.parsed::<Uri>(name, expected)? else { return Ok(None) };
        if url.scheme_str() != Some("http") || url.host().is_none_or(str::is_empty) {
            return Err(ConfigError::Invalid { name, value: url.to_string(), expected });
        }
        Ok(Some(url))
    }
}

// === impl ModeKind ===

impl FromStr for ModeKind {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        match text {
            "lambda" => Ok(Self::Lambda),
            "http" => Ok(Self::Http),
            "process" => Ok(Self::Process),
            _ => Err(()),
        }
    }
}

// === impl Key ===

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Key(…)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(vars: &[(&str, &str)]) -> Result<Config, ConfigError> {
        let base = [
            ("FLINT_MODE", "lambda"),
            ("FLINT_FUNCTION", "thumbnail"),
            ("FLINT_COMMAND", r#"["./bootstrap"]"#),
        ];
        let unless_given = base.iter().filter(|(name, _)| !vars.iter().any(|(given, _)| given == name));
        Config::from_vars(
            unless_given.chain(vars).map(|(name, value)| (OsString::from(name), OsString::from(value))),
        )
    }

    #[test]
    fn what_is_not_said_has_the_documented_default() {
        let config = config(&[]).unwrap();
        assert_eq!((config.port, config.admin_port, config.upstream_port), (8012, 8013, 8080));
        assert_eq!(config.timeout, Duration::from_secs(30));
        assert_eq!(config.concurrency, Some(1));
        assert_eq!(config.task_root, PathBuf::from("/var/task"));
        assert_eq!(config.identity.namespace, "default");
    }

    #[test]
    fn a_server_takes_a_hundred_requests_at_a_time_and_needs_no_command() {
        let config = config(&[("FLINT_MODE", "http"), ("FLINT_COMMAND", "")]).unwrap();
        assert_eq!(config.concurrency, Some(100));
        assert!(config.command.is_empty());
    }

    #[test]
    fn concurrency_zero_is_no_limit() {
        assert_eq!(config(&[("FLINT_CONCURRENCY", "0")]).unwrap().concurrency, None);
    }

    #[test]
    fn the_functions_key_is_derived_from_its_namespaces_where_it_is_not_given() {
        let namespace_key = wire::namespace_key(b"master", "shop");
        let derived = config(&[("FLINT_NAMESPACE_KEY", &namespace_key)]).unwrap();
        assert_eq!(derived.key.0, wire::instance_key(b"master", "shop", "thumbnail"));
        assert!(derived.environment.iter().all(|(name, _)| name != "FLINT_NAMESPACE_KEY"));
        let given = config(&[("FLINT_NAMESPACE_KEY", &namespace_key), ("FLINT_KEY", "given")]).unwrap();
        assert_eq!(given.key.0, "given");
        assert_eq!(config(&[]).unwrap().key.0, "");
    }

    #[test]
    fn the_handler_stands_in_for_its_placeholder() {
        let vars = [
            ("FLINT_COMMAND", r#"["python3","-m","awslambdaric","{handler}"]"#),
            ("FLINT_HANDLER", "app.handler"),
        ];
        assert_eq!(config(&vars).unwrap().command[3], "app.handler");
    }

    #[test]
    fn the_child_gets_the_users_variables_and_the_three_names_and_no_secret() {
        let config =
            config(&[("FLINT_KEY", "secret"), ("MY_VARIABLE", "mine"), ("FLINT_HOME_URL", "http://h")])
                .unwrap();
        let names: Vec<_> = config.environment.iter().map(|(name, _)| name.to_str().unwrap()).collect();
        assert_eq!(names, ["FLINT_FUNCTION", "MY_VARIABLE"]);
        assert!(!format!("{config:?}").contains("secret"));
    }

    #[test]
    fn wrong_values_are_refused_with_the_name_of_the_variable() {
        let digest = format!("sha256:{}", "0".repeat(64));
        let wrong: [(&[(&str, &str)], &str); 11] = [
            (&[("FLINT_MODE", "")], "FLINT_MODE is not set"),
            (&[("FLINT_MODE", "grpc")], "lambda, http or process"),
            (&[("FLINT_FUNCTION", "")], "FLINT_FUNCTION is not set"),
            (&[("FLINT_COMMAND", "")], "need a program"),
            (&[("FLINT_COMMAND", "./bootstrap")], "a JSON array"),
            (&[("FLINT_COMMAND", r#"[""]"#)], "names no program"),
            (&[("FLINT_TIMEOUT_MS", "3s")], "FLINT_TIMEOUT_MS"),
            (&[("FLINT_TIMEOUT_MS", "0")], "FLINT_TIMEOUT_MS"),
            (&[("FLINT_HOME_URL", "https://home")], "an http:// URL"),
            (&[("FLINT_PACKAGE_DIGEST", &digest)], "go together"),
            (
                &[("FLINT_PACKAGE_URL", "http://home/p"), ("FLINT_PACKAGE_DIGEST", "sha256:12")],
                "64 hexadecimal",
            ),
        ];
        for (vars, message) in wrong {
            let error = config(vars).unwrap_err().to_string();
            assert!(error.contains(message), "{vars:?}: {error}");
        }
    }
}
