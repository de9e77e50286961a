//! `flint deploy`: bring functions to the cluster, and wait until they serve.

use std::time::Duration;

use flint_api::Function;
use futures::{StreamExt, stream::FuturesUnordered};
use kube::ResourceExt;
use serde::Serialize;
use tokio::time::Instant;

use super::Context;
use crate::{
    apply::{self, How, Refused},
    cluster::Cluster,
    error::Error,
    evidence,
    output::{BAD, DIM, GOOD, STRONG, Table, WARN},
    progress::Progress,
    publish::Sending,
    selection::Selection,
    text,
};

mod follow;
mod wait;

use wait::{Ended, News};

/// Its arguments.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Files are a flint.yaml, Function YAML, serverless.yml, a SAM template.yaml, or just code: see docs/project.md.
A deploy goes on in the cluster, whatever becomes of this command: `flint describe FUNCTION` tells how far it is.

Examples:
  flint deploy                     all functions of this folder
  flint deploy hello               one of them
  flint deploy functions/ -n shop  another folder, to the namespace shop
  flint deploy --dry-run           ask the cluster whether it would take them")]
pub struct Args {
    #[command(flatten)]
    selection: Selection,
    /// Let the cluster check everything, and change nothing
    #[arg(long, env = "FLINT_DRY_RUN")]
    dry_run: bool,
    /// Do not wait until they serve
    #[arg(long, env = "FLINT_NO_WAIT")]
    no_wait: bool,
    /// How long to wait, for the cluster and for the functions
    #[arg(long, env = "FLINT_TIMEOUT", value_name = "TIME", default_value = "5m")]
    timeout: flint_api::Duration,
    /// Take over fields that others (kubectl, another tool) have set to something else
    #[arg(long, env = "FLINT_FORCE_CONFLICTS")]
    force_conflicts: bool,
}

/// What became of one function.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Deployed {
    name: String,
    namespace: String,
    /// created, changed or unchanged.
    change: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    revision: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    bytes: Option<i64>,
    /// How long the code took to initialize, where an instance has told.
    #[serde(skip_serializing_if = "Option::is_none")]
    init_ms: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    url: Option<String>,
}

/// A pause between two attempts to reach an API server that is away.
const PAUSE: Duration = Duration::from_secs(1);
/// Lines of an instance's last words that are shown.
const LAST_WORDS: usize = 10;

/// # Errors
/// When the files are wrong, the cluster refuses, or a function does not come up in time.
pub(super) async fn run(args: Args, context: Context<'_>) -> Result<(), Error> {
    let Context { global, output } = context;
    let cluster = Cluster::connect(global).await?;
    let sending = if args.dry_run { Sending::Not } else { Sending::Yes };
    let functions = tokio::select! {
        functions = args.selection.functions(&cluster, global, output, sending) => functions?,
        // Nothing has been applied yet; a compiler ends with the wait for it.
        _ = tokio::signal::ctrl_c() => return Err(Error::interrupted()),
    };
    let began = Instant::now();
    let deadline = began + args.timeout.get();
    let names: Vec<_> = functions.iter().map(ResourceExt::name_any).collect();
    let mut progress = Progress::new(output);
    let work = async {
        let mut applied = Vec::new();
        for function in &functions {
            applied.push(bring(&cluster, function, &args, deadline, &mut progress).await?);
        }
        if args.dry_run || args.no_wait {
            return Ok(applied
                .into_iter()
                .map(|(function, change)| deployed(&function, change, None))
                .collect());
        }
        follow_all(&cluster, applied, deadline, &mut progress).await
    };
    let ended: Result<Vec<Deployed>, Error> = tokio::select! {
        ended = work => ended,
        _ = tokio::signal::ctrl_c() => {
            drop(progress);
            if !args.dry_run {
                output.say(&format!("The deploy goes on in the cluster: `flint describe {}` tells how far it is.", names.join("`, `flint describe ")));
            }
            return Err(Error::interrupted());
        }
    };
    let deployed = ended?;
    output.result(&deployed, || render(&deployed, args.dry_run))?;
    if let Some(inside) = deployed.iter().find(|one| one.url.as_deref().is_some_and(is_within)) {
        output.say(&format!(
            "{DIM}The URL leads there from within the cluster; from here: flint invoke {}{DIM:#}",
            inside.name
        ));
    }
    Ok(())
}

/// Applies one function, again and again while the cluster is away.
async fn bring(
    cluster: &Cluster,
    function: &Function,
    args: &Args,
    deadline: Instant,
    progress: &mut Progress<'_>,
) -> Result<(Function, &'static str), Error> {
    let (name, how) = (function.name_any(), How { dry_run: args.dry_run, force: args.force_conflicts });
    let mut told = false;
    loop {
        let away = match attempt(cluster, function, how).await {
            Ok((applied, change)) => {
                // Of a dry run nothing is to be said before the result: nothing has become of it.
                if !args.dry_run {
                    progress.phase(&name, change, "");
                }
                return Ok((applied, change));
            }
            Err(Refused::Final(error)) => return Err(error),
            Err(Refused::Away(why)) => why,
        };
        if Instant::now() + PAUSE >= deadline {
            return Err(Error::platform(format!("cannot deploy {name}: the cluster does not answer"))
                .because(away)
                .try_this("is the cluster up? `flint doctor` looks at it piece by piece"));
        }
        if !told {
            told = true;
            progress.say(&format!("the cluster does not answer ({away}); trying again until the timeout"));
        }
        tokio::time::sleep(PAUSE).await;
    }
}

async fn attempt(
    cluster: &Cluster,
    function: &Function,
    how: How,
) -> Result<(Function, &'static str), Refused> {
    let before = match apply::api(cluster, function).get_opt(&function.name_any()).await {
        Ok(before) => before,
        Err(error) if crate::cluster::is_away(&error) => return Err(Refused::Away(apply::said(&error))),
        Err(error) => return Err(Refused::Final(crate::cluster::failure("look at the function", error))),
    };
    let applied = apply::apply(cluster, function, how).await?;
    Ok((applied.clone(), change(before.as_ref(), &applied)))
}

/// Waits for all of them at once; each failure is told when it comes, and the first decides how the command ends.
async fn follow_all(
    cluster: &Cluster,
    applied: Vec<(Function, &'static str)>,
    deadline: Instant,
    progress: &mut Progress<'_>,
) -> Result<Vec<Deployed>, Error> {
    let (sender, mut news) = tokio::sync::mpsc::channel::<News>(64);
    let mut waits: FuturesUnordered<_> = applied
        .into_iter()
        .map(|(function, change)| {
            let sender = sender.clone();
            async move { (wait::wait(cluster, &function, deadline, sender).await, change) }
        })
        .collect();
    drop(sender);
    let (mut done, mut failures) = (Vec::new(), Vec::new());
    loop {
        tokio::select! {
            biased;
            Some(news) = news.recv() => tell(progress, news),
            Some((ended, change)) = waits.next() => {
                // What was said before the end is told before it.
                while let Ok(news) = news.try_recv() {
                    tell(progress, news);
                }
                match ended {
                Ended::Done(function, took) => {
                    progress.done(&function.name_any());
                    progress.say(&format!("{GOOD}✓{GOOD:#} {} {DIM}{}{DIM:#}", function.name_any(), follow::after(took)));
                    if let Some(idle) = without_requests(&function) {
                        progress.say(&idle);
                    }
                    let revision = function.status.as_ref().and_then(|status| status.revision.clone());
                    let cluster = cluster.within(&function);
                    let init = match revision {
                        Some(revision) => evidence::init_ms(&cluster, &revision).await,
                        None => None,
                    };
                    done.push(deployed(&function, change, init));
                }
                Ended::Failed(function, error) => {
                    let name = function.name_any();
                    progress.done(&name);
                    progress.say(&format!("{BAD}✗{BAD:#} {name}"));
                    for line in trouble(cluster, &function).await {
                        progress.say(&format!("  {line}"));
                    }
                    failures.push(error);
                }
                }
            }
            else => break,
        }
    }
    done.sort_by(|one, other| one.name.cmp(&other.name));
    match failures.into_iter().next() {
        Some(error) => Err(error),
        None => Ok(done),
    }
}

fn tell(progress: &mut Progress<'_>, news: News) {
    match news {
        News::Phase(name, phase, after) => progress.phase(&name, &phase, &follow::after(after)),
        News::Away(why) => {
            progress.say(&format!("the cluster does not answer ({why}); trying again until the timeout"));
        }
        News::Back => progress.say("the cluster answers again"),
    }
}

/// What beside the condition tells why a function does not come up: the event that matters, and the last words of its code.
async fn trouble(cluster: &Cluster, function: &Function) -> Vec<String> {
    let Some(latest) = function.status.as_ref().and_then(|status| status.latest_revision.clone()) else {
        return Vec::new();
    };
    let cluster = cluster.within(function);
    let events = evidence::events(&cluster, &function.name_any(), std::slice::from_ref(&latest)).await;
    // The Function's own events say what the condition says.
    let event = events.iter().rev().find(|event| event.warning && !event.object.starts_with("Function/"));
    let mut lines: Vec<_> = event
        .map(|event| format!("{DIM}event{DIM:#} {}: {}", event.reason, event.message))
        .into_iter()
        .collect();
    for words in evidence::last_words(&cluster, &latest, LAST_WORDS).await {
        lines.extend(words.lines().map(|line| format!("{DIM}log{DIM:#}   {line}")));
    }
    lines
}

fn change(before: Option<&Function>, after: &Function) -> &'static str {
    match before {
        None => "created",
        Some(before)
            if before.metadata.generation == after.metadata.generation
                && before.labels() == after.labels()
                && before.annotations() == after.annotations() =>
        {
            "unchanged"
        }
        Some(_) => "changed",
    }
}

/// What there is to say where `spec.traffic`, which a deploy leaves to who has set it, keeps the new version from all requests.
fn without_requests(function: &Function) -> Option<String> {
    let status = function.status.as_ref()?;
    let latest = status.latest_revision.as_deref()?;
    let has_share = status.traffic.iter().any(|share| share.revision == latest && share.weight > 0);
    if function.spec.traffic.is_empty() || has_share {
        return None;
    }
    let name = function.name_any();
    let version = status.versions.iter().find(|version| version.revision == latest);
    let version = version.map_or_else(|| latest.to_owned(), |version| format!("version {}", version.number));
    Some(format!(
        "  {WARN}{version} is there and gets no requests{WARN:#}, for spec.traffic names others: `flint promote {name}` gives them to the latest"
    ))
}

fn deployed(function: &Function, change: &'static str, init_ms: Option<f64>) -> Deployed {
    let status = function.status.clone().unwrap_or_default();
    Deployed {
        name: function.name_any(),
        namespace: function.namespace().unwrap_or_default(),
        change,
        revision: status.revision,
        bytes: status.package.map(|package| package.bytes),
        init_ms,
        url: status.url,
    }
}

/// A line for each: name, revision, size, time to initialize, URL.
fn render(deployed: &[Deployed], dry_run: bool) -> String {
    let mut lines = Table::bare();
    for one in deployed {
        if dry_run {
            lines.row([
                one.name.clone(),
                format!("would be {}", one.change).replace("be unchanged", "stay unchanged"),
            ]);
            continue;
        }
        lines.row([
            format!("{STRONG}{}{STRONG:#}", one.name),
            one.revision.clone().unwrap_or_else(|| one.change.to_owned()),
            one.bytes.map(text::size).unwrap_or_default(),
            one.init_ms.map(|init| format!("init {init:.0} ms")).unwrap_or_default(),
            one.url.clone().unwrap_or_default(),
        ]);
    }
    lines.to_string()
}

/// Whether a URL leads to the gateway from within the cluster only.
fn is_within(url: &str) -> bool {
    let host = url.split("://").nth(1).and_then(|rest| rest.split(['/', ':']).next()).unwrap_or_default();
    host.contains(".svc.") || host.ends_with(".svc")
}

#[cfg(test)]
mod tests;
