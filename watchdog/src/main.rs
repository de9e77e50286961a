//! The watchdog's program: reads the environment and runs the instance that it describes.

use std::process::ExitCode;

use flint_watchdog::config::Config;
use flint_watchdog::pool::{self, PoolConfig};
use flint_watchdog::run;
use tokio::time::Instant;

/// `EX_USAGE`, for a wrong configuration.
const WRONG_CONFIGURATION: u8 = 64;

const HELP: &str = "\
flint-watchdog: the first process in a function's pod

It takes no arguments but --help and --version. What it runs is said by the environment: FLINT_FUNCTION,
FLINT_MODE (lambda, http or process), FLINT_COMMAND (a JSON array) and the others in docs/internals.md.
With FLINT_POOL it waits in a warm pool until it is claimed for a function.
";

/// What the environment describes.
enum Life {
    Instance(Config),
    Waiting(PoolConfig),
}

fn main() -> ExitCode {
    let started = Instant::now();
    // The child has the same user: without this it could read the key in this process's environment.
    let _ = nix::sys::prctl::set_dumpable(false);
    match std::env::args().nth(1).as_deref() {
        None => {}
        Some("--version" | "-V") => {
            println!("flint-watchdog {}", env!("CARGO_PKG_VERSION"));
            return ExitCode::SUCCESS;
        }
        Some("--help" | "-h") => {
            print!("{HELP}");
            return ExitCode::SUCCESS;
        }
        Some(other) => {
            eprintln!("flint-watchdog: {other:?} is not known; see --help");
            return ExitCode::from(WRONG_CONFIGURATION);
        }
    }
    let vars: Vec<_> = std::env::vars_os().collect();
    let life = match PoolConfig::from_vars(&vars) {
        Ok(Some(pool)) => Ok(Life::Waiting(pool)),
        Ok(None) => Config::from_vars(vars).map(Life::Instance),
        Err(error) => Err(error),
    };
    let life = match life {
        Ok(life) => life,
        Err(error) => {
            eprintln!("flint-watchdog: {error}");
            return ExitCode::from(WRONG_CONFIGURATION);
        }
    };
    let runtime = match run::runtime() {
        Ok(runtime) => runtime,
        Err(error) => {
            eprintln!("flint-watchdog: no runtime: {error}");
            return ExitCode::FAILURE;
        }
    };
    let code = runtime.block_on(async {
        match life {
            Life::Instance(config) => run::run(config, started).await,
            Life::Waiting(config) => pool::run(config, started).await,
        }
    });
    // A thread that still resolves a name or unpacks must not hold up the end.
    runtime.shutdown_background();
    code.unwrap_or_else(|error| {
        eprintln!("flint-watchdog: {error}");
        ExitCode::FAILURE
    })
}
