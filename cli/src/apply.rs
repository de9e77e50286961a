//! A Function brought to the API server by server-side apply, in the user's name: the fields of the files are `flint`'s from then on,
//! and fields that others set stay theirs.

use flint_api::Function;
use kube::{
    Api, ResourceExt,
    api::{Patch, PatchParams, ValidationDirective},
    core::Status,
};
use serde_json::Value;

use crate::{
    cluster::{Cluster, failure},
    error::Error,
};

/// Who is said to have written the fields.
pub const MANAGER: &str = "flint";

/// How to apply.
#[derive(Clone, Copy, Debug, Default)]
pub struct How {
    /// The API server says what would be, and keeps nothing.
    pub dry_run: bool,
    /// Take over fields that others have set.
    pub force: bool,
}

/// Why it was not applied.
#[derive(Debug)]
pub enum Refused {
    /// Nobody answered, or who did was busy: worth another attempt.
    Away(String),
    /// For good.
    Final(Error),
}

/// Functions of the namespace that this one is for.
#[must_use]
pub fn api(cluster: &Cluster, function: &Function) -> Api<Function> {
    Api::namespaced(
        cluster.client.clone(),
        &function.namespace().unwrap_or_else(|| cluster.namespace.clone()),
    )
}

/// Applies the function, once.
///
/// # Errors
/// As [`Refused`] tells apart.
pub async fn apply(cluster: &Cluster, function: &Function, how: How) -> Result<Function, Refused> {
    let name = function.name_any();
    let params = PatchParams {
        dry_run: how.dry_run,
        force: how.force,
        field_manager: Some(MANAGER.to_owned()),
        field_validation: Some(ValidationDirective::Strict),
    };
    let doing = format!("deploy {name}");
    let body = body(function)
        .map_err(|error| Refused::Final(Error::usage(format!("cannot {doing}")).because(error)))?;
    match api(cluster, function).patch(&name, &params, &Patch::Apply(&body)).await {
        Ok(applied) => Ok(applied),
        Err(error) if crate::cluster::is_away(&error) => Err(Refused::Away(said(&error))),
        Err(kube::Error::Api(status)) if is_conflict(&status) => {
            Err(Refused::Final(conflict(&name, &status)))
        }
        Err(error) => Err(Refused::Final(failure(&doing, error))),
    }
}

/// The object as it is applied: without what only the cluster writes.
///
/// # Errors
/// Never in practice: a Function is plain data.
pub fn body(function: &Function) -> Result<Value, serde_json::Error> {
    let mut body = serde_json::to_value(function)?;
    if let Some(fields) = body.as_object_mut() {
        fields.remove("status");
    }
    Ok(body)
}

/// What an error says, in one line.
#[must_use]
pub fn said(error: &kube::Error) -> String {
    match error {
        kube::Error::Api(status) => status.message.clone(),
        other => crate::cluster::innermost(other),
    }
}

fn is_conflict(status: &Status) -> bool {
    status.code == 409 && causes(status).next().is_some()
}

/// Who has which field.
fn causes(status: &Status) -> impl Iterator<Item = String> {
    let causes = status.details.iter().flat_map(|details| &details.causes);
    causes.filter(|cause| cause.reason == "FieldManagerConflict").map(|cause| {
        let who = cause.message.split('"').nth(1).unwrap_or("somebody else");
        format!("{} is {who}'s", cause.field.trim_start_matches('.'))
    })
}

fn conflict(name: &str, status: &Status) -> Error {
    let fields: Vec<_> = causes(status).collect();
    Error::usage(format!("{name} has fields that others have set to something else"))
        .because(fields.join(", "))
        .try_this("`flint diff` shows them; --force-conflicts makes them as the files say, and flint's")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_conflict_says_whose_the_field_is() {
        let status: Status = serde_json::from_value(json!({
            "status": "Failure", "code": 409, "reason": "Conflict", "message": "Apply failed with 1 conflict: …",
            "details": {"causes": [{
                "reason": "FieldManagerConflict", "field": ".spec.timeout",
                "message": "conflict with \"kubectl-client-side-apply\" using flint.dev/v1alpha1",
            }]},
        }))
        .unwrap();
        assert!(is_conflict(&status));
        assert_eq!(causes(&status).collect::<Vec<_>>(), ["spec.timeout is kubectl-client-side-apply's"]);
        assert!(
            conflict("hello", &status).remedy().is_some_and(|remedy| remedy.contains("--force-conflicts"))
        );
    }
}
