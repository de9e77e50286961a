//! The reference of the command line, `docs/cli.md`, out of the commands themselves.

use std::fmt::Write as _;

use clap::{Arg, Command, CommandFactory};

use crate::{args::Args, error};

/// Where it is, in the repository.
pub const PATH: &str = "docs/cli.md";

/// The exit codes, and when each is used.
const CODES: [(u8, &str); 7] = [
    (0, "done"),
    (error::FUNCTION, "the function failed: it raised, crashed, ran out of time, or answered 5xx"),
    (error::USAGE, "wrong arguments, or files that say something wrong"),
    (error::NOT_FOUND, "what was named is not there"),
    (error::DENIED, "you may not do this"),
    (error::PLATFORM, "the platform failed: the cluster, the gateway, or this machine"),
    (error::INTERRUPTED, "ended by Ctrl-C"),
];

/// Variables that are no flag's.
const VARIABLES: [(&str, &str); 3] = [
    ("KUBECONFIG", "the kubeconfig file, as kubectl has it; `--kubeconfig` wins"),
    ("NO_COLOR", "no colour, whatever the terminal can"),
    ("CLICOLOR_FORCE", "colour, even where there is no terminal"),
];

const HEAD: &str = "\
# The command line

<!-- Generated from the commands in cli/src by `cargo run -p flint-cli --bin clidoc`. Do not edit. -->

`flint` talks to Kubernetes with your own kubeconfig and your own rights; it has no server. Called `kubectl-flint` and found in
`$PATH`, it is `kubectl flint`. Results go to standard output and stay as they are for scripts; progress, hints and errors go to
standard error.
";

/// The whole page.
#[must_use]
pub fn markdown() -> String {
    let mut command = Args::command();
    command.build();
    let mut page = HEAD.to_owned();
    section(
        &mut page,
        "Commands",
        "| command | |",
        commands(&command).map(|command| {
            let name = command.get_name();
            (format!("[`{name}`](#flint-{name})"), about(command))
        }),
    );
    let codes = CODES.iter().map(|(code, when)| (code.to_string(), (*when).to_owned()));
    section(&mut page, "Exit codes", "| code | when |", codes);
    let mut variables: Vec<_> =
        VARIABLES.iter().map(|(name, what)| (format!("`{name}`"), (*what).to_owned())).collect();
    collect_variables(&command, &mut variables);
    variables.sort();
    variables.dedup_by(|later, first| later.0 == first.0);
    section(&mut page, "Environment", "| variable | |", variables);
    let global: Vec<_> = shown(&command).filter(|arg| arg.is_global_set()).map(row).collect();
    section(&mut page, "Options of every command", "| option | |", global);
    for command in commands(&command) {
        describe(&mut page, command, 2);
    }
    page
}

fn describe(page: &mut String, command: &Command, depth: usize) {
    let name = command.get_bin_name().unwrap_or_else(|| command.get_name());
    let _ = write!(page, "\n{} {name}\n\n{}.\n", "#".repeat(depth), about(command).trim_end_matches('.'));
    let usage = command.clone().render_usage().to_string();
    let _ = write!(page, "\n```\n{}\n```\n", usage.trim_start_matches("Usage: ").trim());
    let rows: Vec<_> = shown(command).filter(|arg| !arg.is_global_set()).map(row).collect();
    if !rows.is_empty() {
        table(page, "| argument | |", rows);
    }
    if let Some(after) = command.get_after_help() {
        let after = after.to_string();
        let (text, examples) = after.split_once("Examples:\n").unwrap_or((&after, ""));
        if !text.trim().is_empty() {
            let _ = write!(page, "\n{}\n", text.trim());
        }
        if !examples.is_empty() {
            let lines: Vec<_> =
                examples.lines().map(|line| line.strip_prefix("  ").unwrap_or(line)).collect();
            let _ = write!(page, "\n```\n{}\n```\n", lines.join("\n").trim_end());
        }
    }
    for command in commands(command) {
        describe(page, command, depth + 1);
    }
}

fn commands(command: &Command) -> impl Iterator<Item = &Command> {
    command.get_subcommands().filter(|command| command.get_name() != "help" && !command.is_hide_set())
}

/// The arguments that there is something to say about.
fn shown(command: &Command) -> impl Iterator<Item = &Arg> {
    let own = |arg: &&Arg| !arg.is_hide_set() && !["help", "version"].contains(&arg.get_id().as_str());
    command.get_arguments().filter(own)
}

fn about(command: &Command) -> String {
    command.get_about().map(ToString::to_string).unwrap_or_default()
}

/// An argument as it is typed, and what it does.
fn row(arg: &Arg) -> (String, String) {
    let mut name = arg.to_string();
    if let Some(short) = arg.get_short() {
        name = format!("-{short}, {name}");
    }
    let mut help = arg.get_help().map(ToString::to_string).unwrap_or_default();
    if !arg.is_hide_possible_values_set() && arg.get_action().takes_values() {
        let values = arg.get_possible_values();
        let values: Vec<_> = values.iter().map(|value| format!("`{}`", value.get_name())).collect();
        if !values.is_empty() {
            let _ = write!(help, ": {}", values.join(", "));
        }
    }
    let defaults = arg.get_default_values().iter().map(|value| value.to_string_lossy().into_owned());
    let defaults: Vec<_> = defaults.collect();
    if arg.get_action().takes_values() && !defaults.is_empty() {
        let _ = write!(help, " (default `{}`)", defaults.join(" "));
    }
    (format!("`{name}`"), help)
}

fn collect_variables(command: &Command, variables: &mut Vec<(String, String)>) {
    for arg in shown(command) {
        if let Some(name) = arg.get_env() {
            let what = match arg.get_long() {
                Some(long) => format!("`--{long}`"),
                None => format!("`{arg}`"),
            };
            variables.push((format!("`{}`", name.to_string_lossy()), what));
        }
    }
    commands(command).for_each(|command| collect_variables(command, variables));
}

fn section(page: &mut String, title: &str, head: &str, rows: impl IntoIterator<Item = (String, String)>) {
    let _ = write!(page, "\n## {title}\n");
    table(page, head, rows);
}

fn table(page: &mut String, head: &str, rows: impl IntoIterator<Item = (String, String)>) {
    let _ = write!(page, "\n{head}\n|---|---|\n");
    for (left, right) in rows {
        // A bar would end the cell.
        let _ = writeln!(
            page,
            "| {} | {} |",
            left.replace('|', "\\|"),
            right.replace('|', "\\|").replace('\n', " ")
        );
    }
}
