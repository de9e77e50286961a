//! `flint secret`: secrets that functions use, as Kubernetes Secrets. Their values are never printed.

use std::collections::{BTreeMap, BTreeSet};

use flint_api::Function;
use jiff::Timestamp;
use k8s_openapi::{ByteString, api::core::v1::Secret};
use kube::{
    Api, ResourceExt,
    api::{ListParams, Patch, PatchParams, PostParams},
};
use serde::Serialize;
use serde_json::json;

use super::Context;
use crate::{
    apply::MANAGER,
    cluster::{Cluster, failure},
    error::Error,
    output::{Output, Table},
    text,
};

mod values;

use values::Given;

/// Its arguments.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    /// Set keys of a secret; it is made if it is not there, and other keys stay
    Set(Set),
    /// The secrets, their keys, and the functions that use them
    Ls,
    /// Remove a secret, or only some of its keys
    Rm(Rm),
}

#[derive(Debug, clap::Args)]
#[command(after_help = "\
A value on the command line stays in your shell's history; from a file or standard input it does not.
What runs keeps the values it was started with; see --restart.

Examples:
  flint secret set db URL=postgres://db.shop/orders
  pass show db | flint secret set db PASSWORD=-
  flint secret set tls --from-file tls.key --from-file chain=certs/chain.pem
  flint secret set app --from-env-file .env --restart

In a Function:  envFrom: [{secretRef: {name: db}}]          every key an environment variable
                secrets: [{name: db, mountPath: /secrets}]  every key a file, which makes cold starts longer")]
struct Set {
    /// The secret
    name: String,
    #[command(flatten)]
    given: Given,
    /// Take over a Secret that was not made by flint
    #[arg(long, env = "FLINT_ADOPT")]
    adopt: bool,
    /// Give the functions that use it new instances, as with any change: no request fails
    #[arg(long, env = "FLINT_RESTART")]
    restart: bool,
}

#[derive(Debug, clap::Args)]
struct Rm {
    /// The secret
    name: String,
    /// Only these keys of it
    keys: Vec<String>,
    /// Even if functions use it
    #[arg(long, env = "FLINT_FORCE")]
    force: bool,
}

/// A secret, without its values.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Row {
    name: String,
    namespace: String,
    keys: Vec<String>,
    used_by: Vec<String>,
    created: Option<Timestamp>,
}

/// Marks the Secrets that this command made.
const LABEL: &str = "flint.dev/secret";
/// A change of this annotation is a new revision, and means nothing else; it is the one that `kubectl rollout restart` sets.
const RESTARTED_AT: &str = "kubectl.kubernetes.io/restartedAt";
/// Owns [`RESTARTED_AT`], so that the next deploy, which does not mention it, leaves it alone.
const RESTART_MANAGER: &str = "flint-restart";

/// # Errors
/// When the values cannot be read, or the cluster refuses.
pub(super) async fn run(args: Args, context: Context<'_>) -> Result<(), Error> {
    let cluster = Cluster::connect(context.global).await?;
    match args.command {
        Command::Set(args) => set(&cluster, args, context.output).await,
        Command::Ls => ls(&cluster, context.output).await,
        Command::Rm(args) => rm(&cluster, args, context.output).await,
    }
}

async fn set(cluster: &Cluster, args: Set, output: &Output) -> Result<(), Error> {
    let data = args.given.read(std::io::stdin().lock())?;
    let keys: Vec<_> = data.keys().cloned().collect();
    let change = store(cluster, &args.name, data, args.adopt).await?;
    let users = users(cluster, &args.name).await?;
    let row = json!({
        "name": args.name, "namespace": cluster.namespace, "change": change, "keys": keys,
        "usedBy": users.iter().map(ResourceExt::name_any).collect::<Vec<_>>(), "restarted": args.restart,
    });
    if args.restart {
        for function in &users {
            restart(cluster, function).await?;
        }
    }
    output.result(&row, || said(&args.name, change, &keys, &users, args.restart))
}

/// What came of it, and what it means for what runs.
fn said(name: &str, change: &str, keys: &[String], users: &[Function], restarted: bool) -> String {
    let names: Vec<_> = users.iter().map(ResourceExt::name_any).collect();
    let mut text = format!("secret {name} is {change}: {} set", text::list(keys));
    if names.is_empty() {
        text.push_str("\nno function uses it yet: name it in envFrom, env or secrets of one");
    } else if restarted {
        text.push_str(&format!(
            "\n{} get new instances with it: `flint ls -w` shows when",
            text::list(&names)
        ));
    } else {
        text.push_str(&format!(
            "\nused by {}: instances that run keep the environment they were started with (files follow within a minute or two); --restart replaces them at once",
            text::list(&names)
        ));
    }
    text
}

/// Sets the keys; says whether the secret is new.
async fn store(
    cluster: &Cluster,
    name: &str,
    data: BTreeMap<String, Vec<u8>>,
    adopt: bool,
) -> Result<&'static str, Error> {
    let doing = format!("set secret {name}");
    let refused = |error| failure(&doing, error);
    let secrets = secrets(cluster);
    let data: BTreeMap<_, _> = data.into_iter().map(|(key, value)| (key, ByteString(value))).collect();
    let labels = BTreeMap::from([(LABEL.to_owned(), "true".to_owned())]);
    let Some(before) = secrets.get_opt(name).await.map_err(refused)? else {
        let mut secret = Secret { data: Some(data), type_: Some("Opaque".to_owned()), ..Secret::default() };
        secret.metadata.name = Some(name.to_owned());
        secret.metadata.labels = Some(labels);
        let params = PostParams { field_manager: Some(MANAGER.to_owned()), ..PostParams::default() };
        secrets.create(&params, &secret).await.map_err(refused)?;
        return Ok("created");
    };
    if !before.labels().contains_key(LABEL) && !adopt {
        return Err(Error::usage(format!("the Secret {name} is there, and was not made by flint"))
            .try_this("choose another name, or --adopt to set keys of that one"));
    }
    // A merge, so that the keys that are not named stay.
    let patch = json!({"metadata": {"labels": labels}, "data": data});
    let params = PatchParams { field_manager: Some(MANAGER.to_owned()), ..PatchParams::default() };
    secrets.patch(name, &params, &Patch::Merge(patch)).await.map_err(refused)?;
    Ok("changed")
}

async fn ls(cluster: &Cluster, output: &Output) -> Result<(), Error> {
    let selector = ListParams::default().labels(LABEL);
    let list = secrets(cluster).list(&selector).await.map_err(|error| failure("list secrets", error))?;
    let functions = cluster.functions().list(&ListParams::default()).await;
    let functions = functions.map_err(|error| failure("list functions", error))?.items;
    let rows: Vec<_> = list.items.iter().map(|secret| row(secret, &functions)).collect();
    output.result(&rows, || render(&rows, &cluster.namespace, Timestamp::now()))
}

fn row(secret: &Secret, functions: &[Function]) -> Row {
    let name = secret.name_any();
    let using = functions.iter().filter(|function| used_by(function).contains(&name));
    Row {
        namespace: secret.namespace().unwrap_or_default(),
        keys: secret.data.iter().flat_map(BTreeMap::keys).cloned().collect(),
        used_by: using.map(ResourceExt::name_any).collect(),
        created: secret.metadata.creation_timestamp.as_ref().map(|time| time.0),
        name,
    }
}

fn render(rows: &[Row], namespace: &str, now: Timestamp) -> String {
    if rows.is_empty() {
        return format!("no secrets in {namespace}: `flint secret set NAME KEY=VALUE` makes one");
    }
    let mut table = Table::new(["NAME", "KEYS", "USED BY", "AGE"]);
    for row in rows {
        let or_none = |names: &[String]| if names.is_empty() { "-".to_owned() } else { names.join(",") };
        let age = text::age(row.created, now);
        table.row([row.name.clone(), or_none(&row.keys), or_none(&row.used_by), age]);
    }
    table.to_string()
}

async fn rm(cluster: &Cluster, args: Rm, output: &Output) -> Result<(), Error> {
    let doing = format!("remove secret {}", args.name);
    let refused = |error| failure(&doing, error);
    let secrets = secrets(cluster);
    let secret = secrets.get_opt(&args.name).await.map_err(refused)?;
    let secret = secret.filter(|secret| secret.labels().contains_key(LABEL)).ok_or_else(|| {
        Error::not_found(format!("there is no secret {} of flint's in {}", args.name, cluster.namespace))
            .try_this("`flint secret ls` lists them; kubectl removes those of others")
    })?;
    if let Some(unknown) =
        args.keys.iter().find(|key| !secret.data.iter().any(|data| data.contains_key(*key)))
    {
        return Err(Error::not_found(format!("secret {} has no key {unknown}", args.name)));
    }
    let users: Vec<_> = users(cluster, &args.name).await?.iter().map(ResourceExt::name_any).collect();
    if !users.is_empty() && !args.force {
        return Err(Error::usage(format!("secret {} is used by {}", args.name, text::list(&users)))
            .try_this("without it their next instance does not start; --force removes it all the same"));
    }
    let keys: BTreeMap<_, _> = args.keys.iter().map(|key| (key, serde_json::Value::Null)).collect();
    if keys.is_empty() {
        secrets.delete(&args.name, &Default::default()).await.map_err(refused)?;
    } else {
        let params = PatchParams { field_manager: Some(MANAGER.to_owned()), ..PatchParams::default() };
        secrets.patch(&args.name, &params, &Patch::Merge(json!({"data": keys}))).await.map_err(refused)?;
    }
    let row = json!({"name": args.name, "namespace": cluster.namespace, "keys": args.keys});
    output.result(&row, || match args.keys.as_slice() {
        [] => format!("secret {} is removed", args.name),
        keys => format!("{} of secret {} removed", text::list(keys), args.name),
    })
}

fn secrets(cluster: &Cluster) -> Api<Secret> {
    Api::namespaced(cluster.client.clone(), &cluster.namespace)
}

/// The functions of the namespace that use the secret.
async fn users(cluster: &Cluster, secret: &str) -> Result<Vec<Function>, Error> {
    let list = cluster.functions().list(&ListParams::default()).await;
    let list = list.map_err(|error| failure("look which functions use it", error))?;
    Ok(list.items.into_iter().filter(|function| used_by(function).contains(secret)).collect())
}

/// The Secrets that a function names.
pub(super) fn used_by(function: &Function) -> BTreeSet<String> {
    let spec = &function.spec;
    let mounts = spec.secrets.iter().map(|mount| mount.name.clone());
    let all = spec.env_from.iter().filter_map(|from| Some(from.secret_ref.as_ref()?.name.clone()));
    let one = spec
        .env
        .iter()
        .filter_map(|env| Some(env.value_from.as_ref()?.secret_key_ref.as_ref()?.name.clone()));
    mounts.chain(all).chain(one).collect()
}

/// A new revision of the function, with all as it is.
async fn restart(cluster: &Cluster, function: &Function) -> Result<(), Error> {
    let now = Timestamp::now().to_string();
    let patch = json!({
        "apiVersion": "flint.dev/v1alpha1", "kind": "Function",
        "spec": {"template": {"metadata": {"annotations": {RESTARTED_AT: now}}}},
    });
    let params = PatchParams::apply(RESTART_MANAGER).force();
    let name = function.name_any();
    let patched = cluster.functions().patch(&name, &params, &Patch::Apply(&patch)).await;
    patched.map(drop).map_err(|error| failure(&format!("restart {name}"), error))
}

#[cfg(test)]
mod tests;
