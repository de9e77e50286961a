//! What a waiting pod is told by its environment, and how a ticket completes it.

use std::ffi::OsString;
use std::net::IpAddr;
use std::path::PathBuf;

use flint_core::wire;
use http::Uri;

use crate::config::{Config, ConfigError, Identity, Key, Variables, command, split};
use crate::logs::Level;

/// Everything that the environment of a waiting pod decides.
#[derive(Debug)]
pub struct PoolConfig {
    /// The pool's name.
    pub pool: String,
    /// Opens the pool's tickets.
    pub key: Key,
    /// The process that is loaded ahead and becomes the function's; empty for none.
    pub command: Vec<String>,
    /// Namespace, pod, uid and address; no function yet.
    pub identity: Identity,
    /// Whom a claimed pod calls.
    pub home: Option<Uri>,
    /// Where packages will be fetched.
    pub packages: Option<Uri>,
    /// What is logged.
    pub log_level: Level,
    /// The address that both ports are bound on.
    pub bind: IpAddr,
    /// Port for traffic.
    pub port: u16,
    /// Port for claims, health and metrics.
    pub admin_port: u16,
    /// A file that says that the pod was claimed. It is of the pod, not of the container: one that is started again in a claimed pod must not wait
    /// there for another function.
    pub mark: PathBuf,
    /// Where the code will be.
    pub task_root: PathBuf,
    /// Where Kubernetes looks for the reason of an end.
    pub termination_log: PathBuf,
    /// The image's and the Runtime's variables.
    pub environment: Variables,
    /// All variables but the pool's own: what a ticket is laid over.
    base: Variables,
}

/// Its presence makes a watchdog wait for a claim.
pub(crate) const POOL: &str = "FLINT_POOL";
const OWN: [&str; 4] = [POOL, "FLINT_POOL_KEY", "FLINT_POOL_COMMAND", "FLINT_POOL_MARK"];

// === impl PoolConfig ===

impl PoolConfig {
    /// Reads the variables; `None` when they describe no pool.
    ///
    /// # Errors
    /// The first thing that is wrong.
    pub fn from_vars(vars: &[(OsString, OsString)]) -> Result<Option<Self>, ConfigError> {
        let base: Variables =
            vars.iter().filter(|(name, _)| !OWN.iter().any(|own| name == own)).cloned().collect();
        let (vars, _) = split(vars.iter().cloned());
        let Some(pool) = vars.text(POOL)? else { return Ok(None) };
        let (_, environment) = split(base.iter().cloned());
        Ok(Some(Self {
            pool,
            key: Key(vars.text("FLINT_POOL_KEY")?.ok_or(ConfigError::Missing("FLINT_POOL_KEY"))?),
            command: command(&vars, "FLINT_POOL_COMMAND")?,
            identity: Identity {
                namespace: vars.text("FLINT_NAMESPACE")?.unwrap_or_else(|| "default".to_owned()),
                function: String::new(),
                revision: String::new(),
                pod: vars.text("FLINT_POD_NAME")?.unwrap_or_default(),
                uid: vars.text("FLINT_POD_UID")?.ok_or(ConfigError::Missing("FLINT_POD_UID"))?,
                ip: vars.parsed("FLINT_POD_IP", "an IP address")?,
            },
            home: vars.url("FLINT_HOME_URL")?,
            packages: vars.url("FLINT_PACKAGES_URL")?,
            log_level: vars.parsed("FLINT_LOG_LEVEL", "debug, info, warn or error")?.unwrap_or(Level::Info),
            bind: vars.parsed("FLINT_BIND", "an IP address")?.unwrap_or(IpAddr::from([0; 16])),
            port: vars.parsed("FLINT_PORT", "a port")?.unwrap_or(wire::WATCHDOG_PORT),
            admin_port: vars.parsed("FLINT_ADMIN_PORT", "a port")?.unwrap_or(wire::WATCHDOG_ADMIN_PORT),
            mark: vars
                .text("FLINT_POOL_MARK")?
                .map_or_else(|| PathBuf::from("/dev/shm/flint-claimed"), PathBuf::from),
            task_root: vars
                .text("FLINT_TASK_ROOT")?
                .map_or_else(|| PathBuf::from("/var/task"), PathBuf::from),
            termination_log: vars
                .text("FLINT_TERMINATION_LOG")?
                .map_or_else(|| PathBuf::from("/dev/termination-log"), PathBuf::from),
            environment,
            base,
        }))
    }

    /// The configuration of the function's instance: the ticket's variables over the pod's.
    ///
    /// # Errors
    /// When they are no function's. The namespace cannot be another than the pod's.
    pub fn with_ticket(&self, ticket: Vec<(String, String)>) -> Result<Config, ConfigError> {
        let ticket: Vec<(OsString, OsString)> =
            ticket.into_iter().map(|(name, value)| (name.into(), value.into())).collect();
        let kept = self.base.iter().filter(|(name, _)| !ticket.iter().any(|(given, _)| given == name));
        let config = Config::from_vars(kept.chain(&ticket).cloned())?;
        if config.identity.namespace != self.identity.namespace || config.identity.uid != self.identity.uid {
            return Err(ConfigError::Conflict("the ticket is for another namespace or pod"));
        }
        Ok(config)
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    pub(in crate::pool) fn pool() -> PoolConfig {
        let vars = [
            ("FLINT_POOL", "flint-pool-python"),
            ("FLINT_POOL_KEY", "key"),
            ("FLINT_NAMESPACE", "shop"),
            ("FLINT_POD_UID", "uid-1"),
            ("LANG", "C.UTF-8"),
            ("TZ", "UTC"),
        ];
        let vars: Vec<_> = vars.iter().map(|(name, value)| (name.into(), value.into())).collect();
        PoolConfig::from_vars(&vars).unwrap().unwrap()
    }

    pub(in crate::pool) fn ticket(more: &[(&str, &str)]) -> Vec<(String, String)> {
        let base = [
            ("FLINT_FUNCTION", "thumbnail"),
            ("FLINT_MODE", "lambda"),
            ("FLINT_COMMAND", r#"["./bootstrap"]"#),
            ("FLINT_KEY", "the function's"),
        ];
        base.iter().chain(more).map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
    }

    #[test]
    fn a_ticket_makes_the_pod_the_functions_and_its_variables_win() {
        let config =
            pool().with_ticket(ticket(&[("FLINT_NAMESPACE", "shop"), ("TZ", "Europe/Berlin")])).unwrap();
        assert_eq!(config.identity.function, "thumbnail");
        assert_eq!(config.identity.uid, "uid-1");
        assert_eq!(config.key.0, "the function's");
        assert_eq!(config.user_variable("TZ").unwrap(), "Europe/Berlin");
        assert_eq!(config.user_variable("LANG").unwrap(), "C.UTF-8");
        assert!(config.environment.iter().all(|(name, _)| !name.to_string_lossy().contains("POOL")));
    }

    #[test]
    fn a_ticket_never_takes_a_pod_to_another_namespace() {
        assert!(pool().with_ticket(ticket(&[("FLINT_NAMESPACE", "bank")])).is_err());
    }

    #[test]
    fn without_the_variable_there_is_no_pool() {
        assert!(PoolConfig::from_vars(&[("FLINT_MODE".into(), "lambda".into())]).unwrap().is_none());
    }
}
