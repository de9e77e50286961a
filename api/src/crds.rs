//! The CustomResourceDefinitions of every kind, as they are installed.

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::CustomResourceExt;

use crate::{Function, Revision, Runtime, reference, schema};

const HEAD: &str =
    "# Generated from the types in api/src by `cargo run -p flint-api --bin crdgen`. Do not edit.\n";

/// One definition per kind, in the order of their names.
#[must_use]
pub fn all_crds() -> Vec<CustomResourceDefinition> {
    vec![tidied(Function::crd()), tidied(Revision::crd()), tidied(Runtime::crd())]
}

/// Every file that is generated from the types, by its path in the repository: the definitions, the chart's copy of
/// them, and the reference.
///
/// # Errors
/// Never in practice: a definition is plain data.
pub fn generated() -> Result<Vec<(String, String)>, Box<dyn std::error::Error>> {
    let crds = all_crds();
    let mut files = vec![("docs/kinds.md".to_owned(), reference::markdown(&crds)?)];
    for crd in &crds {
        let name = crd.metadata.name.as_deref().unwrap_or_default();
        let mut value = serde_json::to_value(crd)?;
        schema::tidy(&mut value);
        let text = format!("{HEAD}{}", serde_saphyr::to_string(&value)?);
        files.push((format!("crds/{name}.yaml"), text.clone()));
        files.push((format!("charts/flint/crds/{name}.yaml"), text));
    }
    Ok(files)
}

fn tidied(mut crd: CustomResourceDefinition) -> CustomResourceDefinition {
    for version in &mut crd.spec.versions {
        let Some(schema) = version.schema.as_mut().and_then(|schema| schema.open_api_v3_schema.as_mut())
        else {
            continue;
        };
        // Both ways through JSON: a schema has too many fields to walk by hand, and it is plain data.
        let Ok(mut value) = serde_json::to_value(&*schema) else { continue };
        schema::tidy(&mut value);
        schema::named(&mut value);
        if let Ok(tidied) = serde_json::from_value(value) {
            *schema = tidied;
        }
    }
    crd
}
