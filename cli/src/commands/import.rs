//! `flint import`: functions of another platform, as Flint's.

use std::path::PathBuf;

use serde_json::json;

use super::{Context, render::documents};
use crate::{
    args::Format,
    error::Error,
    import::{Platform, import},
    project::args::{mistakes, say},
};

/// Its arguments.
#[derive(Debug, clap::Args)]
#[command(
    long_about = "Functions of another platform, as Flint's.\n\n\
    The Functions go to standard output, as `kubectl apply -f -` takes them; what could not be translated is listed on standard \
    error with its line.",
    after_help = "Examples:\n  flint import openfaas stack.yaml > functions.yaml\n  kubectl get ksvc hello -o yaml > hello.yaml && flint import knative hello.yaml"
)]
pub struct Args {
    /// Where the functions come from
    #[arg(value_enum)]
    platform: Platform,
    /// The file: YAML, of several documents where the platform has several objects
    file: PathBuf,
}

/// # Errors
/// When the file has no functions of that platform, or some that cannot be translated.
pub(super) async fn run(args: Args, context: Context<'_>) -> Result<(), Error> {
    let imported = import(args.platform, &args.file).map_err(|notes| {
        say(context.output, &notes);
        mistakes(&notes)
    })?;
    // What is not translated is half of the answer: it is said even to those who want quiet.
    for note in &imported.notes {
        context.output.complain(&note.pretty("".as_ref()));
    }
    if context.output.format() == Format::Json {
        let list = json!({"apiVersion": "v1", "kind": "List", "items": imported.functions});
        return context.output.result(&list, String::new);
    }
    context.output.print(documents(&imported.functions)?.trim_end());
    Ok(())
}
