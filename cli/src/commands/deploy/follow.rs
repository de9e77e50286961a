//! How far a deploy is, from what the Function's status says over time. Pure.

use std::time::Duration;

use flint_api::Function;
use kube::ResourceExt;

use crate::callable::{condition, is_current};

/// One function's deploy, followed from the moment it was applied.
#[derive(Debug)]
pub(super) struct Follow {
    generation: i64,
    last: Option<String>,
    failing: Option<(String, Duration)>,
}

/// How far it is.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) enum Standing {
    /// On its way.
    Going,
    /// The revision has the traffic, and the function answers.
    Done,
    /// It will not come, for this reason and with this message.
    Failed(String, String),
}

/// What was seen: where it stands, and what is new.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Seen {
    /// Where it stands.
    pub(super) standing: Standing,
    /// What has changed since the last look, for people.
    pub(super) news: Option<String>,
}

/// How long a failure must stand before it is believed. None: for as long as the user waits, because a node may come, or others may go.
fn patience(reason: &str) -> Option<Duration> {
    match reason {
        "Unschedulable" | "QuotaExceeded" | "PodsRefused" => None,
        // An instance is started again, and the second start may succeed: a database is there by then, a registry answers.
        "ImagePullFailed" | "CrashLoop" | "InitFailed" | "ContainerConfigError" | "OutOfMemory" => {
            Some(Duration::from_secs(5))
        }
        _ => Some(Duration::ZERO),
    }
}

// === impl Follow ===

impl Follow {
    /// Begins with the Function as the API server has stored it.
    pub(super) fn new(applied: &Function) -> Self {
        Self { generation: applied.metadata.generation.unwrap_or_default(), last: None, failing: None }
    }

    /// Looks at the Function, so long after it was applied.
    pub(super) fn see(&mut self, function: &Function, after: Duration) -> Seen {
        let standing = self.standing(function, after);
        let phase = match &standing {
            Standing::Done => None,
            _ => Some(phase(function, self.generation)),
        };
        let news = phase.filter(|phase| self.last.as_ref() != Some(phase));
        if news.is_some() {
            self.last.clone_from(&news);
        }
        Seen { standing, news }
    }

    /// What it is waiting for.
    pub(super) fn waits_for(&self) -> &str {
        self.last.as_deref().unwrap_or("the operator")
    }

    fn standing(&mut self, function: &Function, after: Duration) -> Standing {
        // A later change of somebody else's is as good: the status speaks of it, too.
        let newer = function.metadata.generation.unwrap_or_default() >= self.generation;
        if !newer || !is_current(function) {
            self.failing = None;
            return Standing::Going;
        }
        let Some(ready) = condition(function, "Ready") else { return Standing::Going };
        match ready.status.as_str() {
            "True" => Standing::Done,
            "False" => {
                let since = match &self.failing {
                    Some((reason, since)) if *reason == ready.reason => *since,
                    _ => after,
                };
                self.failing = Some((ready.reason.clone(), since));
                let stood = after.saturating_sub(since);
                if patience(&ready.reason).is_some_and(|patience| stood >= patience) {
                    Standing::Failed(ready.reason.clone(), ready.message.clone())
                } else {
                    Standing::Going
                }
            }
            _ => {
                self.failing = None;
                Standing::Going
            }
        }
    }
}

/// What is going on, in a few words.
fn phase(function: &Function, generation: i64) -> String {
    let observed = function.status.as_ref().and_then(|status| status.observed_generation).unwrap_or_default();
    if observed < generation {
        return "waits for the operator".to_owned();
    }
    let (built, deployed) = (condition(function, "Built"), condition(function, "Deployed"));
    if let Some(built) = built.filter(|built| built.status == "False") {
        return format!("cannot be packed: {}", built.reason);
    }
    let latest =
        function.status.as_ref().and_then(|status| status.latest_revision.as_deref()).unwrap_or("a revision");
    match deployed.map(|deployed| (deployed.status.as_str(), deployed.reason.as_str())) {
        Some(("Unknown", "Starting")) => format!("{latest} is starting"),
        Some(("Unknown", "WaitingToStart")) => format!("{latest} waits for its turn to start"),
        Some(("Unknown", "RollingOut")) => {
            format!("{latest} has started, and grows before it gets the traffic")
        }
        Some(("Unknown", "Replacing")) => "waits for an earlier function of this name to go".to_owned(),
        Some(("False", reason)) => format!("{latest} does not start: {reason}"),
        Some(("True", _)) => format!("{latest} has the traffic"),
        _ if built.is_some() => "is packed".to_owned(),
        _ => format!("{} is with the operator", function.name_any()),
    }
}

/// `after 1.2 s`.
pub(super) fn after(time: Duration) -> String {
    format!("after {:.1} s", time.as_secs_f64())
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn function(observed: i64, conditions: &[(&str, &str, &str)]) -> Function {
        let conditions: Vec<Value> = conditions
            .iter()
            .map(|(kind, status, reason)| json!({
                "type": kind, "status": status, "reason": reason, "message": format!("{reason}."), "lastTransitionTime": "2026-11-21T12:00:00Z",
            }))
            .collect();
        let object = json!({
            "apiVersion": "flint.dev/v1alpha1", "kind": "Function", "metadata": {"name": "hello", "generation": 2}, "spec": {},
            "status": {"observedGeneration": observed, "latestRevision": "hello-2", "revision": "hello-1", "conditions": conditions},
        });
        serde_json::from_value(object).unwrap()
    }

    fn seconds(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn what_the_operator_has_not_seen_yet_is_not_taken_for_done() {
        let before = function(1, &[("Ready", "True", "Ready"), ("Deployed", "True", "Deployed")]);
        let mut follow = Follow::new(&before);
        let seen = follow.see(&before, seconds(0));
        assert_eq!(seen, Seen { standing: Standing::Going, news: Some("waits for the operator".into()) });
    }

    #[test]
    fn each_phase_is_told_once() {
        let mut follow = Follow::new(&function(1, &[]));
        let starting = function(
            2,
            &[
                ("Built", "True", "Packaged"),
                ("Ready", "Unknown", "Starting"),
                ("Deployed", "Unknown", "Starting"),
            ],
        );
        assert_eq!(follow.see(&starting, seconds(0)).news.as_deref(), Some("hello-2 is starting"));
        assert_eq!(follow.see(&starting, seconds(1)).news, None);
        let done = function(2, &[("Ready", "True", "Ready"), ("Deployed", "True", "Deployed")]);
        assert_eq!(follow.see(&done, seconds(2)).standing, Standing::Done);
    }

    #[test]
    fn a_spec_that_cannot_be_fails_at_once_and_a_crash_when_it_stands() {
        let mut follow = Follow::new(&function(1, &[]));
        let crash = function(2, &[("Ready", "False", "CrashLoop"), ("Deployed", "False", "CrashLoop")]);
        assert_eq!(follow.see(&crash, seconds(3)).standing, Standing::Going);
        assert_eq!(
            follow.see(&crash, seconds(9)).standing,
            Standing::Failed("CrashLoop".into(), "CrashLoop.".into())
        );
        let spec = function(2, &[("Ready", "False", "SpecInvalid"), ("Deployed", "False", "SpecInvalid")]);
        assert_eq!(
            follow.see(&spec, seconds(9)).standing,
            Standing::Failed("SpecInvalid".into(), "SpecInvalid.".into())
        );
    }

    #[test]
    fn a_lack_of_room_is_waited_for() {
        let mut follow = Follow::new(&function(1, &[]));
        let cramped =
            function(2, &[("Ready", "False", "Unschedulable"), ("Deployed", "False", "Unschedulable")]);
        assert_eq!(follow.see(&cramped, seconds(0)).standing, Standing::Going);
        let seen = follow.see(&cramped, seconds(200));
        assert_eq!(seen.standing, Standing::Going);
        assert_eq!(follow.waits_for(), "hello-2 does not start: Unschedulable");
    }
}
