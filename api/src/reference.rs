//! The reference of the kinds, written from their definitions: `docs/kinds.md`.

use std::fmt::{self, Write};

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::{
    CustomResourceDefinition, JSONSchemaProps, JSONSchemaPropsOrArray, JSONSchemaPropsOrBool,
};

/// Types of Kubernetes' own that fields embed: the reference names them and does not repeat them.
const FOREIGN: &[(&str, &str)] = &[
    ("env", "[]core/v1 EnvVar"),
    ("envFrom", "[]core/v1 EnvFromSource"),
    ("resources", "core/v1 ResourceRequirements"),
];

const HEAD: &str = "\
# Kinds

The reference of `flint.dev/v1alpha1`, generated from the definitions in `crds/`: do not edit. `kubectl explain function.spec`
says the same on a cluster. What the conditions in a status mean is in [conditions.md](conditions.md), how schedules are
written in [schedules.md](schedules.md).
";

/// The reference of these kinds in Markdown.
///
/// # Errors
/// Never in practice: text is written to memory.
pub fn markdown(crds: &[CustomResourceDefinition]) -> Result<String, fmt::Error> {
    let mut page = HEAD.to_owned();
    for crd in crds {
        kind(&mut page, crd)?;
    }
    Ok(page)
}

fn kind(page: &mut String, crd: &CustomResourceDefinition) -> fmt::Result {
    let names = &crd.spec.names;
    let Some(version) = crd.spec.versions.first() else { return Ok(()) };
    let Some(schema) = version.schema.as_ref().and_then(|schema| schema.open_api_v3_schema.as_ref()) else {
        return Ok(());
    };
    writeln!(page, "\n## {}\n\n{}\n", names.kind, schema.description.as_deref().unwrap_or_default())?;
    let short =
        names.short_names.iter().flatten().map(|name| format!(", short `{name}`")).collect::<String>();
    writeln!(page, "{}; `kubectl get {}`{short}.", crd.spec.scope, names.plural)?;
    let columns = version
        .additional_printer_columns
        .iter()
        .flatten()
        .filter(|column| column.priority.unwrap_or(0) == 0);
    let columns: Vec<_> = columns.map(|column| column.name.to_uppercase()).collect();
    writeln!(page, "It shows NAME {}.", columns.join(" "))?;
    rules(page, &messages("", schema))?;
    for part in ["spec", "status"] {
        if let Some(schema) = schema.properties.as_ref().and_then(|properties| properties.get(part)) {
            object(page, &format!("{}.{part}", names.kind), schema)?;
        }
    }
    Ok(())
}

/// A section for an object, a table of its fields, and sections for the objects in it.
fn object(page: &mut String, path: &str, schema: &JSONSchemaProps) -> fmt::Result {
    let Some(properties) = schema.properties.as_ref().filter(|properties| !properties.is_empty()) else {
        return Ok(());
    };
    writeln!(page, "\n### {path}\n\n{}\n", schema.description.as_deref().unwrap_or_default())?;
    writeln!(page, "| field | type | |\n|---|---|---|")?;
    for (name, field) in properties {
        let required = schema.required.iter().flatten().any(|required| required == name);
        let needed = if required { " **Required.**" } else { "" };
        let text = field.description.as_deref().unwrap_or_default().replace('\n', " ").replace('|', "\\|");
        writeln!(page, "| `{name}` | {} | {text}{needed} |", type_of(name, field))?;
    }
    let fields = properties.iter().flat_map(|(name, field)| messages(name, field));
    rules(page, &messages("", schema).into_iter().chain(fields).collect::<Vec<_>>())?;
    for (name, field) in properties.iter().filter(|(name, _)| foreign(name).is_none()) {
        match &field.items {
            Some(JSONSchemaPropsOrArray::Schema(item)) => object(page, &format!("{path}.{name}[]"), item)?,
            _ => object(page, &format!("{path}.{name}"), field)?,
        }
    }
    Ok(())
}

/// A list of messages, where there are any.
fn rules(page: &mut String, messages: &[String]) -> fmt::Result {
    if !messages.is_empty() {
        writeln!(page, "\nWhat `kubectl apply` says where it refuses:\n\n{}", messages.join("\n"))?;
    }
    Ok(())
}

/// What the rules of one field say, or of the object itself for an empty name.
fn messages(field: &str, schema: &JSONSchemaProps) -> Vec<String> {
    let items = match &schema.items {
        Some(JSONSchemaPropsOrArray::Schema(item)) if foreign(field).is_some() => {
            item.x_kubernetes_validations.as_ref()
        }
        _ => None,
    };
    // The rules of an object stand in its own section.
    let own =
        schema.x_kubernetes_validations.iter().filter(|_| field.is_empty() || schema.properties.is_none());
    let field = if field.is_empty() { String::new() } else { format!("`{field}`: ") };
    own.chain(items)
        .flatten()
        .filter_map(|rule| rule.message.as_ref())
        .map(|message| format!("- {field}{message}"))
        .collect()
}

fn foreign(name: &str) -> Option<&'static str> {
    FOREIGN.iter().find(|(field, _)| *field == name).map(|(_, type_)| *type_)
}

/// A field's type with its bounds.
fn type_of(name: &str, schema: &JSONSchemaProps) -> String {
    if let Some(foreign) = foreign(name) {
        return foreign.to_owned();
    }
    let values: Vec<_> = schema
        .enum_
        .iter()
        .flatten()
        .map(|value| format!("`{}`", value.0.to_string().trim_matches('"')))
        .collect();
    if !values.is_empty() {
        return values.join(" or ");
    }
    let base = match schema.type_.as_deref() {
        None if schema.x_kubernetes_preserve_unknown_fields == Some(true) => "any".to_owned(),
        Some("array") => match &schema.items {
            Some(JSONSchemaPropsOrArray::Schema(item)) => format!("[]{}", type_of("", item)),
            _ => "[]".to_owned(),
        },
        Some("object") => match &schema.additional_properties {
            Some(JSONSchemaPropsOrBool::Schema(value)) => format!("map of {}", type_of("", value)),
            _ => "object".to_owned(),
        },
        Some("string") if schema.format.as_deref() == Some("date-time") => "time".to_owned(),
        other => other.unwrap_or("any").to_owned(),
    };
    match (schema.minimum, schema.maximum) {
        (Some(least), Some(most)) => format!("{base}, {least} to {most}"),
        _ => base,
    }
}
