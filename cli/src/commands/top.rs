//! `flint top`: all functions' requests, errors and times, live.

use std::{
    io::{IsTerminal, stdout},
    time::Duration,
};

use tokio::time::{Instant, sleep};

use super::Context;
use crate::{
    args::Format,
    cluster::Cluster,
    error::Error,
    metrics::{Reading, Window, gather::Gateways, table},
    output::Output,
    waiting,
};

mod live;

/// Its arguments.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
On a terminal it goes on until q, Esc or Ctrl-C. Elsewhere, and with -o json or yaml, it prints once.
All namespaces are shown unless -n names one.")]
pub struct Args {
    /// Where there is no terminal: print again and again
    #[arg(short, long)]
    watch: bool,
    /// The time between two looks: 2s, 1m
    #[arg(long, value_name = "TIME", default_value = "2s")]
    interval: flint_api::Duration,
}

/// Asks the gateways again and again.
struct Looks<'a> {
    gateways: Gateways,
    output: &'a Output,
    last: Reading,
    at: Instant,
}

/// More often than this the gateways would be busier with telling than is good for them.
const SHORTEST: Duration = Duration::from_millis(500);

/// # Errors
/// When the gateways cannot be asked, or the terminal cannot be used.
pub(super) async fn run(args: Args, context: Context<'_>) -> Result<(), Error> {
    let Args { watch, interval } = args;
    let interval = interval.get().max(SHORTEST);
    let output = context.output;
    let namespace = context.global.namespace.as_deref();
    let gateways = Gateways::find(Cluster::connect(context.global).await?).await?;
    let last = gateways.read(output).await?;
    let mut looks = Looks { gateways, output, last, at: Instant::now() };
    if output.format() == Format::Text && stdout().is_terminal() {
        return live::run(&mut looks, interval, namespace).await;
    }
    loop {
        waiting::show(output, "counting", sleep(interval)).await;
        let window = looks.next().await?;
        output.result(&table::all_facts(&window, namespace), || table::top(&window, namespace))?;
        if !watch {
            return Ok(());
        }
    }
}

// === impl Looks ===

impl Looks<'_> {
    /// What was counted since the last look.
    async fn next(&mut self) -> Result<Window, Error> {
        let reading = self.gateways.read(self.output).await?;
        let window = reading.window(&self.last, self.at.elapsed());
        (self.last, self.at) = (reading, Instant::now());
        Ok(window)
    }
}
