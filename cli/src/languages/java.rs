//! Java: the machine's `java` with AWS's runtime interface client, which Maven fetches once; what a `pom.xml` describes is compiled.

use std::path::{Path, PathBuf};

use sha2::{Digest as _, Sha256};

use super::{
    Build, Cache, Clients, Language, Launch, Machine, Missing, Version, Wanted,
    packages::{Program, how_to_get},
};

/// The cluster's, and what the client is written for is older.
const THERE: Version = Version(17, 0);

pub(super) fn plan(
    wanted: &Wanted<'_>,
    machine: &impl Machine,
    clients: &Clients,
) -> Result<Launch, Missing> {
    let missing = |what: String, program| Missing { what, remedy: how_to_get(program, machine) };
    let java = machine.find("java").ok_or_else(|| {
        missing(
            format!("{} is written in Java, and there is no java on the PATH", wanted.name),
            Program::Java,
        )
    })?;
    let version = machine.ask(&java, &["--version"]).and_then(|said| major(&said));
    if let Some(version) = version.filter(|version| *version < THERE) {
        return Err(missing(
            format!("{} is Java {version}; {} needs {} or later", java.display(), wanted.name, THERE.0),
            Program::Java,
        ));
    }
    let maven = machine.find("mvn").ok_or_else(|| {
        let name = wanted.name;
        missing(
            format!(
                "{name} needs Maven, which fetches AWS's client and compiles; there is no mvn on the PATH"
            ),
            Program::Maven,
        )
    })?;
    let client = clients.path("java/pom.xml");
    // Beside the clients, by their content: another version of the client is fetched anew.
    let jars = Path::new(&client).with_file_name("jars");
    let place = place(wanted, clients.cache());
    let mut launch = Launch::of(Language::Java, ["{handler}"]);
    launch.build = Some(Build::java(&maven, &java, Path::new(&client), &jars, wanted.folder, &place));
    let other = version.filter(|version| *version != THERE);
    launch.notes.extend(other.map(|version| {
        format!("{} runs on Java {} here, on {} in the cluster", wanted.name, version.0, THERE.0)
    }));
    Ok(launch)
}

/// A place in the cache for what a folder's project needs.
fn place(wanted: &Wanted<'_>, cache: &Cache) -> PathBuf {
    let digest = hex::encode(Sha256::digest(wanted.folder.as_os_str().as_encoded_bytes()));
    cache.join("java").join(&digest[..16])
}

/// The first number of what it says: `openjdk 17.0.15 2025-04-15`, `openjdk 25 2025-09-16`.
fn major(said: &str) -> Option<Version> {
    let word = said.split_whitespace().nth(1)?;
    word.split(|c: char| !c.is_ascii_digit()).next()?.parse().ok().map(|major| Version(major, 0))
}
