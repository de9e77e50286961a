//! The builder: the first process in a build's pod. It fetches the source, runs the build command, and brings home what came of it.
//!
//! What the command fetches and runs is a stranger's: it has the same user, no key and no token, and whatever it leaves in the
//! folder is a package of its own namespace at most. The builder's last words, in the pod's termination message, are all that the
//! operator believes: the digest of what it has stored itself, or the line of the log that matters.

mod command;
mod config;
mod error;
mod folder;
mod home;
mod install;
mod line;
mod work;

use std::process::ExitCode;

use config::Config;
use flint_core::build::Outcome;

/// `EX_USAGE`, for a wrong configuration.
const WRONG_CONFIGURATION: u8 = 64;

const HELP: &str = "\
flint-builder: the first process in the pod of a build

  flint-builder               builds, as the environment says: FLINT_BUILD, FLINT_SOURCE_DIGEST and the others in docs/internals.md
  flint-builder install DIR   copies itself to DIR/builder, for a container whose image does not have it
";

fn main() -> ExitCode {
    // The build command has the same user: without this it could read the key in this process's environment.
    let _ = nix::sys::prctl::set_dumpable(false);
    let mut args = std::env::args().skip(1);
    match (args.next().as_deref(), args.next()) {
        (None, _) => {}
        (Some("--version" | "-V"), _) => {
            println!("flint-builder {}", env!("CARGO_PKG_VERSION"));
            return ExitCode::SUCCESS;
        }
        (Some("--help" | "-h"), _) => {
            print!("{HELP}");
            return ExitCode::SUCCESS;
        }
        (Some("install"), Some(folder)) => {
            return match install::install(folder.as_ref()) {
                Ok(()) => ExitCode::SUCCESS,
                Err(error) => {
                    eprintln!("flint-builder: cannot copy itself to {folder}: {error}");
                    ExitCode::FAILURE
                }
            };
        }
        (Some(other), _) => {
            eprintln!("flint-builder: {other:?} is not understood; see --help");
            return ExitCode::from(WRONG_CONFIGURATION);
        }
    }
    let config = match Config::read() {
        Ok(config) => config,
        Err(error) => {
            eprintln!("flint-builder: {error}");
            return ExitCode::from(WRONG_CONFIGURATION);
        }
    };
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            eprintln!("flint-builder: no runtime: {error}");
            return ExitCode::FAILURE;
        }
    };
    let result = runtime.block_on(work::work(&config));
    runtime.shutdown_background();
    let (outcome, code) = match result {
        Ok(built) => {
            println!("flint-builder: the package is {} ({} bytes)", built.digest, built.bytes);
            (Outcome::Built { digest: built.digest, bytes: built.bytes }, 0)
        }
        Err(error) => {
            println!("flint-builder: {error}");
            let heals = error.heals();
            let code = if heals { flint_core::build::TRY_AGAIN } else { flint_core::build::FAILED };
            (Outcome::Failed { message: line::cut(&error.to_string()), heals }, code)
        }
    };
    if let Ok(text) = serde_json::to_vec(&outcome)
        && let Err(error) = std::fs::write(&config.termination_log, text)
    {
        eprintln!("flint-builder: the last words cannot be written: {error}");
    }
    ExitCode::from(code)
}
