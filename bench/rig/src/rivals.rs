//! The proxies that are measured beside each other, each as its users would run it.

use std::{
    fs,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::Context;
use clap::ValueEnum;
use serde_json::{Value, json};

use crate::{
    changes::{kubeconfig, wait_for_all},
    load::Target,
    process::{Running, Usage},
};

/// What can stand between the load and the backend.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Rival {
    /// Nothing: the floor.
    Direct,
    /// nginx, with the access log off.
    Nginx,
    /// nginx, with its access log on and unbuffered, as packaged.
    NginxLog,
    /// The engine (lib/proxy) alone.
    Engine,
    /// The gateway with a table of one function: everything on but its access log.
    Gateway,
    /// The gateway, its access log on.
    GatewayLog,
    /// The gateway with a table of many functions.
    GatewayMany,
    /// The gateway on the watches of an API server with many functions, of which some change all the time.
    GatewayChanges,
    /// The gateway and a watchdog in http mode behind it: all that Flint puts before a server.
    Http,
    /// The gateway and a watchdog in lambda mode, with a function of the least that the Runtime API wants.
    Lambda,
}

/// A rival that runs.
pub(crate) struct Standing {
    pub(crate) rival: Rival,
    pub(crate) target: Target,
    /// None for the floor.
    pub(crate) processes: Vec<Running>,
    /// What it needs beside it for as long as it stands, not accounted.
    _beside: Vec<Running>,
    /// Where its functions come from, if they change.
    pub(crate) source: Option<SocketAddr>,
}

/// Programs and places.
pub(crate) struct Setting<'a> {
    pub(crate) backend: SocketAddr,
    pub(crate) workers: usize,
    pub(crate) directory: &'a Path,
    pub(crate) nginx: &'a Path,
    pub(crate) gateway: Option<&'a Path>,
    pub(crate) watchdog: Option<&'a Path>,
    /// Functions in the table of [`Rival::GatewayMany`] and [`Rival::GatewayChanges`].
    pub(crate) functions: usize,
    /// Changes per second of the latter.
    pub(crate) changes: f64,
}

/// Where a backend stands for a pod: the watchdogs' port, on an address of loopback that nobody else has.
const INSTANCE: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::new(127, 10, 0, 1)), 8012);

// === impl Rival ===

impl Rival {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Direct => "direct",
            Self::Nginx => "nginx",
            Self::NginxLog => "nginx+log",
            Self::Engine => "engine",
            Self::Gateway => "gateway",
            Self::GatewayLog => "gateway+log",
            Self::GatewayMany => "gateway+many",
            Self::GatewayChanges => "gateway+changes",
            Self::Http => "http",
            Self::Lambda => "lambda",
        }
    }

    /// Whom it is compared with: nginx doing the same, the access log included.
    pub(crate) fn rival(self) -> Self {
        if matches!(self, Self::NginxLog | Self::GatewayLog) { Self::NginxLog } else { Self::Nginx }
    }

    /// Starts it in front of the backend, on a free port.
    pub(crate) fn start(self, setting: &Setting<'_>) -> anyhow::Result<Standing> {
        let address = free_port()?;
        let (mut path, host) = ("/", "bench.example");
        let (mut processes, mut beside, mut source) = (Vec::new(), Vec::new(), None);
        let mut command = match self {
            Self::Direct => {
                let target = Target { address: setting.backend, host: host.into(), path: path.into() };
                return Ok(Standing { rival: self, target, processes, _beside: beside, source });
            }
            Self::Nginx | Self::NginxLog => {
                let file = nginx_configuration(setting, address, self == Self::NginxLog)?;
                let mut command = Command::new(setting.nginx);
                command.arg("-c").arg(file).arg("-p").arg(setting.directory);
                command
            }
            Self::Engine => {
                let mut command = Command::new(std::env::current_exe()?);
                command.args([
                    "engine",
                    "--listen",
                    &address.to_string(),
                    "--upstream",
                    &setting.backend.to_string(),
                ]);
                command.args(["--workers", &setting.workers.to_string()]);
                command
            }
            Self::Gateway | Self::GatewayLog | Self::GatewayMany => {
                path = "/function/bench";
                let functions = if self == Self::GatewayMany { setting.functions } else { 1 };
                let table = table(setting, functions, json!({"instances": [setting.backend]}));
                with_table(setting, address, table, self == Self::GatewayLog)?
            }
            Self::GatewayChanges => {
                path = "/function/bench";
                let (instance, server) = (INSTANCE, free_port()?);
                beside.push(Running::start(&mut ours("backend", instance)?, instance)?);
                let mut changes = ours("changes", server)?;
                changes.args([
                    "--functions",
                    &setting.functions.to_string(),
                    "--rate",
                    &setting.changes.to_string(),
                ]);
                changes.args(["--instance", &instance.to_string()]);
                beside.push(Running::start(&mut changes, server)?);
                source = Some(server);
                let mut command = gateway(setting, address, false)?;
                command
                    .env("KUBECONFIG", kubeconfig(server, setting.directory)?)
                    .args(["--schedules", "false"]);
                command
            }
            Self::Http | Self::Lambda => {
                path = "/function/bench";
                let instance = free_port()?;
                processes.push(watchdog(self, setting, instance)?);
                let mode = if self == Self::Lambda { "lambda" } else { "http" };
                let concurrency = u32::from(self == Self::Lambda);
                let bench = json!({"mode": mode, "concurrency": concurrency, "instances": [instance]});
                with_table(setting, address, table(setting, 1, bench), false)?
            }
        };
        processes.push(Running::start(&mut command, address)?);
        if source.is_some() {
            wait_for_all(address)?;
        }
        let target = Target { address, host: host.into(), path: path.into() };
        Ok(Standing { rival: self, target, processes, _beside: beside, source })
    }
}

// === impl Standing ===

impl Standing {
    /// What its processes have used so far.
    pub(crate) fn usage(&self) -> Usage {
        self.processes.iter().map(Running::usage).fold(Usage::default(), |all, one| all + one)
    }
}

fn nginx_configuration(setting: &Setting<'_>, listen: SocketAddr, log: bool) -> anyhow::Result<PathBuf> {
    let Setting { backend, workers, directory, .. } = setting;
    let directory = directory.display();
    let name = if log { "nginx-log" } else { "nginx" };
    let log = if log { format!("{directory}/access.log combined") } else { "off".into() };
    // Connections are kept on both sides for the whole window, as ours are.
    let text = format!(
        "daemon off;
worker_processes {workers};
pid {directory}/{name}.pid;
error_log {directory}/{name}-error.log;
events {{ worker_connections 8192; }}
http {{
    access_log {log};
    client_body_temp_path {directory}/body;
    proxy_temp_path {directory}/proxy;
    fastcgi_temp_path {directory}/fastcgi;
    uwsgi_temp_path {directory}/uwsgi;
    scgi_temp_path {directory}/scgi;
    keepalive_requests 100000000;
    tcp_nodelay on;
    upstream backend {{
        server {backend};
        keepalive 256;
        keepalive_requests 100000000;
    }}
    server {{
        listen {listen} reuseport backlog=4096;
        location / {{
            proxy_pass http://backend;
            proxy_http_version 1.1;
            proxy_set_header Connection \"\";
            proxy_set_header Host $host;
            proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;
            proxy_set_header X-Forwarded-Host $host;
            proxy_set_header X-Forwarded-Proto $scheme;
        }}
    }}
}}
"
    );
    let file = setting.directory.join(format!("{name}.conf"));
    fs::write(&file, text).with_context(|| format!("cannot write {}", file.display()))?;
    Ok(file)
}

/// A table of so many functions, of which `bench` is one.
fn table(setting: &Setting<'_>, functions: usize, mut bench: Value) -> Value {
    bench["name"] = "bench".into();
    let other = |number| json!({"name": format!("other-{number}"), "instances": [setting.backend]});
    let functions: Vec<_> = std::iter::once(bench).chain((1..functions).map(other)).collect();
    json!({"functions": functions})
}

/// The gateway with that table.
pub(crate) fn with_table(
    setting: &Setting<'_>,
    listen: SocketAddr,
    table: Value,
    log: bool,
) -> anyhow::Result<Command> {
    let mut command = gateway(setting, listen, log)?;
    let file = setting.directory.join(format!("functions-{}.json", listen.port()));
    fs::write(&file, table.to_string()).with_context(|| format!("cannot write {}", file.display()))?;
    command.arg("--static-table").arg(file);
    Ok(command)
}

fn gateway(setting: &Setting<'_>, listen: SocketAddr, log: bool) -> anyhow::Result<Command> {
    let gateway =
        setting.gateway.context("the gateway is not among what is measured without --gateway FILE")?;
    let mut command = Command::new(gateway);
    command
        .args(["--listen", &listen.to_string(), "--admin-listen", &free_port()?.to_string()])
        .args(["--workers", &setting.workers.to_string(), "--access-log", &log.to_string()])
        .args(["--drain-delay", "0s", "--log-level", "warn,access=info"]);
    Ok(command)
}

/// A watchdog as in a pod, in front of the backend or of a function of ours.
fn watchdog(rival: Rival, setting: &Setting<'_>, listen: SocketAddr) -> anyhow::Result<Running> {
    let watchdog =
        setting.watchdog.context("the watchdog is not among what is measured without --watchdog FILE")?;
    let root = setting.directory.join(format!("task-{}", listen.port()));
    fs::create_dir_all(&root)?;
    let mut command = Command::new(watchdog);
    command
        .envs([("FLINT_FUNCTION", "bench"), ("FLINT_REVISION", "bench-0"), ("FLINT_GRACE_MS", "0")])
        .env("FLINT_BIND", listen.ip().to_string())
        .env("FLINT_PORT", listen.port().to_string())
        .env("FLINT_ADMIN_PORT", free_port()?.port().to_string())
        .env("FLINT_TERMINATION_LOG", root.join("termination"))
        .env("FLINT_TASK_ROOT", &root);
    if rival == Rival::Lambda {
        let bootstrap = json!([std::env::current_exe()?, "bootstrap"]);
        command.env("FLINT_MODE", "lambda").env("FLINT_COMMAND", bootstrap.to_string());
    } else {
        // No limit, as for a table of fixed instances.
        command.env("FLINT_MODE", "http").env("FLINT_CONCURRENCY", "0");
        command.env("FLINT_UPSTREAM_PORT", setting.backend.port().to_string());
    }
    Ok(Running::start(&mut command, listen)?.alone())
}

/// This program as another part of the rig, which listens there.
fn ours(part: &str, listen: SocketAddr) -> anyhow::Result<Command> {
    let mut command = Command::new(std::env::current_exe()?);
    command.args([part, "--listen", &listen.to_string()]);
    Ok(command)
}

/// A port of loopback that nobody has at this moment.
pub(crate) fn free_port() -> anyhow::Result<SocketAddr> {
    let listener = std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    Ok(listener.local_addr()?)
}
