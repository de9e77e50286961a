//! Whether a pod of a pool can become a function's instance, and with which environment: pure.
//!
//! What counts is not what a Function says but what its pods would be: the template of the revision's Deployment and the pool's are held
//! against each other, both as the API server stored them. Whatever differs and cannot be given with a claim is a reason for an
//! ordinary pod. So nothing that is added to pods later can be forgotten here.

use flint_api::{labels, quantity};
use flint_core::pool::LARGEST_ENVIRONMENT;
use k8s_openapi::api::{
    apps::v1::Deployment,
    core::v1::{Container, EnvVar, PodTemplateSpec},
};
use serde_json::Value;

use super::resize;
use crate::function::pod::NAMESPACE_KEY;

/// Why a pod of the pool will not do: the end of a sentence that begins with "It starts as an ordinary pod, because".
pub(crate) type Misfit = String;

/// Labels that every function pod has.
const KNOWN_LABELS: [&str; 7] = [
    labels::NAME,
    labels::INSTANCE,
    labels::COMPONENT,
    labels::PART_OF,
    labels::MANAGED_BY,
    labels::FUNCTION,
    labels::REVISION,
];
/// What a watchdog knows of its own pod.
const OWN_FIELDS: [&str; 3] = ["FLINT_POD_NAME", "FLINT_POD_UID", "FLINT_POD_IP"];

/// The environment for a ticket: what the function's pod would have, with `key` in the place of the Secret that holds it.
pub(crate) fn fit(
    function: &Deployment,
    pool: &Deployment,
    key_secret: &str,
    key: &str,
) -> Result<Vec<(String, String)>, Misfit> {
    let (Some(ours), Some(pools)) = (template(function), template(pool)) else {
        return Err("its Deployment is not known yet".to_owned());
    };
    let container = only_container(ours)?;
    same_metadata(ours)?;
    same_spec(ours, pools)?;
    same_container(container, only_container(pools)?)?;
    let environment = environment(container, key_secret, key)?;
    let bytes: usize = environment.iter().map(|(name, value)| name.len() + value.len()).sum();
    if bytes > LARGEST_ENVIRONMENT {
        return Err(format!("its environment has {bytes} bytes, more than {LARGEST_ENVIRONMENT}"));
    }
    Ok(environment)
}

fn template(deployment: &Deployment) -> Option<&PodTemplateSpec> {
    deployment.spec.as_ref().map(|spec| &spec.template)
}

/// What becomes of a claimed pod's resources: see [`resize::patches`].
pub(crate) fn resizes(function: &Deployment, pool: &Deployment) -> Vec<Value> {
    let container = |deployment| template(deployment).and_then(|template| only_container(template).ok());
    match (container(function), container(pool)) {
        (Some(ours), Some(pools)) => resize::patches(ours, pools),
        _ => Vec::new(),
    }
}

fn only_container(template: &PodTemplateSpec) -> Result<&Container, Misfit> {
    let containers = template.spec.as_ref().map(|spec| spec.containers.as_slice()).unwrap_or_default();
    match containers {
        [container] => Ok(container),
        _ => Err("its pods have several containers".to_owned()),
    }
}

fn same_metadata(template: &PodTemplateSpec) -> Result<(), Misfit> {
    let metadata = template.metadata.as_ref();
    let labels = metadata.and_then(|metadata| metadata.labels.as_ref()).into_iter().flatten();
    if let Some((name, _)) = labels.into_iter().find(|(name, _)| !KNOWN_LABELS.contains(&name.as_str())) {
        return Err(format!("its pods have the label {name}"));
    }
    let annotations = metadata.and_then(|metadata| metadata.annotations.as_ref()).into_iter().flatten();
    match annotations.into_iter().next() {
        Some((name, _)) => Err(format!("its pods have the annotation {name}")),
        None => Ok(()),
    }
}

fn same_spec(ours: &PodTemplateSpec, pools: &PodTemplateSpec) -> Result<(), Misfit> {
    let grace = |template: &PodTemplateSpec| template.spec.as_ref()?.termination_grace_period_seconds;
    if grace(ours) > grace(pools) {
        return Err("its timeout is longer than a pool's pods are given at their end".to_owned());
    }
    let rest = |template: &PodTemplateSpec| {
        let mut spec = template.spec.clone().unwrap_or_default();
        spec.containers.clear();
        spec.termination_grace_period_seconds = None;
        json(&spec)
    };
    differing(&rest(ours), &rest(pools))
        .map_or(Ok(()), |field| Err(format!("its pods have {field} of their own")))
}

fn same_container(ours: &Container, pools: &Container) -> Result<(), Misfit> {
    let scratch = |container: &Container| {
        let limits = container.resources.as_ref()?.limits.as_ref()?;
        quantity::bytes(&limits.get(resize::SCRATCH)?.0)
    };
    if scratch(ours) > scratch(pools) {
        return Err(
            "its package, or its limit of ephemeral storage, is larger than the pool's pods can hold"
                .to_owned(),
        );
    }
    let rest = |container: &Container| {
        let mut container = container.clone();
        container.env = None;
        // What comes from elsewhere is looked at with the environment.
        container.env_from = None;
        container.resources = None;
        json(&container)
    };
    if let Some(field) = differing(&rest(ours), &rest(pools)) {
        return Err(format!("its container has {field} of its own"));
    }
    resize::misfit(ours, pools).map_or(Ok(()), |misfit| Err(misfit.to_owned()))
}

fn environment(container: &Container, key_secret: &str, key: &str) -> Result<Vec<(String, String)>, Misfit> {
    if container.env_from.as_ref().is_some_and(|sources| !sources.is_empty()) {
        return Err("its envFrom reads a Secret or ConfigMap, which only kubelet does".to_owned());
    }
    let mut environment: Vec<(String, String)> = Vec::new();
    for variable in container.env.iter().flatten() {
        let EnvVar { name, value, value_from } = variable;
        let Some(source) = value_from else {
            let value = expanded(value.as_deref().unwrap_or_default(), &environment);
            environment.push((name.clone(), value));
            continue;
        };
        let secret = source.secret_key_ref.as_ref();
        if name == NAMESPACE_KEY && secret.is_some_and(|secret| secret.name == key_secret) {
            // The function's own: a ticket has no more in it than it needs.
            environment.push(("FLINT_KEY".to_owned(), key.to_owned()));
        } else if !(source.field_ref.is_some() && OWN_FIELDS.contains(&name.as_str())) {
            return Err(format!(
                "its variable {name} is read from elsewhere (valueFrom), which only kubelet does"
            ));
        }
    }
    Ok(environment)
}

/// A value as kubelet would give it: `$(NAME)` of a variable before it is that one's value, `$$` is a dollar sign, and the rest is as it is.
fn expanded(value: &str, before: &[(String, String)]) -> String {
    let mut out = String::with_capacity(value.len());
    let mut rest = value;
    while let Some(at) = rest.find('$') {
        out.push_str(&rest[..at]);
        rest = &rest[at + 1..];
        if let Some(after) = rest.strip_prefix('$') {
            out.push('$');
            rest = after;
        } else if let Some((name, after)) = rest.strip_prefix('(').and_then(|inner| inner.split_once(')')) {
            match before.iter().rev().find(|(known, _)| known == name) {
                Some((_, known)) => out.push_str(known),
                None => out.extend(["$(", name, ")"]),
            }
            rest = after;
        } else {
            out.push('$');
        }
    }
    out + rest
}

/// The first field in which two objects differ.
fn differing(one: &Value, other: &Value) -> Option<String> {
    let fields = |value: &Value| value.as_object().map(|fields| fields.keys().cloned().collect::<Vec<_>>());
    let mut names = fields(one).unwrap_or_default();
    names.extend(fields(other).unwrap_or_default());
    names.sort_unstable();
    names.into_iter().find(|name| one.get(name) != other.get(name))
}

fn json(value: &impl serde::Serialize) -> Value {
    serde_json::to_value(value).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn deployment(change: impl Fn(&mut Value)) -> Deployment {
        let mut template = json!({
            "metadata": {"labels": {"flint.dev/function": "cart", "flint.dev/revision": "cart-1"}},
            "spec": {"terminationGracePeriodSeconds": 40, "containers": [{
                "name": "function", "image": "python:1",
                "env": [
                    {"name": "FLINT_FUNCTION", "value": "cart"},
                    {"name": "FLINT_NAMESPACE_KEY", "valueFrom": {"secretKeyRef": {"name": "flint-key-1", "key": "key"}}},
                    {"name": "FLINT_POD_IP", "valueFrom": {"fieldRef": {"fieldPath": "status.podIP"}}},
                    {"name": "GREETING", "value": "hello $(FLINT_FUNCTION) $$(X) $(Y) 5$"},
                ],
                "resources": {"limits": {"memory": "128Mi", "ephemeral-storage": "512Mi"}},
            }]},
        });
        change(&mut template);
        serde_json::from_value(json!({"spec": {"selector": {}, "template": template}})).unwrap()
    }

    fn pool() -> Deployment {
        deployment(|template| {
            template["metadata"]["labels"] = json!({"flint.dev/pool": "pool"});
            template["spec"]["terminationGracePeriodSeconds"] = json!(910);
            template["spec"]["containers"][0]["env"] = json!([{"name": "FLINT_POOL", "value": "pool"}]);
            template["spec"]["containers"][0]["resources"]["limits"]["ephemeral-storage"] = json!("768Mi");
        })
    }

    fn result(change: impl Fn(&mut Value)) -> Result<Vec<(String, String)>, Misfit> {
        fit(&deployment(change), &pool(), "flint-key-1", "the key")
    }

    #[test]
    fn a_function_like_any_other_fits_with_the_environment_that_kubelet_would_give_it() {
        let environment = result(|_| {}).unwrap();
        let environment: Vec<_> =
            environment.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        assert_eq!(
            environment,
            [("FLINT_FUNCTION", "cart"), ("FLINT_KEY", "the key"), ("GREETING", "hello cart $(X) $(Y) 5$")]
        );
    }

    #[test]
    fn what_a_pool_lacks_is_named() {
        type Case = (fn(&mut Value), &'static str);
        let cases: [Case; 9] = [
            (|t| t["spec"]["volumes"] = json!([{"name": "v", "emptyDir": {}}]), "volumes"),
            (|t| t["spec"]["serviceAccountName"] = json!("till"), "serviceAccount"),
            (|t| t["spec"]["nodeSelector"] = json!({"gpu": "yes"}), "nodeSelector"),
            (|t| t["metadata"]["labels"]["team"] = json!("a"), "the label team"),
            (|t| t["spec"]["containers"][0]["resources"]["limits"]["memory"] = json!("1Gi"), "memory limit"),
            (|t| t["spec"]["containers"][0]["image"] = json!("python:2"), "image"),
            (|t| t["spec"]["terminationGracePeriodSeconds"] = json!(3600), "timeout"),
            (|t| t["spec"]["containers"][0]["envFrom"] = json!([{"secretRef": {"name": "s"}}]), "envFrom"),
            (
                |t| {
                    t["spec"]["containers"][0]["env"][3] =
                        json!({"name": "TOKEN", "valueFrom": {"secretKeyRef": {"name": "s", "key": "k"}}});
                },
                "TOKEN",
            ),
        ];
        for (change, named) in cases {
            let misfit = result(change).unwrap_err();
            assert!(misfit.contains(named), "{named}: {misfit}");
        }
    }

    #[test]
    fn a_sidecar_or_a_large_package_needs_a_pod_of_its_own() {
        let sidecar = |t: &mut Value| {
            let container = json!({"name": "sidecar"});
            t["spec"]["containers"].as_array_mut().unwrap().push(container);
        };
        assert!(result(sidecar).is_err());
        let large = |t: &mut Value| {
            t["spec"]["containers"][0]["resources"]["limits"]["ephemeral-storage"] = json!("2Gi");
        };
        assert!(result(large).unwrap_err().contains("package"));
    }
}
