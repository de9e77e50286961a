//! What may be typed: the global flags, and the commands.

use std::path::PathBuf;

use clap::{ArgAction, Args as ClapArgs, Parser, ValueEnum};

use crate::commands::Command;

/// Functions as a service, on your laptop and on your own Kubernetes.
#[derive(Debug, Parser)]
#[command(
    name = "flint",
    bin_name = "flint",
    version,
    propagate_version = true,
    subcommand_required = true,
    arg_required_else_help = true,
    after_help = "Exit codes: 0 done, 1 the function failed (diff: there are differences), 2 wrong usage or files, 3 not found, 4 denied, 5 the platform failed, 130 interrupted."
)]
pub struct Args {
    /// What every command understands.
    #[command(flatten)]
    pub global: Global,
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// What every command understands.
#[derive(Clone, Debug, Default, ClapArgs)]
pub struct Global {
    /// How to print: text for people, json or yaml for scripts
    #[arg(
        short,
        long,
        global = true,
        env = "FLINT_OUTPUT",
        value_enum,
        default_value_t,
        help_heading = "Global options"
    )]
    pub output: Format,
    /// The namespace; the kubeconfig's if not given
    #[arg(short, long, global = true, env = "FLINT_NAMESPACE", help_heading = "Global options")]
    pub namespace: Option<String>,
    /// The kubeconfig's context; its current one if not given
    #[arg(long, global = true, env = "FLINT_CONTEXT", help_heading = "Global options")]
    pub context: Option<String>,
    /// The kubeconfig file; $KUBECONFIG or ~/.kube/config if not given
    #[arg(long, global = true, value_name = "FILE", help_heading = "Global options")]
    pub kubeconfig: Option<PathBuf>,
    /// The gateway's URL; found through the cluster if not given
    #[arg(long, global = true, env = "FLINT_URL", value_name = "URL", help_heading = "Global options")]
    pub url: Option<String>,
    /// Say only what was asked for, without progress
    #[arg(short, long, global = true, env = "FLINT_QUIET", help_heading = "Global options")]
    pub quiet: bool,
    /// Say more; twice, say all
    #[arg(short, long, global = true, action = ArgAction::Count, help_heading = "Global options")]
    pub verbose: u8,
}

/// How to print.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq, ValueEnum)]
pub enum Format {
    /// For people.
    #[default]
    Text,
    /// For scripts.
    Json,
    /// For scripts and people.
    Yaml,
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn no_command_takes_a_flag_of_all_commands_for_itself() {
        Args::command().debug_assert();
    }
}
