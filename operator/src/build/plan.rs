//! From what became of a build to what is done next and what the Function is told. Pure.

use std::time::Duration;

use jiff::Timestamp;

use super::{
    order::Order,
    state::{Failure, State},
};
use crate::{
    function::problem::{self, Problem},
    package::Package,
};

/// What there is.
pub(crate) struct Situation<'a> {
    /// What is to be built.
    pub(crate) order: &'a Order,
    /// What became of its Job.
    pub(crate) state: State,
    /// The package that a revision of the namespace has of the same build, and whether its bytes are at hand.
    pub(crate) deployed: Option<(Package, bool)>,
    /// Whether the bytes of what the Job made are at hand.
    pub(crate) at_hand: bool,
    /// Whether another build may begin now.
    pub(crate) room: bool,
    /// Whether the builder has been given its key by this process.
    pub(crate) has_key: bool,
    /// The time.
    pub(crate) now: Timestamp,
}

/// What is done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// Nothing.
    Wait,
    /// Make the Job.
    Create,
    /// Give the builder its key.
    GiveKey,
    /// Delete the Job, to make it anew.
    Delete,
    /// Wait for another build to end.
    Queue,
}

/// A build that something stood in the way of is made again after this long.
pub(crate) const AGAIN_AFTER: Duration = Duration::from_secs(300);

/// Time alone turns a pod without a node or an image into something to tell.
const LOOK: Duration = Duration::from_secs(10);

/// The next step, and what the Function has for now.
pub(crate) fn plan(situation: Situation<'_>) -> (Step, Result<Package, Problem>) {
    let Situation { order, state, deployed, at_hand, room, has_key, now } = situation;
    let or_deployed = |problem: Problem| deployed.clone().map(|(package, _)| package).ok_or(problem);
    match state {
        State::Done(digest, bytes) if at_hand => (Step::Wait, Ok(built(order, digest, bytes))),
        _ if deployed.as_ref().is_some_and(|(_, at_hand)| *at_hand) => {
            (Step::Wait, or_deployed(building(order)))
        }
        // The operator that had it is gone.
        State::Done(..) => (Step::Delete, or_deployed(building(order))),
        State::Failed(failure) => failed(order, &failure, now, or_deployed),
        State::Absent if room => (Step::Create, or_deployed(building(order))),
        State::Absent => {
            let text = "As many builds as may run at once do; this one waits for its turn.";
            (Step::Queue, or_deployed(Problem::waiting(problem::BUILD_QUEUED, text)))
        }
        State::Running => {
            let step = if has_key { Step::Wait } else { Step::GiveKey };
            (step, or_deployed(building(order)))
        }
        State::Stuck(failure) => {
            let (step, told) = stuck(order, &failure, now, or_deployed);
            // Without its key it would be stuck for that.
            (if step == Step::Wait && !has_key { Step::GiveKey } else { step }, told)
        }
        State::Leaving => (Step::Delete, or_deployed(building(order))),
    }
}

/// What a build made.
pub(crate) fn built(order: &Order, digest: String, bytes: u64) -> Package {
    Package {
        digest,
        size: usize::try_from(bytes).unwrap_or(usize::MAX),
        data: None,
        source: Some(mark(&order.name)),
        resolved: None,
        needs: Some(Vec::new()),
        image: None,
    }
}

/// What a revision remembers of its package: the build that made it.
pub(crate) fn mark(build: &str) -> String {
    format!("build {build}")
}

fn building(order: &Order) -> Problem {
    let Order { manifest, name, .. } = order;
    let text = format!("What {manifest} names is being fetched: kubectl logs --follow job/{name} shows it.");
    Problem { again: Some(LOOK), ..Problem::waiting(problem::BUILDING, text) }
}

/// A build that cannot begin goes on trying by itself; after a while its Job is made anew.
fn stuck(
    order: &Order,
    failure: &Failure,
    now: Timestamp,
    or_deployed: impl Fn(Problem) -> Result<Package, Problem>,
) -> (Step, Result<Package, Problem>) {
    let left = left(failure, now);
    let text = format!(
        "The build of {} cannot begin: {} It begins as soon as it can.",
        order.manifest, failure.message
    );
    let again = Some(left.max(LOOK));
    let problem = Problem { again, ..Problem::build(problem::BUILD_FAILED, text) };
    (if left.is_zero() { Step::Delete } else { Step::Wait }, or_deployed(problem))
}

/// How long until another attempt.
fn left(failure: &Failure, now: Timestamp) -> Duration {
    let passed = failure.since.map_or(AGAIN_AFTER, |since| now.duration_since(since).unsigned_abs());
    AGAIN_AFTER.saturating_sub(passed)
}

fn failed(
    order: &Order,
    failure: &Failure,
    now: Timestamp,
    or_deployed: impl Fn(Problem) -> Result<Package, Problem>,
) -> (Step, Result<Package, Problem>) {
    let Order { manifest, name, .. } = order;
    let left = left(failure, now);
    if failure.heals && left.is_zero() {
        return (Step::Delete, or_deployed(building(order)));
    }
    let then = if failure.heals { " It is tried again." } else { "" };
    let text = format!(
        "The build of {manifest} failed: {}{then} kubectl logs job/{name} has all of it.",
        failure.message
    );
    let problem =
        Problem { again: failure.heals.then_some(left), ..Problem::build(problem::BUILD_FAILED, text) };
    (Step::Wait, or_deployed(problem))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::build::order::tests::given;

    fn planned(state: State, change: impl FnOnce(&mut Situation<'_>)) -> (Step, Result<Package, Problem>) {
        let order = given("build:1", &json!({}), "", &["requirements.txt"]).unwrap().unwrap();
        let now = "2026-11-21T10:00:00Z".parse().unwrap();
        let mut situation =
            Situation { order: &order, state, deployed: None, at_hand: true, room: true, has_key: true, now };
        change(&mut situation);
        plan(situation)
    }

    fn package() -> Package {
        Package {
            digest: "sha256:old".into(),
            size: 1,
            data: None,
            source: None,
            resolved: None,
            needs: None,
            image: None,
        }
    }

    fn failure(heals: bool, since: &str) -> State {
        State::Failed(Failure {
            message: "No matching distribution.".into(),
            heals,
            since: since.parse().ok(),
        })
    }

    #[test]
    fn a_build_is_made_given_its_key_and_waited_for() {
        assert_eq!(planned(State::Absent, |_| ()).0, Step::Create);
        let (step, told) = planned(State::Absent, |situation| situation.room = false);
        assert_eq!((step, told.unwrap_err().reason), (Step::Queue, problem::BUILD_QUEUED));
        assert_eq!(planned(State::Running, |situation| situation.has_key = false).0, Step::GiveKey);
        let (step, package) = planned(State::Done("sha256:aa".into(), 7), |_| ());
        assert_eq!((step, package.unwrap().digest.as_str()), (Step::Wait, "sha256:aa"));
    }

    #[test]
    fn a_build_that_cannot_begin_is_told_of_given_its_key_and_after_a_while_made_anew() {
        let stuck = |since: &str| match failure(true, since) {
            State::Failed(failure) => State::Stuck(failure),
            other => other,
        };
        let (step, told) = planned(stuck("2026-11-21T09:59:00Z"), |situation| situation.has_key = false);
        let told = told.unwrap_err();
        assert_eq!((step, told.reason, told.waiting), (Step::GiveKey, problem::BUILD_FAILED, false));
        assert_eq!(told.again, Some(Duration::from_secs(240)));
        assert_eq!(planned(stuck("2026-11-21T09:59:00Z"), |_| ()).0, Step::Wait);
        assert_eq!(planned(stuck("2026-11-21T09:54:00Z"), |_| ()).0, Step::Delete);
    }

    #[test]
    fn what_a_revision_has_of_the_same_build_is_not_built_again_unless_it_is_lost() {
        let (step, has) = planned(State::Absent, |situation| situation.deployed = Some((package(), true)));
        assert_eq!((step, has.unwrap()), (Step::Wait, package()));
        let (step, has) = planned(State::Absent, |situation| situation.deployed = Some((package(), false)));
        assert_eq!((step, has.unwrap()), (Step::Create, package()));
        let (step, _) = planned(State::Done("sha256:aa".into(), 7), |situation| situation.at_hand = false);
        assert_eq!(step, Step::Delete);
    }

    #[test]
    fn what_time_can_heal_is_tried_again_and_the_rest_waits_for_a_change() {
        let (step, told) = planned(failure(false, "2026-11-21T09:00:00Z"), |_| ());
        let told = told.unwrap_err();
        assert_eq!(
            (step, told.reason, told.waiting, told.again),
            (Step::Wait, problem::BUILD_FAILED, false, None)
        );
        assert!(told.message.contains("No matching distribution."), "{}", told.message);
        let (step, told) = planned(failure(true, "2026-11-21T09:59:00Z"), |_| ());
        assert_eq!((step, told.unwrap_err().again), (Step::Wait, Some(Duration::from_secs(240))));
        assert_eq!(planned(failure(true, "2026-11-21T09:54:00Z"), |_| ()).0, Step::Delete);
    }
}
