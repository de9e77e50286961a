//! `flint event`: sample events of the services that call functions.

use super::Context;
use crate::error::Error;

/// Its arguments.
#[derive(Debug, clap::Args)]
pub struct Args {}

/// # Errors
/// Always: it is not there yet.
pub(super) async fn run(_: Args, _: Context<'_>) -> Result<(), Error> {
    Err(Error::platform("`flint event` is not there yet"))
}
