//! `flint diff`: what a deploy would change on the cluster.

use flint_api::Function;
use kube::ResourceExt;
use serde::Serialize;
use serde_json::Value;
use similar::{ChangeTag, TextDiff};

use super::Context;
use crate::{
    apply::{self, How, Refused},
    args::Format,
    cluster::{Cluster, failure},
    error::Error,
    output::{BAD, DIM, GOOD, STRONG},
    publish::Sending,
    selection::Selection,
};

/// Its arguments.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
The cluster itself says what it would store, with its defaults, and stores nothing. Functions that are on the cluster and not in the files
are left alone by a deploy, and not shown.

Exit codes: 0 no differences, 1 differences, more when it failed.")]
pub struct Args {
    #[command(flatten)]
    selection: Selection,
}

/// What would become of one function.
#[derive(Debug, Serialize)]
struct Difference {
    name: String,
    namespace: String,
    /// As it is on the cluster; nothing if it is not there.
    before: Option<Value>,
    /// As it would be.
    after: Value,
    #[serde(skip)]
    text: String,
}

/// Lines shown around each change.
const AROUND: usize = 3;

/// # Errors
/// When the files are wrong or the cluster refuses; and [`Error::different`] when there are differences.
pub(super) async fn run(args: Args, context: Context<'_>) -> Result<(), Error> {
    let Context { global, output } = context;
    let cluster = Cluster::connect(global).await?;
    let mut differences = Vec::new();
    for function in args.selection.functions(&cluster, global, output, Sending::Not).await? {
        let name = function.name_any();
        let live = apply::api(&cluster, &function).get_opt(&name).await;
        let live = live.map_err(|error| failure(&format!("look at {name}"), error))?;
        let would_be = match would_be(&cluster, &function, false).await {
            // A deploy would stop at fields of others; what it is about is shown all the same.
            Err(error) if error.remedy().is_some_and(|remedy| remedy.contains("--force-conflicts")) => {
                output.warn(&format!("{error}: a deploy needs --force-conflicts"));
                would_be(&cluster, &function, true).await?
            }
            other => other?,
        };
        let (before, after) = (live.as_ref().map(bare).transpose()?, bare(&would_be)?);
        let namespace = would_be.namespace().unwrap_or_default();
        let text = unified(&namespace, &name, &yaml(before.as_ref())?, &yaml(Some(&after))?);
        if !text.is_empty() {
            differences.push(Difference { name, namespace, before, after, text });
        }
    }
    // For people, no differences are no text at all; scripts get their empty list.
    if !differences.is_empty() || output.format() != Format::Text {
        output.result(&differences, || {
            let texts: Vec<_> = differences.iter().map(|one| one.text.trim_end()).collect();
            texts.join("\n")
        })?;
    }
    if differences.is_empty() {
        output.say("The cluster is as the files say.");
        return Ok(());
    }
    Err(Error::different())
}

async fn would_be(cluster: &Cluster, function: &Function, force: bool) -> Result<Function, Error> {
    apply::apply(cluster, function, How { dry_run: true, force }).await.map_err(|refused| match refused {
        Refused::Final(error) => error,
        Refused::Away(why) => Error::platform("the cluster does not answer")
            .because(why)
            .try_this("is the cluster up? `flint doctor` looks at it piece by piece"),
    })
}

/// The object without what the cluster alone writes.
fn bare(function: &Function) -> Result<Value, Error> {
    let broken = |error| Error::platform("the cluster's answer is no Function").because(error);
    let mut object = apply::body(function).map_err(broken)?;
    if let Some(metadata) = object.get_mut("metadata").and_then(Value::as_object_mut) {
        for field in ["managedFields", "resourceVersion", "generation", "uid", "creationTimestamp"] {
            metadata.remove(field);
        }
        if let Some(annotations) = metadata.get_mut("annotations").and_then(Value::as_object_mut) {
            annotations.remove("kubectl.kubernetes.io/last-applied-configuration");
            if annotations.is_empty() {
                metadata.remove("annotations");
            }
        }
    }
    Ok(object)
}

fn yaml(object: Option<&Value>) -> Result<String, Error> {
    let Some(object) = object else { return Ok(String::new()) };
    serde_saphyr::to_string(object)
        .map_err(|error| Error::platform("the object cannot be shown").because(error.to_string()))
}

/// The differences as a unified diff; empty without any.
fn unified(namespace: &str, name: &str, before: &str, after: &str) -> String {
    let diff = TextDiff::from_lines(before, after);
    if diff.ratio() >= 1.0 {
        return String::new();
    }
    let mut text = format!(
        "{STRONG}--- {namespace}/{name} on the cluster{STRONG:#}\n{STRONG}+++ {namespace}/{name} in the files{STRONG:#}\n"
    );
    for hunk in diff.unified_diff().context_radius(AROUND).iter_hunks() {
        text.push_str(&format!("{DIM}{}{DIM:#}\n", hunk.header()));
        for change in hunk.iter_changes() {
            let line = change.value().trim_end_matches('\n');
            text.push_str(&match change.tag() {
                ChangeTag::Equal => format!(" {line}\n"),
                ChangeTag::Delete => format!("{BAD}-{line}{BAD:#}\n"),
                ChangeTag::Insert => format!("{GOOD}+{line}{GOOD:#}\n"),
            });
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn function(timeout: &str, code: &str) -> Function {
        serde_json::from_value(json!({
            "apiVersion": "flint.dev/v1alpha1", "kind": "Function",
            "metadata": {
                "name": "hello", "namespace": "shop", "resourceVersion": "7", "uid": "u", "generation": 3,
                "managedFields": [{"manager": "flint"}],
                "annotations": {"kubectl.kubernetes.io/last-applied-configuration": "{}"},
            },
            "spec": {"runtime": "python3.11", "handler": "app.handler", "timeout": timeout, "source": {"inline": {"app.py": code}}},
            "status": {"revision": "hello-1"},
        }))
        .unwrap()
    }

    fn shown(before: Option<&Function>, after: &Function) -> String {
        let before = before.map(|function| bare(function).unwrap());
        let text = unified(
            "shop",
            "hello",
            &yaml(before.as_ref()).unwrap(),
            &yaml(Some(&bare(after).unwrap())).unwrap(),
        );
        anstream::adapter::strip_str(&text).to_string()
    }

    const CODE: &str = "def handler(event, context):\n    return {\"hello\": \"world\"}\n";

    #[test]
    fn changes_are_shown_with_the_lines_around_them() {
        let after = function("45s", &CODE.replace("world", "moon"));
        insta::assert_snapshot!(shown(Some(&function("30s", CODE)), &after));
    }

    #[test]
    fn a_new_function_is_all_new() {
        insta::assert_snapshot!(shown(None, &function("30s", CODE)));
    }

    #[test]
    fn what_the_cluster_alone_writes_is_no_difference() {
        let mut later = function("30s", CODE);
        later.metadata.resource_version = Some("8".into());
        later.metadata.generation = Some(4);
        later.status = None;
        assert_eq!(shown(Some(&function("30s", CODE)), &later), "");
    }
}
