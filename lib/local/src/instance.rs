//! The program of an instance: the watchdog, which does not outlive the platform that started it.
//!
//! The platform holds the other end of our standard input. It sends one byte when it has set our limits, before which
//! nothing is started; and when it is gone, however it went, the pipe closes and the instance ends with all it started.

use std::{
    io::{self, Read as _},
    os::fd::AsFd as _,
    process::ExitCode,
    time::Duration,
};

use flint_watchdog::{config::Config, run};
use nix::sys::signal::{Signal, raise};
use tokio::{
    net::unix::pipe,
    time::{Instant, sleep},
};

/// `EX_USAGE`, for a wrong environment.
const WRONG_ENVIRONMENT: u8 = 64;
/// Between the signal that asks the watchdog to end and the one that it does not argue with: two that come as one are one.
const IMPATIENCE: Duration = Duration::from_millis(100);

/// Runs the instance that the environment describes; see `docs/internals.md`. To be called before any thread is started.
#[must_use]
pub fn main() -> ExitCode {
    let started = Instant::now();
    // A session of our own: Ctrl-C in the terminal is for the platform, which lets requests end.
    let _ = nix::unistd::setsid();
    let mut go = [0];
    if io::stdin().read_exact(&mut go).is_err() {
        return ExitCode::FAILURE;
    }
    let config = match Config::from_vars(std::env::vars_os()) {
        Ok(config) => config,
        Err(error) => {
            eprintln!("{error}");
            return ExitCode::from(WRONG_ENVIRONMENT);
        }
    };
    let outcome = run::runtime().and_then(|runtime| {
        let outcome = runtime.block_on(async {
            tokio::spawn(end_with_the_platform());
            run::run(config, started).await
        });
        runtime.shutdown_background();
        outcome
    });
    outcome.unwrap_or_else(|error| {
        eprintln!("{error}");
        ExitCode::FAILURE
    })
}

/// Waits for the platform's end, and then ends at once: nobody is there who could read an answer.
async fn end_with_the_platform() {
    let platform = io::stdin().as_fd().try_clone_to_owned().and_then(pipe::Receiver::from_owned_fd);
    if let Ok(platform) = platform {
        while platform.readable().await.is_ok() {
            match platform.try_read(&mut [0; 16]) {
                Ok(0) => break,
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(_) => break,
            }
        }
    }
    let _ = raise(Signal::SIGTERM);
    sleep(IMPATIENCE).await;
    let _ = raise(Signal::SIGTERM);
}
