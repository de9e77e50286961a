//! `flint logs`: what a function's instances wrote.

use std::io;

use jiff::tz::TimeZone;
use k8s_openapi::api::core::v1::Pod;
use kube::{Api, api::ListParams};
use regex::Regex;

use super::Context;
use crate::{
    args::Format,
    cluster::{self, Cluster},
    error::Error,
    logs::{
        filter::Filter,
        follow,
        history::{self, Failure, Screen, Wanted},
        line::{Level, Line},
        pods,
        render::{self, Text},
    },
    output::Output,
};

/// Its arguments.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Every instance's log is shown, in the order of time. Kubernetes keeps the log of an instance as long as the instance is there.

Examples:
  flint logs hello -t                       what happens from now on, after the last 20 lines
  flint logs hello --since 10m --level warn
  flint logs hello --request 8f5e21aa       one invocation; the first characters of its id are enough")]
pub struct Args {
    /// The function
    function: String,
    /// Follow: show what is written as it is written, instances that come included
    #[arg(short = 't', long)]
    follow: bool,
    /// Only lines this young: 30s, 10m, 2h
    #[arg(long, value_name = "TIME")]
    since: Option<flint_api::Duration>,
    /// Only the last lines, so many; with --follow and without --since 20 if not given
    #[arg(long, value_name = "N")]
    tail: Option<usize>,
    /// Only lines whose message matches this regular expression
    #[arg(long, value_name = "REGEX")]
    grep: Option<Regex>,
    /// Only the lines of one request, by its id or the beginning of it
    #[arg(long, value_name = "ID")]
    request: Option<String>,
    /// Only lines of this level, or worse
    #[arg(long, value_enum)]
    level: Option<Level>,
    /// Also what containers wrote before they were started again
    #[arg(long)]
    previous: bool,
}

/// The user's terminal, or what stands in its place.
struct Terminal<'a> {
    output: &'a Output,
    text: Text,
}

/// What is shown before the first line that is followed.
const BEFORE: usize = 20;

/// # Errors
/// When there is no such function, its instances may not be read, or the API server does not answer.
pub(super) async fn run(args: Args, context: Context<'_>) -> Result<(), Error> {
    let Args { function, follow, since, tail, grep, request, level, previous } = args;
    let cluster = Cluster::connect(context.global).await?;
    let api: Api<Pod> = Api::namespaced(cluster.client.clone(), &cluster.namespace);
    let instances = api
        .list(&ListParams::default().labels(&pods::selector(&function)))
        .await
        .map_err(|error| cluster::failure(&format!("list the instances of {function}"), error))?
        .items;
    if instances.is_empty() {
        exists(&cluster, &function).await?;
        if !follow {
            context.output.say(&format!(
                "{function} has no instances now, and logs go with them; `flint logs {function} -t` waits for the next one"
            ));
        }
    }
    let since = since.map(flint_api::Duration::get);
    let tail = tail.or((follow && since.is_none()).then_some(BEFORE));
    let wanted = Wanted { tail, since, previous, filter: Filter { grep, request, level } };
    let mut screen = Terminal { output: context.output, text: Text::new(TimeZone::system()) };
    let left = match history::read(&api, &instances, &wanted, &mut screen).await {
        Ok(left) => left,
        Err(Failure::Refused(error)) => return Err(cluster::failure("read the logs", error)),
        // The reader has gone, as `head` does.
        Err(Failure::Screen(_)) => return Ok(()),
    };
    if follow {
        tokio::select! {
            _gone = follow::run(api, &function, left, &wanted, &mut screen) => {}
            _ = tokio::signal::ctrl_c() => return Err(Error::interrupted()),
        }
    }
    Ok(())
}

/// Whether there is such a function; where the user may not ask, there may be.
async fn exists(cluster: &Cluster, function: &str) -> Result<(), Error> {
    match cluster.functions().get_metadata_opt(function).await {
        Ok(Some(_)) => Ok(()),
        Ok(None) => {
            Err(Error::not_found(format!("no function {function} in the namespace {}", cluster.namespace))
                .try_this("`flint ls -A` lists the functions of all namespaces"))
        }
        Err(kube::Error::Api(status)) if status.code == 403 => Ok(()),
        Err(error) => Err(cluster::failure(&format!("look for {function}"), error)),
    }
}

// === impl Terminal ===

impl Screen for Terminal<'_> {
    fn line(&mut self, line: &Line) -> io::Result<()> {
        match self.output.format() {
            Format::Text => self.output.write(&self.text.render(line)),
            Format::Json => self.output.write(&render::value(line).to_string()),
            Format::Yaml => {
                let yaml = serde_saphyr::to_string(&render::value(line)).map_err(io::Error::other)?;
                self.output.write(&format!("---\n{}", yaml.trim_end()))
            }
        }
    }

    fn say(&mut self, text: &str) {
        self.output.warn(text);
    }
}
