//! A function's variables here: those it names, those of `.env` files, and a few of the developer's own.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::PathBuf,
};

use flint_api::Function;

use super::Remark;
use crate::project::{Code, Project, ProjectFunction, parse_env_file};

/// Of the developer's environment a function gets what is about the machine and its credentials, and nothing else: what runs here
/// and lacks a variable in the cluster would be a surprise.
fn is_passed(name: &str) -> bool {
    const NAMES: [&str; 7] = [
        "HTTP_PROXY",
        "HTTPS_PROXY",
        "NO_PROXY",
        "NODE_EXTRA_CA_CERTS",
        "SSL_CERT_DIR",
        "SSL_CERT_FILE",
        "VIRTUAL_ENV",
    ];
    (name.starts_with("AWS_") && !name.starts_with("AWS_LAMBDA_"))
        || NAMES.contains(&name.to_uppercase().as_str())
}

/// The files of variables that a function has, whether they are there or not: the project's, its folder's, and those it names.
pub(super) fn files(project: &Project, function: &ProjectFunction) -> BTreeSet<PathBuf> {
    let mut files: BTreeSet<_> = [project.root.join(".env")].into();
    if let Code::Folder(folder) = &function.code {
        files.insert(folder.root.join(".env"));
    }
    files.extend(function.env_files.iter().cloned());
    files
}

/// The variables, and what is to be said about them. What stands in a file wins over the manifest: it is what is different here.
pub(super) fn variables(
    project: &Project,
    function: &ProjectFunction,
    passed: &BTreeMap<String, String>,
) -> (BTreeMap<String, String>, Vec<Remark>) {
    let mut remarks = Vec::new();
    let mut variables: BTreeMap<_, _> = passed
        .iter()
        .filter(|(name, _)| is_passed(name))
        .map(|(name, value)| (name.clone(), value.clone()))
        .collect();
    let mut elsewhere = Vec::new();
    for variable in &function.function.spec.env {
        match (&variable.value, &variable.value_from) {
            (_, Some(_)) => elsewhere.push(variable.name.clone()),
            (value, None) => drop(variables.insert(variable.name.clone(), value.clone().unwrap_or_default())),
        }
    }
    for file in files(project, function) {
        let Ok(text) = std::fs::read_to_string(&file) else { continue };
        match parse_env_file(&text) {
            Ok(read) => variables.extend(read),
            Err(line) => {
                let wrong = format!(
                    "{}:{line}: this line is no variable, and none of the file is used",
                    file.display()
                );
                remarks.push(Remark::Problem(wrong, Some("write NAME=VALUE".to_owned())));
            }
        }
    }
    let name = function.function.metadata.name.as_deref().unwrap_or_default();
    elsewhere.retain(|variable| !variables.contains_key(variable));
    if !elsewhere.is_empty() {
        remarks.push(Remark::Note(format!(
            "{name}: {} come from the cluster; write values for here into {}",
            elsewhere.join(", "),
            project.root.join(".env").display()
        )));
    }
    for what in only_in_the_cluster(&function.function) {
        remarks.push(Remark::Note(format!("{name}: {what} is honoured in the cluster only")));
    }
    (variables, remarks)
}

fn only_in_the_cluster(function: &Function) -> impl Iterator<Item = &'static str> {
    let spec = &function.spec;
    [
        (!spec.env_from.is_empty()).then_some("envFrom"),
        (!spec.secrets.is_empty()).then_some("secrets"),
        (!spec.config_maps.is_empty()).then_some("configMaps"),
        spec.template.is_some().then_some("template"),
    ]
    .into_iter()
    .flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_the_developers_variables_only_credentials_and_proxies_are_passed() {
        for (name, passed) in [
            ("AWS_PROFILE", true),
            ("AWS_LAMBDA_FUNCTION_NAME", false),
            ("https_proxy", true),
            ("SECRET_OF_THE_SHELL", false),
            ("PATH", false),
        ] {
            assert_eq!(is_passed(name), passed, "{name}");
        }
    }
}
