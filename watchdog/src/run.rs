//! The life of an instance, from the first instruction to the last.

use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::time::{Instant, sleep, timeout};

use crate::config::Config;
use crate::instance::Instance;
use crate::logs::{Field, Level, Logger, Sink};
use crate::mode::Mode;
use crate::server::Server;
use crate::{admin, announce, package};

/// A child that was asked to end may take this long; then it is ended.
const CHILDS_GRACE: Duration = Duration::from_secs(2);
/// A container beside us hears in its preStop hook that it may end: time for it to be told, several looks long.
const LAST_WORD: Duration = Duration::from_millis(200);
/// On top of the function's timeout: the news of the end, and the last bytes.
const DRAIN_SLACK: Duration = Duration::from_secs(4);

/// Runs an instance until it is told to end or cannot go on.
///
/// # Errors
/// When standard output, the signals or the ports cannot be had.
pub async fn run(config: Config, started: Instant) -> io::Result<ExitCode> {
    let log = Logger::new(Sink::stdout()?, config.log_level, &config.identity);
    let traffic = bind(config.bind, config.port).await?;
    let admin = bind(config.bind, config.admin_port).await?;
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let instance = Instance::new(config, log, started);
    let port = traffic.local_addr()?.port();
    let fields = [
        ("port", Field::Count(port.into())),
        ("adminPort", Field::Count(admin.local_addr()?.port().into())),
        ("sinceStartMs", Field::Millis(started.elapsed().as_secs_f64() * 1000.0)),
    ];
    instance.log.log(Level::Info, None, "listening", &fields);

    let mode = Mode::new(&instance);
    let server = Server::new(instance.clone(), mode.clone());
    let reaping = instance.clone();
    tokio::spawn(async move { reaping.reaper.run().await });
    tokio::spawn(admin::serve(instance.clone(), admin));
    tokio::spawn(server.clone().serve(traffic));
    tokio::spawn(announce::announce(instance.clone(), port));
    tokio::spawn(start(instance.clone(), mode.clone()));

    tokio::select! {
        failure = instance.failed() => {
            if let Err(error) = failure.write_to(&instance.config.termination_log) {
                instance.log.say(Level::Warn, &format!("the termination message cannot be written: {error}"));
            }
            mode.stop(Duration::ZERO).await;
            instance.log.flush();
            return Ok(ExitCode::FAILURE);
        }
        () = told_to_end(&mut terminate, &mut interrupt) => {}
    }

    instance.log.say(Level::Info, "draining");
    let longest = instance.config.timeout + DRAIN_SLACK;
    let orderly = tokio::select! {
        drained = timeout(longest, server.drain()) => drained.is_ok(),
        () = told_to_end(&mut terminate, &mut interrupt) => false,
    };
    if !orderly {
        instance.log.say(Level::Warn, "ended before the last request was done");
    }
    mode.stop(if orderly { CHILDS_GRACE } else { Duration::ZERO }).await;
    if orderly && instance.config.command.is_empty() {
        sleep(LAST_WORD).await;
    }
    instance.log.say(Level::Info, "ended");
    instance.log.flush();
    Ok(ExitCode::SUCCESS)
}

async fn start(instance: Arc<Instance>, mode: Mode) {
    instance.set_not_ready("fetching the package");
    if let Err(failure) = package::install(&instance).await {
        return instance.fail(failure);
    }
    mode.start().await;
}

async fn told_to_end(terminate: &mut Signal, interrupt: &mut Signal) {
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
}

/// Both families at once where the kernel has IPv6, IPv4 alone where it has not.
async fn bind(address: IpAddr, port: u16) -> io::Result<TcpListener> {
    match TcpListener::bind(SocketAddr::new(address, port)).await {
        Err(error)
            if address.is_ipv6() && address.is_unspecified() && error.kind() != io::ErrorKind::AddrInUse =>
        {
            TcpListener::bind(SocketAddr::new(Ipv4Addr::UNSPECIFIED.into(), port)).await
        }
        result => result,
    }
}
