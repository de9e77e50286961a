//! `flint versions`: a function's versions, and who gets the requests.

use flint_api::{Condition, Function, Revision, RevisionPackage, labels};
use jiff::Timestamp;
use kube::{Api, ResourceExt, api::ListParams};
use serde::Serialize;

use super::Context;
use crate::{
    cluster::{Cluster, failure},
    error::Error,
    output::{BAD, DIM, GOOD, Table, WARN},
    text, traffic,
};

/// Its arguments.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Each deploy that changes what a function's pods are made from makes a version, which never changes: see docs/versions.md.
READY tells whether an instance of it ever was; a version without requests has none, and is started when it gets some.")]
pub struct Args {
    /// The function
    function: String,
}

/// A version in a line.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Version {
    number: u32,
    revision: String,
    /// Percent of the requests.
    weight: u32,
    /// It is tried out: its share is the trial's.
    on_trial: bool,
    aliases: Vec<String>,
    /// It is what the function's spec asks for.
    latest: bool,
    /// Whether an instance of it ever was ready; nothing while that is not known.
    ready: Option<bool>,
    /// Why it cannot start.
    #[serde(skip_serializing_if = "Option::is_none")]
    because: Option<String>,
    runtime: Option<String>,
    image: String,
    package: Option<RevisionPackage>,
    created: Option<Timestamp>,
}

/// # Errors
/// When there is no such function, or the user may not look.
pub(super) async fn run(args: Args, context: Context<'_>) -> Result<(), Error> {
    let cluster = Cluster::connect(context.global).await?;
    let function = traffic::find(&cluster, &args.function).await?;
    let versions = rows(&function, &list(&cluster, &args.function).await?);
    context.output.result(&versions, || {
        if versions.is_empty() {
            let name = &args.function;
            return format!("no version of {name} yet: `flint describe {name}` tells how far it is");
        }
        render(&versions, Timestamp::now())
    })
}

/// The Revisions of a function.
///
/// # Errors
/// When the cluster does not answer, or the user may not look.
pub(super) async fn list(cluster: &Cluster, function: &str) -> Result<Vec<Revision>, Error> {
    let api: Api<Revision> = Api::namespaced(cluster.client.clone(), &cluster.namespace);
    let selector = ListParams::default().labels(&format!("{}={function}", labels::FUNCTION));
    let list = api.list(&selector).await;
    Ok(list.map_err(|error| failure(&format!("list the versions of {function}"), error))?.items)
}

/// Whether an instance of it ever was ready.
pub(super) fn was_ready(revision: &Revision) -> bool {
    ready(revision).is_some_and(|ready| ready.status == "True")
}

fn ready(revision: &Revision) -> Option<&Condition> {
    revision.status.as_ref()?.conditions.iter().find(|condition| condition.type_ == "Ready")
}

/// The newest last.
fn rows(function: &Function, revisions: &[Revision]) -> Vec<Version> {
    let mut rows: Vec<_> = revisions.iter().map(|revision| Version::of(function, revision)).collect();
    rows.sort_by_key(|row| row.number);
    rows
}

// === impl Version ===

impl Version {
    fn of(function: &Function, revision: &Revision) -> Self {
        let name = revision.name_any();
        let status = function.status.clone().unwrap_or_default();
        let shares = || status.traffic.iter().filter(|share| share.revision == name);
        let (ready, because) = match ready(revision) {
            Some(ready) if ready.status == "True" => (Some(true), None),
            Some(ready) if ready.status == "False" => {
                (Some(false), Some(format!("{}: {}", ready.reason, ready.message)))
            }
            _ => (None, None),
        };
        Self {
            number: revision.spec.number,
            weight: shares().map(|share| share.weight).sum(),
            on_trial: shares().any(|share| share.canary),
            aliases: shares().filter_map(|share| share.alias.clone()).collect(),
            latest: status.latest_revision.as_deref() == Some(&name),
            ready,
            because,
            runtime: revision.spec.runtime.clone(),
            image: revision.spec.image.clone(),
            package: revision.spec.package.clone(),
            created: revision.metadata.creation_timestamp.as_ref().map(|time| time.0),
            revision: name,
        }
    }

    /// What it runs: the package of code, or else the image.
    fn runs(&self) -> String {
        let Some(package) = &self.package else { return self.image.clone() };
        let digest = package.digest.trim_start_matches("sha256:");
        let commit = package.commit.as_deref().map(|commit| format!(" commit {}", start(commit, 7)));
        format!("{} {}{}", start(digest, 12), text::size(package.bytes), commit.unwrap_or_default())
    }
}

/// The first characters of a digest.
fn start(text: &str, length: usize) -> &str {
    text.get(..length).unwrap_or(text)
}

fn render(versions: &[Version], now: Timestamp) -> String {
    let mut table = Table::new(["NUMBER", "TRAFFIC", "ALIAS", "READY", "IMAGE/PACKAGE", "AGE"]);
    for version in versions {
        let traffic = match (version.weight, version.on_trial) {
            (0, _) => format!("{DIM}-{DIM:#}"),
            (weight, true) => format!("{weight}% on trial"),
            (weight, false) => format!("{weight}%"),
        };
        let ready = match (version.ready, &version.because) {
            (Some(true), _) => format!("{GOOD}yes{GOOD:#}"),
            (Some(false), because) => {
                let reason =
                    because.as_deref().and_then(|why| why.split_once(':')).map_or("", |(why, _)| why);
                format!("{BAD}no: {reason}{BAD:#}")
            }
            (None, _) => format!("{WARN}not yet{WARN:#}"),
        };
        let aliases = if version.aliases.is_empty() { "-".to_owned() } else { version.aliases.join(",") };
        let latest = if version.latest { " (latest)" } else { "" };
        table.row([
            format!("{}{latest}", version.number),
            traffic,
            aliases,
            ready,
            version.runs(),
            text::age(version.created, now),
        ]);
    }
    table.to_string()
}

#[cfg(test)]
mod tests;
