//! The container of an image that is made for AWS Lambda: it finds the Runtime API in the watchdog beside it, and everything else that
//! Lambda would have set.

use flint_api::{Effective, Function};
use flint_core::wire::WATCHDOG_ADMIN_PORT;
use serde_json::{Value, json};

use super::pod;

/// Where the Runtime API is, on the pod's loopback: the port that Lambda's own sandbox has.
pub(super) const PORT: u16 = 9001;
/// What a function without a memory limit is told: Lambda's own default.
const MEMORY_MIB: u64 = 128;
/// A concurrency without a limit, told as a number; the watchdog hands out no more.
const NO_LIMIT: u32 = 100;

/// The container, with the variables that Lambda reserves; `args` and `command` stand in for the image's own.
pub(super) fn container(function: &Function, effective: &Effective, revision: &str) -> Value {
    let spec = &function.spec;
    let name = function.metadata.name.as_deref().unwrap_or_default();
    let resources = pod::resources(spec.resources.as_ref(), None);
    let memory = pod::memory_limit(&resources).map_or(MEMORY_MIB, |bytes| bytes >> 20);
    let mut env = pod::identity(function, revision);
    let mut set = |name: &str, value: &str| env.push(pod::variable(name, value));
    set("AWS_LAMBDA_RUNTIME_API", &format!("127.0.0.1:{PORT}"));
    set("AWS_LAMBDA_FUNCTION_NAME", name);
    set("AWS_LAMBDA_FUNCTION_VERSION", "$LATEST");
    set("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", &memory.to_string());
    set("AWS_LAMBDA_LOG_GROUP_NAME", &format!("/aws/lambda/{name}"));
    set("AWS_LAMBDA_LOG_STREAM_NAME", &format!("{revision}[$LATEST]"));
    set("AWS_LAMBDA_INITIALIZATION_TYPE", "on-demand");
    set("AWS_LAMBDA_LOG_FORMAT", "Text");
    set("LAMBDA_TASK_ROOT", "/var/task");
    match effective.concurrency {
        1 => {}
        0 => set("AWS_LAMBDA_MAX_CONCURRENCY", &NO_LIMIT.to_string()),
        several => set("AWS_LAMBDA_MAX_CONCURRENCY", &several.to_string()),
    }
    // What stands here would win over a region that comes by `envFrom`.
    if spec.env_from.is_empty() {
        let own = |name: &str| {
            spec.env
                .iter()
                .find(|variable| variable.name == name)
                .and_then(|variable| variable.value.as_deref())
        };
        let region = own("AWS_REGION").or_else(|| own("AWS_DEFAULT_REGION")).unwrap_or("us-east-1");
        set("AWS_REGION", region);
        set("AWS_DEFAULT_REGION", region);
    }
    let mut container = pod::beside_container(spec, env);
    // The watchdog says no when an invocation overran its deadline: nobody but kubelet can end the work then.
    container["livenessProbe"] = json!({
        "httpGet": {"path": "/beside", "port": WATCHDOG_ADMIN_PORT, "scheme": "HTTP"},
        "periodSeconds": 1,
        "timeoutSeconds": 10,
        "failureThreshold": 1,
        "terminationGracePeriodSeconds": 1,
    });
    container
}
