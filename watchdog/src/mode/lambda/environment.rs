//! The environment of a Lambda runtime: the reserved variables, and defaults for the others.

use std::ffi::OsString;
use std::path::Path;

use super::NO_LIMIT;
use crate::config::{Config, Variables};

const MIB: u64 = 1024 * 1024;

/// How many invocations a child is told that it may take at once; 1 is not told.
pub(super) fn told_concurrency(config: &Config) -> usize {
    match config.user_variable("AWS_LAMBDA_MAX_CONCURRENCY") {
        // Whoever set it knows the client.
        Some(given) => given.to_str().and_then(|given| given.parse().ok()).unwrap_or(1).max(1),
        None => config.concurrency.unwrap_or(NO_LIMIT),
    }
}

/// What a child finds unless somebody says otherwise.
pub(crate) fn defaults(task_root: &Path) -> Variables {
    let root = task_root.to_string_lossy();
    let library_path = format!("{root}:{root}/lib:/opt/lib");
    let defaults = [
        ("LANG", "en_US.UTF-8"),
        ("TZ", "UTC"),
        ("PATH", "/usr/local/bin:/usr/bin:/bin:/opt/bin"),
        ("LD_LIBRARY_PATH", &library_path),
        ("AWS_XRAY_CONTEXT_MISSING", "LOG_ERROR"),
        ("AWS_LAMBDA_LOG_FORMAT", "Text"),
        ("AWS_LAMBDA_INITIALIZATION_TYPE", "on-demand"),
        ("LAMBDA_RUNTIME_DIR", "/var/runtime"),
    ];
    defaults.iter().map(|(name, value)| (OsString::from(name), OsString::from(value))).collect()
}

/// The variables of one child, whose Runtime API is at `api`. `memory` is the machine's, for functions without a limit.
pub(super) fn environment(
    config: &Config,
    api: &str,
    memory: Option<u64>,
    child: u64,
) -> Vec<(OsString, OsString)> {
    let function = &config.identity.function;
    let root = config.task_root.to_string_lossy().into_owned();
    let user = |name: &str| config.user_variable(name).and_then(|value| value.to_str()).map(str::to_owned);
    let region =
        user("AWS_REGION").or_else(|| user("AWS_DEFAULT_REGION")).unwrap_or_else(|| REGION.to_owned());
    let megabytes = config.memory_bytes.or(memory).unwrap_or(128 * MIB) / MIB;
    let stream =
        if config.identity.pod.is_empty() { &config.identity.revision } else { &config.identity.pod };

    let mut variables = defaults(&config.task_root);
    variables.extend(config.environment.iter().cloned());
    let megabytes = megabytes.to_string();
    let log_group = format!("/aws/lambda/{function}");
    let log_stream = format!("{stream}[$LATEST]{child}");
    let reserved = [
        ("_HANDLER", config.handler.as_str()),
        ("AWS_LAMBDA_RUNTIME_API", api),
        ("AWS_LAMBDA_FUNCTION_NAME", function),
        ("AWS_LAMBDA_FUNCTION_VERSION", "$LATEST"),
        ("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", &megabytes),
        ("AWS_LAMBDA_LOG_GROUP_NAME", &log_group),
        ("AWS_LAMBDA_LOG_STREAM_NAME", &log_stream),
        ("LAMBDA_TASK_ROOT", &root),
        ("AWS_REGION", &region),
        ("AWS_DEFAULT_REGION", &region),
    ];
    variables.extend(reserved.iter().map(|(name, value)| (OsString::from(name), OsString::from(value))));
    variables.retain(|(name, _)| name != "AWS_LAMBDA_MAX_CONCURRENCY");
    let told = told_concurrency(config);
    if told > 1 {
        variables.push(("AWS_LAMBDA_MAX_CONCURRENCY".into(), told.to_string().into()));
    }
    variables
}

/// Where AWS's SDKs look when nobody says where: they refuse to start without any region.
pub(super) const REGION: &str = "us-east-1";

/// The function's name as AWS's SDKs want to see it; the account is nobody's.
pub(super) fn arn(config: &Config) -> String {
    let region = config.user_variable("AWS_REGION").and_then(|region| region.to_str()).unwrap_or(REGION);
    format!("arn:aws:lambda:{region}:000000000000:function:{}", config.identity.function)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn variables(vars: &[(&str, &str)]) -> Vec<(OsString, OsString)> {
        let base = [("FLINT_MODE", "lambda"), ("FLINT_FUNCTION", "thumbnail"), ("FLINT_COMMAND", r#"["x"]"#)];
        let vars = base.iter().chain(vars).map(|(name, value)| (OsString::from(name), OsString::from(value)));
        environment(&Config::from_vars(vars).unwrap(), "127.0.0.1:9001", Some(512 * MIB), 1)
    }

    /// What the child sees: the last of several wins, as it does when a command is given its variables.
    fn value<'a>(variables: &'a [(OsString, OsString)], name: &str) -> Option<&'a str> {
        variables.iter().rev().find(|(key, _)| key == name).and_then(|(_, value)| value.to_str())
    }

    #[test]
    fn what_clients_demand_is_there() {
        let variables = variables(&[("FLINT_HANDLER", "app.handler"), ("FLINT_MEMORY_BYTES", "134217728")]);
        assert_eq!(value(&variables, "_HANDLER"), Some("app.handler"));
        assert_eq!(value(&variables, "AWS_LAMBDA_RUNTIME_API"), Some("127.0.0.1:9001"));
        assert_eq!(value(&variables, "AWS_LAMBDA_FUNCTION_MEMORY_SIZE"), Some("128"));
        assert_eq!(value(&variables, "AWS_LAMBDA_FUNCTION_VERSION"), Some("$LATEST"));
        assert_eq!(value(&variables, "LAMBDA_TASK_ROOT"), Some("/var/task"));
        assert_eq!(value(&variables, "AWS_LAMBDA_MAX_CONCURRENCY"), None);
    }

    #[test]
    fn memory_without_a_limit_is_the_machines() {
        assert_eq!(value(&variables(&[]), "AWS_LAMBDA_FUNCTION_MEMORY_SIZE"), Some("512"));
    }

    #[test]
    fn the_users_variables_win_over_defaults_and_not_over_reserved_ones() {
        let variables =
            variables(&[("TZ", "Europe/Berlin"), ("_HANDLER", "theirs"), ("AWS_REGION", "eu-west-1")]);
        assert_eq!(value(&variables, "TZ"), Some("Europe/Berlin"));
        assert_eq!(value(&variables, "_HANDLER"), Some(""));
        assert_eq!(value(&variables, "AWS_DEFAULT_REGION"), Some("eu-west-1"));
    }

    #[test]
    fn concurrency_is_told_unless_the_runtime_says_that_its_client_would_fork() {
        let told =
            |vars: &[(&str, &str)]| value(&variables(vars), "AWS_LAMBDA_MAX_CONCURRENCY").map(str::to_owned);
        assert_eq!(told(&[("FLINT_CONCURRENCY", "4")]).as_deref(), Some("4"));
        assert_eq!(told(&[("FLINT_CONCURRENCY", "4"), ("AWS_LAMBDA_MAX_CONCURRENCY", "1")]), None);
        assert_eq!(told(&[("FLINT_CONCURRENCY", "0")]).as_deref(), Some("100"));
    }
}
