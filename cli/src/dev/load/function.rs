//! One function: its folder, its program, its variables; or why it cannot run here.

use std::{
    collections::BTreeMap,
    fs::Permissions,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
};

use flint_api::{Mode, Runtime};
use flint_local::{Blocked, FunctionSpec, Key};
use sha2::{Digest as _, Sha256};

use super::{Fresh, Known, Loader, Memory, Remark, environment, includes};
use crate::{
    languages::{self, Build, Language, Launch, Missing, Wanted},
    project::{Code, Project, ProjectFunction},
};

/// A debugger stops time: requests wait as long as the longest timeout that a function may have.
const DEBUGGED_TIMEOUT: flint_api::Duration = flint_api::Duration::from_secs(900);

/// Why a function does not run here.
struct Why {
    reason: &'static str,
    what: String,
    remedy: Option<String>,
}

// === impl Loader ===

impl Loader {
    /// The function as the platform takes it.
    pub(super) async fn function(
        &mut self,
        project: &Project,
        written: &ProjectFunction,
        fresh: &mut Fresh<'_>,
        say: &(dyn Fn(&str) + Sync),
    ) -> (FunctionSpec, Known) {
        let function = &written.function;
        let name = function.metadata.name.clone().unwrap_or_default();
        let namespace = function.metadata.namespace.clone();
        let key =
            Key::new(namespace.as_deref().unwrap_or(flint_core::route::DEFAULT_NAMESPACE), name.clone());
        let (env, mut remarks) = environment::variables(project, written, &self.options.env);

        let folder = self.folder(&key, project, written);
        let custom = custom_runtime(project, written);
        let mode = match (&custom, function.spec.runtime.as_deref()) {
            (Some(runtime), _) => runtime.spec.mode,
            (None, Some(runtime)) if runtime.starts_with("process") => Mode::Process,
            (None, Some(_)) => Mode::Lambda,
            (None, None) => Mode::Http,
        };
        let (folder, launched) = match folder {
            Ok(folder) => {
                let launched = self.launch(&key, written, &folder, custom.as_ref());
                let first = launched.as_ref().map_or_else(
                    |_| Vec::new(),
                    |launch| {
                        let handler = function.spec.handler.as_deref().unwrap_or_default();
                        includes::first(Some(launch.language), &folder, handler, &launch.command)
                    },
                );
                let changed = fresh.touches(&folder, project, &first);
                let launched = match launched {
                    Ok(launch) => self.compiled(&key, launch, &folder, changed, say).await,
                    Err(why) => {
                        self.memory.entry(key.clone()).or_default().generation += u64::from(changed);
                        Err(why)
                    }
                };
                (folder, launched)
            }
            Err(why) => (project.root.clone(), Err(why)),
        };

        let mut spec = FunctionSpec::new(function, mode, folder.clone(), Vec::new());
        spec.key = key.clone();
        spec.env = env;
        spec.generation = self.memory.get(&key).map_or(0, |memory| memory.generation);
        // An image's port is the container's own; here each instance has one of its own.
        spec.port = custom.as_ref().and_then(|runtime| runtime.spec.port);
        if self.debugged.contains_key(&key) {
            spec.effective.timeout = DEBUGGED_TIMEOUT;
            spec.effective.min_replicas = 1;
            spec.alone = true;
        }
        let language = match launched {
            Ok(launch) => {
                spec.command = launch.command;
                for (name, value) in launch.env {
                    spec.env.entry(name).or_insert(value);
                }
                remarks.extend(launch.notes.into_iter().map(Remark::Note));
                Some(launch.language)
            }
            Err(why) => {
                spec.blocked = Some(Blocked { reason: why.reason.to_owned(), message: why.what.clone() });
                remarks.push(Remark::Problem(why.what, why.remedy));
                None
            }
        };
        (spec, Known { language, folder, remarks })
    }

    /// The folder with the code; code in the manifest is unpacked into one.
    fn folder(&self, key: &Key, project: &Project, written: &ProjectFunction) -> Result<PathBuf, Why> {
        let only = |what: &str| Why {
            reason: "OnlyInTheCluster",
            what: format!("{} cannot run here: {what}", key.name),
            remedy: Some("deploy it to a cluster with `flint deploy`".to_owned()),
        };
        let inline = match &written.code {
            Code::Folder(folder) => return Ok(folder.root.clone()),
            Code::Image if written.run.is_some() => return Ok(project.root.clone()),
            Code::Image => {
                return Err(Why {
                    remedy: Some(
                        "write run: with the command that serves HTTP on $PORT, for running it here"
                            .to_owned(),
                    ),
                    ..only("it is a container image")
                });
            }
            Code::InManifest => {
                written.function.spec.source.as_ref().and_then(|source| source.inline.as_ref())
            }
        };
        let files = inline.ok_or_else(|| only("its code is elsewhere (archive, git, configMap or oci)"))?;
        unpack(&self.unpacked.path().join(&key.namespace).join(&key.name), files).map_err(|error| Why {
            reason: "NoRoom",
            what: format!("the code of {} cannot be unpacked: {error}", key.name),
            remedy: None,
        })
    }

    fn launch(
        &self,
        key: &Key,
        written: &ProjectFunction,
        folder: &Path,
        custom: Option<&Runtime>,
    ) -> Result<Launch, Why> {
        let as_it_is = |command| Launch {
            language: Language::Process,
            command,
            env: Vec::new(),
            build: None,
            notes: Vec::new(),
        };
        if let Some(runtime) = custom {
            return Ok(as_it_is(runtime.spec.command.clone()));
        }
        if let Some(run) = &written.run {
            // In the place of the shell: it is the program that has to hear of its end.
            return Ok(as_it_is(["/bin/sh", "-c", &format!("exec {run}")].map(str::to_owned).to_vec()));
        }
        let spec = &written.function.spec;
        let wanted = Wanted {
            name: &key.name,
            folder,
            runtime: spec.runtime.as_deref().unwrap_or_default(),
            handler: spec.handler.as_deref().unwrap_or_default(),
            debug: self.debugged.get(key).copied(),
        };
        Ok(languages::plan(&wanted, &self.machine, &self.clients)?)
    }

    /// With its program compiled, where it has to be; and another generation, where what runs is not what it was.
    async fn compiled(
        &mut self,
        key: &Key,
        mut launch: Launch,
        folder: &Path,
        changed: bool,
        say: &(dyn Fn(&str) + Sync),
    ) -> Result<Launch, Why> {
        let memory = self.memory.entry(key.clone()).or_default();
        let Some(build) = launch.build.take() else {
            memory.generation += u64::from(changed);
            return Ok(launch);
        };
        let program = memory.built(key, &build, changed, say).await.map_err(|words| Why {
            reason: "BuildFailed",
            remedy: languages::hint(launch.language, folder, "", &words),
            what: format!("{}: {words}", key.name),
        })?;
        launch.command.insert(0, program.to_string_lossy().into_owned());
        Ok(launch)
    }
}

// === impl Memory ===

impl Memory {
    /// The compiled program: compiled again only where its code changed, and another generation only where that made it another.
    async fn built(
        &mut self,
        key: &Key,
        build: &Build,
        changed: bool,
        say: &(dyn Fn(&str) + Sync),
    ) -> Result<PathBuf, String> {
        if let Some(built) = self.built.clone().filter(|_| !changed) {
            return built;
        }
        say(&format!("compiling {} …", key.name));
        let built = build.run().await.map_err(|error| error.to_string());
        if let Ok(program) = &built {
            let look = program.metadata().ok();
            let look = look.and_then(|metadata| Some((metadata.len(), metadata.modified().ok()?)));
            self.generation += u64::from(look != self.program);
            self.program = look;
        }
        self.built = Some(built.clone());
        built
    }
}

/// A Runtime that stands in the project's own files.
fn custom_runtime(project: &Project, written: &ProjectFunction) -> Option<Runtime> {
    let name = written.function.spec.runtime.as_deref()?;
    let runtimes = project.others.iter().filter(|object| object["kind"] == "Runtime");
    let wanted = runtimes.into_iter().find(|object| object["metadata"]["name"] == name)?;
    serde_json::from_value(wanted.clone()).ok()
}

/// Each state of the code has a folder of its own: instances of the one before still run in theirs.
fn unpack(parent: &Path, files: &BTreeMap<String, String>) -> std::io::Result<PathBuf> {
    let mut digest = Sha256::new();
    for (name, text) in files {
        digest.update(format!("{} {} {name}{text}", name.len(), text.len()));
    }
    let folder = parent.join(&hex::encode(digest.finalize())[..8]);
    for (name, text) in files {
        let path = folder.join(name);
        std::fs::create_dir_all(path.parent().unwrap_or(&folder))?;
        std::fs::write(&path, text)?;
        // As the cluster has them: a script can be run.
        let executable = text.starts_with("#!") || name == "bootstrap";
        std::fs::set_permissions(&path, Permissions::from_mode(if executable { 0o755 } else { 0o644 }))?;
    }
    Ok(folder)
}

// === impl Why ===

impl From<Missing> for Why {
    fn from(missing: Missing) -> Self {
        Self { reason: "NotInstalled", what: missing.what, remedy: Some(missing.remedy) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn files(files: &[(&str, &str)]) -> BTreeMap<String, String> {
        files.iter().map(|(name, text)| ((*name).to_owned(), (*text).to_owned())).collect()
    }

    #[test]
    fn code_in_a_manifest_becomes_files_that_can_be_run() {
        let parent = tempfile::tempdir().unwrap();
        let folder =
            unpack(parent.path(), &files(&[("bootstrap", "#!/bin/sh\n"), ("lib/x.py", "1")])).unwrap();
        let mode = |name: &str| folder.join(name).metadata().unwrap().permissions().mode() & 0o777;
        assert_eq!((mode("bootstrap"), mode("lib/x.py")), (0o755, 0o644));
    }

    #[test]
    fn changed_code_has_another_folder_and_the_same_code_the_same() {
        let parent = tempfile::tempdir().unwrap();
        let at = |text| unpack(parent.path(), &files(&[("app.py", text)])).unwrap();
        assert_eq!(at("1"), at("1"));
        assert_ne!(at("1"), at("2"));
    }
}
