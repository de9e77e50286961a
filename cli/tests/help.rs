//! What `--help` says, of every command there is.
//!
//! After a change: `INSTA_UPDATE=always cargo test -p flint-cli --test help`, `cargo run -p flint-cli --bin clidoc`, and a look
//! at the difference.

#![allow(clippy::unwrap_used)]

use std::{fs, path::Path};

use clap::{Command, CommandFactory};
use flint_cli::{args::Args, reference};

/// Looks at a command and all below it.
fn each(command: &Command, look: &mut impl FnMut(&Command)) {
    look(command);
    for below in command.get_subcommands().filter(|below| below.get_name() != "help") {
        each(below, look);
    }
}

/// The commands, as they are without anything from this machine's environment.
fn commands() -> Command {
    let mut command = plain(Args::command());
    command.build();
    command
}

fn plain(command: Command) -> Command {
    command.mut_args(|arg| arg.hide_env_values(true)).mut_subcommands(plain)
}

#[test]
fn the_help_of_every_command_is_as_it_was_looked_at() {
    each(&commands(), &mut |command| {
        let name = command.get_bin_name().unwrap().replace(' ', "-");
        let help = command.clone().render_help().to_string();
        insta::assert_snapshot!(name, help);
    });
}

#[test]
fn no_golden_file_is_left_of_a_command_that_is_gone() {
    let mut names = Vec::new();
    each(&commands(), &mut |command| names.push(command.get_bin_name().unwrap().replace(' ', "-")));
    for file in fs::read_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/snapshots")).unwrap() {
        let file = file.unwrap().file_name().into_string().unwrap();
        let Some(name) = file.strip_prefix("help__").and_then(|file| file.strip_suffix(".snap")) else {
            continue;
        };
        assert!(names.iter().any(|known| known == name), "{file} is no command's any more: remove it");
    }
}

#[test]
fn every_command_and_argument_says_what_it_is() {
    each(&commands(), &mut |command| {
        assert!(command.get_about().is_some(), "{} says nothing", command.get_name());
        for arg in command.get_arguments() {
            let name = command.get_bin_name().unwrap_or_default();
            assert!(arg.get_help().is_some(), "{name} {arg} says nothing");
        }
    });
}

#[test]
fn the_reference_is_what_the_commands_say() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(reference::PATH);
    let committed = fs::read_to_string(path).unwrap_or_default();
    assert!(
        committed == reference::markdown(),
        "{} is not what the commands say: run `cargo run -p flint-cli --bin clidoc`",
        reference::PATH
    );
}
