//! The refusals of an API server that has our definitions, without one.

// Each test binary uses its own part of this.
#![allow(dead_code)]

use kube::core::cel::Validator;
use serde_json::{Value, json};

/// What an API server with our definitions says against an object: the schema's refusals first, then, as there, the
/// rules' where the schema has none.
pub(crate) fn refusals(object: &Value) -> Vec<String> {
    let schema = schema_of(object["kind"].as_str().expect("kind"));
    let mut refusals = Vec::new();
    check(&schema, object, String::new(), &mut refusals);
    if refusals.is_empty()
        && let Err(errors) = Validator::new().validate(&schema, object, None)
    {
        refusals.extend(errors.into_vec().iter().map(ToString::to_string));
    }
    refusals
}

/// Reads an object from YAML.
pub(crate) fn yaml(text: &str) -> Value {
    serde_saphyr::from_str(text).expect("YAML")
}

fn schema_of(kind: &str) -> Value {
    let crds = flint_api::all_crds();
    let crd = crds.iter().find(|crd| crd.spec.names.kind == kind).expect("a kind of ours");
    serde_json::to_value(crd.spec.versions[0].schema.as_ref().unwrap().open_api_v3_schema.as_ref()).unwrap()
}

/// The part of OpenAPI's schema language that the definitions use.
fn check(schema: &Value, value: &Value, path: String, refusals: &mut Vec<String>) {
    let mut refuse = |message: String| refusals.push(format!("{path}: {message}"));
    let bound = |key: &str| schema[key].as_f64();
    let fits = match schema["type"].as_str() {
        Some("object") => value.is_object(),
        Some("array") => value.is_array(),
        Some("string") => value.is_string(),
        Some("boolean") => value.is_boolean(),
        Some("integer") => value.is_i64() || value.is_u64(),
        Some("number") => value.is_number(),
        _ => true,
    };
    if !fits {
        refuse(format!("must be of type {}", schema["type"]));
        return;
    }
    if schema["enum"].as_array().is_some_and(|values| !values.contains(value)) {
        refuse(format!("Unsupported value: {value}: supported values: {}", schema["enum"]));
    }
    let beyond = |number: f64| {
        bound("minimum").is_some_and(|least| number < least)
            || bound("maximum").is_some_and(|most| number > most)
    };
    if value.as_f64().is_some_and(beyond) {
        let [least, most] =
            ["minimum", "maximum"].map(|key| bound(key).map_or("any".into(), |bound| bound.to_string()));
        refuse(format!("should be from {least} to {most}"));
    }
    let length = match value {
        Value::String(text) => Some(("maxLength", text.chars().count())),
        Value::Array(items) => Some(("maxItems", items.len())),
        Value::Object(fields) => Some(("maxProperties", fields.len())),
        _ => None,
    };
    if length.is_some_and(|(key, length)| bound(key).is_some_and(|most| length as f64 > most)) {
        refuse(format!("Too long: {schema}"));
    }
    if let (Some(keys), Some(items)) = (schema["x-kubernetes-list-map-keys"].as_array(), value.as_array()) {
        let key_of =
            |item: &Value| keys.iter().map(|key| item[key.as_str().unwrap()].clone()).collect::<Vec<_>>();
        for (index, item) in items.iter().enumerate() {
            if items[..index].iter().any(|earlier| key_of(earlier) == key_of(item)) {
                refuse(format!("Duplicate value: {}", json!(key_of(item))));
            }
        }
    }
    if let Some(fields) = value.as_object() {
        for required in schema["required"].as_array().into_iter().flatten() {
            if !fields.contains_key(required.as_str().unwrap()) {
                refuse(format!("Required value: {required}"));
            }
        }
        let other = &schema["additionalProperties"];
        for (name, field) in fields {
            let known = &schema["properties"][name];
            let schema = if known.is_null() { other } else { known };
            check(schema, field, format!("{path}.{name}"), refusals);
        }
    }
    for (index, item) in value.as_array().into_iter().flatten().enumerate() {
        check(&schema["items"], item, format!("{path}[{index}]"), refusals);
    }
}
