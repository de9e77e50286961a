//! `flint metrics`: a function's requests, errors and times.

use jiff::Timestamp;
use tokio::time::{Instant, sleep};

use super::Context;
use crate::{
    cluster::{Cluster, failure},
    error::Error,
    metrics::{gather::Gateways, table},
    text, waiting,
};

/// Its arguments.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
The gateways count since they started, and are asked twice: the first column is the time between, the second all of it.
Errors are answers 5xx. To Lambda's Invoke a failed function answers 200, and is not among them.")]
pub struct Args {
    /// The function
    function: String,
    /// How far apart the gateways are asked: 2s, 5m
    #[arg(long, value_name = "TIME", default_value = "2s")]
    window: flint_api::Duration,
}

/// # Errors
/// When there is no such function, or the gateways cannot be asked.
pub(super) async fn run(args: Args, context: Context<'_>) -> Result<(), Error> {
    let Args { function, window } = args;
    let output = context.output;
    let cluster = Cluster::connect(context.global).await?;
    let key = (cluster.namespace.clone(), function.clone());
    let found = cluster.functions().get_metadata_opt(&function).await;
    let found = found.map_err(|error| failure(&format!("look for {function}"), error))?;
    if found.is_none() {
        return Err(Error::not_found(format!("no function {function} in the namespace {}", key.0))
            .try_this("`flint ls -A` lists the functions of all namespaces"));
    }
    let gateways = Gateways::find(cluster).await?;
    let earlier = gateways.read(output).await?;
    let start = Instant::now();
    let what = format!("counting for {}", text::span(window.get().try_into().unwrap_or_default()));
    waiting::show(output, &what, sleep(window.get())).await;
    let window = gateways.read(output).await?.window(&earlier, start.elapsed());
    if !window.all.contains_key(&key) {
        output.say(&format!("{function} was not called since the gateways started"));
    }
    output.result(&table::facts(&key, &window), || table::one(&key, &window, Timestamp::now()))
}
