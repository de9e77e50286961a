//! Which functions of which files a command means: `[PATH] [FUNCTION]…`, read, packed and in their namespace.

use std::path::Path;

use flint_api::Function;
use kube::ResourceExt;

use crate::{
    args::Global,
    cluster::Cluster,
    error::Error,
    output::Output,
    project::{
        Project, ProjectFunction,
        args::{ProjectArgs, say},
    },
    publish::{PublishArgs, Sending},
};

/// Files, and which of their functions.
#[derive(Clone, Debug, clap::Args)]
pub struct Selection {
    #[command(flatten)]
    project: ProjectArgs,
    /// Only these functions of it; the folder may be left out then
    #[arg(value_name = "FUNCTION")]
    functions: Vec<String>,
    #[command(flatten)]
    publish: PublishArgs,
}

// === impl Selection ===

impl Selection {
    /// The functions as they are to be on the cluster, in the order of the files.
    ///
    /// # Errors
    /// When the files are wrong, name no such function, or hold code that cannot be brought as it is.
    pub async fn functions(
        &self,
        cluster: &Cluster,
        global: &Global,
        output: &Output,
        sending: Sending,
    ) -> Result<Vec<Function>, Error> {
        let (args, names) = self.split();
        let project = args.load(output)?;
        say(output, &project.cluster_notes());
        for other in &project.others {
            let kind = other["kind"].as_str().unwrap_or("object");
            let name = other["metadata"]["name"].as_str().unwrap_or_default();
            output.warn(&format!(
                "{kind} {name} is left out: `flint render | kubectl apply -f -` brings it, too"
            ));
        }
        let chosen = choose(&project, &names)?;
        // Before anything is compiled or sent.
        for one in &chosen {
            namespace(&one.function, cluster, global)?;
        }
        let mut functions = Vec::new();
        for one in chosen {
            let mut function = self.publish.publish(one, sending, output).await?;
            function.metadata.namespace = Some(namespace(&function, cluster, global)?);
            functions.push(function);
        }
        Ok(functions)
    }

    /// The project, and the functions' names. A path that is not there and looks like a name is one.
    fn split(&self) -> (ProjectArgs, Vec<String>) {
        let mut args = self.project.clone();
        let mut names = self.functions.clone();
        if !args.path.exists() && is_name(&args.path) {
            names.insert(0, args.path.to_string_lossy().into_owned());
            args.path = ".".into();
        }
        (args, names)
    }
}

fn choose<'a>(project: &'a Project, names: &[String]) -> Result<Vec<&'a ProjectFunction>, Error> {
    if let Some(unknown) = names.iter().find(|name| project.function(name).is_none()) {
        let known: Vec<_> = project.functions.iter().map(ProjectFunction::name).collect();
        return Err(Error::not_found(format!("{} has no function {unknown}", project.root.display()))
            .try_this(format!("one of {}", known.join(", "))));
    }
    let chosen: Vec<_> = project
        .functions
        .iter()
        .filter(|one| names.is_empty() || names.iter().any(|name| name == one.name()))
        .collect();
    if chosen.is_empty() {
        return Err(Error::usage(format!("{} has no functions", project.root.display()))
            .try_this("`flint new` makes one from a template"));
    }
    Ok(chosen)
}

/// The namespace a function goes to: what `-n` says, which may not be against what its file says; else the kubeconfig's.
fn namespace(function: &Function, cluster: &Cluster, global: &Global) -> Result<String, Error> {
    match (&function.metadata.namespace, &global.namespace) {
        (Some(written), Some(given)) if written != given => Err(Error::usage(format!(
            "{} is written for the namespace {written}, not {given}",
            function.name_any()
        ))
        .try_this("leave out -n, or remove metadata.namespace from the file")),
        (Some(written), _) => Ok(written.clone()),
        (None, _) => Ok(cluster.namespace.clone()),
    }
}

fn is_name(path: &Path) -> bool {
    let text = path.to_string_lossy();
    !text.is_empty()
        && text.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_that_is_no_file_is_a_function() {
        let split = |path: &str| {
            let project = ProjectArgs { path: path.into(), stage: None, opts: Vec::new() };
            let (args, names) =
                Selection { project, functions: vec!["second".into()], publish: PublishArgs::default() }
                    .split();
            (args.path.display().to_string(), names.join(" "))
        };
        assert_eq!(split("first"), (".".into(), "first second".into()));
        assert_eq!(split("src"), ("src".into(), "second".into()), "src is a folder here");
        assert_eq!(split("./none"), ("./none".into(), "second".into()));
    }
}
