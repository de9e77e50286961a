//! Waits for one function: watches it, and says how far it is, through times in which the cluster is away.

use std::time::Duration;

use flint_api::Function;
use futures::StreamExt;
use kube::{
    ResourceExt,
    runtime::{
        WatchStreamExt,
        watcher::{self, Event},
    },
};
use tokio::{sync::mpsc, time::Instant};

use super::follow::{Follow, Standing};
use crate::{apply, cluster, error::Error};

/// What is new while it waits.
#[derive(Debug)]
pub(super) enum News {
    /// A function has reached a phase, so long after it was applied.
    Phase(String, String, Duration),
    /// The cluster does not answer, for this reason.
    Away(String),
    /// It answers again.
    Back,
}

/// How it ended.
#[derive(Debug)]
pub(super) enum Ended {
    /// It serves, so long after it was applied.
    Done(Box<Function>, Duration),
    /// It does not, and why.
    Failed(Box<Function>, Error),
}

/// Failures are believed when they have stood for a while, without anything new being seen.
const LOOK: Duration = Duration::from_millis(500);

/// Waits until the function serves, cannot serve, or the deadline is there.
pub(super) async fn wait(
    cluster: &cluster::Cluster,
    applied: &Function,
    deadline: Instant,
    news: mpsc::Sender<News>,
) -> Ended {
    let began = Instant::now();
    let name = applied.name_any();
    let mut follow = Follow::new(applied);
    let mut current = applied.clone();
    let mut away: Option<String> = None;
    let config = watcher::Config::default().fields(&format!("metadata.name={name}"));
    let mut watch = watcher::watcher(apply::api(cluster, applied), config).default_backoff().boxed();
    // A send fails when nobody listens any more, because the command ends.
    loop {
        let seen = follow.see(&current, began.elapsed());
        if let Some(phase) = seen.news {
            let _ = news.send(News::Phase(name.clone(), phase, began.elapsed())).await;
        }
        match seen.standing {
            Standing::Done => return Ended::Done(Box::new(current), began.elapsed()),
            Standing::Failed(reason, message) => {
                let error = Error::platform(format!("{name} does not come up: {reason}"))
                    .because(message)
                    .try_this(format!("correct it and deploy again; `flint describe {name}` tells more"));
                return Ended::Failed(Box::new(current), error);
            }
            Standing::Going => {}
        }
        let event = tokio::select! {
            Some(event) = watch.next() => event,
            () = tokio::time::sleep(LOOK) => continue,
            () = tokio::time::sleep_until(deadline) => {
                return Ended::Failed(Box::new(current), late(&name, &follow, away));
            }
        };
        match event {
            Ok(event) => {
                if away.take().is_some() {
                    let _ = news.send(News::Back).await;
                }
                match event {
                    Event::Apply(function) | Event::InitApply(function) if function.name_any() == name => {
                        current = function;
                    }
                    Event::Delete(function) if function.name_any() == name => {
                        let error = Error::not_found(format!("{name} was removed while it was deployed"));
                        return Ended::Failed(Box::new(current), error);
                    }
                    _ => {}
                }
            }
            Err(error) => match refusal(error) {
                Ok(error) => return Ended::Failed(Box::new(current), error),
                Err(why) => {
                    if away.replace(why.clone()).is_none() {
                        let _ = news.send(News::Away(why)).await;
                    }
                }
            },
        }
    }
}

/// What the watch was refused for good, or why it is worth another attempt.
fn refusal(error: watcher::Error) -> Result<Error, String> {
    match error {
        watcher::Error::InitialListFailed(error) | watcher::Error::WatchStartFailed(error) if matches!(&error, kube::Error::Api(status) if matches!(status.code, 401 | 403 | 404)) => {
            Ok(cluster::failure("watch the function", error).or_try("do not wait: --no-wait"))
        }
        other => Err(cluster::innermost(&other)),
    }
}

fn late(name: &str, follow: &Follow, away: Option<String>) -> Error {
    match away {
        Some(why) => Error::platform(format!("the cluster went away while {name} was deployed"))
            .because(why)
            .try_this(format!("the deploy goes on in the cluster: `flint describe {name}` when it is back")),
        None => Error::platform(format!("{name} did not come up in time: {}", follow.waits_for())).try_this(
            format!("the deploy goes on in the cluster: `flint describe {name}`; --timeout waits longer"),
        ),
    }
}
