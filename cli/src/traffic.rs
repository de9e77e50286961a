//! Moves a function's requests between its versions: asks for it in `spec.traffic`, and waits until it is in effect.
//!
//! The field is written as field manager [`MANAGER`], not as `flint deploy` writes: a deploy of files that say nothing of traffic leaves
//! it alone, and one of files that say something else is a conflict that its user decides.

use std::time::Duration;

use flint_api::{Function, TrafficStatus, TrafficTarget};
use kube::{
    ResourceExt,
    api::{Patch, PatchParams},
};
use serde::Serialize;
use serde_json::json;
use tokio::time::Instant;

use crate::{
    cluster::{Cluster, failure, innermost, is_away},
    error::Error,
    output::{GOOD, Output, Table},
    progress::Progress,
};

pub mod plan;

use plan::{Standing, Wish};

/// Who is said to have written `spec.traffic`.
pub const MANAGER: &str = "flint-traffic";

/// How long and whether to wait; of each command that moves requests.
#[derive(Clone, Copy, Debug, clap::Args)]
pub struct Patience {
    /// Do not wait until it is in effect
    #[arg(long, env = "FLINT_NO_WAIT")]
    no_wait: bool,
    /// How long to wait, for the cluster and for instances of the version
    #[arg(long, env = "FLINT_TIMEOUT", value_name = "TIME", default_value = "2m")]
    timeout: flint_api::Duration,
}

/// Who gets a function's requests.
#[derive(Clone, Debug, Serialize)]
pub struct Moved {
    name: String,
    namespace: String,
    /// In effect; with --no-wait, as they were a moment ago.
    traffic: Vec<TrafficStatus>,
}

/// How often the status is looked at: a move between versions that run takes a fraction of a second.
const LOOK: Duration = Duration::from_millis(200);
/// How long a version must have failed to start before that is believed: its second start may succeed.
const BELIEF: Duration = Duration::from_secs(5);
/// Attempts to write while others write the same object.
const ATTEMPTS: usize = 5;

/// The function.
///
/// # Errors
/// When it is not there, or the user may not look.
pub async fn find(cluster: &Cluster, name: &str) -> Result<Function, Error> {
    let function = cluster.functions().get_opt(name).await;
    let function = function.map_err(|error| failure(&format!("look at {name}"), error))?;
    function.ok_or_else(|| {
        Error::not_found(format!("there is no function {name} in {}", cluster.namespace))
            .try_this("`flint ls` lists those that are, `flint ls -A` of all namespaces")
    })
}

/// Gives a version what is wished for it, waits, and prints who gets the requests then.
///
/// # Errors
/// When there is no such version, the cluster refuses, or it is not in effect in time.
pub async fn give(
    cluster: &Cluster,
    name: &str,
    wish: &Wish,
    patience: Patience,
    output: &Output,
) -> Result<(), Error> {
    let deadline = Instant::now() + patience.timeout.get();
    let (function, wanted) = ask(cluster, name, wish).await?;
    let function = if patience.no_wait {
        function
    } else {
        tokio::select! {
            there = arrive(cluster, function, &wanted, deadline, output) => there?,
            _ = tokio::signal::ctrl_c() => {
                output.say(&format!("It goes on in the cluster: `flint versions {name}` tells how far it is."));
                return Err(Error::interrupted());
            }
        }
    };
    let moved = Moved {
        name: name.to_owned(),
        namespace: cluster.namespace.clone(),
        traffic: function.status.map(|status| status.traffic).unwrap_or_default(),
    };
    output.result(
        &moved,
        || {
            if patience.no_wait { format!("{name}: it is asked for") } else { render(&moved) }
        },
    )
}

/// Writes `spec.traffic`, on what the object was when it was read: what others write meanwhile is not lost.
async fn ask(cluster: &Cluster, name: &str, wish: &Wish) -> Result<(Function, Vec<TrafficTarget>), Error> {
    let params = PatchParams { field_manager: Some(MANAGER.to_owned()), ..PatchParams::default() };
    let mut attempt = 1;
    loop {
        let function = find(cluster, name).await?;
        let wanted = plan::wanted(&function, wish)?;
        if plan::asked(&function) == wanted {
            return Ok((function, wanted));
        }
        let body = json!({
            "metadata": {"resourceVersion": function.resource_version()}, "spec": {"traffic": wanted},
        });
        match cluster.functions().patch(name, &params, &Patch::Merge(&body)).await {
            Ok(function) => return Ok((function, wanted)),
            Err(kube::Error::Api(status)) if status.code == 409 && attempt < ATTEMPTS => attempt += 1,
            Err(error) => return Err(failure(&format!("move the requests of {name}"), error)),
        }
    }
}

/// Waits until it is in effect.
async fn arrive(
    cluster: &Cluster,
    mut function: Function,
    wanted: &[TrafficTarget],
    deadline: Instant,
    output: &Output,
) -> Result<Function, Error> {
    let name = function.name_any();
    let generation = function.metadata.generation.unwrap_or_default();
    let mut progress = Progress::new(output);
    progress.phase(&name, "waits for the requests to move", "");
    let mut stuck_since: Option<Instant> = None;
    let mut away: Option<String> = None;
    loop {
        let standing = plan::standing(&function, wanted, generation);
        match &standing {
            Standing::Done => {
                progress.done(&name);
                return Ok(function);
            }
            Standing::Overtaken => {
                return Err(Error::usage(format!("somebody has changed spec.traffic of {name} meanwhile"))
                    .try_this(format!("`flint versions {name}` tells who gets the requests")));
            }
            Standing::Stuck(message) => {
                if stuck_since.get_or_insert_with(Instant::now).elapsed() >= BELIEF {
                    return Err(Error::platform(format!("the requests of {name} do not move"))
                        .because(message.clone())
                        .try_this(format!("`flint describe {name}` tells more; `flint promote {name} VERSION` asks for another version")));
                }
            }
            Standing::Going => stuck_since = None,
        }
        if Instant::now() + LOOK >= deadline {
            return Err(late(&name, away, &function));
        }
        tokio::time::sleep(LOOK).await;
        match cluster.functions().get_opt(&name).await {
            Ok(Some(now)) => {
                if away.take().is_some() {
                    progress.say("the cluster answers again");
                }
                function = now;
            }
            Ok(None) => {
                return Err(Error::not_found(format!("{name} was removed while its requests were moved")));
            }
            Err(error) if is_away(&error) => {
                let why = innermost(&error);
                if away.is_none() {
                    progress
                        .say(&format!("the cluster does not answer ({why}); trying again until the timeout"));
                }
                away = Some(why);
            }
            Err(error) => {
                return Err(failure(&format!("look at {name}"), error).or_try("do not wait: --no-wait"));
            }
        }
    }
}

fn late(name: &str, away: Option<String>, function: &Function) -> Error {
    let (message, why) = match away {
        Some(why) => (format!("the cluster went away while the requests of {name} were moved"), Some(why)),
        None => {
            let deployed = crate::callable::condition(function, "Deployed");
            let why = deployed.map(|deployed| format!("{}: {}", deployed.reason, deployed.message));
            (format!("the requests of {name} did not move in time"), why)
        }
    };
    let error = Error::platform(message).try_this(format!(
        "it goes on in the cluster: `flint versions {name}` tells how far it is; --timeout waits longer"
    ));
    match why {
        Some(why) => error.because(why),
        None => error,
    }
}

/// A line for each version that gets requests or has a name.
fn render(moved: &Moved) -> String {
    let mut lines = Table::bare();
    for share in &moved.traffic {
        let mut notes = Vec::new();
        notes.extend(share.alias.clone());
        notes.extend(share.latest.then(|| "latest".to_owned()));
        notes.extend(share.canary.then(|| "on trial".to_owned()));
        lines.row([
            format!("{GOOD}✓{GOOD:#} {}", moved.name),
            format!("version {}", share.number),
            format!("{}%", share.weight),
            share.revision.clone(),
            notes.join(", "),
        ]);
    }
    lines.to_string()
}

#[cfg(test)]
mod tests;
