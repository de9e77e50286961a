//! Ruby: the machine's `ruby`, with the client of the cluster's runtime.

use super::{
    Clients, Language, Launch, Machine, Missing, Version, Wanted,
    packages::{Program, how_to_get},
};

/// What the client is written for.
const OLDEST: Version = Version(2, 7);
/// The cluster's.
const THERE: Version = Version(3, 1);

pub(super) fn plan(
    wanted: &Wanted<'_>,
    machine: &impl Machine,
    clients: &Clients,
) -> Result<Launch, Missing> {
    let missing = |what: String| Missing { what, remedy: how_to_get(Program::Ruby, machine) };
    let ruby = machine.find("ruby").ok_or_else(|| {
        missing(format!("{} is written in Ruby, and there is no ruby on the PATH", wanted.name))
    })?;
    let ruby = machine.behind(&ruby, wanted.folder, &["-e", "require 'rbconfig'; print RbConfig.ruby"]);
    let version = machine.ask(&ruby, &["--version"]).and_then(|said| Version::of(&said));
    let program = ruby.to_string_lossy().into_owned();
    if let Some(version) = version.filter(|version| *version < OLDEST) {
        return Err(missing(format!("{program} is Ruby {version}; {} needs {OLDEST} or later", wanted.name)));
    }
    let mut launch = Launch::of(Language::Ruby, [&program, &clients.path("ruby/main.rb"), "{handler}"]);
    // The client takes one invocation at a time, as in the cluster.
    launch.env.push(("AWS_LAMBDA_MAX_CONCURRENCY".to_owned(), "1".to_owned()));
    launch.notes.extend(wanted.other_version("Ruby", version, THERE));
    Ok(launch)
}
