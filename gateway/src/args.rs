//! The command line: every flag is an environment variable too.

use std::{net::SocketAddr, path::PathBuf, sync::Arc};

use clap::Parser;
use flint_api::Duration;
use flint_telemetry::Format;

use crate::{
    app::Config,
    control::Link,
    credentials::{self, Credentials},
    front::Settings,
};

/// Flint's gateway: routes requests to functions, holds them while instances start, and fires schedules.
#[derive(Clone, Debug, Parser)]
#[command(name = "flint-gateway", version)]
pub struct Args {
    /// Where traffic is served.
    #[arg(long, env = "FLINT_LISTEN", default_value = "0.0.0.0:8080")]
    pub listen: SocketAddr,
    /// Where health and metrics are served.
    #[arg(long, env = "FLINT_ADMIN_LISTEN", default_value = "0.0.0.0:8081")]
    pub admin_listen: SocketAddr,
    /// Threads that serve traffic; 0 is one per core that the process may use.
    #[arg(long, env = "FLINT_WORKERS", default_value_t = 0)]
    pub workers: usize,
    /// The operator's control port, such as http://flint-leader.flint-system:8083. Without it the gateway serves what
    /// it sees, and starts nothing.
    #[arg(long, env = "FLINT_CONTROL_URL")]
    pub control_url: Option<String>,
    /// The key that the operator asks for.
    #[arg(long, env = "FLINT_CONTROL_KEY", hide_env_values = true, default_value = "")]
    pub control_key: String,
    /// This gateway's name; a part that is unique per process is added.
    #[arg(long, env = "POD_NAME", default_value = "gateway")]
    pub name: String,
    /// The namespace of the gateway's own pod, where its Lease is.
    #[arg(long, env = "POD_NAMESPACE", default_value = "flint-system")]
    pub namespace: String,
    /// The cluster's DNS domain.
    #[arg(long, env = "FLINT_CLUSTER_DOMAIN", default_value = "cluster.local")]
    pub cluster_domain: String,
    /// Requests that may wait for one function; more are answered 429.
    #[arg(long, env = "FLINT_QUEUE_LENGTH", default_value_t = 10_000)]
    pub queue_length: usize,
    /// How long a request waits for a first instance before 504 start_timeout.
    #[arg(long, env = "FLINT_START_TIMEOUT", default_value = "60s")]
    pub start_timeout: Duration,
    /// The most bytes of a request's body for lambda functions; AWS Lambda's own limit unless told otherwise.
    #[arg(long, env = "FLINT_LAMBDA_BODY_LIMIT", default_value_t = 6 * 1024 * 1024)]
    pub lambda_body_limit: u64,
    /// The most bytes of a request's body for http and process functions; 0 is no limit.
    #[arg(long, env = "FLINT_BODY_LIMIT", default_value_t = 0)]
    pub body_limit: u64,
    /// The most bytes of a request's head.
    #[arg(long, env = "FLINT_HEADER_LIMIT", default_value_t = 64 * 1024)]
    pub header_limit: usize,
    /// Client connections of one worker.
    #[arg(long, env = "FLINT_CONNECTIONS", default_value_t = 16_384)]
    pub connections: usize,
    /// How long a tunnel (WebSocket) or a streamed answer may say nothing.
    #[arg(long, env = "FLINT_IDLE_TIMEOUT", default_value = "5m")]
    pub idle_timeout: Duration,
    /// A file of access keys in the form of AWS's credentials file: Lambda's Invoke then asks for a signature by one of them. It is
    /// read again when it changes.
    #[arg(long, env = "FLINT_INVOKE_CREDENTIALS_FILE")]
    pub invoke_credentials_file: Option<PathBuf>,
    /// After SIGTERM: how long new connections are still taken, so that everybody hears that this gateway is going.
    #[arg(long, env = "FLINT_DRAIN_DELAY", default_value = "5s")]
    pub drain_delay: Duration,
    /// After that: how long requests in flight may take to end.
    #[arg(long, env = "FLINT_DRAIN_TIMEOUT", default_value = "60s")]
    pub drain_timeout: Duration,
    /// Whether each request is logged, as a JSON object a line on standard output.
    #[arg(long, env = "FLINT_ACCESS_LOG", default_value_t = true, action = clap::ArgAction::Set)]
    pub access_log: bool,
    /// Whether this gateway may fire schedules.
    #[arg(long, env = "FLINT_SCHEDULES", default_value_t = true, action = clap::ArgAction::Set)]
    pub schedules: bool,
    /// A file of functions with fixed instances, instead of Kubernetes.
    #[arg(long, env = "FLINT_STATIC_TABLE")]
    pub static_table: Option<PathBuf>,
    /// A level, or target=level pairs.
    #[arg(long, env = "FLINT_LOG", default_value = "info")]
    pub log_level: String,
    /// json or text.
    #[arg(long, env = "FLINT_LOG_FORMAT", default_value_t = Format::Json)]
    pub log_format: Format,
}

/// The exit status of a wrong configuration: EX_USAGE of sysexits.h.
pub const EX_USAGE: u8 = 64;

// === impl Args ===

impl Args {
    /// What the gateway goes by. The rest (logs, source of functions) is the program's own business.
    ///
    /// # Errors
    /// When a file that a flag names cannot be used.
    pub fn config(&self) -> Result<Config, credentials::Error> {
        let credentials =
            self.invoke_credentials_file.as_deref().map(Credentials::read).transpose()?.map(Arc::new);
        let Self {
            listen,
            admin_listen,
            workers,
            control_url,
            control_key,
            name,
            namespace: _,
            cluster_domain,
            queue_length,
            start_timeout,
            lambda_body_limit,
            body_limit,
            header_limit,
            connections,
            idle_timeout,
            invoke_credentials_file: _,
            drain_delay,
            drain_timeout,
            access_log,
            schedules: _,
            static_table: _,
            log_level: _,
            log_format: _,
        } = self;
        Ok(Config {
            listen: *listen,
            admin_listen: *admin_listen,
            workers: *workers,
            control: control_url.clone().map(|url| Link::Network { url, key: control_key.clone() }),
            // The name alone would be the old process' when a container restarts within its pod.
            gateway: format!("{name}-{:08x}", rand::random::<u32>()),
            queue_length: (*queue_length).max(1),
            settings: Settings {
                cluster_domain: cluster_domain.clone(),
                start_timeout: start_timeout.get(),
                lambda_body_limit: *lambda_body_limit,
                body_limit: (*body_limit > 0).then_some(*body_limit),
                idle_timeout: idle_timeout.get(),
                credentials,
            },
            header_limit: *header_limit,
            connections: *connections,
            drain_delay: drain_delay.get(),
            drain_timeout: drain_timeout.get(),
            access_log: *access_log,
        })
    }
}
