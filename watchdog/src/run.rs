//! The life of an instance, from the first instruction to the last.

use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::process::ExitCode;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::runtime::{Builder, LocalOptions, LocalRuntime};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::task::spawn_local;
use tokio::time::{Instant, sleep, timeout};

use crate::admin::{self, Admin};
use crate::config::Config;
use crate::instance::Instance;
use crate::logs::{Field, Level, Logger, Sink};
use crate::mode::Mode;
use crate::server::Server;
use crate::{announce, package};

/// A child that was asked to end may take this long; then it is ended.
const CHILDS_GRACE: Duration = Duration::from_secs(2);
/// A container beside us hears in its preStop hook that it may end: time for it to be told, several looks long.
const LAST_WORD: Duration = Duration::from_millis(200);
/// On top of the function's timeout: the news of the end, and the last bytes.
const DRAIN_SLACK: Duration = Duration::from_secs(4);

/// Tasks that run between two looks at the sockets, as in the gateway: under load as many events are taken at a time as there are.
const TASKS_PER_POLL: u32 = 256;

/// Both ports, bound.
pub(crate) struct Sockets {
    /// For gateways.
    pub(crate) traffic: TcpListener,
    /// For kubelet, metrics and claims.
    pub(crate) admin: TcpListener,
}

/// The signals by which the watchdog is told to end.
pub(crate) struct Signals {
    terminate: Signal,
    interrupt: Signal,
}

/// The runtime of an instance: this thread, and nobody else.
///
/// # Errors
/// When the kernel has no more files.
pub fn runtime() -> io::Result<LocalRuntime> {
    Builder::new_current_thread()
        .enable_all()
        .event_interval(TASKS_PER_POLL)
        .build_local(LocalOptions::default())
}

/// Runs an instance until it is told to end or cannot go on.
///
/// # Errors
/// When standard output, the signals or the ports cannot be had.
pub async fn run(config: Config, started: Instant) -> io::Result<ExitCode> {
    let log = Logger::new(Sink::stdout()?, config.log_level, &config.identity);
    let Sockets { traffic, admin } = Sockets::bind(config.bind, config.port, config.admin_port).await?;
    let signals = Signals::new()?;
    say_listening(&log, traffic.local_addr()?.port(), admin.local_addr()?.port(), started);
    let instance = Instance::new(config, log, started);
    let reaper = instance.reaper.clone();
    tokio::spawn(async move { reaper.run().await });
    tokio::spawn(admin::serve(Arc::new(Admin::of(instance.clone())), admin));
    live(instance, traffic, signals).await
}

/// The ports are taken; what follows them may be by chance, so the log tells them.
pub(crate) fn say_listening(log: &Logger, port: u16, admin_port: u16, started: Instant) {
    let fields = [
        ("port", Field::Count(port.into())),
        ("adminPort", Field::Count(admin_port.into())),
        ("sinceStartMs", Field::Millis(started.elapsed())),
    ];
    log.log(Level::Info, None, "listening", &fields);
}

/// An instance's life, once its log, its reaper and its admin port are there.
pub(crate) async fn live(
    instance: Arc<Instance>,
    traffic: TcpListener,
    mut signals: Signals,
) -> io::Result<ExitCode> {
    let port = traffic.local_addr()?.port();
    let mode = Mode::new(&instance);
    let server = Rc::new(Server::new(instance.clone(), mode.clone()));
    spawn_local(server.clone().serve(traffic));
    tokio::spawn(announce::announce(instance.clone(), port));
    tokio::spawn(announce::claimed(instance.clone()));
    spawn_local(start(instance.clone(), mode.clone()));

    tokio::select! {
        failure = instance.failed() => {
            if let Err(error) = failure.write_to(&instance.config.termination_log) {
                instance.log.say(Level::Warn, &format!("the termination message cannot be written: {error}"));
            }
            mode.stop(Duration::ZERO).await;
            instance.log.flush();
            return Ok(ExitCode::FAILURE);
        }
        () = signals.told_to_end() => {}
    }

    instance.log.say(Level::Info, "draining");
    let longest = instance.config.timeout + DRAIN_SLACK;
    let orderly = tokio::select! {
        drained = timeout(longest, server.drain()) => drained.is_ok(),
        () = signals.told_to_end() => false,
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

// === impl Sockets ===

impl Sockets {
    /// Binds both.
    ///
    /// # Errors
    /// When somebody else has one, or it is not ours to take.
    pub(crate) async fn bind(address: IpAddr, port: u16, admin_port: u16) -> io::Result<Self> {
        Ok(Self { traffic: bind(address, port).await?, admin: bind(address, admin_port).await? })
    }
}

// === impl Signals ===

impl Signals {
    /// Listens to both.
    ///
    /// # Errors
    /// When the kernel says no.
    pub(crate) fn new() -> io::Result<Self> {
        Ok(Self { terminate: signal(SignalKind::terminate())?, interrupt: signal(SignalKind::interrupt())? })
    }

    /// Waits for either.
    pub(crate) async fn told_to_end(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
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
