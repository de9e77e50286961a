//! Whether a function can be called, from what its status says. Pure.

use flint_api::{Condition, Function};
use serde::Serialize;

/// Whether a function answers when it is called.
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
#[serde(tag = "answer", content = "because", rename_all = "lowercase")]
pub enum Callable {
    /// It does.
    Yes,
    /// It does, but not all is as its spec says.
    But(String),
    /// It will, as far as is known: requests wait meanwhile.
    Soon(String),
    /// It does not.
    No(String),
}

/// How the message of `Ready` ends where an older revision still serves (docs/conditions.md).
const SERVES_ON: &str = "keeps serving.";

/// A condition of a function's, by its type.
#[must_use]
pub fn condition<'a>(function: &'a Function, kind: &str) -> Option<&'a Condition> {
    function.status.as_ref()?.conditions.iter().find(|condition| condition.type_ == kind)
}

/// Whether the status speaks of the spec as it stands.
#[must_use]
pub fn is_current(function: &Function) -> bool {
    let observed = function.status.as_ref().and_then(|status| status.observed_generation);
    observed.is_some() && observed == function.metadata.generation
}

// === impl Callable ===

impl Callable {
    /// Of a function.
    #[must_use]
    pub fn of(function: &Function) -> Self {
        if function.metadata.deletion_timestamp.is_some() {
            return Self::No("it is being removed.".to_owned());
        }
        let (Some(ready), Some(deployed)) = (condition(function, "Ready"), condition(function, "Deployed"))
        else {
            let text = "the operator has not looked at it yet: if that lasts, `flint doctor` says why.";
            return Self::Soon(text.to_owned());
        };
        let serves = deployed.status == "True" || ready.message.ends_with(SERVES_ON);
        let said = format!("{}: {}", ready.reason, ready.message);
        match (serves, ready.status.as_str()) {
            (true, "True") if is_current(function) => Self::Yes,
            (true, "True") => Self::But("a change of the spec is on its way.".to_owned()),
            (true, _) => Self::But(said),
            (false, "False") => Self::No(said),
            (false, _) => Self::Soon(said),
        }
    }

    /// As the headline of a description.
    #[must_use]
    pub fn headline(&self) -> String {
        match self {
            Self::Yes => "callable: yes".to_owned(),
            Self::But(text) => format!("callable: yes, but {text}"),
            Self::Soon(text) => format!("callable: not yet, because {text}"),
            Self::No(text) => format!("callable: no, because {text}"),
        }
    }

    /// In a column: with the condition's reason, where there is one.
    #[must_use]
    pub fn short(&self) -> String {
        let with_reason = |word: &str, text: &str| match text.split_once(':') {
            Some((reason, _)) if !reason.contains(' ') => format!("{word}: {reason}"),
            _ => word.to_owned(),
        };
        match self {
            Self::Yes => "yes".to_owned(),
            Self::But(text) => with_reason("yes, but", text),
            Self::Soon(text) => with_reason("not yet", text),
            Self::No(text) => with_reason("no", text),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn function(ready: (&str, &str, &str), deployed: &str) -> Function {
        let condition = |kind: &str, status: &str, reason: &str, message: &str| -> Value {
            json!({"type": kind, "status": status, "reason": reason, "message": message, "lastTransitionTime": "2026-11-21T12:00:00Z"})
        };
        let object = json!({
            "apiVersion": "flint.dev/v1alpha1", "kind": "Function", "metadata": {"name": "hello", "generation": 2}, "spec": {},
            "status": {"observedGeneration": 2, "conditions": [
                condition("Ready", ready.0, ready.1, ready.2), condition("Deployed", deployed, "Whatever", "Whatever."),
            ]},
        });
        serde_json::from_value(object).unwrap()
    }

    #[test]
    fn what_is_deployed_and_ready_is_callable() {
        assert_eq!(
            Callable::of(&function(("True", "Ready", "The function answers at its URL."), "True")),
            Callable::Yes
        );
    }

    #[test]
    fn an_older_revision_that_serves_on_is_said() {
        let failed =
            function(("False", "InitFailed", "No module named x. Revision hello-1 keeps serving."), "False");
        let headline = Callable::of(&failed).headline();
        assert_eq!(
            headline,
            "callable: yes, but InitFailed: No module named x. Revision hello-1 keeps serving."
        );
    }

    #[test]
    fn a_first_revision_that_fails_is_not_callable() {
        let failed = function(("False", "InitFailed", "No module named x."), "False");
        assert_eq!(Callable::of(&failed).headline(), "callable: no, because InitFailed: No module named x.");
    }

    #[test]
    fn one_that_starts_will_be() {
        let starting = function(("Unknown", "Starting", "The first instance is starting."), "Unknown");
        assert_eq!(Callable::of(&starting).short(), "not yet: Starting");
    }

    #[test]
    fn without_an_operator_nothing_is_known() {
        let mut unseen = function(("True", "Ready", ""), "True");
        unseen.status = None;
        assert_eq!(Callable::of(&unseen).short(), "not yet");
    }

    #[test]
    fn a_change_that_nobody_has_seen_yet_is_on_its_way() {
        let mut changed = function(("True", "Ready", "The function answers at its URL."), "True");
        changed.metadata.generation = Some(3);
        assert_eq!(Callable::of(&changed).short(), "yes, but");
    }
}
