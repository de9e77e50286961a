//! The schema of the definitions over a tree: what an API server would refuse, said of the line that has it.

use std::sync::LazyLock;

use serde_json::Value;

use super::{
    Note,
    tree::{Node, Spot},
};

/// What a Function may say: the schema of its definition.
static FUNCTION: LazyLock<Value> = LazyLock::new(|| {
    let crd = flint_api::all_crds().into_iter().find(|crd| crd.spec.names.kind == "Function");
    let version = crd.and_then(|crd| crd.spec.versions.into_iter().next());
    let schema = version.and_then(|version| version.schema).and_then(|schema| schema.open_api_v3_schema);
    serde_json::to_value(schema).unwrap_or_default()
});

/// The schema of `Function.spec`.
pub(crate) fn spec() -> &'static Value {
    &FUNCTION["properties"]["spec"]
}

/// What the schema has against a Function.
pub(crate) fn check(function: &Node) -> Vec<Note> {
    let mut notes = Vec::new();
    for entry in function.entries() {
        match entry.key.as_str() {
            "apiVersion" | "kind" | "status" => {}
            "metadata" => object_meta(&entry.value, &mut notes),
            "spec" => against(spec(), &entry.value, "spec", &mut notes),
            other => unknown(&entry.spot, other, "", &["apiVersion", "kind", "metadata", "spec"], &mut notes),
        }
    }
    for required in ["metadata", "spec"] {
        if function.get(required).is_none() {
            notes.push(Note::error(&function.spot.place(), format!("write `{required}`: it is missing")));
        }
    }
    notes
}

/// The part of metadata that people write.
fn object_meta(metadata: &Node, notes: &mut Vec<Note>) {
    const KNOWN: &[&str] = &["name", "namespace", "labels", "annotations", "finalizers", "ownerReferences"];
    const KEPT: &[&str] =
        &["creationTimestamp", "generation", "managedFields", "resourceVersion", "uid", "selfLink"];
    if !metadata.is_map() {
        return notes.push(Note::error(
            &metadata.spot.place(),
            format!("metadata has to be a map, and is {}", metadata.sort()),
        ));
    }
    for entry in metadata.entries() {
        let value = &entry.value;
        match entry.key.as_str() {
            "labels" | "annotations" => {
                for pair in value.entries() {
                    if !pair.value.to_json().is_string() {
                        let (kind, sort) = (&entry.key, pair.value.sort());
                        let message = format!(
                            "metadata.{kind}.{} has to be text, and is {sort}: put it in quotes",
                            pair.key
                        );
                        notes.push(Note::error(&pair.value.spot.place(), message));
                    }
                }
                if !value.is_map() && !value.is_null() {
                    notes.push(Note::error(
                        &value.spot.place(),
                        format!("metadata.{} has to be a map", entry.key),
                    ));
                }
            }
            "name" | "namespace" if !value.to_json().is_string() => {
                let message = format!(
                    "metadata.{} has to be text, and is {}: put it in quotes",
                    entry.key,
                    value.sort()
                );
                notes.push(Note::error(&value.spot.place(), message));
            }
            known if KNOWN.contains(&known) || KEPT.contains(&known) => {}
            other => unknown(&entry.spot, other, "metadata", KNOWN, notes),
        }
    }
    if metadata.get("name").is_none() {
        notes.push(Note::error(&metadata.spot.place(), "write metadata.name: it is missing"));
    }
}

/// A field that is none.
pub(crate) fn unknown(spot: &Spot, field: &str, within: &str, known: &[&str], notes: &mut Vec<Note>) {
    let place = if within.is_empty() { String::new() } else { format!(" in {within}") };
    let hint = match closest(field, known) {
        Some(name) => format!("did you mean `{name}`?"),
        None if known.len() <= 8 => format!("there are {}", known.join(", ")),
        None => "`kubectl explain function.spec` lists those there are".to_owned(),
    };
    notes.push(Note::error(&spot.place(), format!("there is no field `{field}`{place}: {hint}")));
}

/// The known name that somebody may have meant.
pub(crate) fn closest<'a>(written: &str, known: &[&'a str]) -> Option<&'a str> {
    let written = written.to_lowercase();
    known
        .iter()
        .map(|name| (strsim::damerau_levenshtein(&written, &name.to_lowercase()), *name))
        .min()
        .filter(|(distance, name)| *distance <= (name.len() / 3).max(1))
        .map(|(_, name)| name)
}

/// The part of OpenAPI's schema language that the definitions use.
fn against(schema: &Value, node: &Node, path: &str, notes: &mut Vec<Note>) {
    let mut refuse =
        |message: String| notes.push(Note::error(&node.spot.place(), format!("{path} {message}")));
    // A null is as good as nothing: an API server drops it.
    if node.is_null() || schema["x-kubernetes-preserve-unknown-fields"] == true && schema["type"].is_null() {
        return;
    }
    let value = node.to_json();
    if schema["x-kubernetes-int-or-string"] == true {
        if !(value.is_i64() || value.is_u64() || value.is_string()) {
            refuse(format!("has to be a number or text, and is {}", node.sort()));
        }
        return;
    }
    let (fits, wanted) = match schema["type"].as_str() {
        Some("object") => (node.is_map(), "a map"),
        Some("array") => (node.is_list(), "a list"),
        Some("string") => (value.is_string(), "text"),
        Some("boolean") => (value.is_boolean(), "true or false"),
        Some("integer") => (value.is_i64() || value.is_u64(), "a whole number"),
        Some("number") => (value.is_number(), "a number"),
        _ => (true, ""),
    };
    if !fits {
        let quotes =
            if wanted == "text" && !node.is_map() && !node.is_list() { ": put it in quotes" } else { "" };
        return refuse(format!("has to be {wanted}, and is {}{quotes}", node.sort()));
    }
    if let Some(values) = schema["enum"].as_array().filter(|values| !values.contains(&value)) {
        let values: Vec<_> = values.iter().filter_map(Value::as_str).collect();
        refuse(format!("is one of {}", values.join(", ")));
    }
    let bound = |key: &str| schema[key].as_f64();
    let (least, most) = (bound("minimum"), bound("maximum"));
    if value
        .as_f64()
        .is_some_and(|it| least.is_some_and(|least| it < least) || most.is_some_and(|most| it > most))
    {
        refuse(match (least, most) {
            (Some(least), Some(most)) => format!("is a number from {least} to {most}"),
            (Some(least), None) => format!("is at least {least}"),
            _ => format!("is at most {}", most.unwrap_or_default()),
        });
    }
    let (key, length, unit) = match &value {
        Value::String(text) => ("maxLength", text.chars().count(), "characters"),
        Value::Array(items) => ("maxItems", items.len(), "items"),
        Value::Object(fields) => ("maxProperties", fields.len(), "entries"),
        _ => ("", 0, ""),
    };
    if let Some(most) = schema[key].as_u64().filter(|most| length as u64 > *most) {
        refuse(format!("has {length} {unit}, and may have {most}"));
    }
    lists(schema, node, path, notes);
    maps(schema, node, path, notes);
}

fn lists(schema: &Value, node: &Node, path: &str, notes: &mut Vec<Note>) {
    let keys: Vec<&str> = schema["x-kubernetes-list-map-keys"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(Value::as_str)
        .collect();
    let key_of = |item: &Node| keys.iter().map(|key| item.get(key).map(Node::to_json)).collect::<Vec<_>>();
    for (index, item) in node.items().iter().enumerate() {
        against(&schema["items"], item, &format!("{path}[{index}]"), notes);
        let earlier = node.items().get(..index).unwrap_or_default();
        if !keys.is_empty() && item.is_map() && earlier.iter().any(|earlier| key_of(earlier) == key_of(item))
        {
            let message = format!("{path}[{index}] has the same {} as an earlier one", keys.join(" and "));
            notes.push(Note::error(&item.spot.place(), message));
        }
    }
}

fn maps(schema: &Value, node: &Node, path: &str, notes: &mut Vec<Note>) {
    let properties = schema["properties"].as_object();
    let others = &schema["additionalProperties"];
    let known: Vec<&str> = properties.into_iter().flatten().map(|(name, _)| name.as_str()).collect();
    for entry in node.entries() {
        let below = format!("{path}.{}", entry.key);
        match properties.and_then(|properties| properties.get(&entry.key)) {
            Some(property) => against(property, &entry.value, &below, notes),
            None if others.is_object() => against(others, &entry.value, &below, notes),
            None if properties.is_none() || schema["x-kubernetes-preserve-unknown-fields"] == true => {}
            None => unknown(&entry.spot, &entry.key, path, &known, notes),
        }
    }
    if node.is_map() {
        for required in schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str) {
            if node.get(required).is_none() {
                notes
                    .push(Note::error(&node.spot.place(), format!("write {path}.{required}: it is missing")));
            }
        }
    }
}
