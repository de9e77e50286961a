//! `flint ls`: the functions, and whether they can be called.

use std::collections::BTreeMap;

use flint_api::Function;
use futures::StreamExt;
use jiff::Timestamp;
use kube::{
    Api, ResourceExt,
    api::ListParams,
    runtime::{
        WatchStreamExt,
        watcher::{self, Event},
    },
};
use serde::Serialize;

use super::Context;
use crate::{
    args::Format,
    callable::Callable,
    cluster::{Cluster, failure, innermost},
    error::Error,
    output::{BAD, GOOD, Output, Table, WARN},
    text,
};

/// Its arguments.
#[derive(Debug, clap::Args)]
#[command(visible_alias = "list")]
pub struct Args {
    /// Of all namespaces
    #[arg(short = 'A', long, env = "FLINT_ALL_NAMESPACES")]
    all_namespaces: bool,
    /// Go on, with a line for each change, until Ctrl-C
    #[arg(short, long, env = "FLINT_WATCH")]
    watch: bool,
}

/// A function in a line.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
struct Row {
    name: String,
    namespace: String,
    callable: Callable,
    runtime: Option<String>,
    revision: Option<String>,
    ready_replicas: i32,
    replicas: i32,
    url: Option<String>,
    created: Option<Timestamp>,
}

/// # Errors
/// When the cluster does not answer, or the user may not look.
pub(super) async fn run(args: Args, context: Context<'_>) -> Result<(), Error> {
    let Context { global, output } = context;
    let cluster = Cluster::connect(global).await?;
    let api: Api<Function> =
        if args.all_namespaces { Api::all(cluster.client.clone()) } else { cluster.functions() };
    if args.watch {
        return tokio::select! {
            ended = follow(api, args.all_namespaces, output) => ended,
            _ = tokio::signal::ctrl_c() => Err(Error::interrupted()),
        };
    }
    let list = api.list(&ListParams::default()).await.map_err(|error| failure("list functions", error))?;
    let rows: Vec<_> = list.items.iter().map(Row::of).collect();
    output.result(&rows, || {
        if rows.is_empty() {
            let place = if args.all_namespaces { "the cluster" } else { cluster.namespace.as_str() };
            return format!("no functions in {place}: `flint new` makes one, `flint deploy` brings it");
        }
        render(&rows, args.all_namespaces, Timestamp::now())
    })
}

/// A line whenever one has changed. A cluster that goes away is said, and waited for.
async fn follow(api: Api<Function>, all: bool, output: &Output) -> Result<(), Error> {
    // The list tells at once what the user may not do; the watch would try for ever.
    api.list(&ListParams::default().limit(1)).await.map_err(|error| failure("list functions", error))?;
    let mut watch = watcher::watcher(api, watcher::Config::default()).default_backoff().boxed();
    let mut shown: BTreeMap<(String, String), Row> = BTreeMap::new();
    let mut away = false;
    while let Some(event) = watch.next().await {
        let row = match event {
            Ok(Event::Apply(function) | Event::InitApply(function)) => Row::of(&function),
            Ok(Event::Delete(function)) => {
                let row = Row::of(&function);
                shown.remove(&(row.namespace.clone(), row.name.clone()));
                Row { callable: Callable::No("it is removed.".to_owned()), ..row }
            }
            Ok(_) => continue,
            Err(error) => {
                if !std::mem::replace(&mut away, true) {
                    output
                        .warn(&format!("the cluster does not answer ({}); trying again", innermost(&error)));
                }
                continue;
            }
        };
        away = false;
        let key = (row.namespace.clone(), row.name.clone());
        let removed = matches!(&row.callable, Callable::No(why) if why == "it is removed.");
        if shown.get(&key) == Some(&row) {
            continue;
        }
        print(&row, &shown, all, output)?;
        if !removed {
            shown.insert(key, row);
        }
    }
    Ok(())
}

/// One line, in columns as wide as those of all lines before it, and of what most lines have sooner or later.
fn print(
    row: &Row,
    shown: &BTreeMap<(String, String), Row>,
    all: bool,
    output: &Output,
) -> Result<(), Error> {
    if output.format() != Format::Text {
        // A value for each change, as `kubectl get -w -o json` has it.
        return output.result(row, String::new);
    }
    let usual = Row {
        callable: Callable::Soon("Starting: ".to_owned()),
        runtime: Some("python3.11".to_owned()),
        revision: Some(format!("{}-00000000", row.name)),
        ..row.clone()
    };
    let rows: Vec<_> = shown.values().chain([&usual, row]).cloned().collect();
    let text = render(&rows, all, Timestamp::now());
    if let (Some(heading), true) = (text.lines().next(), shown.is_empty()) {
        output.print(heading);
    }
    if let Some(line) = text.lines().last() {
        output.print(line);
    }
    Ok(())
}

// === impl Row ===

impl Row {
    fn of(function: &Function) -> Self {
        let status = function.status.clone().unwrap_or_default();
        Self {
            name: function.name_any(),
            namespace: function.namespace().unwrap_or_default(),
            callable: Callable::of(function),
            runtime: status.runtime,
            revision: status.revision,
            ready_replicas: status.ready_replicas,
            replicas: status.replicas,
            url: status.url,
            created: function.metadata.creation_timestamp.as_ref().map(|time| time.0),
        }
    }
}

fn render(rows: &[Row], all: bool, now: Timestamp) -> String {
    let mut table = Table::default();
    let mut add = |namespace: &str, cells: [String; 7]| {
        let namespace = all.then(|| namespace.to_owned());
        table.cells(namespace.into_iter().chain(cells).collect());
    };
    add("NAMESPACE", ["NAME", "CALLABLE", "RUNTIME", "REVISION", "READY", "AGE", "URL"].map(str::to_owned));
    for row in rows {
        let style = match row.callable {
            Callable::Yes => GOOD,
            Callable::But(_) | Callable::Soon(_) => WARN,
            Callable::No(_) => BAD,
        };
        let or_dash = |text: &Option<String>| text.clone().unwrap_or_else(|| "-".to_owned());
        // What a function is at zero for is nothing to worry about: 0/0.
        let cells = [
            row.name.clone(),
            format!("{style}{}{style:#}", row.callable.short()),
            or_dash(&row.runtime),
            or_dash(&row.revision),
            format!("{}/{}", row.ready_replicas, row.replicas),
            text::age(row.created, now),
            or_dash(&row.url),
        ];
        add(&row.namespace, cells);
    }
    table.to_string()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn function(name: &str, ready: (&str, &str, &str), deployed: &str) -> Function {
        serde_json::from_value(json!({
            "apiVersion": "flint.dev/v1alpha1", "kind": "Function",
            "metadata": {"name": name, "namespace": "shop", "generation": 1, "creationTimestamp": "2026-11-21T11:15:00Z"}, "spec": {},
            "status": {
                "observedGeneration": 1, "runtime": "python3.11", "revision": format!("{name}-3f9c2a71"), "replicas": 2, "readyReplicas": 1,
                "url": format!("https://fn.example.com/function/{name}.shop"),
                "conditions": [
                    {"type": "Ready", "status": ready.0, "reason": ready.1, "message": ready.2, "lastTransitionTime": "2026-11-21T12:00:00Z"},
                    {"type": "Deployed", "status": deployed, "reason": "R", "message": "m", "lastTransitionTime": "2026-11-21T12:00:00Z"},
                ],
            },
        }))
        .unwrap()
    }

    fn rows() -> Vec<Row> {
        let functions = [
            function("cart", ("True", "Ready", "The function answers at its URL."), "True"),
            function("till", ("Unknown", "Starting", "The first instance is starting."), "Unknown"),
            function("thumbnail", ("False", "InitFailed", "No module named PIL."), "False"),
            function("mail", ("False", "ScheduleInvalid", "No such zone."), "True"),
        ];
        functions.iter().map(Row::of).collect()
    }

    #[test]
    fn the_list_says_which_can_be_called() {
        let now = "2026-11-21T12:00:00Z".parse().unwrap();
        let plain = |all| anstream::adapter::strip_str(&render(&rows(), all, now)).to_string();
        insta::assert_snapshot!(plain(false));
        insta::assert_snapshot!(plain(true));
    }

    #[test]
    fn the_list_for_scripts_says_why() {
        insta::assert_snapshot!(serde_json::to_string_pretty(&rows()[2]).unwrap());
    }
}
