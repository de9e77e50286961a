//! `flint remove`: take functions off the cluster, and leave nothing of them.

use std::{
    collections::BTreeSet,
    io::{BufRead as _, IsTerminal as _},
    time::Duration,
};

use flint_api::{Function, labels};
use k8s_openapi::{
    NamespaceResourceScope,
    api::{
        apps::v1::{Deployment, ReplicaSet},
        core::v1::{ConfigMap, Pod, Secret, Service},
    },
};
use kube::{
    Api, Resource, ResourceExt,
    api::{DeleteParams, ListParams, Preconditions},
};
use serde::{Serialize, de::DeserializeOwned};
use tokio::time::Instant;

use super::Context;
use crate::{
    apply,
    cluster::{Cluster, failure},
    error::Error,
    output::{GOOD, Output},
    progress::Progress,
    project::args::ProjectArgs,
    text,
};

/// Its arguments.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  flint remove hello thumbnail -n shop
  flint remove .                        all functions of this folder's files
  flint remove hello -y                 without asking, as scripts do")]
pub struct Args {
    /// Functions by name, or one file or folder whose functions go
    #[arg(required = true, value_name = "FUNCTION|PATH")]
    what: Vec<String>,
    /// Do not ask
    #[arg(short, long, env = "FLINT_YES")]
    yes: bool,
    /// How long to wait until nothing is left
    #[arg(long, env = "FLINT_TIMEOUT", value_name = "TIME", default_value = "2m")]
    timeout: flint_api::Duration,
}

/// What became of one function.
#[derive(Debug, Serialize)]
struct Removed {
    name: String,
    namespace: String,
    /// Objects that it used and that are not its own.
    stays: Vec<String>,
}

/// How often it is looked whether anything is left.
const LOOK: Duration = Duration::from_millis(500);

/// # Errors
/// When a function is not there, the user says no, or something is left at the timeout.
pub(super) async fn run(args: Args, context: Context<'_>) -> Result<(), Error> {
    let Context { global, output } = context;
    let cluster = Cluster::connect(global).await?;
    let functions = find(&cluster, &args.what, global.namespace.as_deref(), output).await?;
    let names: Vec<_> = functions
        .iter()
        .map(|function| format!("{}/{}", function.namespace().unwrap_or_default(), function.name_any()))
        .collect();
    if !args.yes {
        ask(&cluster, &names, output)?;
    }
    let deadline = Instant::now() + args.timeout.get();
    let removed = tokio::select! {
        removed = remove(&cluster, &functions, deadline, output) => removed?,
        _ = tokio::signal::ctrl_c() => {
            output.say("What was removed so far goes on going in the cluster; `flint ls` lists what is left.");
            return Err(Error::interrupted());
        }
    };
    output.result(&removed, || render(&removed))
}

/// Deletes them all, then waits until nothing is left of any.
async fn remove(
    cluster: &Cluster,
    functions: &[Function],
    deadline: Instant,
    output: &Output,
) -> Result<Vec<Removed>, Error> {
    let mut progress = Progress::new(output);
    for function in functions {
        delete(cluster, function).await?;
        progress.phase(&function.name_any(), "is being removed", "");
    }
    let mut removed = Vec::new();
    for function in functions {
        gone(&cluster.within(function), &function.name_any(), deadline).await?;
        progress.done(&function.name_any());
        let stays = used(function).into_iter().collect();
        removed.push(Removed {
            name: function.name_any(),
            namespace: function.namespace().unwrap_or_default(),
            stays,
        });
    }
    Ok(removed)
}

/// The functions that are meant and on the cluster. Those of files may be gone already; those that were named may not.
async fn find(
    cluster: &Cluster,
    what: &[String],
    namespace: Option<&str>,
    output: &Output,
) -> Result<Vec<Function>, Error> {
    let mut found = Vec::new();
    for (name, place, named) in wanted(cluster, what, namespace, output)? {
        let api: Api<Function> = Api::namespaced(cluster.client.clone(), &place);
        match api.get_opt(&name).await.map_err(|error| failure(&format!("look at {name}"), error))? {
            Some(function) => found.push(function),
            None if named => {
                return Err(Error::not_found(format!("there is no function {name} in {place}"))
                    .try_this("`flint ls` lists those that are; -n names another namespace"));
            }
            None => output.say(&format!("{place}/{name} is not on the cluster")),
        }
    }
    Ok(found)
}

/// Name, namespace, and whether the user named it.
fn wanted(
    cluster: &Cluster,
    what: &[String],
    namespace: Option<&str>,
    output: &Output,
) -> Result<Vec<(String, String, bool)>, Error> {
    let is_path = |text: &str| text == "." || text.contains(['/', '.']);
    if what.iter().any(|one| is_path(one)) {
        let [path] = what else {
            return Err(Error::usage("either functions by name, or one file or folder"));
        };
        let project = ProjectArgs { path: path.into(), stage: None, opts: Vec::new() }.load(output)?;
        let place = |function: &Function| {
            let written = function.namespace();
            written.or(namespace.map(str::to_owned)).unwrap_or_else(|| cluster.namespace.clone())
        };
        let functions = project.functions.iter().map(|one| &one.function);
        return Ok(functions.map(|function| (function.name_any(), place(function), false)).collect());
    }
    Ok(what.iter().map(|name| (name.clone(), cluster.namespace.clone(), true)).collect())
}

fn ask(cluster: &Cluster, names: &[String], output: &Output) -> Result<(), Error> {
    if names.is_empty() {
        return Ok(());
    }
    if !std::io::stdin().is_terminal() {
        return Err(Error::usage("nobody can be asked whether to remove them")
            .try_this("give -y to remove without asking"));
    }
    output.ask(&format!("Remove {} (context {})? [y/N] ", text::list(names), cluster.context));
    let mut answer = String::new();
    // No answer is a no.
    let _ = std::io::stdin().lock().read_line(&mut answer);
    if matches!(answer.trim().to_ascii_lowercase().as_str(), "y" | "yes") {
        return Ok(());
    }
    output.complain("nothing is removed");
    Err(Error::interrupted())
}

async fn delete(cluster: &Cluster, function: &Function) -> Result<(), Error> {
    let name = function.name_any();
    // Not one of the same name that somebody has made since.
    let preconditions = Preconditions { uid: function.uid(), resource_version: None };
    let params = DeleteParams { preconditions: Some(preconditions), ..DeleteParams::background() };
    match apply::api(cluster, function).delete(&name, &params).await {
        Ok(_) => Ok(()),
        Err(kube::Error::Api(status)) if status.code == 404 => Ok(()),
        Err(error) => Err(failure(&format!("remove {name}"), error)),
    }
}

/// Waits until no object is left that is labelled for the function.
async fn gone(cluster: &Cluster, name: &str, deadline: Instant) -> Result<(), Error> {
    loop {
        let mut left = Vec::new();
        if cluster
            .functions()
            .get_opt(name)
            .await
            .map_err(|error| failure("look for what is left", error))?
            .is_some()
        {
            left.push(format!("Function/{name}"));
        }
        left.extend(labelled::<Deployment>(cluster, name).await);
        left.extend(labelled::<ReplicaSet>(cluster, name).await);
        left.extend(labelled::<Pod>(cluster, name).await);
        left.extend(labelled::<Service>(cluster, name).await);
        left.extend(labelled::<ConfigMap>(cluster, name).await);
        left.extend(labelled::<Secret>(cluster, name).await);
        if left.is_empty() {
            return Ok(());
        }
        if Instant::now() + LOOK >= deadline {
            return Err(Error::platform(format!(
                "{} of {name} {} still there: {}",
                text::count(left.len(), "object"),
                if left.len() == 1 { "is" } else { "are" },
                left.join(", ")
            ))
            .try_this("they go on going in the cluster; `kubectl get pods` shows what holds them up"));
        }
        tokio::time::sleep(LOOK).await;
    }
}

/// Objects of a kind that belong to the function; none of a kind that the user may not list, for they go all the same.
async fn labelled<K>(cluster: &Cluster, name: &str) -> Vec<String>
where
    K: Resource<Scope = NamespaceResourceScope, DynamicType = ()>
        + Clone
        + DeserializeOwned
        + std::fmt::Debug,
{
    let api: Api<K> = Api::namespaced(cluster.client.clone(), &cluster.namespace);
    let selector = ListParams::default().labels(&format!("{}={name}", labels::FUNCTION));
    let list = api.list_metadata(&selector).await.map(|list| list.items).unwrap_or_default();
    list.iter().map(|object| format!("{}/{}", K::kind(&()), object.name_any())).collect()
}

/// The Secrets and ConfigMaps that a function refers to: its user's, who may have others that use them.
fn used(function: &Function) -> BTreeSet<String> {
    let secrets = super::secret::used_by(function).into_iter().map(|name| format!("Secret/{name}"));
    let spec = &function.spec;
    let maps = spec.config_maps.iter().map(|mount| mount.name.clone());
    let env = spec.env_from.iter().filter_map(|from| Some(from.config_map_ref.as_ref()?.name.clone()));
    let values = spec
        .env
        .iter()
        .filter_map(|env| Some(env.value_from.as_ref()?.config_map_key_ref.as_ref()?.name.clone()));
    let source = spec.source.iter().filter_map(|source| Some(source.config_map.as_ref()?.name.clone()));
    secrets
        .chain(maps.chain(env).chain(values).chain(source).map(|name| format!("ConfigMap/{name}")))
        .collect()
}

fn render(removed: &[Removed]) -> String {
    let mut text = String::new();
    for one in removed {
        text.push_str(&format!("{GOOD}✓{GOOD:#} {}/{} is removed", one.namespace, one.name));
        if !one.stays.is_empty() {
            text.push_str(&format!("; {} stay, for others may use them", one.stays.join(", ")));
        }
        text.push('\n');
    }
    if removed.is_empty() {
        text.push_str("nothing to remove");
    }
    text
}

#[cfg(test)]
mod tests;
