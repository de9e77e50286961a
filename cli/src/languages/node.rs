//! Node.js and TypeScript: the machine's `node`, with the client of the cluster's runtime.

use std::path::Path;

use sha2::{Digest as _, Sha256};

use super::{
    Build, Cache, Clients, Language, Launch, Machine, Missing, Version, Wanted,
    packages::{Program, how_to_get},
};

/// What the client is written for.
const OLDEST: Version = Version(18, 0);
/// Strips the types of TypeScript without being asked to.
const STRIPS: Version = Version(22, 18);
/// Strips them when asked to.
const STRIPS_WHEN_ASKED: Version = Version(22, 6);

pub(super) fn plan(
    wanted: &Wanted<'_>,
    machine: &impl Machine,
    clients: &Clients,
) -> Result<Launch, Missing> {
    let node = machine.find("node").or_else(|| machine.find("nodejs")).ok_or_else(|| Missing {
        what: format!("{} is written for Node.js, and there is no node on the PATH", wanted.name),
        remedy: how_to_get(Program::Node, machine),
    })?;
    let node = machine.behind(&node, wanted.folder, &["-p", "process.execPath"]);
    let version = machine.ask(&node, &["--version"]).and_then(|said| Version::of(&said));
    let program = node.to_string_lossy().into_owned();
    if let Some(version) = version.filter(|version| *version < OLDEST) {
        return Err(Missing {
            what: format!("{program} is Node.js {version}; {} needs {OLDEST} or later", wanted.name),
            remedy: how_to_get(Program::Node, machine),
        });
    }
    let mut launch = Launch::of(Language::Node, [&program, "--enable-source-maps"]);
    if is_typescript(wanted) {
        launch.command.extend(for_typescript(wanted, version)?);
    }
    match wanted.debug {
        None => launch.command.push(clients.path("node/index.mjs")),
        Some(port) => launch.command.extend([clients.path("node/debug.mjs"), port.to_string()]),
    }
    launch.command.push("{handler}".to_owned());
    Ok(launch)
}

/// Whether the handler's file is there in TypeScript alone.
fn is_typescript(wanted: &Wanted<'_>) -> bool {
    typescript(wanted).is_some()
}

/// The handler's file, where it is there in TypeScript alone; relative to the folder.
fn typescript(wanted: &Wanted<'_>) -> Option<String> {
    let stem = stem(wanted);
    let there = |extension: &&str| wanted.folder.join(format!("{stem}.{extension}")).is_file();
    let compiled = ["js", "mjs", "cjs"].iter().any(&there);
    let extension = ["ts", "mts", "cts"].into_iter().find(there).filter(|_| !compiled)?;
    Some(format!("{stem}.{extension}"))
}

/// The handler's file without its extension: `src/app` of `src/app.handler`.
fn stem(wanted: &Wanted<'_>) -> String {
    let (folder, base) = wanted.handler.rsplit_once('/').unwrap_or(("", wanted.handler));
    let file = base.split('.').next().unwrap_or(base);
    if folder.is_empty() { file.to_owned() } else { format!("{folder}/{file}") }
}

/// What makes one file of JavaScript of TypeScript, and the file's name for the cluster; nothing where it is JavaScript.
pub(super) fn for_cluster(
    wanted: &Wanted<'_>,
    machine: &impl Machine,
    cache: &Cache,
) -> Result<Option<(Build, String)>, Missing> {
    let Some(entry) = typescript(wanted) else { return Ok(None) };
    let installed = |folder: &Path| folder.join("node_modules/.bin/esbuild");
    let esbuild = wanted.folder.ancestors().map(installed).find(|program| program.is_file());
    let esbuild = esbuild.or_else(|| machine.find("esbuild")).ok_or_else(|| Missing {
        what: format!("{} is written in TypeScript, and there is no esbuild to make JavaScript of it", wanted.name),
        remedy: format!(
            "npm install --save-dev esbuild in {}, or compile it by other means and name the result in handler",
            wanted.folder.display()
        ),
    })?;
    let module = entry.ends_with(".mts") || (!entry.ends_with(".cts") && is_module(wanted.folder));
    let name = format!("{}.{}", stem(wanted), if module { "mjs" } else { "cjs" });
    let mut digest = Sha256::new();
    digest.update(wanted.folder.as_os_str().as_encoded_bytes());
    digest.update([0]);
    digest.update(&name);
    let target = cache.join("typescript").join(&hex::encode(digest.finalize())[..16]).join("bundle");
    Ok(Some((Build::esbuild(&esbuild, wanted.folder, &entry, module, target), name)))
}

/// Whether the package says that its files are modules of ECMAScript.
fn is_module(folder: &Path) -> bool {
    let package = std::fs::read(folder.join("package.json")).unwrap_or_default();
    let package: serde_json::Value = serde_json::from_slice(&package).unwrap_or_default();
    package["type"] == "module"
}

/// What Node needs to be told to read TypeScript.
fn for_typescript(wanted: &Wanted<'_>, version: Option<Version>) -> Result<Vec<String>, Missing> {
    let strips =
        version.is_some_and(|version| version >= STRIPS && version.0 != 23 || version >= Version(23, 6));
    if strips {
        return Ok(Vec::new());
    }
    if let Some(loader) = tsx(wanted.folder) {
        return Ok(vec!["--import".to_owned(), loader]);
    }
    if version.is_some_and(|version| version >= STRIPS_WHEN_ASKED) {
        return Ok(vec!["--experimental-strip-types".to_owned()]);
    }
    let version = version.map_or_else(|| "an unknown version".to_owned(), |version| version.to_string());
    Err(Missing {
        what: format!(
            "{} is written in TypeScript, which this Node.js ({version}) does not read",
            wanted.name
        ),
        remedy: format!(
            "npm install --save-dev tsx in {}, or Node.js {STRIPS} or later from https://nodejs.org/en/download",
            wanted.folder.display()
        ),
    })
}

/// The loader of the package tsx, if the folder or one above it has it installed.
fn tsx(folder: &Path) -> Option<String> {
    folder
        .ancestors()
        .map(|folder| folder.join("node_modules/tsx/dist/loader.mjs"))
        .find(|loader| loader.is_file())
        .map(|loader| loader.to_string_lossy().into_owned())
}
