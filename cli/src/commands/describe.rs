//! `flint describe`: all about one function; first whether it can be called, or why not.

use super::Context;
use crate::error::Error;

/// Its arguments.
#[derive(Debug, clap::Args)]
pub struct Args {}

/// # Errors
/// Always: it is not there yet.
pub(super) async fn run(_: Args, _: Context<'_>) -> Result<(), Error> {
    Err(Error::platform("`flint describe` is not there yet"))
}
