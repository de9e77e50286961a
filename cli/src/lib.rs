//! The command line: what a developer types, from an empty folder to a function on a cluster.
//!
//! A command is a file in [`commands`]: its arguments, and what it does. It speaks to people and scripts through
//! [`output`], to a cluster through [`cluster`] with the user's own kubeconfig, and ends with an [`error::Error`] that has
//! an exit code and says what to do.

pub mod apply;
pub mod args;
pub mod callable;
pub mod cluster;
pub mod commands;
pub mod dev;
pub mod error;
pub mod events;
pub mod evidence;
pub mod gateway;
pub mod import;
pub mod invoke;
pub mod languages;
pub mod logs;
pub mod metrics;
pub mod output;
pub mod progress;
pub mod project;
pub mod publish;
pub mod reference;
pub mod selection;
pub mod system;
pub mod templates;
pub mod text;
pub mod traffic;
pub mod waiting;

use std::{ffi::OsString, path::Path, process::ExitCode};

use clap::{CommandFactory, FromArgMatches};

use crate::{args::Args, error::Error, output::Output};

/// The argument with which `flint dev` starts this program as an instance's watchdog.
pub(crate) const INSTANCE: &str = "__instance";

/// Runs the command line and says how it ended.
pub fn run(args: impl IntoIterator<Item = OsString>) -> ExitCode {
    let args: Vec<_> = args.into_iter().collect();
    // Before anything else: an instance is small, and its start is a part of every cold start.
    if args.get(1).is_some_and(|argument| argument == INSTANCE) {
        return flint_local::instance::main();
    }
    let mut command = Args::command();
    // kubectl finds its plugins by their names, and help is to say what was typed.
    if args.first().and_then(|name| Path::new(name).file_stem()).is_some_and(|name| name == "kubectl-flint") {
        command = command.bin_name("kubectl flint");
    }
    let parsed = command
        .try_get_matches_from_mut(args)
        .and_then(|matches| Args::from_arg_matches(&matches).map_err(|error| error.format(&mut command)));
    let args = match parsed {
        Ok(args) => args,
        Err(error) => {
            // Help and version are answers, everything else is wrong usage.
            let code = if error.use_stderr() { error::USAGE } else { 0 };
            let _ = error.print();
            return ExitCode::from(code);
        }
    };
    let output = Output::new(&args.global);
    let outcome = match tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build() {
        Ok(runtime) => {
            let outcome = runtime.block_on(commands::run(args, &output));
            // What still resolves a name must not hold up the end.
            runtime.shutdown_background();
            outcome
        }
        Err(error) => Err(Error::platform("no threads can be started").because(error)),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            output.error(&error);
            ExitCode::from(error.code())
        }
    }
}
