//! The watchdog's program: reads the environment and runs the instance that it describes.

use std::process::ExitCode;

use flint_watchdog::config::Config;
use flint_watchdog::run;
use tokio::time::Instant;

/// `EX_USAGE`, for a wrong configuration.
const WRONG_CONFIGURATION: u8 = 64;

const HELP: &str = "\
flint-watchdog: the first process in a function's pod

It takes no arguments but --help and --version. What it runs is said by the environment: FLINT_FUNCTION,
FLINT_MODE (lambda, http or process), FLINT_COMMAND (a JSON array) and the others in docs/internals.md.
";

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
    let config = match Config::from_vars(std::env::vars_os()) {
        Ok(config) => config,
        Err(error) => {
            eprintln!("flint-watchdog: {error}");
            return ExitCode::from(WRONG_CONFIGURATION);
        }
    };
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            eprintln!("flint-watchdog: no runtime: {error}");
            return ExitCode::FAILURE;
        }
    };
    let code = runtime.block_on(run::run(config, started));
    // A thread that still resolves a name or unpacks must not hold up the end.
    runtime.shutdown_background();
    code.unwrap_or_else(|error| {
        eprintln!("flint-watchdog: {error}");
        ExitCode::FAILURE
    })
}
