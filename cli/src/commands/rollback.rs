//! `flint rollback`: give the requests back to the version before.

use flint_api::RevisionRef;

use super::{Context, promote::number, versions};
use crate::{
    cluster::Cluster,
    error::Error,
    traffic::{
        self, Patience,
        plan::{self, Wish},
    },
};

/// Its arguments.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Without a version it is the one before the newest that gets requests, of those that were ready once. A version that was deployed and never
came up gets no requests, and needs no rollback.
It holds until `flint promote FUNCTION` gives the requests to the latest again: later deploys make versions, and leave the requests where they are.
Names stay where they are.

Examples:
  flint rollback hello       to the version before
  flint rollback hello 3     to version 3")]
pub struct Args {
    /// The function
    function: String,
    /// The version's number; the one before if not given
    #[arg(id = "which", value_name = "VERSION", value_parser = number)]
    version: Option<u32>,
    #[command(flatten)]
    patience: Patience,
}

/// # Errors
/// When there is no such version, the cluster refuses, or the requests do not move in time.
pub(super) async fn run(args: Args, context: Context<'_>) -> Result<(), Error> {
    let Context { global, output } = context;
    let cluster = Cluster::connect(global).await?;
    let number = match args.version {
        Some(number) => number,
        None => {
            let function = traffic::find(&cluster, &args.function).await?;
            let revisions = versions::list(&cluster, &args.function).await?;
            let was_ready = |name: &str| {
                revisions
                    .iter()
                    .any(|one| one.metadata.name.as_deref() == Some(name) && versions::was_ready(one))
            };
            plan::before(&function, was_ready)?
        }
    };
    let wish = Wish { version: RevisionRef::Number(number), weight: Some(100), alias: None };
    traffic::give(&cluster, &args.function, &wish, args.patience, output).await
}
