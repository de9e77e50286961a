//! The pod of a revision: containers, environment, resources, probes and the security context, as JSON.

use flint_api::{Effective, Function, FunctionSpec, Mode, Runtime, labels, quantity};
use flint_core::{
    paths,
    wire::{WATCHDOG_ADMIN_PORT, WATCHDOG_PORT},
};
use k8s_openapi::api::core::v1::{EnvVar, ResourceRequirements};
use serde_json::{Map, Value, json};
use sha2::{Digest as _, Sha256};

use super::{
    lambda_image,
    problem::{self, Problem},
};
use crate::{overlay, package::Package, settings::Settings};

/// What a pod is made from.
pub(crate) struct Parts<'a> {
    pub(crate) settings: &'a Settings,
    pub(crate) function: &'a Function,
    pub(crate) runtime: Option<&'a Runtime>,
    pub(crate) package: Option<&'a Package>,
}

/// The variable with the key from which the watchdog derives its function's.
pub(crate) const NAMESPACE_KEY: &str = "FLINT_NAMESPACE_KEY";
/// The user that code runs as in our runtimes.
pub(crate) const RUNTIME_USER: i64 = 65_532;
/// The port that an image or an http runtime serves when nothing says otherwise.
const DEFAULT_PORT: u16 = 8080;
/// What an instance may write to its own layer (logs, /tmp), beside the code: AWS Lambda's /tmp has as much.
const SCRATCH_BYTES: usize = 512 << 20;
/// Unpacked code takes a few times its archive.
const UNPACKED_FACTOR: usize = 10;
/// What the watchdog does after the last request may have ended: 2 s of listening, ending the child, flushing.
const GRACE_AFTER_TIMEOUT: u64 = 10;
/// kubelet asks once a second until the instance has started; a JVM in a small container takes minutes.
const START_ATTEMPTS: u32 = 600;
/// Each function that uses one is among its owners: so it goes with the last, and ten thousand functions have room in so many.
pub(crate) const KEY_SECRETS: u8 = 16;
/// What the watchdog needs beside an image: a few MiB, and buffers for requests on their way.
const WATCHDOG_MEMORY: (&str, &str) = ("16Mi", "128Mi");

/// The pod template of a revision named `revision`.
pub(crate) fn template(parts: &Parts<'_>, revision: &str) -> Result<Value, Problem> {
    let Parts { settings, function, runtime, .. } = parts;
    let spec = &function.spec;
    let effective = Effective::new(function, *runtime);
    if let Some(Err(wrong)) = routes(function).map(paths::routes) {
        return Err(Problem::deploy(
            problem::SPEC_INVALID,
            format!("The annotation {}: {wrong}.", labels::ROUTES),
        ));
    }
    let mut containers = Vec::new();
    if let Some(runtime) = runtime {
        containers.push(runtime_container(parts, runtime, &effective, revision));
    } else if effective.mode == Mode::Lambda {
        containers.push(watchdog_container(parts, &effective, revision, Beside::Lambda));
        containers.push(lambda_image::container(function, &effective, revision));
    } else {
        let port = spec.port.unwrap_or(DEFAULT_PORT);
        if [WATCHDOG_PORT, WATCHDOG_ADMIN_PORT].contains(&port) {
            let text = format!(
                "spec.port {port} is the watchdog's own, which shares the pod's address: let the image serve another port."
            );
            return Err(Problem::deploy(problem::SPEC_INVALID, text));
        }
        containers.push(watchdog_container(parts, &effective, revision, Beside::Port(port)));
        containers.push(image_container(spec, function, revision, port));
    }
    let (volumes, mounts) = volumes(spec);
    if let Some(container) = containers.last_mut().filter(|_| !mounts.is_empty()) {
        container["volumeMounts"] = Value::Array(mounts);
    }
    let mut security = json!({"runAsNonRoot": true, "seccompProfile": {"type": "RuntimeDefault"}});
    // Lambda runs an image as a user of its own, whatever the image says; most of its images say nothing, which is root.
    if runtime.is_some() || effective.mode == Mode::Lambda {
        security["runAsUser"] = json!(RUNTIME_USER);
        security["runAsGroup"] = json!(RUNTIME_USER);
    }
    let mut pod = json!({
        "containers": containers,
        "securityContext": security,
        "automountServiceAccountToken": false,
        "enableServiceLinks": false,
        "terminationGracePeriodSeconds": grace(&effective),
    });
    if !volumes.is_empty() {
        pod["volumes"] = Value::Array(volumes);
    }
    if !settings.pull_secrets.is_empty() {
        pod["imagePullSecrets"] = settings.pull_secrets.iter().map(|name| json!({"name": name})).collect();
    }
    let mut template = json!({"metadata": {"labels": labels(function, revision)}, "spec": pod});
    if let Some(overlay) = &spec.template {
        if let Some(refusal) = overlay::refuse(overlay, runtime.is_none()) {
            return Err(Problem::deploy(problem::TEMPLATE_REFUSED, format!("{refusal}.")));
        }
        let mut patch = serde_json::to_value(overlay).unwrap_or_default();
        // The overlay's empty maps would show up as drift of nothing.
        if let Some(fields) = patch.as_object_mut() {
            fields.retain(|_, value| !value.is_null());
        }
        overlay::merge(&mut template, &patch);
    }
    Ok(template)
}

/// Labels of everything that belongs to one revision.
pub(crate) fn labels(function: &Function, revision: &str) -> Value {
    let name = function.metadata.name.as_deref().unwrap_or_default();
    json!({
        labels::NAME: name,
        labels::INSTANCE: revision,
        labels::COMPONENT: "function",
        labels::PART_OF: labels::PART_OF_FLINT,
        labels::MANAGED_BY: labels::FIELD_MANAGER,
        labels::FUNCTION: name,
        labels::REVISION: revision,
    })
}

/// Name of the Secret with the key that a function's pods are given: its namespace's, in one of [`KEY_SECRETS`] that are the same.
///
/// Few names, known ahead, and not one for each function: while a pod starts, kubelet asks for its Secrets as soon as it knows of the pod, and the API server's Node
/// authorizer, which learns of pods no sooner than kubelet does, may have to refuse. kubelet then waits for a second and more. By name
/// the chart can give nodes the right without that race.
pub(crate) fn key_secret(function: &str) -> String {
    let digest = Sha256::digest(function);
    format!("flint-key-{:x}", digest[0] % KEY_SECRETS)
}

fn grace(effective: &Effective) -> u64 {
    effective.timeout.get().as_secs_f64().ceil().clamp(0.0, 1e9) as u64 + GRACE_AFTER_TIMEOUT
}

fn runtime_container(parts: &Parts<'_>, runtime: &Runtime, effective: &Effective, revision: &str) -> Value {
    let Parts { settings, function, package, .. } = parts;
    let spec = &function.spec;
    let handler = spec.handler.as_deref().unwrap_or_default();
    let command: Vec<_> =
        runtime.spec.command.iter().map(|item| item.replace("{handler}", handler)).collect();
    // What is in the image takes nothing of the container's own layer, and nobody fetches it.
    let (image, package) = match package {
        Some(Package { image: Some(image), .. }) => (&image.reference, None),
        package => (spec.runtime_image.as_ref().unwrap_or(&runtime.spec.image), *package),
    };
    let resources = resources(spec.resources.as_ref().or(runtime.spec.resources.as_ref()), package);
    let mut env = watchdog_env(parts, effective, revision, memory_limit(&resources));
    env.push(variable("FLINT_COMMAND", &json!(command).to_string()));
    if !handler.is_empty() {
        env.push(variable("FLINT_HANDLER", handler));
    }
    if runtime.spec.mode == Mode::Http {
        env.push(variable("FLINT_UPSTREAM_PORT", &runtime.spec.port.unwrap_or(DEFAULT_PORT).to_string()));
    }
    if let Some(package) = package {
        env.push(variable(
            "FLINT_PACKAGE_URL",
            &format!("{}/packages/{}", settings.packages_url(), package.digest),
        ));
        env.push(variable("FLINT_PACKAGE_DIGEST", &package.digest));
    }
    env.extend(users_env(&runtime.spec.env, &spec.env));
    let mut container = json!({
        "name": labels::FUNCTION_CONTAINER,
        "image": image,
        "env": env,
        "resources": resources,
    });
    with_pull_policy(&mut container, settings);
    with_env_from(&mut container, spec);
    watched(&mut container);
    container
}

/// How a container beside the watchdog is spoken to.
#[derive(Clone, Copy)]
enum Beside {
    /// It serves HTTP.
    Port(u16),
    /// It asks for its work at the Runtime API.
    Lambda,
}

fn watchdog_container(parts: &Parts<'_>, effective: &Effective, revision: &str, beside: Beside) -> Value {
    let limit = memory_limit(&resources(parts.function.spec.resources.as_ref(), None));
    let mut env = watchdog_env(parts, effective, revision, limit);
    env.push(match beside {
        Beside::Port(port) => variable("FLINT_UPSTREAM_PORT", &port.to_string()),
        Beside::Lambda => variable("FLINT_RUNTIME_API_PORT", &lambda_image::PORT.to_string()),
    });
    let (request, limit) = WATCHDOG_MEMORY;
    let mut container = json!({
        "name": labels::WATCHDOG_CONTAINER,
        "image": parts.settings.watchdog_image,
        "env": env,
        "resources": {"requests": {"cpu": "10m", "memory": request}, "limits": {"memory": limit}},
    });
    with_pull_policy(&mut container, parts.settings);
    watched(&mut container);
    container["securityContext"]["runAsUser"] = json!(RUNTIME_USER);
    container["securityContext"]["readOnlyRootFilesystem"] = json!(true);
    container
}

fn image_container(spec: &FunctionSpec, function: &Function, revision: &str, port: u16) -> Value {
    let mut env = identity(function, revision);
    env.push(variable("PORT", &port.to_string()));
    let mut container = beside_container(spec, env);
    container["ports"] = json!([{"name": "http", "containerPort": port, "protocol": "TCP"}]);
    container
}

/// The user's image beside the watchdog, with these variables and the user's own.
pub(super) fn beside_container(spec: &FunctionSpec, mut env: Vec<Value>) -> Value {
    // The user's own wins: Kubernetes takes the last of a name, server-side apply wants each name once.
    env.retain(|variable| !spec.env.iter().any(|own| variable["name"] == own.name.as_str()));
    env.extend(users_env(&[], &spec.env));
    let mut container = json!({
        "name": labels::FUNCTION_CONTAINER,
        "image": spec.image,
        "env": env,
        "resources": resources(spec.resources.as_ref(), None),
        "terminationMessagePolicy": "FallbackToLogsOnError",
        // Both containers are told to end at once; this one waits until the watchdog has nothing left to ask of it.
        "lifecycle": {"preStop": {"httpGet": {"path": "/drained", "port": WATCHDOG_ADMIN_PORT, "scheme": "HTTP"}}},
        "securityContext": security(),
    });
    if !spec.command.is_empty() {
        container["command"] = json!(spec.command);
    }
    if !spec.args.is_empty() {
        container["args"] = json!(spec.args);
    }
    with_env_from(&mut container, spec);
    container
}

/// Ports, probes and security of the container whose first process is the watchdog.
pub(crate) fn watched(container: &mut Value) {
    let probe = |path: &str| json!({"path": path, "port": WATCHDOG_ADMIN_PORT, "scheme": "HTTP"});
    let fields = json!({
        "ports": [
            {"name": "flint", "containerPort": WATCHDOG_PORT, "protocol": "TCP"},
            {"name": "flint-admin", "containerPort": WATCHDOG_ADMIN_PORT, "protocol": "TCP"},
        ],
        "startupProbe": {"httpGet": probe("/readyz"), "periodSeconds": 1, "timeoutSeconds": 1, "failureThreshold": START_ATTEMPTS},
        "readinessProbe": {"httpGet": probe("/readyz"), "periodSeconds": 5, "timeoutSeconds": 2, "failureThreshold": 2},
        "livenessProbe": {"httpGet": probe("/healthz"), "periodSeconds": 10, "timeoutSeconds": 5, "failureThreshold": 6},
        "terminationMessagePolicy": "FallbackToLogsOnError",
        "securityContext": security(),
    });
    if let (Some(container), Value::Object(fields)) = (container.as_object_mut(), fields) {
        container.extend(fields);
    }
}

fn security() -> Value {
    json!({"allowPrivilegeEscalation": false, "capabilities": {"drop": ["ALL"]}})
}

pub(crate) fn with_pull_policy(container: &mut Value, settings: &Settings) {
    if let Some(policy) = &settings.pull_policy {
        container["imagePullPolicy"] = json!(policy);
    }
}

fn with_env_from(container: &mut Value, spec: &FunctionSpec) {
    if !spec.env_from.is_empty() {
        container["envFrom"] = json!(spec.env_from);
    }
}

pub(crate) fn variable(name: &str, value: &str) -> Value {
    // A dollar sign in a value would start a reference to another variable: doubled, it is itself.
    json!({"name": name, "value": value.replace("$(", "$$(")})
}

pub(crate) fn from_field(name: &str, path: &str) -> Value {
    json!({"name": name, "valueFrom": {"fieldRef": {"apiVersion": "v1", "fieldPath": path}}})
}

pub(super) fn identity(function: &Function, revision: &str) -> Vec<Value> {
    vec![
        variable("FLINT_NAMESPACE", function.metadata.namespace.as_deref().unwrap_or_default()),
        variable("FLINT_FUNCTION", function.metadata.name.as_deref().unwrap_or_default()),
        variable("FLINT_REVISION", revision),
    ]
}

fn watchdog_env(parts: &Parts<'_>, effective: &Effective, revision: &str, memory: Option<u64>) -> Vec<Value> {
    let Parts { settings, function, .. } = parts;
    let mode = match effective.mode {
        Mode::Lambda => "lambda",
        Mode::Http => "http",
        Mode::Process => "process",
    };
    let name = function.metadata.name.as_deref().unwrap_or_default();
    let mut env = identity(function, revision);
    env.extend([
        variable("FLINT_MODE", mode),
        variable("FLINT_TIMEOUT_MS", &effective.timeout.as_millis().to_string()),
        variable("FLINT_CONCURRENCY", &effective.concurrency.to_string()),
        variable("FLINT_HOME_URL", &settings.home_url()),
        variable("FLINT_LOG_LEVEL", &settings.watchdog_log_level),
        json!({"name": NAMESPACE_KEY, "valueFrom": {"secretKeyRef": {"name": key_secret(name), "key": "key"}}}),
        from_field("FLINT_POD_NAME", "metadata.name"),
        from_field("FLINT_POD_UID", "metadata.uid"),
        from_field("FLINT_POD_IP", "status.podIP"),
    ]);
    if let Some(bytes) = memory {
        env.push(variable("FLINT_MEMORY_BYTES", &bytes.to_string()));
    }
    if let (Mode::Lambda, Some(routes)) = (effective.mode, routes(function)) {
        env.push(variable("FLINT_ROUTES", routes));
    }
    env
}

/// The routes of a function, as its annotation has them.
fn routes(function: &Function) -> Option<&str> {
    function.metadata.annotations.as_ref()?.get(labels::ROUTES).map(String::as_str)
}

/// The Runtime's variables, each replaced by the Function's of the same name, then the Function's others.
fn users_env(runtime: &[EnvVar], function: &[EnvVar]) -> Vec<Value> {
    let named = |name: &str| function.iter().any(|variable| variable.name == name);
    let kept = runtime.iter().filter(|variable| !named(&variable.name));
    kept.chain(function).map(|variable| json!(variable)).collect()
}

/// The resources asked for, with a CPU limit that follows memory, and a bound on what is written to the container's layer.
pub(crate) fn resources(asked: Option<&ResourceRequirements>, package: Option<&Package>) -> Value {
    let asked = asked.cloned().unwrap_or_default();
    let mut limits: Map<String, Value> =
        asked.limits.into_iter().flatten().map(|(name, quantity)| (name, json!(quantity.0))).collect();
    let requests: Map<String, Value> =
        asked.requests.into_iter().flatten().map(|(name, quantity)| (name, json!(quantity.0))).collect();
    if !limits.contains_key("cpu")
        && let Some(cpu) = limits.get("memory").and_then(Value::as_str).and_then(quantity::cpu_for_memory)
    {
        // A request above the limit would be refused: whoever asks for more gets as much.
        let requested = requests.get("cpu").and_then(Value::as_str);
        let more = requested.filter(|requested| quantity::parse(requested) > quantity::parse(&cpu));
        limits.insert("cpu".into(), json!(more.unwrap_or(&cpu)));
    }
    let scratch = SCRATCH_BYTES + package.map_or(0, |package| package.size * UNPACKED_FACTOR);
    let requested = requests.get("ephemeral-storage").cloned();
    limits
        .entry("ephemeral-storage")
        .or_insert_with(|| requested.unwrap_or_else(|| json!(format!("{}Mi", scratch.div_ceil(1 << 20)))));
    let mut resources = json!({"limits": limits});
    if !requests.is_empty() {
        resources["requests"] = Value::Object(requests);
    }
    if let Some(claims) = asked.claims {
        resources["claims"] = json!(claims);
    }
    resources
}

pub(super) fn memory_limit(resources: &Value) -> Option<u64> {
    quantity::bytes(resources["limits"]["memory"].as_str()?)
}

/// Volumes for the Secrets and ConfigMaps that the user wants as files, and their mounts.
fn volumes(spec: &FunctionSpec) -> (Vec<Value>, Vec<Value>) {
    let secrets = spec.secrets.iter().enumerate().map(|(index, mount)| {
        // Readable for every user: an image may run as any, and nobody else is in the container.
        let source = json!({"name": format!("flint-secret-{index}"), "secret": {"secretName": mount.name, "defaultMode": 0o444}});
        (source, mount)
    });
    let config_maps = spec.config_maps.iter().enumerate().map(|(index, mount)| {
        let source = json!({"name": format!("flint-config-{index}"), "configMap": {"name": mount.name, "defaultMode": 0o444}});
        (source, mount)
    });
    secrets
        .chain(config_maps)
        .map(|(source, mount)| {
            let mount = json!({"name": source["name"], "mountPath": mount.mount_path, "readOnly": true});
            (source, mount)
        })
        .unzip()
}
