//! Go: compiled into the cache, so that nothing appears in the user's folder.

use std::path::{Path, PathBuf};

use sha2::{Digest as _, Sha256};

use super::{
    Build, Cache, Language, Launch, Machine, Missing, Wanted,
    packages::{Program, how_to_get},
};

/// Whether the folder holds Go.
pub(super) fn is(folder: &Path) -> bool {
    folder.join("go.mod").is_file() || folder.join("main.go").is_file()
}

pub(super) fn plan(wanted: &Wanted<'_>, machine: &impl Machine, cache: &Cache) -> Result<Launch, Missing> {
    let (go, package) = (find(wanted, machine)?, package(wanted));
    let target = place(wanted, cache, "go", &package);
    let mut launch = Launch::of(Language::Go, []);
    launch.build = Some(Build::go(&go, wanted.folder, &package, target));
    Ok(launch)
}

/// The same for the cluster.
pub(super) fn for_cluster(
    wanted: &Wanted<'_>,
    machine: &impl Machine,
    cache: &Cache,
) -> Result<Build, Missing> {
    let (go, package) = (find(wanted, machine)?, package(wanted));
    let target = place(wanted, cache, "go-linux-amd64", &package);
    Ok(Build::go_for_cluster(&go, wanted.folder, &package, target))
}

fn find(wanted: &Wanted<'_>, machine: &impl Machine) -> Result<PathBuf, Missing> {
    machine.find("go").ok_or_else(|| Missing {
        what: format!("{} is written in Go, and there is no go on the PATH", wanted.name),
        remedy: how_to_get(Program::Go, machine),
    })
}

/// A place in the cache for a folder's package.
fn place(wanted: &Wanted<'_>, cache: &Cache, kind: &str, package: &str) -> PathBuf {
    let mut digest = Sha256::new();
    digest.update(wanted.folder.as_os_str().as_encoded_bytes());
    digest.update([0]);
    digest.update(package);
    let name = &hex::encode(digest.finalize())[..16];
    cache.join(kind).join(name).join("bootstrap")
}

/// Which package of the module: the one that the handler names, or the folder's own.
fn package(wanted: &Wanted<'_>) -> String {
    let handler = wanted.handler.trim_matches('/');
    [handler.to_owned(), format!("cmd/{handler}"), format!("functions/{handler}")]
        .into_iter()
        .filter(|_| !handler.is_empty() && !handler.contains(".."))
        .find(|package| wanted.folder.join(package).join("main.go").is_file())
        .map_or_else(|| ".".to_owned(), |package| format!("./{package}"))
}
