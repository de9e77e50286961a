//! `flint promote`: give a version of a function its requests, a share of them, or a name.

use flint_api::RevisionRef;

use super::Context;
use crate::{
    cluster::Cluster,
    error::Error,
    traffic::{self, Patience, plan::Wish},
};

/// Its arguments.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Without --weight and --alias the version gets all requests. With --weight it gets so many of a hundred, and the others share the rest as they
shared before. --alias alone moves the name and no share. Other names stay where they are.
A version without instances is started first; until it answers, the requests go where they went.
Later deploys leave it as it is: a new version gets requests when `flint promote FUNCTION` says so, or where latest has a share.

Examples:
  flint promote hello                          all requests to the latest, now and after every deploy
  flint promote hello 3                        all to version 3, whatever is deployed
  flint promote hello latest --weight 10       a tenth to what was deployed last
  flint promote hello 3 --alias prod           hello:prod is version 3 from now on")]
pub struct Args {
    /// The function
    function: String,
    /// A version's number, or latest: the newest that was ready, now and after every deploy
    #[arg(id = "which", value_name = "VERSION", default_value = "latest", value_parser = version)]
    version: RevisionRef,
    /// Percent of the requests
    #[arg(long, value_name = "PERCENT", value_parser = clap::value_parser!(u32).range(0..=100))]
    weight: Option<u32>,
    /// A name by which this version is called whatever its share, such as prod: taken from the version that has it
    #[arg(long, value_name = "NAME")]
    alias: Option<String>,
    #[command(flatten)]
    patience: Patience,
}

/// # Errors
/// When there is no such version, the cluster refuses, or the requests do not move in time.
pub(super) async fn run(args: Args, context: Context<'_>) -> Result<(), Error> {
    let cluster = Cluster::connect(context.global).await?;
    let weight = args.weight.or(args.alias.is_none().then_some(100));
    let wish = Wish { version: args.version, weight, alias: args.alias };
    traffic::give(&cluster, &args.function, &wish, args.patience, context.output).await
}

fn version(text: &str) -> Result<RevisionRef, String> {
    if text == "latest" {
        return Ok(RevisionRef::Latest);
    }
    number(text).map(RevisionRef::Number).map_err(|_| "write a version's number, such as 3, or latest".into())
}

/// A version's number, as `flint versions` shows it.
pub(super) fn number(text: &str) -> Result<u32, String> {
    let number = text.parse().ok().filter(|number| *number > 0);
    number.ok_or_else(|| "write a version's number, such as 3".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_version_is_a_number_or_the_latest() {
        assert_eq!(version("latest"), Ok(RevisionRef::Latest));
        assert_eq!(version("12"), Ok(RevisionRef::Number(12)));
        for wrong in ["0", "-1", "v3", "newest", ""] {
            assert!(version(wrong).is_err(), "{wrong}");
        }
    }
}
