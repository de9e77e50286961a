//! `flint event`: sample events of the services that call functions.

use serde_json::json;

use super::Context;
use crate::{
    error::Error,
    events::{self, CATALOGUE, Sample},
    output::Table,
};

/// Its arguments.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    /// The sample events there are, and what of each can be set
    #[command(visible_alias = "list")]
    Ls,
    /// Print a sample event
    #[command(
        visible_alias = "generate",
        after_help = "Examples:\n  flint event gen s3-put --bucket uploads --key cat.jpg\n  flint event gen sqs --body '{\"order\": 7}' | flint invoke hello -d -"
    )]
    Gen(Gen),
}

#[derive(Debug, clap::Args)]
struct Gen {
    /// Which: `flint event ls` lists them
    name: String,
    /// Fields to set, such as --bucket uploads; `flint event ls` lists them
    #[arg(trailing_var_arg = true, allow_hyphen_values = true, value_name = "--FIELD VALUE")]
    fields: Vec<String>,
}

/// # Errors
/// When there is no such event or field.
pub(super) async fn run(args: Args, context: Context<'_>) -> Result<(), Error> {
    match args.command {
        Command::Ls => {
            let list: Vec<_> = CATALOGUE.iter().map(described).collect();
            context.output.result(&list, table)
        }
        Command::Gen(Gen { name, fields }) => {
            let event = events::sample(&name, &pairs(&fields)?)?;
            context.output.result(&event, || format!("{event:#}"))
        }
    }
}

fn described(sample: &Sample) -> serde_json::Value {
    let fields: serde_json::Map<_, _> =
        sample.fields.iter().map(|(field, default)| ((*field).to_owned(), json!(default))).collect();
    json!({"name": sample.name, "about": sample.about, "fields": fields})
}

fn table() -> String {
    let mut table = Table::new(["NAME", "WHEN", "FIELDS"]);
    for sample in CATALOGUE {
        let fields: Vec<_> = sample.fields.iter().map(|(field, _)| format!("--{field}")).collect();
        table.row([sample.name.to_owned(), sample.about.to_owned(), fields.join(" ")]);
    }
    table.to_string()
}

/// `--FIELD VALUE` and `--FIELD=VALUE`.
fn pairs(words: &[String]) -> Result<Vec<(String, String)>, Error> {
    let mut pairs = Vec::new();
    let mut words = words.iter();
    while let Some(word) = words.next() {
        let Some(field) = word.strip_prefix("--") else {
            return Err(Error::usage(format!("{word} is no field")).try_this(
                "write fields as --bucket uploads, and options such as -o before the event's name",
            ));
        };
        let pair = match field.split_once('=') {
            Some((field, value)) => (field, value),
            None => match words.next() {
                Some(value) => (field, value.as_str()),
                None => {
                    return Err(
                        Error::usage(format!("--{field} takes a value")).try_this(format!("--{field} VALUE"))
                    );
                }
            },
        };
        pairs.push((pair.0.to_owned(), pair.1.to_owned()));
    }
    Ok(pairs)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_pairs() {
        let words = ["--bucket", "x", "--key=a=b"].map(str::to_owned);
        let expected =
            [("bucket", "x"), ("key", "a=b")].map(|(field, value)| (field.to_owned(), value.to_owned()));
        assert_eq!(pairs(&words).unwrap(), expected);
        assert_eq!(pairs(&["bucket".to_owned()]).unwrap_err().code(), 2);
        assert_eq!(pairs(&["--bucket".to_owned()]).unwrap_err().code(), 2);
    }

    #[test]
    fn the_list_is_as_it_was() {
        insta::assert_snapshot!(table());
    }
}
