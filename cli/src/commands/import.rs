//! `flint import`: functions of another platform, as Flint's.

use super::Context;
use crate::error::Error;

/// Its arguments.
#[derive(Debug, clap::Args)]
pub struct Args {}

/// # Errors
/// Always: it is not there yet.
pub(super) async fn run(_: Args, _: Context<'_>) -> Result<(), Error> {
    Err(Error::platform("`flint import` is not there yet"))
}
