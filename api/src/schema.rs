//! Schemas that the derives cannot say: bounded core/v1 types, free-form values, and what Kubernetes wants tidied.

use k8s_openapi::api::core::v1::{EnvFromSource, EnvVar, ResourceRequirements};
use kube::core::Rule;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde_json::{Number, Value, json};

use crate::rules::{forbidden, invalid};

/// Any JSON value.
pub(crate) fn any_value(_: &mut SchemaGenerator) -> Schema {
    json_schema!({"x-kubernetes-preserve-unknown-fields": true})
}

/// Any JSON object.
pub(crate) fn any_object(_: &mut SchemaGenerator) -> Schema {
    json_schema!({"type": "object", "x-kubernetes-preserve-unknown-fields": true})
}

/// Image references by the name of a file.
pub(crate) fn images(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "object", "maxProperties": 32, "additionalProperties": {"type": "string", "maxLength": 512},
    })
}

/// core/v1 EnvVar, at most 256 with different names, none of them Flint's own.
pub(crate) fn env(generator: &mut SchemaGenerator) -> Schema {
    let item = ruled::<EnvVar>(
        generator,
        &[("name", 256)],
        &[
            invalid(
                "self.name.matches('^[-._a-zA-Z][-._a-zA-Z0-9]*$')",
                "write the variable's name with letters, digits, '_', '-' and '.', not beginning with a digit",
            ),
            forbidden(
                ".name",
                "!self.name.startsWith('FLINT_')",
                "variables that begin with FLINT_ belong to the watchdog: choose another name",
            ),
            forbidden(
                ".name",
                "!(self.name in ['_HANDLER', '_X_AMZN_TRACE_ID', 'LAMBDA_TASK_ROOT', 'AWS_LAMBDA_RUNTIME_API', \
                 'AWS_LAMBDA_FUNCTION_NAME', 'AWS_LAMBDA_FUNCTION_VERSION', 'AWS_LAMBDA_FUNCTION_MEMORY_SIZE', \
                 'AWS_LAMBDA_LOG_GROUP_NAME', 'AWS_LAMBDA_LOG_STREAM_NAME'])",
                "Flint sets this variable itself, as Lambda does: choose another name",
            ),
            forbidden(
                ".valueFrom",
                "!has(self.value) || self.value == '' || !has(self.valueFrom)",
                "write either value or valueFrom, not both",
            ),
        ],
    );
    json_schema!({
        "type": "array", "maxItems": 256, "items": item,
        "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["name"],
    })
}

/// core/v1 EnvFromSource, at most 32.
pub(crate) fn env_from(generator: &mut SchemaGenerator) -> Schema {
    let item = ruled::<EnvFromSource>(
        generator,
        &[("prefix", 256)],
        &[
            invalid(
                "has(self.configMapRef) != has(self.secretRef)",
                "write exactly one of configMapRef and secretRef in each item",
            ),
            forbidden(
                ".prefix",
                "!has(self.prefix) || !self.prefix.startsWith('FLINT_')",
                "variables that begin with FLINT_ belong to the watchdog: choose another prefix",
            ),
        ],
    );
    json_schema!({"type": "array", "maxItems": 32, "items": item})
}

/// core/v1 ResourceRequirements, without the claims of dynamic resource allocation, which need a pod's own list.
pub(crate) fn resources(generator: &mut SchemaGenerator) -> Schema {
    let mut schema = ResourceRequirements::json_schema(generator);
    if let Some(Value::Object(properties)) = schema.ensure_object().get_mut("properties") {
        properties.remove("claims");
        for list in ["limits", "requests"] {
            // The type's own description is an essay on its grammar.
            if let Some(quantity) =
                properties.get_mut(list).and_then(|list| list.pointer_mut("/additionalProperties"))
            {
                *quantity = json!({"x-kubernetes-int-or-string": true, "description": "A quantity, such as 512Mi or 500m."});
            }
        }
    }
    schema
}

/// The schema of an embedded type, with lengths for the text fields that rules read and with rules of ours.
fn ruled<T: JsonSchema>(generator: &mut SchemaGenerator, lengths: &[(&str, u64)], rules: &[Rule]) -> Schema {
    let mut schema = T::json_schema(generator);
    for (field, length) in lengths {
        if let Some(field) =
            schema.pointer_mut(&format!("/properties/{field}")).and_then(Value::as_object_mut)
        {
            field.insert("maxLength".into(), json!(length));
        }
    }
    let rules = rules.iter().map(|rule| json!(rule)).collect::<Vec<_>>();
    schema.ensure_object().insert("x-kubernetes-validations".into(), rules.into());
    schema
}

/// Makes a derived schema what a hand-written CRD would say: no `nullable` (an API server then drops a null as if the
/// field were absent, and rules need not think of it), no defaults that say what absence says, no integer formats that
/// Kubernetes does not know, and no `0.0` where a whole number is meant (so that a file equals what the API server gives
/// back).
pub(crate) fn tidy(schema: &mut Value) {
    match schema {
        Value::Object(object) => {
            if object.get("nullable") == Some(&Value::Bool(true)) {
                object.remove("nullable");
            }
            if object.get("format").and_then(Value::as_str).is_some_and(|format| format.starts_with("uint")) {
                object.remove("format");
            }
            if object.get("default").is_some_and(says_nothing) {
                object.remove("default");
            }
            object.values_mut().for_each(tidy);
        }
        Value::Array(items) => items.iter_mut().for_each(tidy),
        Value::Number(number) => {
            if let Some(whole) = whole(number) {
                *schema = whole.into();
            }
        }
        _ => {}
    }
}

/// Says that `metadata` has a name, so that rules can read it and a refusal can point at it.
pub(crate) fn named(schema: &mut Value) {
    if let Some(properties) = schema.pointer_mut("/properties").and_then(Value::as_object_mut) {
        let name = json!({"type": "string", "maxLength": 253});
        properties.insert("metadata".into(), json!({"type": "object", "properties": {"name": name}}));
    }
}

fn says_nothing(default: &Value) -> bool {
    [json!(0), json!(false), json!([])].contains(default)
}

/// The same number without a fraction of nothing.
fn whole(number: &Number) -> Option<i64> {
    let text = number.to_string();
    text.strip_suffix(".0")?.parse().ok()
}
