//! Flint's gateway.

use std::process::ExitCode;

use clap::Parser;
use flint_gateway::{
    app::{Config, Gateway, Schedules},
    args::{Args, EX_USAGE},
    files, scheduler,
    source::{fixed::Fixed, kube::Cluster},
};
use flint_kube::{Lease, WatchMetrics, lease};
use flint_telemetry::{Admin, init_logs};
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

// The allocator gives memory of a burst back while the gateway idles: its background threads need no traffic for it.
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

fn main() -> ExitCode {
    let args = match Args::try_parse() {
        Ok(args) => args,
        Err(error) => {
            // Help and version are no errors.
            let code = if error.use_stderr() { EX_USAGE } else { 0 };
            let _ = error.print();
            return ExitCode::from(code);
        }
    };
    if let Err(error) = init_logs(&args.log_level, args.log_format) {
        eprintln!("{:#}", anyhow::Error::from(error));
        return ExitCode::from(EX_USAGE);
    }
    // A second provider in the process would be a mistake of ours; the first one serves all the same.
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let config = match args.config() {
        Ok(config) => config,
        Err(error) => {
            tracing::error!(error = format!("{:#}", anyhow::Error::from(error)), "wrong configuration");
            return ExitCode::from(EX_USAGE);
        }
    };
    let outcome =
        runtime.map_err(anyhow::Error::from).and_then(|runtime| runtime.block_on(run(args, config)));
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tracing::error!(error = format!("{error:#}"), "the gateway ends");
            ExitCode::FAILURE
        }
    }
}

async fn run(args: Args, mut config: Config) -> anyhow::Result<()> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let shutdown = async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
    };
    config.connections = allowed(&config);
    let admin = Admin::new()?;
    let registry = admin.registry.clone();
    if let Some(file) = &args.static_table {
        let fixed = Fixed::read(file)?;
        let gateway = Gateway::bind(config, admin).await?;
        return gateway.run(fixed, |_, _| std::future::ready(()), shutdown).await;
    }
    let client = flint_kube::client(concat!("flint-gateway/", env!("CARGO_PKG_VERSION"))).await?;
    let cluster = Cluster::new(client.clone(), WatchMetrics::new(&registry)?);
    let gateway = Gateway::bind(config, admin).await?;
    if !args.schedules {
        return gateway.run(cluster, |_, _| std::future::ready(()), shutdown).await;
    }
    let namespace = args.namespace;
    let scheduler = |schedules: Schedules, stop: CancellationToken| async move {
        let config = lease::Config {
            look_every: LOOK_EVERY,
            ..lease::Config::new(&namespace, LEASE, &schedules.gateway)
        };
        let give_up = CancellationToken::new();
        let (holding, lease) = Lease::new(client, config).spawn(give_up.clone());
        scheduler::run(schedules, || holding.is_held(), stop).await;
        // Nothing is under way any more: the next one may begin.
        give_up.cancel();
        let _ = lease.await;
    };
    gateway.run(cluster, scheduler, shutdown).await
}

/// The client connections of a worker, within what the system allows.
fn allowed(config: &Config) -> usize {
    let files = files::allow_most().unwrap_or_else(|error| {
        tracing::warn!(%error, "the limit of open files is not known");
        u64::MAX
    });
    let workers = match config.workers {
        0 => std::thread::available_parallelism().map_or(1, usize::from),
        workers => workers,
    };
    let memory = files::memory();
    let connections = files::connections(config.connections, files, memory, workers);
    if connections < config.connections {
        tracing::info!(
            files,
            memory,
            workers,
            connections,
            asked = config.connections,
            "client connections of a worker, by what files and memory there are"
        );
    }
    connections
}

/// The Lease that the gateways hold among themselves; see `docs/internals.md`.
const LEASE: &str = "flint-scheduler";
/// How often a gateway that does not hold it looks at the Lease: a hundred gateways make twenty requests a second. Schedules fire
/// by the minute, and a firing that nobody made meanwhile is made by the next holder.
const LOOK_EVERY: std::time::Duration = std::time::Duration::from_secs(5);
