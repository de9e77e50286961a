//! Who gets a function's requests: from what the spec asks for and what can serve, the shares that are in effect. Pure.
//!
//! Requests move in one step, and only to what can serve them: a revision that gets a share which it did not have needs an
//! instance first, unless the whole function is at zero, where the first request starts one. Until then everything stays as it
//! was, and what is missing is started. An alias without a share needs no instance: its requests start one.
//!
//! `latest` is the newest revision that was ready. Without a canary it moves as [`crate::rollout`] has it; with one, the new
//! revision first gets a part of what `latest` has, and [`flint_core::canary`] judges it.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use flint_api::{Canary, CanaryPhase, CanaryStatus, RevisionRef, TrafficStatus, TrafficTarget};
use flint_core::canary::{self, Breach, Outcomes, Verdict};
use jiff::Timestamp;

use super::problem::{self, Problem};
use crate::rollout::{self, Revision};

/// What the decision rests on.
pub(crate) struct Question<'a> {
    /// `spec.traffic`.
    pub(crate) targets: &'a [TrafficTarget],
    /// `spec.canary`.
    pub(crate) canary: Option<&'a Canary>,
    /// The shares in effect.
    pub(crate) before: &'a [TrafficStatus],
    /// The last trial.
    pub(crate) trial: Option<&'a CanaryStatus>,
    /// What its present step has seen.
    pub(crate) outcomes: Outcomes,
    /// The revision that the spec asks for, where it can be had.
    pub(crate) latest: Option<&'a str>,
    /// The revisions by number.
    pub(crate) numbers: &'a BTreeMap<u32, String>,
    /// Those that were ready once, with or without a Deployment.
    pub(crate) proven: &'a BTreeSet<String>,
    /// Those that have a Deployment.
    pub(crate) revisions: &'a [Revision],
    /// The most instances.
    pub(crate) most: u32,
    /// The time.
    pub(crate) now: Timestamp,
}

/// What is to be.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Decision {
    /// The shares from now on.
    pub(crate) shares: Vec<TrafficStatus>,
    /// The trial from now on.
    pub(crate) trial: Option<CanaryStatus>,
    /// Instances that revisions need before requests can move to them.
    pub(crate) starting: BTreeMap<String, u32>,
    /// The latest revision comes up to take the place of this one.
    pub(crate) replaces: Option<String>,
    /// Why the requests cannot go where the spec wants them.
    pub(crate) problem: Option<Problem>,
}

/// The steps of a canary that names none.
const STEPS: [u32; 2] = [10, 50];
/// The length of a step of a canary that names none.
const INTERVAL: Duration = Duration::from_secs(60);
/// Requests that a step of a canary needs that names no number.
const MIN_REQUESTS: u32 = 20;
/// Percent of requests that may fail for a canary that names none.
const MAX_ERROR_PERCENT: f64 = 5.0;

/// The first of the revisions that get requests: the one of `before` as long as it gets any, then the one that gets most.
pub(crate) fn main<'a>(before: Option<&str>, shares: &'a [TrafficStatus]) -> Option<&'a str> {
    let weighted = || shares.iter().filter(|share| share.weight > 0);
    let kept = weighted().find(|share| Some(share.revision.as_str()) == before);
    // The first of equals.
    let heaviest = || weighted().rev().max_by_key(|share| share.weight);
    kept.or_else(heaviest).map(|share| share.revision.as_str())
}

/// Decides.
pub(crate) fn decide(question: &Question<'_>) -> Decision {
    let lone = [TrafficTarget::default()];
    let targets = if question.targets.is_empty() { &lone } else { question.targets };
    let mut decision = Decision { trial: question.trial.cloned(), ..Decision::default() };
    let latest = question.resolve(targets, &mut decision);
    match question.shares(targets, latest.as_ref()) {
        Ok(shares) => decision.shares = shares,
        Err(problem) => {
            decision.problem = Some(problem);
            decision.shares = question.before.to_vec();
            return decision;
        }
    }
    let judged: Vec<&str> =
        latest.as_ref().filter(|_| asks_for_latest(targets)).map(Latest::names).unwrap_or_default();
    let wanting =
        decision.shares.iter().filter(|share| share.weight > 0 && !judged.contains(&share.revision.as_str()));
    for share in wanting {
        if !question.may_get(&share.revision) {
            decision.starting.insert(share.revision.clone(), question.needed(share.weight));
        }
    }
    if !decision.starting.is_empty() {
        decision.problem = decision.starting.keys().find_map(|name| question.blocked(name));
        decision.shares = question.before.to_vec();
        decision.trial = question.trial.cloned();
    }
    decision
}

/// What `latest` stands for.
struct Latest {
    name: String,
    /// Another one that is tried out, with its percentage.
    canary: Option<(String, u32)>,
}

impl Latest {
    /// Those that [`Question::resolve`] has judged to be able to serve.
    fn names(&self) -> Vec<&str> {
        let canary = self.canary.as_ref().map(|(name, _)| name.as_str());
        std::iter::once(self.name.as_str()).chain(canary).collect()
    }
}

// === impl Question ===

impl Question<'_> {
    /// What `latest` stands for from now on.
    fn resolve(&self, targets: &[TrafficTarget], decision: &mut Decision) -> Option<Latest> {
        let serving = self.before.iter().find(|share| share.latest && !share.canary);
        let serving = serving.map(|share| share.revision.as_str());
        let only = |name: &str| Latest { name: name.to_owned(), canary: None };
        if !asks_for_latest(targets) {
            let proven = self.latest.filter(|latest| self.proven.contains(*latest));
            return proven.or(serving).or(self.latest).map(only);
        }
        let current = serving.or_else(|| main(None, self.before));
        if let (Some(canary), Some(old), Some(new)) = (self.canary, current, self.latest)
            && old != new
            && self.can_serve(old)
        {
            return Some(self.try_out(canary, old, new, decision));
        }
        let moved = rollout::traffic(current, self.latest, self.revisions, self.most);
        if moved.as_deref() != self.latest {
            decision.replaces = current.map(str::to_owned);
        }
        if decision
            .trial
            .as_ref()
            .is_some_and(|trial| Some(trial.revision.as_str()) != self.latest || self.canary.is_none())
        {
            decision.trial = None;
        }
        moved.as_deref().map(only)
    }

    fn try_out(&self, canary: &Canary, old: &str, new: &str, decision: &mut Decision) -> Latest {
        let stays = Latest { name: old.to_owned(), canary: None };
        let plan = plan(canary);
        let Some(trial) = self.trial.filter(|trial| trial.revision == new) else {
            decision.trial = None;
            if !self.can_take(new) {
                decision.replaces = Some(old.to_owned());
                return stays;
            }
            decision.trial = Some(self.at_step(new, 1));
            return Latest { canary: Some((new.to_owned(), percent(&plan, 1))), ..stays };
        };
        match trial.phase {
            CanaryPhase::RolledBack => return stays,
            // It had passed, and was left for another since: it is no stranger.
            CanaryPhase::Promoted if self.can_take(new) => {
                return Latest { name: new.to_owned(), canary: None };
            }
            CanaryPhase::Promoted => {
                decision.replaces = Some(old.to_owned());
                return stays;
            }
            CanaryPhase::Progressing => {}
        }
        let lasted =
            trial.since.map_or(Duration::ZERO, |since| self.now.duration_since(since).unsigned_abs());
        let step = trial.step.max(1);
        let verdict = match self.find(new).and_then(|new| new.failure.as_ref().filter(|_| new.ready == 0)) {
            Some(failure) => {
                let why = format!("It cannot start: {}: {}", failure.reason, failure.message);
                decision.trial = Some(ended(trial, CanaryPhase::RolledBack, why));
                return stays;
            }
            None => canary::judge(&plan, step as usize - 1, lasted, self.outcomes),
        };
        match verdict {
            Verdict::Stay => Latest { canary: Some((new.to_owned(), percent(&plan, step))), ..stays },
            Verdict::Next => {
                decision.trial = Some(self.at_step(new, step + 1));
                Latest { canary: Some((new.to_owned(), percent(&plan, step + 1))), ..stays }
            }
            Verdict::Promote => {
                let text = format!("It passed its trial of {} steps.", plan.steps.len());
                decision.trial = Some(ended(trial, CanaryPhase::Promoted, text));
                Latest { name: new.to_owned(), canary: None }
            }
            Verdict::RollBack(breach) => {
                let why = self.why(canary, breach, percent(&plan, step));
                decision.trial = Some(ended(trial, CanaryPhase::RolledBack, why));
                stays
            }
        }
    }

    fn at_step(&self, revision: &str, step: u32) -> CanaryStatus {
        CanaryStatus {
            revision: revision.to_owned(),
            phase: CanaryPhase::Progressing,
            step,
            since: Some(Timestamp::from_second(self.now.as_second()).unwrap_or(self.now)),
            message: None,
        }
    }

    fn why(&self, canary: &Canary, breach: Breach, percent: u32) -> String {
        let Outcomes { requests, errors, slow } = self.outcomes;
        match breach {
            Breach::Errors => {
                let most = canary.max_error_percent.unwrap_or(MAX_ERROR_PERCENT);
                format!("At {percent}% of the requests, {errors} of {requests} failed, and {most}% may.")
            }
            Breach::Latency => {
                let bound = canary.max_latency.map_or_else(String::new, |bound| bound.to_string());
                format!(
                    "At {percent}% of the requests, {slow} of {requests} took longer than {bound}, and 5% may."
                )
            }
        }
    }

    /// The shares that the spec asks for.
    fn shares(
        &self,
        targets: &[TrafficTarget],
        latest: Option<&Latest>,
    ) -> Result<Vec<TrafficStatus>, Problem> {
        let mut shares = Vec::with_capacity(targets.len() + 1);
        for target in targets {
            let weight = target.weight(targets);
            let share = |revision: &str, weight: u32| TrafficStatus {
                revision: revision.to_owned(),
                number: self.number(revision),
                weight,
                alias: target.alias.clone(),
                latest: target.revision == RevisionRef::Latest,
                canary: false,
            };
            match (target.revision, latest) {
                (RevisionRef::Number(number), _) => {
                    let name = self.numbers.get(&number).ok_or_else(|| self.unknown(number))?;
                    shares.push(share(name, weight));
                }
                (RevisionRef::Latest, Some(Latest { name, canary: Some((new, percent)) })) if weight > 0 => {
                    // At least one of a hundred, or nothing would ever be seen of it; and never all.
                    let part = (weight * percent).div_ceil(100).clamp(1, weight);
                    shares.push(share(name, weight - part));
                    shares.push(TrafficStatus { alias: None, canary: true, ..share(new, part) });
                }
                (RevisionRef::Latest, Some(latest)) => shares.push(share(&latest.name, weight)),
                // Nothing can be made of the spec, and nothing was before: its conditions say why.
                (RevisionRef::Latest, None) => {}
            }
        }
        Ok(shares)
    }

    fn number(&self, revision: &str) -> u32 {
        self.numbers.iter().find(|(_, name)| *name == revision).map_or(0, |(number, _)| *number)
    }

    fn unknown(&self, number: u32) -> Problem {
        let known: Vec<_> = self.numbers.keys().map(u32::to_string).collect();
        let known = if known.is_empty() {
            "there are none yet".to_owned()
        } else {
            format!("there are {}", known.join(", "))
        };
        let text = format!(
            "spec.traffic names revision {number}, which does not exist: {known}. The requests go where they went before."
        );
        Problem::deploy(problem::REVISION_NOT_FOUND, text)
    }

    fn find(&self, name: &str) -> Option<&Revision> {
        self.revisions.iter().find(|revision| revision.name == name && !revision.leaving)
    }

    /// Whether the revision, which gets requests, is able to go on.
    fn can_serve(&self, name: &str) -> bool {
        self.find(name).is_some_and(|old| old.ready > 0 || old.failure.is_none())
    }

    /// Whether the revision has an instance, or nobody needs one before there are requests.
    fn can_take(&self, name: &str) -> bool {
        let Some(revision) = self.find(name) else { return self.is_idle() && self.proven.contains(name) };
        let up = revision.ready > 0 || (revision.announced > 0 && revision.failure.is_none());
        up || (self.is_idle()
            && (revision.verified || self.proven.contains(name))
            && revision.failure.is_none())
    }

    /// Whether a revision may get a share: it has one, it can take one, or nothing else can serve.
    fn may_get(&self, name: &str) -> bool {
        let before = || self.before.iter().filter(|share| share.weight > 0);
        before().any(|share| share.revision == name)
            || self.can_take(name)
            || !before().any(|share| self.can_serve(&share.revision))
    }

    /// Whether none of those that get requests has, or is asked for, an instance.
    fn is_idle(&self) -> bool {
        let before = self.before.iter().filter(|share| share.weight > 0);
        before.filter_map(|share| self.find(&share.revision)).all(|one| one.ready == 0 && one.asked == 0)
    }

    /// Instances for a share of what those have that get the requests now.
    fn needed(&self, weight: u32) -> u32 {
        let names: BTreeSet<_> = self
            .before
            .iter()
            .filter(|share| share.weight > 0)
            .map(|share| share.revision.as_str())
            .collect();
        let ready: u32 = names.into_iter().filter_map(|name| self.find(name)).map(|one| one.ready).sum();
        (ready.saturating_mul(weight)).div_ceil(100).clamp(1, self.most.max(1))
    }

    fn blocked(&self, name: &str) -> Option<Problem> {
        let failure = self.find(name)?.failure.as_ref()?;
        let number = self.number(name);
        let text = format!(
            "Revision {number} ({name}) cannot start, so the requests go where they went before: {}",
            failure.message
        );
        Some(Problem::deploy(failure.reason, text))
    }
}

fn asks_for_latest(targets: &[TrafficTarget]) -> bool {
    targets.iter().any(|one| one.revision == RevisionRef::Latest && one.weight(targets) > 0)
}

fn plan(canary: &Canary) -> canary::Plan {
    canary::Plan {
        steps: if canary.steps.is_empty() { STEPS.to_vec() } else { canary.steps.clone() },
        interval: canary.interval.map_or(INTERVAL, flint_api::Duration::get),
        min_requests: u64::from(canary.min_requests.unwrap_or(MIN_REQUESTS)),
        max_errors: canary.max_error_percent.unwrap_or(MAX_ERROR_PERCENT) / 100.0,
        bounds_latency: canary.max_latency.is_some(),
    }
}

/// A spec that lost steps meanwhile has its last one.
fn percent(plan: &canary::Plan, step: u32) -> u32 {
    let index = (step as usize).clamp(1, plan.steps.len()) - 1;
    plan.steps.get(index).copied().unwrap_or(100)
}

fn ended(trial: &CanaryStatus, phase: CanaryPhase, message: String) -> CanaryStatus {
    CanaryStatus {
        phase,
        message: Some(message),
        since: trial.since,
        revision: trial.revision.clone(),
        step: trial.step,
    }
}

#[cfg(test)]
mod tests;
