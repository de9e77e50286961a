//! The commands, each in its own file: its arguments, and what it does.

mod completion;
mod deploy;
mod describe;
mod dev;
mod diff;
mod doctor;
mod event;
mod import;
mod invoke;
mod logs;
mod ls;
mod metrics;
mod new;
mod promote;
mod remove;
mod render;
mod rollback;
mod schedule;
mod secret;
mod top;
mod validate;
mod version;
mod versions;

use clap::Subcommand;

use crate::{
    args::{Args, Global},
    error::Error,
    output::Output,
};

/// A command and its arguments.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// A new function from a template
    New(new::Args),
    /// Run the whole platform here, without a cluster
    Dev(dev::Args),
    /// Bring functions to the cluster, and wait until they serve
    Deploy(deploy::Args),
    /// Call a function and print its answer
    Invoke(invoke::Args),
    /// What a function's instances wrote
    Logs(logs::Args),
    /// The functions, and whether they can be called
    Ls(ls::Args),
    /// All about one function; first whether it can be called, or why not
    Describe(describe::Args),
    /// A function's versions, and who gets the requests
    Versions(versions::Args),
    /// Give a version of a function its requests, a share of them, or a name
    Promote(promote::Args),
    /// Give the requests back to the version before
    Rollback(rollback::Args),
    /// What a deploy would change on the cluster
    Diff(diff::Args),
    /// Read the files and say what is wrong, with line and column
    Validate(validate::Args),
    /// Print the Functions that the files come to
    Render(render::Args),
    /// Secrets that functions use
    Secret(secret::Args),
    /// When schedules fire
    Schedule(schedule::Args),
    /// Sample events of the services that call functions
    Event(event::Args),
    /// A function's requests, errors and times
    Metrics(metrics::Args),
    /// All functions' requests, errors and times, live
    Top(top::Args),
    /// Look at the cluster piece by piece: each passes, or what to do
    Doctor(doctor::Args),
    /// Take functions off the cluster, and leave nothing of them
    Remove(remove::Args),
    /// Functions of another platform, as Flint's
    Import(import::Args),
    /// Completions for a shell
    Completion(completion::Args),
    /// The versions here and on the cluster
    Version(version::Args),
}

/// What every command has at hand.
#[derive(Clone, Copy, Debug)]
pub struct Context<'a> {
    /// The global flags.
    pub global: &'a Global,
    /// Where it speaks.
    pub output: &'a Output,
}

/// Does what was asked for.
///
/// # Errors
/// As each command says.
pub async fn run(args: Args, output: &Output) -> Result<(), Error> {
    let Args { global, command } = args;
    let context = Context { global: &global, output };
    match command {
        Command::New(args) => new::run(args, context).await,
        Command::Dev(args) => dev::run(args, context).await,
        Command::Deploy(args) => deploy::run(args, context).await,
        Command::Invoke(args) => invoke::run(args, context).await,
        Command::Logs(args) => logs::run(args, context).await,
        Command::Ls(args) => ls::run(args, context).await,
        Command::Describe(args) => describe::run(args, context).await,
        Command::Versions(args) => versions::run(args, context).await,
        Command::Promote(args) => promote::run(args, context).await,
        Command::Rollback(args) => rollback::run(args, context).await,
        Command::Diff(args) => diff::run(args, context).await,
        Command::Validate(args) => validate::run(args, context).await,
        Command::Render(args) => render::run(args, context).await,
        Command::Secret(args) => secret::run(args, context).await,
        Command::Schedule(args) => schedule::run(args, context).await,
        Command::Event(args) => event::run(args, context).await,
        Command::Metrics(args) => metrics::run(args, context).await,
        Command::Top(args) => top::run(args, context).await,
        Command::Doctor(args) => doctor::run(args, context).await,
        Command::Remove(args) => remove::run(args, context).await,
        Command::Import(args) => import::run(args, context).await,
        Command::Completion(args) => completion::run(args, context).await,
        Command::Version(args) => version::run(args, context).await,
    }
}
