//! What of a claimed pod's resources can change while it runs: pure.
//!
//! A pod that waited has the Runtime's resources. A function that asks for others takes it all the same, where the pod can be resized in place to
//! what the function asks for (KEP-1287), which happens behind its first request. So memory may only become less: kubelet resizes a moment
//! later, and the first instruction of the function's code must find all that it may use. The class of service of a pod never changes, and
//! what is requested or limited stays so.

use std::collections::BTreeMap;

use flint_api::{labels, quantity};
use k8s_openapi::{
    api::core::v1::{Container, ResourceRequirements},
    apimachinery::pkg::api::resource::Quantity,
};
use serde_json::{Value, json};

/// What can be resized.
const RESIZABLE: [&str; 2] = ["cpu", "memory"];
/// Made with the pod, and looked at elsewhere: [`super::fit`].
pub(super) const SCRATCH: &str = "ephemeral-storage";

/// Quantities by their resource.
type Sizes = BTreeMap<String, String>;

/// A container's resources as the API server completes them.
#[derive(Debug)]
struct Resources {
    requests: Sizes,
    limits: Sizes,
    claims: Value,
}

/// What Kubernetes makes of requests and limits: who is evicted first.
#[derive(Debug, PartialEq, Eq)]
enum Class {
    BestEffort,
    Burstable,
    Guaranteed,
}

/// Why a pod with the pool's resources cannot become one with a function's.
pub(super) fn misfit(function: &Container, pool: &Container) -> Option<&'static str> {
    let (ours, pools) = (Resources::of(function), Resources::of(pool));
    let names = |sizes: &Sizes| sizes.keys().cloned().collect::<Vec<_>>();
    let fixed = |sizes: &Sizes| only(sizes, |name| !RESIZABLE.contains(&name));
    let same_names =
        names(&ours.requests) == names(&pools.requests) && names(&ours.limits) == names(&pools.limits);
    let same_fixed = same(&fixed(&ours.requests), &fixed(&pools.requests))
        && same(&fixed(&ours.limits), &fixed(&pools.limits));
    if !same_names || !same_fixed || ours.claims != pools.claims {
        return Some(
            "its resources are of other kinds than the Runtime's, which the pool's pods have: set requests and limits of \
             cpu and memory in both or in neither",
        );
    }
    if ours.class() != pools.class() {
        return Some(
            "its resources are of another class of service than the Runtime's, which the pool's pods have",
        );
    }
    let memory = |resources: &Resources| quantity::parse(resources.limits.get("memory")?);
    (memory(&ours) > memory(&pools))
        .then_some("its memory limit is above the Runtime's, which the pool's pods have")
}

/// Patches of a claimed pod's resources, each for API servers that refuse the one before; none where nothing is to change.
pub(super) fn patches(function: &Container, pool: &Container) -> Vec<Value> {
    let (ours, pools) = (Resources::of(function), Resources::of(pool));
    let changed = |name: &str| {
        let differ = |one: &Sizes, other: &Sizes| !same_quantity(one.get(name), other.get(name));
        differ(&ours.requests, &pools.requests) || differ(&ours.limits, &pools.limits)
    };
    let changes: Vec<&str> = RESIZABLE.into_iter().filter(|name| changed(name)).collect();
    let patch = |names: &[&str]| {
        let of = |sizes: &Sizes| only(sizes, |name| names.contains(&name));
        let resources = json!({"requests": of(&ours.requests), "limits": of(&ours.limits)});
        json!({"spec": {"containers": [{"name": labels::FUNCTION_CONTAINER, "resources": resources}]}})
    };
    match changes.as_slice() {
        [] => Vec::new(),
        // Before 1.34 a memory limit cannot be lowered.
        ["cpu", "memory"] => vec![patch(&changes), patch(&["cpu"])],
        _ => vec![patch(&changes)],
    }
}

// === impl Resources ===

impl Resources {
    fn of(container: &Container) -> Self {
        let ResourceRequirements { claims, limits, requests } =
            container.resources.clone().unwrap_or_default();
        let sizes = |quantities: Option<BTreeMap<String, Quantity>>| -> Sizes {
            let quantities = quantities.into_iter().flatten();
            quantities.filter(|(name, _)| name != SCRATCH).map(|(name, size)| (name, size.0)).collect()
        };
        let (mut requests, limits) = (sizes(requests), sizes(limits));
        for (name, limit) in &limits {
            // A limit without a request is one.
            requests.entry(name.clone()).or_insert_with(|| limit.clone());
        }
        Self { requests, limits, claims: json!(claims.unwrap_or_default()) }
    }

    fn class(&self) -> Class {
        let both = |sizes: &Sizes| RESIZABLE.iter().all(|name| sizes.contains_key(*name));
        let none = |sizes: &Sizes| !RESIZABLE.iter().any(|name| sizes.contains_key(*name));
        if none(&self.requests) && none(&self.limits) {
            return Class::BestEffort;
        }
        let equal =
            RESIZABLE.iter().all(|name| same_quantity(self.requests.get(*name), self.limits.get(*name)));
        if both(&self.limits) && equal { Class::Guaranteed } else { Class::Burstable }
    }
}

fn only(sizes: &Sizes, which: impl Fn(&str) -> bool) -> Sizes {
    sizes.iter().filter(|(name, _)| which(name)).map(|(name, size)| (name.clone(), size.clone())).collect()
}

fn same(one: &Sizes, other: &Sizes) -> bool {
    one.len() == other.len() && one.iter().all(|(name, size)| same_quantity(Some(size), other.get(name)))
}

fn same_quantity(one: Option<&String>, other: Option<&String>) -> bool {
    match (one, other) {
        (Some(one), Some(other)) => one == other || quantity::same(one, other),
        (None, None) => true,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn container(resources: &Value) -> Container {
        serde_json::from_value(json!({"name": "function", "resources": resources})).unwrap()
    }

    fn pool() -> Container {
        container(&json!({
            "requests": {"cpu": "100m", "memory": "64Mi"},
            "limits": {"cpu": "1", "memory": "512Mi", "ephemeral-storage": "768Mi"},
        }))
    }

    fn told(resources: &Value) -> Option<&'static str> {
        misfit(&container(resources), &pool())
    }

    #[test]
    fn the_same_in_other_words_needs_no_resize() {
        let words = json!({
            "requests": {"cpu": "0.1", "memory": "65536Ki"},
            "limits": {"cpu": "1000m", "memory": "0.5Gi", "ephemeral-storage": "512Mi"},
        });
        assert_eq!(told(&words), None);
        assert!(patches(&container(&words), &pool()).is_empty());
    }

    #[test]
    fn other_processor_time_and_less_memory_are_given_behind_the_first_request() {
        let other = json!({
            "requests": {"cpu": "250m", "memory": "64Mi"}, "limits": {"cpu": "500m", "memory": "256Mi"},
        });
        assert_eq!(told(&other), None);
        let resources = |patch: &Value| patch["spec"]["containers"][0]["resources"].clone();
        let patches: Vec<_> = patches(&container(&other), &pool()).iter().map(resources).collect();
        let cpu = json!({"requests": {"cpu": "250m"}, "limits": {"cpu": "500m"}});
        assert_eq!(patches, [other, cpu]);
    }

    #[test]
    fn what_alone_changes_is_all_that_is_written() {
        let less = json!({
            "requests": {"cpu": "100m", "memory": "64Mi"}, "limits": {"cpu": "1", "memory": "128Mi"},
        });
        let written = patches(&container(&less), &pool());
        let memory = json!({"requests": {"memory": "64Mi"}, "limits": {"memory": "128Mi"}});
        assert_eq!(written.len(), 1);
        assert_eq!(written[0]["spec"]["containers"][0]["resources"], memory);
    }

    #[test]
    fn what_cannot_be_resized_is_named() {
        let requests = json!({"cpu": "100m", "memory": "64Mi"});
        let cases = [
            (json!({"requests": requests, "limits": {"cpu": "1", "memory": "1Gi"}}), "memory limit"),
            (json!({"requests": requests, "limits": {"memory": "256Mi"}}), "other kinds"),
            (json!({}), "other kinds"),
            (json!({"limits": {"cpu": "1", "memory": "256Mi"}}), "class of service"),
            (
                json!({"requests": requests, "limits": {"cpu": "1", "memory": "512Mi", "example.com/gpu": "1"}}),
                "other kinds",
            ),
        ];
        for (resources, named) in cases {
            let told = told(&resources);
            assert!(told.is_some_and(|told| told.contains(named)), "{resources}: {told:?}");
        }
    }
}
