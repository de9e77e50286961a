//! The pod templates of Revisions, in memory as text: as a tree of JSON each takes ten times as much, and was the largest part of what
//! a function at rest costs the operator. Of older revisions alone they are ever looked at.

use flint_api::Revision;
use serde_json::Value;

/// Makes text of the template.
pub(crate) fn pack(revision: &mut Revision) {
    let template = &mut revision.spec.template;
    if !template.is_string() {
        let mut text = template.to_string();
        text.shrink_to_fit();
        *template = Value::String(text);
    }
}

/// The template, packed or not.
pub(crate) fn of(revision: &Revision) -> Value {
    match &revision.spec.template {
        // It is what `pack` wrote: the API server has objects alone there.
        Value::String(text) => serde_json::from_str(text).unwrap_or_default(),
        tree => tree.clone(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_template_is_the_same_after_it_was_packed() {
        let template =
            json!({"metadata": {"labels": {"a": "b"}}, "spec": {"containers": [{"name": "function"}]}});
        let mut revision: Revision = serde_json::from_value(json!({
            "apiVersion": "flint.dev/v1alpha1", "kind": "Revision", "metadata": {"name": "cart-1"},
            "spec": {"function": "cart", "number": 1, "image": "cart:1", "template": template},
        }))
        .unwrap();
        assert_eq!(of(&revision), template);
        for _ in 0..2 {
            pack(&mut revision);
            assert!(revision.spec.template.is_string());
            assert_eq!(of(&revision), template);
        }
    }
}
