//! Whether an object in the cluster still says everything that we want of it.

use flint_api::quantity;
use serde_json::Value;

/// Whether `live` has every field of `desired` with its value. Fields that only `live` has are others' business (defaults, the
/// scale, what other managers added). Where the API server writes a value in another form, both forms are the same.
pub(crate) fn contains(live: &Value, desired: &Value) -> bool {
    match (live, desired) {
        (Value::Object(live), Value::Object(desired)) => desired.iter().all(|(name, value)| {
            live.get(name).map_or_else(|| is_empty(value), |live| contains(live, value))
        }),
        (Value::Array(live), Value::Array(desired)) => {
            live.len() == desired.len()
                && live.iter().zip(desired).all(|(live, desired)| contains(live, desired))
        }
        (Value::String(live), Value::String(desired)) => live == desired || quantity::same(live, desired),
        (Value::Number(live), Value::String(desired)) => live.to_string() == *desired,
        (Value::String(live), Value::Number(desired)) => quantity::same(live, &desired.to_string()),
        (live, desired) => live == desired,
    }
}

/// What the API server leaves out when it writes an object.
fn is_empty(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Bool(value) => !value,
        Value::Number(value) => value.as_i64() == Some(0),
        Value::String(value) => value.is_empty(),
        Value::Array(value) => value.is_empty(),
        Value::Object(value) => value.values().all(is_empty),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn defaults_and_other_forms_are_no_drift() {
        let desired = json!({"spec": {"template": {"env": [{"name": "A", "value": ""}], "limits": {"memory": "1024Mi", "cpu": "0.5"}, "hostNetwork": false}}});
        let live = json!({"spec": {"replicas": 3, "template": {"env": [{"name": "A"}], "limits": {"memory": "1Gi", "cpu": "500m"}, "dnsPolicy": "ClusterFirst"}}});
        assert!(contains(&live, &desired));
    }

    #[test]
    fn a_changed_a_missing_and_an_added_item_are_drift() {
        let desired = json!({"containers": [{"name": "function", "image": "a"}], "labels": {"a": "b"}});
        for live in [
            json!({"containers": [{"name": "function", "image": "b"}], "labels": {"a": "b"}}),
            json!({"containers": [{"name": "function", "image": "a"}]}),
            json!({"containers": [{"name": "function", "image": "a"}, {"name": "miner"}], "labels": {"a": "b"}}),
        ] {
            assert!(!contains(&live, &desired), "{live}");
        }
    }
}
