//! A pod that waits in a warm pool: everything is up but the function, until the first good claim says whose it becomes.
//!
//! The ports are bound and the runtime's process is loaded before anybody asks. The traffic port accepts nobody yet; claims come
//! to the admin port. The first good one makes the pod that function's, and it goes on as its instance, by the same code as any other,
//! with the claim's ticket in the place of the pod's environment. It never waits again: it ends as the function's.

mod config;
mod desk;
mod warm;

use std::io;
use std::net::SocketAddr;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use http::Uri;
use tokio::time::{Instant, MissedTickBehavior, interval};

pub use self::config::PoolConfig;
pub(crate) use self::desk::{Claim, Desk};
pub(crate) use self::warm::Warm;

use crate::admin::{self, Admin};
use crate::child::Reaper;
use crate::instance::{Instance, Origin};
use crate::logs::{Field, Level, Logger, Sink};
use crate::run::{self, Signals, Sockets};
use crate::termination::Failure;

/// How often home's name and the packages' are resolved, so that a claim does not wait for it.
const RESOLVE_EVERY: Duration = Duration::from_secs(30);

/// Waits for a claim and runs the instance that it makes, until told to end.
///
/// # Errors
/// When standard output, the signals or the ports cannot be had.
pub async fn run(config: PoolConfig, started: Instant) -> io::Result<ExitCode> {
    let sink = Sink::stdout()?;
    let log = Logger::new(sink.clone(), config.log_level, &config.identity);
    let Sockets { traffic, admin } = Sockets::bind(config.bind, config.port, config.admin_port).await?;
    let mut signals = Signals::new()?;
    let reaper = Arc::new(Reaper::new());
    let reaping = reaper.clone();
    tokio::spawn(async move { reaping.run().await });
    let config = Arc::new(config);
    let (desk, mut claims) = Desk::new(config.clone());
    let front = Arc::new(Admin::waiting(desk));
    let admin_port = admin.local_addr()?.port();
    tokio::spawn(admin::serve(front.clone(), admin));
    run::say_listening(&log, traffic.local_addr()?.port(), admin_port, started);

    if config.mark.exists() {
        let message =
            "the pod was claimed, and its container has ended since: it does not wait for another function";
        return Ok(failed(&config, &log, &Failure::new("Runtime.Pool", message)));
    }
    let mut warm = match Warm::start(&config, &reaper).await {
        Ok(warm) => warm,
        Err(error) => return Ok(failed(&config, &log, &Failure::new(error.error_type(), error.to_string()))),
    };
    let mut loaded = false;
    let (mut home, mut packages) = (None, None);
    let mut resolve = interval(RESOLVE_EVERY);
    resolve.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let claim = loop {
        tokio::select! {
            biased;
            () = signals.told_to_end() => {
                if let Some(warm) = &warm {
                    warm.end();
                }
                log.say(Level::Info, "ended without a claim");
                log.flush();
                return Ok(ExitCode::SUCCESS);
            }
            Some(claim) = claims.recv() => break claim,
            outcome = Warm::watch(&mut warm, loaded) => {
                if let Err(failure) = outcome {
                    return Ok(failed(&config, &log, &failure));
                }
                loaded = true;
                front.loaded();
                let fields = [("sinceStartMs", Field::Millis(started.elapsed()))];
                log.log(Level::Info, None, "waiting for a claim", &fields);
            }
            _ = resolve.tick() => {
                let (to_home, to_packages) =
                    tokio::join!(resolved(config.home.as_ref()), resolved(config.packages.as_ref()));
                (home, packages) = (to_home.or(home), to_packages.or(packages));
            }
        }
    };

    let Claim { config: claimed, at, verdict } = claim;
    if let Err(error) = std::fs::write(&config.mark, claimed.identity.function.as_bytes()) {
        log.say(Level::Warn, &format!("{} cannot be written: {error}", config.mark.display()));
    }
    let log = Logger::new(sink, claimed.log_level, &claimed.identity);
    let origin = Origin { pool: config.pool.clone(), home, packages, warm };
    let instance = Instance::of_pool(*claimed, log, at, reaper, origin);
    front.claimed(instance.clone());
    instance.log.log(Level::Info, None, "claimed", &[("pool", Field::Text(&config.pool))]);
    let told = instance.clone();
    tokio::spawn(async move {
        let outcome = tokio::select! {
            init = told.ready() => Ok(init),
            failure = told.failed() => Err(failure.line()),
        };
        // A gateway that has gone finds the instance by its announcement.
        let _ = verdict.send(Some(outcome));
    });
    run::live(instance, traffic, signals).await
}

/// Where a URL leads now. An address that nobody answers at is tried and then looked up again, so an old one does no harm.
async fn resolved(url: Option<&Uri>) -> Option<SocketAddr> {
    let url = url?;
    let host = url.host()?.trim_matches(['[', ']']);
    tokio::net::lookup_host((host, url.port_u16().unwrap_or(80))).await.ok()?.next()
}

fn failed(config: &PoolConfig, log: &Logger, failure: &Failure) -> ExitCode {
    log.say(Level::Error, &failure.line());
    if let Err(error) = failure.write_to(&config.termination_log) {
        log.say(Level::Warn, &format!("the termination message cannot be written: {error}"));
    }
    log.flush();
    ExitCode::FAILURE
}
