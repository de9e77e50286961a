//! `flint ls`: the functions, and whether they can be called.

use super::Context;
use crate::error::Error;

/// Its arguments.
#[derive(Debug, clap::Args)]
pub struct Args {}

/// # Errors
/// Always: it is not there yet.
pub(super) async fn run(_: Args, _: Context<'_>) -> Result<(), Error> {
    Err(Error::platform("`flint ls` is not there yet"))
}
