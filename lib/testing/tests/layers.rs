//! Dependencies between our crates point one way, and the watchdog stays small.

#![allow(clippy::unwrap_used)]

use std::{
    collections::{BTreeMap, BTreeSet},
    process::Command,
};

use serde_json::Value;

/// What each crate may know of ours. A crate that is not here has no place yet: give it one.
const ALLOWED: &[(&str, &[&str])] = &[
    ("flint-api", &[]),
    ("flint-core", &[]),
    ("flint-builder", &["flint-core", "flint-package"]),
    ("flint-control", &[]),
    ("flint-git", &["flint-package"]),
    ("flint-image", &["flint-core"]),
    ("flint-kube", &["flint-api", "flint-core"]),
    ("flint-package", &[]),
    ("flint-proxy", &["flint-core"]),
    ("flint-telemetry", &["flint-core"]),
    ("flint-testing", &["flint-api", "flint-core"]),
    ("flint-watchdog", &["flint-core", "flint-proxy"]),
    (
        "flint-local",
        &[
            "flint-api",
            "flint-control",
            "flint-core",
            "flint-gateway",
            "flint-kube",
            "flint-proxy",
            "flint-telemetry",
            "flint-watchdog",
        ],
    ),
    (
        "flint-cli",
        &[
            "flint-api",
            "flint-core",
            "flint-image",
            "flint-kube",
            "flint-local",
            "flint-package",
            "flint-watchdog",
        ],
    ),
    (
        "flint-gateway",
        &["flint-api", "flint-control", "flint-core", "flint-kube", "flint-proxy", "flint-telemetry"],
    ),
    (
        "flint-operator",
        &[
            "flint-api",
            "flint-control",
            "flint-core",
            "flint-git",
            "flint-image",
            "flint-kube",
            "flint-package",
            "flint-telemetry",
        ],
    ),
];

/// What runs outside of clusters: it may know anybody, and nobody may know it.
const OUTSIDE: &[&str] = &["flint-e2e", "flint-bench"];

/// Our crates, and which of them each names itself; what only tests need is left out.
struct Workspace {
    members: BTreeSet<String>,
    knows: BTreeMap<String, BTreeSet<String>>,
}

#[test]
fn every_crate_has_its_place() {
    let known: BTreeSet<_> = ALLOWED.iter().map(|(name, _)| *name).chain(OUTSIDE.iter().copied()).collect();
    let members = Workspace::read().members;
    let members: BTreeSet<_> = members.iter().map(String::as_str).collect();
    assert_eq!(members, known);
}

#[test]
fn crates_know_only_those_below_them() {
    let workspace = Workspace::read();
    for (name, allowed) in ALLOWED {
        for known in &workspace.knows[*name] {
            assert!(allowed.contains(&known.as_str()), "{name} may not depend on {known}");
        }
    }
}

#[test]
fn nobody_depends_on_programs_tests_or_benchmarks() {
    let workspace = Workspace::read();
    let tops =
        ["flint-builder", "flint-cli", "flint-gateway", "flint-operator", "flint-watchdog", "flint-testing"];
    // The platform on one machine is made of them.
    let local = ["flint-local", "flint-cli"];
    for member in workspace.members.iter().filter(|member| !local.contains(&member.as_str())) {
        for known in &workspace.knows[member] {
            let may = !tops.contains(&known.as_str()) && !OUTSIDE.contains(&known.as_str());
            assert!(may, "{member} may not depend on {known}");
        }
    }
}

#[test]
fn the_watchdog_has_no_kubernetes_in_it_and_no_tls() {
    let everything = everything_in("flint-watchdog");
    for heavy in ["kube", "kube-client", "k8s-openapi", "flint-api", "rustls", "tonic", "reqwest", "schemars"]
    {
        assert!(!everything.contains(heavy), "flint-watchdog must not contain {heavy}");
    }
}

#[test]
fn decisions_do_no_input_or_output() {
    let everything = everything_in("flint-core");
    for active in ["tokio", "hyper", "mio", "socket2", "rand"] {
        assert!(!everything.contains(active), "flint-core must not contain {active}");
    }
}

#[test]
fn there_is_one_tls_and_one_cryptography() {
    for (program, _) in ALLOWED {
        let everything = everything_in(program);
        for other in ["ring", "openssl", "openssl-sys", "native-tls", "schannel"] {
            assert!(
                !everything.contains(other),
                "{program} contains {other}; rustls with aws-lc-rs is what we have"
            );
        }
    }
}

/// Names of everything that is linked into a crate, itself included, as cargo builds it alone.
fn everything_in(name: &str) -> BTreeSet<String> {
    let tree = cargo(&[
        "tree",
        "--edges=normal",
        "--target=x86_64-unknown-linux-gnu",
        "--prefix=none",
        "--format={p}",
        "--package",
        name,
    ]);
    tree.lines()
        .filter_map(|line| line.split(' ').next())
        .filter(|name| !name.is_empty())
        .map(str::to_owned)
        .collect()
}

fn cargo(args: &[&str]) -> String {
    let output = Command::new(env!("CARGO"))
        .args(args)
        .args([
            "--locked",
            "--offline",
            "--manifest-path",
            concat!(env!("CARGO_MANIFEST_DIR"), "/../../Cargo.toml"),
        ])
        .output()
        .unwrap();
    assert!(output.status.success(), "cargo {args:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

// === impl Workspace ===

impl Workspace {
    fn read() -> Self {
        let metadata: Value =
            serde_json::from_str(&cargo(&["metadata", "--no-deps", "--format-version=1"])).unwrap();
        let packages = metadata["packages"].as_array().unwrap();
        let name = |value: &Value| value["name"].as_str().unwrap().to_owned();
        let members: BTreeSet<_> = packages.iter().map(name).collect();
        let knows = packages
            .iter()
            .map(|package| {
                // Without a kind it is neither for tests nor for building.
                let linked = package["dependencies"]
                    .as_array()
                    .unwrap()
                    .iter()
                    .filter(|known| known["kind"].is_null());
                (name(package), linked.map(name).filter(|known| members.contains(known)).collect())
            })
            .collect();
        Self { members, knows }
    }
}
