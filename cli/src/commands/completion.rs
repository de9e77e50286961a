//! `flint completion`: completions for a shell.

use clap::CommandFactory;
use clap_complete::Shell;

use super::Context;
use crate::error::Error;

/// Its arguments.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
  bash:  source <(flint completion bash)                            in ~/.bashrc
  zsh:   source <(flint completion zsh)                             in ~/.zshrc
  fish:  flint completion fish > ~/.config/fish/completions/flint.fish")]
pub struct Args {
    /// Which shell
    shell: Shell,
}

/// # Errors
/// Never.
pub(super) async fn run(args: Args, context: Context<'_>) -> Result<(), Error> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut crate::args::Args::command(), "flint", &mut script);
    context.output.print(String::from_utf8_lossy(&script).trim_end());
    Ok(())
}
