//! PHP: the machine's `php`, with the client of the cluster's runtime.

use super::{
    Clients, Language, Launch, Machine, Missing, Version, Wanted,
    packages::{Program, how_to_get},
};

/// What the client is written for.
const OLDEST: Version = Version(8, 1);
/// The cluster's.
const THERE: Version = Version(8, 2);

pub(super) fn plan(
    wanted: &Wanted<'_>,
    machine: &impl Machine,
    clients: &Clients,
) -> Result<Launch, Missing> {
    let missing = |what: String| Missing { what, remedy: how_to_get(Program::Php, machine) };
    let php = machine.find("php").ok_or_else(|| {
        missing(format!("{} is written in PHP, and there is no php on the PATH", wanted.name))
    })?;
    let php = machine.behind(&php, wanted.folder, &["-r", "echo PHP_BINARY;"]);
    let version = machine.ask(&php, &["--version"]).and_then(|said| Version::of(&said));
    let program = php.to_string_lossy().into_owned();
    if let Some(version) = version.filter(|version| *version < OLDEST) {
        return Err(missing(format!("{program} is PHP {version}; {} needs {OLDEST} or later", wanted.name)));
    }
    if machine.ask(&php, &["-r", "curl_init(); mb_scrub('');"]).is_none() {
        return Err(missing(format!("{program} has no modules curl and mbstring, which the client needs")));
    }
    let client = clients.path("php/main.php");
    let options = ["-d", "display_errors=stderr", "-d", "log_errors=0", "-d", "memory_limit=-1"];
    let mut launch = Launch::of(Language::Php, [&program]);
    launch.command.extend(options.map(str::to_owned));
    launch.command.extend([client, "{handler}".to_owned()]);
    // The client takes one invocation at a time, as in the cluster.
    launch.env.push(("AWS_LAMBDA_MAX_CONCURRENCY".to_owned(), "1".to_owned()));
    launch.notes.extend(wanted.other_version("PHP", version, THERE));
    Ok(launch)
}
