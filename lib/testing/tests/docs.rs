//! What the documentation lists is what the code has, and its links lead somewhere.

#![allow(clippy::unwrap_used)]

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

fn read(path: &str) -> String {
    fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// Every file below a folder whose name ends so; tests left out.
fn files(folder: &str, end: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut open = vec![root().join(folder)];
    while let Some(folder) = open.pop() {
        for entry in fs::read_dir(&folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display())) {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap().to_string_lossy().into_owned();
            if path.is_dir() && name != "tests" {
                open.push(path);
            } else if name.ends_with(end) && name != "tests.rs" {
                found.push(path);
            }
        }
    }
    found
}

/// The text in double quotes that begins with `prefix`, wherever it stands.
fn quoted(text: &str, prefix: &str) -> BTreeSet<String> {
    text.split('"').skip(1).step_by(2).filter(|text| text.starts_with(prefix)).map(str::to_owned).collect()
}

/// The first words in backquotes of a table's lines.
fn listed(text: &str, prefix: &str) -> BTreeSet<String> {
    let lines = text.lines().filter(|line| line.starts_with('|'));
    let words = lines.flat_map(|line| line.split('`').skip(1).step_by(2));
    words.filter(|word| word.starts_with(prefix)).map(str::to_owned).collect()
}

fn is_metric(name: &str) -> bool {
    name.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_')
}

#[test]
fn every_metric_of_gateway_and_operator_is_documented_and_no_other() {
    let mut metrics = BTreeSet::new();
    for folder in ["gateway/src", "operator/src", "lib/kube/src", "lib/telemetry/src"] {
        for file in files(folder, ".rs") {
            let text = fs::read_to_string(file).unwrap();
            let code = text.split("#[cfg(test)]").next().unwrap_or_default();
            metrics.extend(quoted(code, "flint_").into_iter().filter(|name| is_metric(name)));
        }
    }
    // Targets of log directives look the same.
    metrics.retain(|name| !["flint_gateway", "flint_operator", "flint_kube"].contains(&name.as_str()));
    let mut documented = listed(&read("docs/metrics.md"), "flint_");
    documented.retain(|name| !name.starts_with("flint_watchdog_"));
    assert_eq!(metrics, documented);
}

#[test]
fn every_reason_of_a_condition_is_documented() {
    let documented = read("docs/conditions.md");
    for file in ["operator/src/function/problem.rs", "operator/src/startability.rs"] {
        let text = read(file);
        let constants = text
            .lines()
            .filter_map(|line| line.trim().strip_prefix("pub(crate) const ")?.split_once(": &str = \""));
        let reasons: Vec<_> =
            constants.map(|(_, reason)| reason.trim_end_matches("\";").to_owned()).collect();
        assert!(!reasons.is_empty(), "{file} has no reasons any more");
        for reason in reasons {
            assert!(
                documented.contains(&format!("`{reason}`")),
                "{reason} of {file} is not in docs/conditions.md"
            );
        }
    }
}

#[test]
fn every_error_code_is_documented_with_its_status() {
    let documented = read("docs/errors.md");
    let wire = read("lib/core/src/wire.rs");
    let codes: Vec<_> =
        wire.lines().filter_map(|line| line.trim().strip_prefix("Self::")?.split_once(" => \"")).collect();
    assert!(codes.len() >= 10, "lib/core/src/wire.rs has no codes any more");
    for (_, code) in codes {
        let code = code.trim_end_matches("\",");
        assert!(documented.contains(&format!("`{code}`")), "{code} is not in docs/errors.md");
    }
}

#[test]
fn links_lead_somewhere() {
    let mut pages: Vec<_> = files("docs", ".md");
    pages.extend(["README.md", "ARCHITECTURE.md", "CONTRIBUTING.md"].map(|page| root().join(page)));
    pages.extend(files("examples", ".md"));
    for page in pages {
        let text = fs::read_to_string(&page).unwrap();
        for link in text.split("](").skip(1).filter_map(|rest| rest.split(')').next()) {
            let target = link.split('#').next().unwrap_or_default();
            if !target.is_empty() && !target.contains("://") {
                let path = page.parent().unwrap().join(target);
                assert!(path.exists(), "{}: {link} leads nowhere", page.display());
            }
        }
    }
}
