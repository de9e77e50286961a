//! The environment of a process, by `docs/internals.md`.

use std::{
    io,
    net::{Ipv4Addr, TcpListener},
    path::Path,
};

use flint_api::Mode;
use flint_core::wire::instance_key;

use crate::{FunctionSpec, world::Place};

/// What a program may see of the platform's own environment. A pod shows it no more.
const INHERITED: [&str; 6] = ["PATH", "HOME", "USER", "LANG", "TZ", "TMPDIR"];
/// How long requests are still taken after SIGTERM: the gateway is told in the same moment, in this process.
const GRACE_MS: &str = "250";

/// The environment of one process of a function.
///
/// # Errors
/// There is no free port.
pub(crate) fn of(
    spec: &FunctionSpec,
    revision: &str,
    name: &str,
    place: &Place,
    last_word: &Path,
) -> io::Result<Vec<(String, String)>> {
    let inherited = INHERITED.iter().filter_map(|name| Some(((*name).to_owned(), std::env::var(name).ok()?)));
    let mut environment: Vec<(String, String)> = inherited.collect();
    environment.extend(spec.env.iter().map(|(name, value)| (name.clone(), value.clone())));
    let mut ours = |name: &str, value: String| environment.push((name.to_owned(), value));
    let key = &spec.key;
    let effective = &spec.effective;
    ours("FLINT_NAMESPACE", key.namespace.clone());
    ours("FLINT_FUNCTION", key.name.clone());
    ours("FLINT_REVISION", revision.to_owned());
    ours(
        "FLINT_MODE",
        match effective.mode {
            Mode::Lambda => "lambda",
            Mode::Http => "http",
            Mode::Process => "process",
        }
        .to_owned(),
    );
    ours("FLINT_COMMAND", serde_json::to_string(&spec.command)?);
    ours("FLINT_HANDLER", spec.handler.clone());
    if effective.mode == Mode::Http {
        let port = match spec.port {
            Some(port) => port,
            None => free_port()?,
        };
        ours("FLINT_UPSTREAM_PORT", port.to_string());
    }
    ours("FLINT_TIMEOUT_MS", effective.timeout.as_millis().to_string());
    ours("FLINT_CONCURRENCY", effective.concurrency.to_string());
    if let Some(memory) = spec.memory {
        ours("FLINT_MEMORY_BYTES", memory.to_string());
    }
    ours("FLINT_HOME_URL", format!("http://{}", place.home));
    ours("FLINT_KEY", instance_key(&place.master, &key.namespace, &key.name));
    ours("FLINT_POD_NAME", name.to_owned());
    ours("FLINT_POD_UID", name.to_owned());
    ours("FLINT_POD_IP", place.home.ip().to_string());
    ours("FLINT_BIND", place.home.ip().to_string());
    ours("FLINT_PORT", "0".to_owned());
    ours("FLINT_ADMIN_PORT", "0".to_owned());
    ours("FLINT_GRACE_MS", GRACE_MS.to_owned());
    ours("FLINT_TASK_ROOT", path(&spec.folder)?);
    ours("FLINT_TERMINATION_LOG", path(last_word)?);
    Ok(environment)
}

/// A port that nobody has at the moment. The program takes it a moment later; should another come between, the watchdog sees
/// its program end and says so.
fn free_port() -> io::Result<u16> {
    Ok(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?.port())
}

fn path(path: &Path) -> io::Result<String> {
    path.to_str()
        .map(str::to_owned)
        .ok_or_else(|| io::Error::other(format!("the path {} is not UTF-8: move the folder", path.display())))
}
