//! Events about a Function: what a person wants to hear of when its status changes, once each. Pure.

use flint_api::{CanaryPhase, Condition, FunctionStatus, TrafficStatus};

use super::{
    design::Design,
    problem::BUILDING,
    status::{BUILT, DEPLOYED, NOT_STARTED, READY},
};

/// One event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct News {
    /// Something is wrong.
    pub(crate) warning: bool,
    /// CamelCase, for programs.
    pub(crate) reason: &'static str,
    /// What the operator was doing.
    pub(crate) action: &'static str,
    /// For people.
    pub(crate) note: String,
}

/// What is new in `after`.
pub(crate) fn news(before: &FunctionStatus, after: &FunctionStatus, design: Option<&Design>) -> Vec<News> {
    let mut news = Vec::new();
    if let (Some(design), true) = (design, before.latest_revision != after.latest_revision) {
        let what = if is_untried(after) { "starts with its first request" } else { "is starting" };
        let note = format!("Revision {} {what}.", design.revision);
        news.push(News::normal("RevisionCreated", "Deploying", note));
        if let Some(slow) = design.slow {
            news.push(News::warning(
                "SlowColdStarts",
                "Deploying",
                format!("The pods of revision {} have {slow}.", design.revision),
            ));
        }
    }
    let builds =
        |status: &FunctionStatus| condition(status, BUILT).is_some_and(|built| built.reason == BUILDING);
    match condition(after, BUILT) {
        Some(built) if builds(after) && !builds(before) => {
            news.push(News::normal("BuildStarted", "Building", built.message.clone()));
        }
        Some(built) if built.status == "True" && builds(before) => {
            news.push(News::normal("BuildReady", "Building", built.message.clone()));
        }
        _ => {}
    }
    if let Some(failed) = turned(before, after, BUILT, "False") {
        news.push(News::warning("BuildFailed", "Building", format!("{}: {}", failed.reason, failed.message)));
    }
    if let Some(failed) =
        turned(before, after, DEPLOYED, "False").filter(|failed| failed.reason != "NotBuilt")
    {
        news.push(News::warning(
            "RevisionFailed",
            "Deploying",
            format!("{}: {}", failed.reason, failed.message),
        ));
    }
    if let Some(done) = turned(before, after, DEPLOYED, "True").filter(|done| done.reason != NOT_STARTED) {
        news.push(News::normal("RevisionReady", "Deploying", done.message.clone()));
    }
    news.extend(of_canary(before, after));
    let weights = |status: &FunctionStatus| {
        let shares = status.traffic.iter().filter(|share| share.weight > 0);
        shares.map(|share| (share.number, share.weight)).collect::<Vec<_>>()
    };
    let many = |status: &FunctionStatus| status.traffic.iter().filter(|share| share.weight > 0).count() > 1;
    // That a new revision takes over is told by RevisionReady.
    if !before.traffic.is_empty()
        && weights(before) != weights(after)
        && (many(before) || many(after) || !follows_latest(after))
    {
        news.push(News::normal(
            "TrafficMoved",
            "Routing",
            format!("The requests go to {}.", in_words(&after.traffic)),
        ));
    }
    let elsewhere = |kind| condition(after, kind).is_some_and(|condition| condition.status == "False");
    if let Some(problem) =
        turned(before, after, READY, "False").filter(|_| !elsewhere(BUILT) && !elsewhere(DEPLOYED))
    {
        news.push(News::warning(
            "NotReady",
            "Reconciling",
            format!("{}: {}", problem.reason, problem.message),
        ));
    }
    news
}

fn is_untried(status: &FunctionStatus) -> bool {
    condition(status, DEPLOYED).is_some_and(|deployed| deployed.reason == NOT_STARTED)
}

fn of_canary(before: &FunctionStatus, after: &FunctionStatus) -> Option<News> {
    let trial = after.canary.as_ref()?;
    let same = |was: &flint_api::CanaryStatus| was.revision == trial.revision && was.phase == trial.phase;
    if before.canary.as_ref().is_some_and(same) {
        return None;
    }
    let (name, said) = (&trial.revision, trial.message.as_deref().unwrap_or_default());
    Some(match trial.phase {
        CanaryPhase::Progressing => News::normal(
            "CanaryStarted",
            "Routing",
            format!("Revision {name} is on trial with a part of the requests."),
        ),
        CanaryPhase::Promoted => {
            News::normal("CanaryPromoted", "Routing", format!("Revision {name} gets all requests. {said}"))
        }
        CanaryPhase::RolledBack => News::warning(
            "CanaryRolledBack",
            "Routing",
            format!("Revision {name} gets no requests any more. {said}"),
        ),
    })
}

fn follows_latest(status: &FunctionStatus) -> bool {
    status.traffic.iter().filter(|share| share.weight > 0).all(|share| share.latest)
}

/// `90% revision 3, 10% revision 4`.
fn in_words(shares: &[TrafficStatus]) -> String {
    let weighted = shares.iter().filter(|share| share.weight > 0);
    weighted
        .map(|share| format!("{}% revision {}", share.weight, share.number))
        .collect::<Vec<_>>()
        .join(", ")
}

fn condition<'a>(status: &'a FunctionStatus, kind: &str) -> Option<&'a Condition> {
    status.conditions.iter().find(|condition| condition.type_ == kind)
}

/// The condition, if it is `status` now and was not, or was for another reason or in other words.
fn turned<'a>(
    before: &FunctionStatus,
    after: &'a FunctionStatus,
    kind: &str,
    status: &str,
) -> Option<&'a Condition> {
    let now = condition(after, kind).filter(|condition| condition.status == status)?;
    let same = condition(before, kind).is_some_and(|was| {
        (&was.status, &was.reason, &was.message) == (&now.status, &now.reason, &now.message)
    });
    (!same).then_some(now)
}

// === impl News ===

impl News {
    fn normal(reason: &'static str, action: &'static str, note: String) -> Self {
        Self { warning: false, reason, action, note }
    }

    fn warning(reason: &'static str, action: &'static str, note: String) -> Self {
        Self { warning: true, reason, action, note }
    }
}
