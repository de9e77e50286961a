//! The proxies that are measured beside each other, each as its users would run it.

use std::{
    fs,
    net::{Ipv4Addr, SocketAddr},
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::Context;
use clap::ValueEnum;

use crate::{load::Target, process::Running};

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
}

/// A rival that runs.
pub(crate) struct Standing {
    pub(crate) rival: Rival,
    pub(crate) target: Target,
    /// None for the floor.
    pub(crate) process: Option<Running>,
}

/// Programs and places.
pub(crate) struct Setting<'a> {
    pub(crate) backend: SocketAddr,
    pub(crate) workers: usize,
    pub(crate) directory: &'a Path,
    pub(crate) nginx: &'a Path,
    pub(crate) gateway: Option<&'a Path>,
    /// Functions in the gateway's table.
    pub(crate) functions: usize,
}

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
        }
    }

    /// Whom it is compared with: nginx doing the same, the access log included.
    pub(crate) fn rival(self) -> Self {
        match self {
            Self::NginxLog | Self::GatewayLog => Self::NginxLog,
            Self::Direct | Self::Nginx | Self::Engine | Self::Gateway => Self::Nginx,
        }
    }

    /// Starts it in front of the backend, on a free port.
    pub(crate) fn start(self, setting: &Setting<'_>) -> anyhow::Result<Standing> {
        let address = free_port()?;
        let (mut path, host) = ("/", "bench.example");
        let mut command = match self {
            Self::Direct => {
                let target = Target { address: setting.backend, host: host.into(), path: path.into() };
                return Ok(Standing { rival: self, target, process: None });
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
            Self::Gateway | Self::GatewayLog => {
                path = "/function/bench";
                gateway_command(setting, address, self == Self::GatewayLog)?
            }
        };
        let process = Running::start(&mut command, address)?;
        let target = Target { address, host: host.into(), path: path.into() };
        Ok(Standing { rival: self, target, process: Some(process) })
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

fn gateway_command(setting: &Setting<'_>, listen: SocketAddr, log: bool) -> anyhow::Result<Command> {
    let gateway =
        setting.gateway.context("the gateway is not among what is measured without --gateway FILE")?;
    let table = setting.directory.join("functions.json");
    let function = |name: String| serde_json::json!({"name": name, "instances": [setting.backend]});
    let others = (1..setting.functions).map(|number| function(format!("other-{number}")));
    let functions: Vec<_> = std::iter::once(function("bench".into())).chain(others).collect();
    fs::write(&table, serde_json::json!({"functions": functions}).to_string())
        .with_context(|| format!("cannot write {}", table.display()))?;
    let mut command = Command::new(gateway);
    command
        .arg("--static-table")
        .arg(table)
        .args(["--listen", &listen.to_string(), "--admin-listen", &free_port()?.to_string()])
        .args(["--workers", &setting.workers.to_string(), "--access-log", &log.to_string()])
        .args(["--drain-delay", "0s", "--log-level", "warn,access=info"]);
    Ok(command)
}

/// A port of loopback that nobody has at this moment.
pub(crate) fn free_port() -> anyhow::Result<SocketAddr> {
    let listener = std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    Ok(listener.local_addr()?)
}
