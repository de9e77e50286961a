//! `flint dev`: run the whole platform here, without a cluster.

use clap::ValueEnum;

use super::Context;
use crate::{
    dev::{self, Level, Wishes},
    error::Error,
    project::args::ProjectArgs,
};

/// Its arguments.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "It reads flint.yaml, serverless.yml, a SAM template.yaml, Functions as the cluster takes them, or a folder with nothing
but code. Variables come from .env beside them. A save reloads without losing requests; Ctrl-C finishes what is in flight."
)]
pub struct Args {
    #[command(flatten)]
    project: ProjectArgs,
    /// The port on this machine; 0 takes any that is free
    #[arg(short, long, env = "FLINT_DEV_PORT", default_value_t = 3000)]
    port: u16,
    /// Do not reload when files are saved
    #[arg(long, env = "FLINT_DEV_NO_RELOAD")]
    no_reload: bool,
    /// Let debuggers attach from the start (Python with debugpy, Node.js)
    #[arg(long, env = "FLINT_DEV_INSPECT")]
    inspect: bool,
    /// What is shown; [l] changes it
    #[arg(long, env = "FLINT_DEV_LOG_LEVEL", value_enum, default_value = "info")]
    log_level: Shown,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Shown {
    /// The platform's own doings too
    Debug,
    /// Requests, and what functions write
    Info,
    /// Warnings and errors
    Warn,
    /// Errors alone
    Error,
}

/// # Errors
/// The project is wrong, the port is taken, or the platform fails.
pub(super) async fn run(args: Args, context: Context<'_>) -> Result<(), Error> {
    let Args { project, port, no_reload, inspect, log_level } = args;
    let path = project.path.canonicalize().map_err(|error| {
        Error::not_found(format!("{} cannot be opened", project.path.display()))
            .because(error)
            .try_this("flint new my-function, then flint dev my-function")
    })?;
    let level = match log_level {
        Shown::Debug => Level::Debug,
        Shown::Info => Level::Info,
        Shown::Warn => Level::Warn,
        Shown::Error => Level::Error,
    };
    let options = project.options();
    dev::run(Wishes { path, port, reload: !no_reload, inspect, level, options }, context.output).await
}
