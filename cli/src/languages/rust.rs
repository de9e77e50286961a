//! Rust: built by cargo where it builds everything, in the profile that is ready soonest.

use std::path::{Path, PathBuf};

use super::{
    Build, Language, Launch, Machine, Missing, Wanted,
    packages::{Program, how_to_get},
};

/// Whether the folder holds a Cargo package.
pub(super) fn is(folder: &Path) -> bool {
    folder.join("Cargo.toml").is_file()
}

pub(super) fn plan(wanted: &Wanted<'_>, machine: &impl Machine) -> Result<Launch, Missing> {
    let cargo = find(wanted, machine)?;
    let mut launch = Launch::of(Language::Rust, []);
    launch.build = Some(Build::cargo(&cargo, wanted.folder, wanted.handler));
    Ok(launch)
}

/// The same for the cluster: by cargo where this machine is like the cluster's nodes, and by cargo-zigbuild elsewhere.
pub(super) fn for_cluster(wanted: &Wanted<'_>, machine: &impl Machine) -> Result<Build, Missing> {
    let cargo = find(wanted, machine)?;
    let (verb, target) = if cfg!(all(target_os = "linux", target_arch = "x86_64")) {
        ("build", "x86_64-unknown-linux-gnu")
    } else if machine.find("cargo-zigbuild").is_some() {
        ("zigbuild", "x86_64-unknown-linux-musl")
    } else {
        return Err(Missing {
            what: format!("{} has to be compiled for linux/amd64, which this machine is not", wanted.name),
            remedy: "cargo install cargo-zigbuild && rustup target add x86_64-unknown-linux-musl, or put a program named \
                     bootstrap there that was compiled elsewhere"
                .to_owned(),
        });
    };
    Ok(Build::cargo_for_cluster(&cargo, verb, wanted.folder, wanted.handler, target))
}

fn find(wanted: &Wanted<'_>, machine: &impl Machine) -> Result<PathBuf, Missing> {
    machine.find("cargo").ok_or_else(|| Missing {
        what: format!("{} is written in Rust, and there is no cargo on the PATH", wanted.name),
        remedy: how_to_get(Program::Cargo, machine),
    })
}
