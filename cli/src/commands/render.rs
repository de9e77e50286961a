//! `flint render`: print the Functions that the files come to.

use flint_api::Function;
use serde_json::{Value, json};

use super::Context;
use crate::{
    args::Format,
    error::Error,
    project::args::{ProjectArgs, mistakes, say},
};

/// Its arguments.
#[derive(Debug, clap::Args)]
#[command(
    long_about = "Print the Functions that the files come to, as `kubectl apply -f -` takes them.\n\n\
    The folder of the code goes into the Function itself: text, at most 64 files and 256 KiB. What .gitignore and .flintignore \
    name stays out.",
    after_help = "Examples:\n  flint render | kubectl apply -f -\n  flint render serverless.yml --stage prod > functions.yaml"
)]
pub struct Args {
    #[command(flatten)]
    project: ProjectArgs,
}

/// # Errors
/// When the files have mistakes, or code does not fit into a Function.
pub(super) async fn run(args: Args, context: Context<'_>) -> Result<(), Error> {
    let project = args.project.load(context.output)?;
    say(context.output, &project.cluster_notes());
    let functions = match project.manifests() {
        Ok(functions) => functions,
        Err(notes) => {
            say(context.output, &notes);
            return Err(mistakes(&notes));
        }
    };
    let objects = project.others.into_iter().chain(functions.iter().map(object)).collect::<Vec<_>>();
    let text = match context.output.format() {
        Format::Json => {
            let list = json!({"apiVersion": "v1", "kind": "List", "items": objects});
            return context.output.result(&list, String::new);
        }
        Format::Text | Format::Yaml => documents(&objects)?,
    };
    context.output.print(text.trim_end());
    Ok(())
}

/// A Function without what only a cluster knows.
fn object(function: &Function) -> Value {
    let mut value = json!(function);
    if let Some(fields) = value.as_object_mut() {
        fields.remove("status");
    }
    value
}

/// One YAML document for each object.
pub(super) fn documents(objects: &[Value]) -> Result<String, Error> {
    let mut text = String::new();
    for object in objects {
        if !text.is_empty() {
            text.push_str("---\n");
        }
        let document = serde_saphyr::to_string(object)
            .map_err(|error| Error::platform("this cannot be written as YAML").because(error.to_string()))?;
        text.push_str(&document);
    }
    Ok(text)
}
