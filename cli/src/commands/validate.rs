//! `flint validate`: read the files and say what is wrong, with line and column.

use serde::Serialize;

use super::Context;
use crate::{
    error::Error,
    output::GOOD,
    project::{
        self, Note, Severity,
        args::{ProjectArgs, mistakes, summary},
    },
};

/// Its arguments.
#[derive(Debug, clap::Args)]
#[command(
    long_about = "Read the files and say what is wrong, with line and column.\n\n\
    Checks what the cluster would check (fields, values, rules), that handlers and files are there, and lists what of a \
    serverless.yml or SAM template is not honoured. Needs no cluster. What the code does is for its tests, and `flint dev`.",
    after_help = "Exit codes: 0 valid, 2 not."
)]
pub struct Args {
    #[command(flatten)]
    project: ProjectArgs,
}

/// What scripts read.
#[derive(Debug, Serialize)]
struct Verdict {
    valid: bool,
    functions: Vec<String>,
    notes: Vec<Note>,
}

/// # Errors
/// When something is wrong.
pub(super) async fn run(args: Args, context: Context<'_>) -> Result<(), Error> {
    let (functions, notes) = match project::load(&args.project.path, &args.project.options()) {
        Ok(project) => {
            let functions = project.functions.iter().map(|function| function.name().to_owned()).collect();
            (functions, project.notes)
        }
        Err(notes) => (Vec::new(), notes),
    };
    let here = std::env::current_dir().unwrap_or_default();
    let valid = notes.iter().all(|note| note.severity != Severity::Error);
    let notes: Vec<Note> = notes.iter().map(|note| note.seen_from(&here)).collect();
    let verdict = Verdict { valid, functions, notes };
    context.output.result(&verdict, || text(&verdict))?;
    if valid { Ok(()) } else { Err(mistakes(&verdict.notes)) }
}

fn text(verdict: &Verdict) -> String {
    let mut lines: Vec<String> = verdict.notes.iter().map(|note| note.pretty("".as_ref())).collect();
    if verdict.valid {
        let also =
            if verdict.notes.is_empty() { String::new() } else { format!("; {}", summary(&verdict.notes)) };
        lines.push(format!("{GOOD}valid{GOOD:#}: {}{also}", verdict.functions.join(", ")));
    }
    lines.join("\n")
}
