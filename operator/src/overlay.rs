//! A Function's `template`: an overlay on the pod, merged by name as `kubectl apply` would, refused where it would break the
//! contract between the parts.
//!
//! Objects merge field by field; `null` removes a field. A list merges by the key that Kubernetes gives it (containers, volumes
//! and environment by name, mounts by path, ports by number, …): an item with a known key is merged into its namesake, one with
//! a new key is added behind. Other lists are replaced.

use flint_api::{Template, labels};
use serde_json::{Map, Value};

/// A field of the template that cannot be granted, and what to do instead.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Refusal {
    /// The field, as in `spec.template.spec.hostNetwork`.
    pub(crate) field: String,
    /// What to do instead.
    pub(crate) advice: &'static str,
}

/// Labels that gateways, operator and people find pods by.
const OUR_LABELS: [&str; 5] =
    [labels::NAME, labels::INSTANCE, labels::COMPONENT, labels::PART_OF, labels::MANAGED_BY];

/// Fields of the pod that the contract decides.
const POD_FIELDS: [(&str, &str); 7] = [
    (
        "hostNetwork",
        "instances of a function share the watchdog's port, so each needs an address of its own: leave it out",
    ),
    ("restartPolicy", "instances always restart: leave it out"),
    ("terminationGracePeriodSeconds", "it follows from spec.timeout: set that"),
    ("activeDeadlineSeconds", "an instance lives as long as it is needed: set spec.timeout"),
    ("ephemeralContainers", "they are added to running pods, by kubectl debug"),
    ("nodeName", "it goes around the scheduler: use nodeSelector or affinity"),
    ("readinessGates", "gateways would wait for a condition that nobody sets: leave it out"),
];

/// Fields of the container `function` that the Function itself decides.
const CONTAINER_FIELDS: [(&str, &str); 8] = [
    ("image", "set spec.image or spec.runtime"),
    ("command", "set spec.command, or the Runtime's command"),
    ("args", "set spec.args"),
    ("ports", "set spec.port"),
    ("resources", "set spec.resources"),
    ("envFrom", "set spec.envFrom"),
    ("terminationMessagePolicy", "the operator reads why an instance ended from it: leave it out"),
    ("terminationMessagePath", "the operator reads why an instance ended from it: leave it out"),
];

/// Probes of the watchdog's container, which is the function's where there is a runtime.
const PROBES: [&str; 3] = ["readinessProbe", "livenessProbe", "startupProbe"];

/// The merge key of a list, by the name of its field.
fn merge_key(field: &str) -> Option<&'static str> {
    Some(match field {
        "containers" | "initContainers" | "volumes" | "env" | "imagePullSecrets" | "resourceClaims" => "name",
        "volumeMounts" => "mountPath",
        "volumeDevices" => "devicePath",
        "ports" => "containerPort",
        "hostAliases" => "ip",
        "topologySpreadConstraints" => "topologyKey",
        _ => return None,
    })
}

/// Lays `patch` over `target`.
pub(crate) fn merge(target: &mut Value, patch: &Value) {
    let Value::Object(patch) = patch else {
        *target = patch.clone();
        return;
    };
    if !target.is_object() {
        *target = Value::Object(Map::new());
    }
    let Some(fields) = target.as_object_mut() else { return };
    for (name, value) in patch {
        match (value, merge_key(name)) {
            (Value::Null, _) => {
                fields.remove(name);
            }
            (Value::Array(items), Some(key)) => {
                merge_list(fields.entry(name).or_insert_with(|| Value::Array(Vec::new())), items, key);
            }
            _ => merge(fields.entry(name).or_insert(Value::Null), value),
        }
    }
}

fn merge_list(target: &mut Value, items: &[Value], key: &str) {
    if !target.is_array() {
        *target = Value::Array(Vec::new());
    }
    let Some(list) = target.as_array_mut() else { return };
    for item in items {
        let same =
            item.get(key).and_then(|wanted| list.iter().position(|known| known.get(key) == Some(wanted)));
        match same.and_then(|index| list.get_mut(index)) {
            Some(known) => merge(known, item),
            None => list.push(item.clone()),
        }
    }
}

/// The first thing in the template that cannot be granted. `watchdog_beside` is true where the function is an image of the
/// user's, with the watchdog in a container of its own.
pub(crate) fn refuse(template: &Template, watchdog_beside: bool) -> Option<Refusal> {
    let at = |field: &str, advice| Some(Refusal { field: format!("spec.template.{field}"), advice });
    if let Some(metadata) = &template.metadata {
        for label in metadata.labels.keys() {
            if label.starts_with("flint.dev/") || OUR_LABELS.contains(&label.as_str()) {
                return at(
                    &format!("metadata.labels[{label}]"),
                    "gateways find instances by it: choose another label",
                );
            }
        }
        if let Some(name) = metadata.annotations.keys().find(|name| name.starts_with("flint.dev/")) {
            return at(
                &format!("metadata.annotations[{name}]"),
                "annotations of flint.dev/ are Flint's: choose another",
            );
        }
    }
    let spec = template.spec.as_ref()?.as_object()?;
    for (field, advice) in POD_FIELDS {
        if spec.get(field).is_some_and(|value| !value.is_null() && *value != Value::Bool(false)) {
            return at(&format!("spec.{field}"), advice);
        }
    }
    if spec.contains_key("$patch") {
        return at("spec.$patch", "directives are not understood: write null to remove a field");
    }
    for list in ["containers", "initContainers"] {
        let Some(containers) = spec.get(list) else { continue };
        let Some(containers) = containers.as_array() else {
            return at(&format!("spec.{list}"), "write a list of containers");
        };
        for container in containers {
            if let Some((field, advice)) = refuse_container(container, list == "containers", watchdog_beside)
            {
                return at(&format!("spec.{list}{field}"), advice);
            }
        }
    }
    None
}

fn refuse_container(
    container: &Value,
    beside: bool,
    watchdog_beside: bool,
) -> Option<(String, &'static str)> {
    let Some(name) = container.get("name").and_then(Value::as_str) else {
        return Some(("[].name".into(), "give the container a name"));
    };
    let at = |field: &str, advice| Some((format!("[{name}]{field}"), advice));
    if name == labels::WATCHDOG_CONTAINER {
        return at("", "the watchdog's container is Flint's: choose another name");
    }
    if name != labels::FUNCTION_CONTAINER {
        return None;
    }
    if !beside {
        return at("", "that name is the function's own container: choose another");
    }
    for (field, advice) in CONTAINER_FIELDS {
        if container.get(field).is_some() {
            return at(&format!(".{field}"), advice);
        }
    }
    for probe in PROBES {
        if !watchdog_beside && container.get(probe).is_some() {
            return at(&format!(".{probe}"), "the watchdog answers the probes: leave it out");
        }
    }
    let env = container.get("env").and_then(Value::as_array).into_iter().flatten();
    for variable in env.filter_map(|variable| variable.get("name").and_then(Value::as_str)) {
        if variable.starts_with("FLINT_") {
            return at(&format!(".env[{variable}]"), "variables of FLINT_ are Flint's: choose another name");
        }
    }
    None
}

// === impl Refusal ===

impl std::fmt::Display for Refusal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} cannot be granted: {}", self.field, self.advice)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn template(value: Value) -> Template {
        serde_json::from_value(value).unwrap()
    }

    #[test]
    fn named_items_merge_and_new_ones_come_behind() {
        let mut pod = json!({
            "containers": [{"name": "function", "image": "a", "env": [{"name": "A", "value": "1"}]}],
            "tolerations": [{"key": "old"}],
            "enableServiceLinks": false,
        });
        merge(
            &mut pod,
            &json!({
                "containers": [
                    {"name": "function", "env": [{"name": "A", "value": "2"}, {"name": "B", "value": "3"}], "volumeMounts": [{"name": "data", "mountPath": "/data"}]},
                    {"name": "sidecar", "image": "b"},
                ],
                "volumes": [{"name": "data", "emptyDir": {}}],
                "tolerations": [{"key": "new"}],
                "enableServiceLinks": null,
            }),
        );
        assert_eq!(
            pod,
            json!({
                "containers": [
                    {"name": "function", "image": "a", "env": [{"name": "A", "value": "2"}, {"name": "B", "value": "3"}], "volumeMounts": [{"name": "data", "mountPath": "/data"}]},
                    {"name": "sidecar", "image": "b"},
                ],
                "volumes": [{"name": "data", "emptyDir": {}}],
                "tolerations": [{"key": "new"}],
            })
        );
    }

    #[test]
    fn what_would_break_the_contract_is_refused_by_its_name() {
        for (overlay, field) in [
            (json!({"spec": {"hostNetwork": true}}), "spec.template.spec.hostNetwork"),
            (
                json!({"spec": {"containers": [{"name": "watchdog"}]}}),
                "spec.template.spec.containers[watchdog]",
            ),
            (
                json!({"spec": {"initContainers": [{"name": "function"}]}}),
                "spec.template.spec.initContainers[function]",
            ),
            (
                json!({"spec": {"containers": [{"name": "function", "image": "b"}]}}),
                "spec.template.spec.containers[function].image",
            ),
            (
                json!({"spec": {"containers": [{"name": "function", "env": [{"name": "FLINT_KEY"}]}]}}),
                "spec.template.spec.containers[function].env[FLINT_KEY]",
            ),
            (
                json!({"spec": {"containers": [{"name": "function", "livenessProbe": {}}]}}),
                "spec.template.spec.containers[function].livenessProbe",
            ),
            (json!({"spec": {"containers": {}}}), "spec.template.spec.containers"),
            (
                json!({"metadata": {"labels": {"flint.dev/function": "x"}}}),
                "spec.template.metadata.labels[flint.dev/function]",
            ),
            (
                json!({"metadata": {"labels": {"app.kubernetes.io/name": "x"}}}),
                "spec.template.metadata.labels[app.kubernetes.io/name]",
            ),
        ] {
            assert_eq!(
                refuse(&template(overlay), false).map(|refusal| refusal.field).as_deref(),
                Some(field)
            );
        }
    }

    #[test]
    fn what_people_need_is_granted() {
        let overlay = template(json!({
            "metadata": {"labels": {"team": "shop"}, "annotations": {"example.org/a": "b"}},
            "spec": {
                "serviceAccountName": "robot", "nodeSelector": {"disk": "ssd"}, "hostNetwork": false, "runtimeClassName": "gvisor",
                "initContainers": [{"name": "warm", "image": "x"}], "volumes": [{"name": "v", "emptyDir": {}}],
                "containers": [{"name": "function", "securityContext": {"runAsUser": 1000}}, {"name": "sidecar", "image": "y"}],
            },
        }));
        assert_eq!(refuse(&overlay, true), None);
    }

    #[test]
    fn an_image_may_bring_its_own_probes() {
        let overlay = template(json!({"spec": {"containers": [{"name": "function", "livenessProbe": {}}]}}));
        assert_eq!(refuse(&overlay, true), None);
    }
}
