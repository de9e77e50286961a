//! Rust: built by cargo where it builds everything, in the profile that is ready soonest.

use std::path::Path;

use super::{
    Build, Language, Launch, Machine, Missing, Wanted,
    packages::{Program, how_to_get},
};

/// Whether the folder holds a Cargo package.
pub(super) fn is(folder: &Path) -> bool {
    folder.join("Cargo.toml").is_file()
}

pub(super) fn plan(wanted: &Wanted<'_>, machine: &impl Machine) -> Result<Launch, Missing> {
    let cargo = machine.find("cargo").ok_or_else(|| Missing {
        what: format!("{} is written in Rust, and there is no cargo on the PATH", wanted.name),
        remedy: how_to_get(Program::Cargo, machine),
    })?;
    let mut launch = Launch::of(Language::Rust, []);
    launch.build = Some(Build::cargo(&cargo, wanted.folder, wanted.handler));
    Ok(launch)
}
