//! The program `flint`; called `kubectl-flint`, it is kubectl's plugin `kubectl flint`.

use std::process::ExitCode;

fn main() -> ExitCode {
    flint_cli::run(std::env::args_os())
}
