use serde_json::{Value, json};

use super::*;
use crate::startability::{CRASH_LOOP, Failure};

/// A function with revisions 1 to 3, named `r1` to `r3`, of which 3 is what the spec asks for.
struct Case {
    targets: Vec<TrafficTarget>,
    canary: Option<Canary>,
    before: Vec<TrafficStatus>,
    trial: Option<CanaryStatus>,
    outcomes: Outcomes,
    latest: Option<&'static str>,
    proven: BTreeSet<String>,
    revisions: Vec<Revision>,
    now: Timestamp,
}

fn share(number: u32, weight: u32) -> TrafficStatus {
    TrafficStatus { revision: format!("r{number}"), number, weight, ..TrafficStatus::default() }
}

fn latest(number: u32, weight: u32) -> TrafficStatus {
    TrafficStatus { latest: true, ..share(number, weight) }
}

fn running(number: u32, ready: u32) -> Revision {
    Revision {
        name: format!("r{number}"),
        uid: String::new(),
        asked: ready,
        ready,
        announced: 0,
        verified: true,
        failure: None,
        age: jiff::SignedDuration::from_secs(60),
        leaving: false,
    }
}

fn failing(number: u32) -> Revision {
    let failure = Failure { reason: CRASH_LOOP, message: "The code ends.".into() };
    Revision { verified: false, failure: Some(failure), asked: 1, ..running(number, 0) }
}

/// `latest` is revision 3 and has everything, with two instances.
fn settled() -> Case {
    Case {
        targets: Vec::new(),
        canary: None,
        before: vec![latest(3, 100)],
        trial: None,
        outcomes: Outcomes::default(),
        latest: Some("r3"),
        proven: ["r1", "r2", "r3"].map(str::to_owned).into(),
        revisions: vec![running(3, 2)],
        now: "2026-11-21T12:00:00Z".parse().unwrap(),
    }
}

/// Revision 2 has everything, and 3 is new and ready.
fn updating() -> Case {
    Case { before: vec![latest(2, 100)], revisions: vec![running(2, 2), running(3, 1)], ..settled() }
}

impl Case {
    fn asking(mut self, traffic: Value) -> Self {
        self.targets = serde_json::from_value(traffic).unwrap();
        self
    }

    fn with(mut self, revisions: impl IntoIterator<Item = Revision>) -> Self {
        self.revisions = revisions.into_iter().collect();
        self
    }

    fn trying(mut self, canary: Value) -> Self {
        self.canary = Some(serde_json::from_value(canary).unwrap());
        self
    }

    /// The trial goes on from what was decided, after this time and these outcomes.
    fn later(mut self, decided: &Decision, seconds: i64, requests: u64, errors: u64) -> Self {
        self.before = decided.shares.clone();
        self.trial = decided.trial.clone();
        self.outcomes = Outcomes { requests, errors, slow: 0 };
        self.now += jiff::SignedDuration::from_secs(seconds);
        self
    }

    fn decide(&self) -> Decision {
        decide(&Question {
            targets: &self.targets,
            canary: self.canary.as_ref(),
            before: &self.before,
            trial: self.trial.as_ref(),
            outcomes: self.outcomes,
            latest: self.latest,
            numbers: &(1..=3).map(|number| (number, format!("r{number}"))).collect(),
            proven: &self.proven,
            revisions: &self.revisions,
            most: 10,
            now: self.now,
        })
    }
}

fn weights(decision: &Decision) -> Vec<(u32, u32)> {
    decision.shares.iter().map(|share| (share.number, share.weight)).collect()
}

#[test]
fn without_a_word_the_latest_gets_everything() {
    assert_eq!(settled().decide().shares, [latest(3, 100)]);
    let new = Case { before: Vec::new(), ..settled() }.with([]);
    assert_eq!(new.decide().shares, [latest(3, 100)]);
}

#[test]
fn going_back_waits_for_an_instance_of_the_old_one_and_asks_for_as_many_as_there_are() {
    let back = settled().asking(json!([{"revision": 1}]));
    let decision = back.decide();
    assert_eq!((weights(&decision), decision.starting), (vec![(3, 100)], BTreeMap::from([("r1".into(), 2)])));
    let mut up = running(1, 0);
    up.asked = 2;
    assert_eq!(
        weights(&settled().asking(json!([{"revision": 1}])).with([running(3, 2), up.clone()]).decide()),
        [(3, 100)]
    );
    // It called home: that is enough.
    up.announced = 1;
    let decision = settled().asking(json!([{"revision": 1}])).with([running(3, 2), up]).decide();
    assert_eq!((weights(&decision), decision.starting.len()), (vec![(1, 100)], 0));
}

#[test]
fn at_zero_requests_move_at_once_because_the_next_one_starts_an_instance() {
    let decision = settled().asking(json!([{"revision": 1}])).with([running(3, 0)]).decide();
    assert_eq!(weights(&decision), [(1, 100)]);
    // One that never ran has to show first that it can.
    let case = Case { proven: BTreeSet::new(), ..settled() };
    let decision = case.asking(json!([{"revision": 1}])).with([running(3, 0)]).decide();
    assert_eq!(weights(&decision), [(3, 100)]);
    assert_eq!(decision.starting.keys().collect::<Vec<_>>(), ["r1"]);
}

#[test]
fn what_cannot_serve_is_left_at_once() {
    let decision = settled().asking(json!([{"revision": 1}])).with([failing(3)]).decide();
    assert_eq!(weights(&decision), [(1, 100)]);
}

#[test]
fn weights_of_those_that_have_requests_already_move_at_once() {
    let split = Case { before: vec![share(1, 90), share(2, 10)], ..settled() };
    let case = split.asking(json!([{"revision": 1, "weight": 10}, {"revision": 2, "weight": 90}]));
    assert_eq!(weights(&case.with([running(1, 3), running(2, 1)]).decide()), [(1, 10), (2, 90)]);
}

#[test]
fn an_alias_without_a_share_needs_no_instance() {
    let decision = settled()
        .asking(json!([{"revision": "latest", "weight": 100}, {"revision": 1, "alias": "old"}]))
        .decide();
    assert_eq!(weights(&decision), [(3, 100), (1, 0)]);
    assert_eq!(decision.shares[1].alias.as_deref(), Some("old"));
}

#[test]
fn a_revision_that_is_not_there_moves_nothing_and_is_told() {
    let decision = settled().asking(json!([{"revision": 9}])).decide();
    assert_eq!(decision.shares, [latest(3, 100)]);
    let problem = decision.problem.unwrap();
    assert_eq!(problem.reason, problem::REVISION_NOT_FOUND);
    assert!(
        problem.message.contains("revision 9, which does not exist: there are 1, 2, 3."),
        "{}",
        problem.message
    );
}

#[test]
fn one_that_cannot_start_moves_nothing_and_is_told() {
    let decision = settled().asking(json!([{"revision": 1}])).with([running(3, 2), failing(1)]).decide();
    assert_eq!((weights(&decision), decision.problem.unwrap().reason), (vec![(3, 100)], CRASH_LOOP));
}

#[test]
fn a_pinned_function_stays_where_it_is_whatever_comes() {
    let case = Case { before: vec![share(1, 100)], ..settled() }.asking(json!([{"revision": 1}]));
    let decision = case.with([running(1, 2), running(3, 1)]).decide();
    assert_eq!((weights(&decision), decision.replaces), (vec![(1, 100)], None));
}

#[test]
fn going_back_works_while_nothing_can_be_made_of_the_spec() {
    let case = Case { latest: None, ..settled() }.asking(json!([{"revision": 1}]));
    assert_eq!(weights(&case.with([running(3, 2), running(1, 1)]).decide()), [(1, 100)]);
}

#[test]
fn the_latest_comes_up_before_it_takes_over_its_share() {
    let traffic = json!([{"revision": "latest", "weight": 50}, {"revision": 1, "weight": 50}]);
    let before = vec![latest(2, 50), share(1, 50)];
    let case = Case { before: before.clone(), ..settled() }.asking(traffic.clone());
    let decision = case.with([running(1, 1), running(2, 2), running(3, 1)]).decide();
    assert_eq!((weights(&decision), decision.replaces.as_deref()), (vec![(2, 50), (1, 50)], Some("r2")));
    let case = Case { before, ..settled() }.asking(traffic);
    assert_eq!(
        weights(&case.with([running(1, 1), running(2, 2), running(3, 2)]).decide()),
        [(3, 50), (1, 50)]
    );
}

#[test]
fn a_trial_goes_step_by_step_to_all_requests() {
    let canary = json!({"steps": [10, 50], "interval": "30s", "minRequests": 20});
    let case = updating().trying(canary);
    let first = case.decide();
    assert_eq!(weights(&first), [(2, 90), (3, 10)]);
    assert!(first.shares[1].canary && !first.shares[0].canary);
    let case = case.later(&first, 29, 100, 0);
    assert_eq!(weights(&case.decide()), [(2, 90), (3, 10)]);
    let case = case.later(&first, 1, 100, 0);
    let second = case.decide();
    assert_eq!((weights(&second), second.trial.as_ref().unwrap().step), (vec![(2, 50), (3, 50)], 2));
    let case = case.later(&second, 30, 19, 0);
    assert_eq!(weights(&case.decide()), [(2, 50), (3, 50)], "there is not enough to judge by");
    let last = case.later(&second, 1, 20, 1).decide();
    assert_eq!(weights(&last), [(3, 100)]);
    assert_eq!(last.trial.unwrap().phase, CanaryPhase::Promoted);
}

#[test]
fn a_trial_that_fails_loses_its_requests_at_once_and_says_why_and_stays_out() {
    let case = updating().trying(json!({"maxErrorPercent": 5}));
    let first = case.decide();
    let case = case.later(&first, 1, 30, 12);
    let failed = case.decide();
    assert_eq!(weights(&failed), [(2, 100)]);
    let trial = failed.trial.clone().unwrap();
    assert_eq!(trial.phase, CanaryPhase::RolledBack);
    assert_eq!(trial.message.unwrap(), "At 10% of the requests, 12 of 30 failed, and 5% may.");
    let case = case.later(&failed, 3600, 0, 0);
    assert_eq!(weights(&case.decide()), [(2, 100)]);
    // Without a canary it takes over all the same, as any new revision.
    let insisted = Case { canary: None, ..case }.with([running(2, 1), running(3, 1)]).decide();
    assert_eq!((weights(&insisted), insisted.trial), (vec![(3, 100)], None));
}

#[test]
fn a_trial_needs_an_instance_and_one_that_cannot_start_any_more_has_failed() {
    let canary = json!({});
    let mut coming = running(3, 0);
    (coming.asked, coming.verified) = (1, false);
    let mut case = updating().trying(canary).with([running(2, 2), coming]);
    case.proven.remove("r3");
    let waiting = case.decide();
    assert_eq!((weights(&waiting), waiting.replaces.as_deref()), (vec![(2, 100)], Some("r2")));
    let case = case.with([running(2, 2), running(3, 1)]);
    let first = case.decide();
    let broken = case.later(&first, 1, 0, 0).with([running(2, 2), failing(3)]).decide();
    assert_eq!(weights(&broken), [(2, 100)]);
    assert!(broken.trial.unwrap().message.unwrap().starts_with("It cannot start: CrashLoop"));
}

#[test]
fn a_trial_has_its_part_of_what_the_latest_has() {
    let traffic =
        json!([{"revision": "latest", "weight": 20, "alias": "next"}, {"revision": 1, "weight": 80}]);
    let case = Case { before: vec![latest(2, 20), share(1, 80)], ..settled() }
        .asking(traffic)
        .trying(json!({"steps": [5]}));
    let decision = case.with([running(1, 4), running(2, 1), running(3, 1)]).decide();
    assert_eq!(weights(&decision), [(2, 19), (3, 1), (1, 80)]);
    let aliases: Vec<_> = decision.shares.iter().map(|share| share.alias.as_deref()).collect();
    assert_eq!(aliases, [Some("next"), None, None]);
}

#[test]
fn the_first_revision_stays_the_first_while_it_gets_requests() {
    assert_eq!(main(Some("r1"), &[share(2, 90), share(1, 10)]), Some("r1"));
    assert_eq!(main(Some("r3"), &[share(1, 50), share(2, 50)]), Some("r1"));
    assert_eq!(main(Some("r1"), &[share(1, 0), share(2, 100)]), Some("r2"));
    assert_eq!(main(Some("r1"), &[]), None);
}
