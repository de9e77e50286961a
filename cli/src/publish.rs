//! Code on its way to the cluster: compiled here where it has to be, then in the Function's own text where it fits, and through a
//! registry where it does not.
//!
//! A package in a registry is an OCI artifact that the Function names by its digest. The same files are the same digest, so what is
//! there already is not sent again, and [`Sending::Not`] tells what a deploy would name without sending anything.

use std::{
    fs::File,
    path::{Path, PathBuf},
};

use flint_api::{Function, NameRef, Oci, Source};
use flint_image::{Artifact, Credentials, Platform, Reference, Registry};
use flint_package::{Draft, Limits, Mode};
use tempfile::NamedTempFile;

use crate::{
    error::{Error, Kind},
    languages::{self, Broken, Cache, Here, Missing, Wanted},
    output::Output,
    project::{Code, Folder, ProjectFunction, Texts, args::say},
    text, waiting,
};

/// Where code goes that a Function's own text cannot hold.
#[derive(Clone, Debug, Default, clap::Args)]
pub struct PublishArgs {
    /// Where code goes that does not fit into a Function: HOST/PATH of a registry that the cluster reads from
    #[arg(long, env = "FLINT_REGISTRY", value_name = "HOST/PATH")]
    registry: Option<String>,
    /// The registry speaks HTTP, without TLS
    #[arg(long, env = "FLINT_PLAIN_HTTP", requires = "registry")]
    plain_http: bool,
    /// The Secret that the cluster reads from the registry with, in the function's namespace
    #[arg(long, env = "FLINT_REGISTRY_SECRET", value_name = "NAME", requires = "registry")]
    registry_secret: Option<String>,
}

/// Whether packages are sent.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Sending {
    /// They are.
    Yes,
    /// Only what they would be called is wanted.
    Not,
}

/// The files of a function as the cluster is to have them: where each is here, by its path there.
#[derive(Debug)]
struct Parts {
    root: PathBuf,
    files: Vec<(String, PathBuf)>,
}

/// What compilers read, and no runtime.
const SOURCES: &[&str] = &[".ts", ".mts", ".cts", "tsconfig.json", "package-lock.json"];

// === impl PublishArgs ===

impl PublishArgs {
    /// The Function with its code, wherever that went.
    ///
    /// # Errors
    /// When it does not compile, a compiler is missing, files cannot be read, or the registry does not take the package.
    pub async fn publish(
        &self,
        one: &ProjectFunction,
        sending: Sending,
        output: &Output,
    ) -> Result<Function, Error> {
        let mut function = one.function.clone();
        if let Code::Folder(folder) = &one.code {
            let parts = self.parts(one, folder, output).await?;
            function.spec.source = Some(self.source(one.name(), &parts, sending, output).await?);
        }
        Ok(function)
    }

    /// The files, some of them compiled.
    async fn parts(&self, one: &ProjectFunction, folder: &Folder, output: &Output) -> Result<Parts, Error> {
        let root = folder.root.clone();
        let spec = &one.function.spec;
        let wanted = Wanted {
            name: one.name(),
            folder: &root,
            runtime: spec.runtime.as_deref().unwrap_or_default(),
            handler: spec.handler.as_deref().unwrap_or_default(),
            debug: None,
        };
        let compiled = languages::for_cluster(&wanted, &Here::default(), &Cache::of_user());
        let compiled = compiled.map_err(|Missing { what, remedy }| Error::platform(what).try_this(remedy))?;
        let mut files = match &compiled {
            // A program is too large for a Function's text: nobody waits for a compiler to learn that there is no place for it.
            Some(compiled) if compiled.alone && self.registry.is_none() => {
                let message = format!(
                    "{} is compiled into a program, which a Function's own text cannot hold",
                    one.name()
                );
                return Err(Error::usage(message).try_this(PLACE));
            }
            Some(compiled) if compiled.alone => Vec::new(),
            _ => folder.named().map_err(|note| mistake(output, note))?,
        };
        if let Some(compiled) = compiled {
            let built =
                waiting::show(output, &format!("compiling {}", one.name()), compiled.build.run()).await;
            let built = built.map_err(|broken| broken_build(one.name(), broken, output))?;
            files.retain(|(name, _)| {
                !name.starts_with("node_modules/") && !SOURCES.iter().any(|source| name.ends_with(source))
            });
            files.push((compiled.name, built));
        }
        Ok(Parts { root, files })
    }

    async fn source(
        &self,
        name: &str,
        parts: &Parts,
        sending: Sending,
        output: &Output,
    ) -> Result<Source, Error> {
        let too_much = match parts.texts() {
            Ok(inline) => return Ok(Source { inline: Some(inline), ..Source::default() }),
            Err(note) => note,
        };
        let Some(registry) = self.registry.as_deref().filter(|_| !parts.files.is_empty()) else {
            return Err(mistake(output, too_much));
        };
        let place: Reference =
            format!("{}/{name}", registry.trim_end_matches('/')).parse().map_err(|error| {
                Error::usage(format!("{registry:?} is no place in a registry"))
                    .because(flint_image::Error::Reference(error))
                    .try_this("--registry HOST/PATH, such as registry.example.com/team")
            })?;
        let packing = parts.package();
        let package = waiting::show(output, &format!("packing {name}"), packing).await?;
        let artifact = Artifact::of_file(package.path()).map_err(|error| {
            Error::platform(format!("the package of {name} cannot be read")).because(error)
        })?;
        if sending == Sending::Yes {
            self.send(&artifact, &place, output).await?;
        }
        let reference = format!("{}/{}@{}", place.registry(), place.repository(), artifact.digest());
        let secret_ref = self.registry_secret.clone().map(|name| NameRef { name });
        Ok(Source { oci: Some(Oci { reference, secret_ref }), ..Source::default() })
    }

    async fn send(&self, artifact: &Artifact, place: &Reference, output: &Output) -> Result<(), Error> {
        let credentials = Credentials::from_docker_config().map_err(|error| {
            Error::usage("the registry's credentials cannot be read")
                .because(error)
                .try_this("docker login writes them anew")
        })?;
        let plain = self.plain_http.then(|| place.resolve_registry().to_owned());
        let registry = Registry::new(credentials, Platform::host()).without_tls(plain);
        // A registry without tags lists nothing, and its garbage collector takes what no tag names.
        let digest = artifact.digest().to_string();
        let tag = digest.trim_start_matches("sha256:").chars().take(12).collect();
        let tagged = Reference::with_tag(place.registry().to_owned(), place.repository().to_owned(), tag);
        let what =
            format!("sending {} to {place}", text::size(artifact.size().try_into().unwrap_or(i64::MAX)));
        let sent = waiting::show(output, &what, registry.push_artifact(artifact, &tagged)).await;
        let sent = sent.map_err(|error| refused(&tagged, error))?;
        output.say(&match sent.sent {
            0 => format!("{tagged} is there already"),
            _ => format!("{tagged}: sent {}", text::size(sent.bytes.try_into().unwrap_or(i64::MAX))),
        });
        Ok(())
    }
}

/// What to do without a registry.
const PLACE: &str =
    "`flint deploy --registry HOST/PATH` brings it through a registry that the cluster reads from";

// === impl Parts ===

impl Parts {
    /// As a Function's own text.
    fn texts(&self) -> Result<std::collections::BTreeMap<String, String>, crate::project::Note> {
        let mut texts = Texts::new(&self.root);
        for (name, path) in &self.files {
            texts.add(name, path)?;
        }
        texts.finish()
    }

    /// As a package in a file, which goes with the result.
    async fn package(&self) -> Result<NamedTempFile, Error> {
        let files = self.files.clone();
        let packed = tokio::task::spawn_blocking(move || pack(&files)).await;
        packed.map_err(|error| Error::platform("packing was ended").because(error))?
    }
}

fn pack(files: &[(String, PathBuf)]) -> Result<NamedTempFile, Error> {
    let no_room = |error| Error::platform("there is no place for temporary files").because(error);
    let mut draft = Draft::new(tempfile::tempfile().map_err(no_room)?, Limits::default());
    for (name, path) in files {
        let failed = |error: &dyn std::error::Error| {
            Error::usage(format!("{} cannot be packed", path.display())).because(error.to_string())
        };
        let file = File::open(path).map_err(|error| failed(&error))?;
        draft.file(name.as_bytes(), mode(path), file).map_err(|error| failed(&error))?;
    }
    let file = NamedTempFile::new().map_err(no_room)?;
    let (_, file) =
        draft.finish(file).map_err(|error| Error::usage("the code cannot be packed").because(error))?;
    Ok(file)
}

/// What may be run here may be run there.
fn mode(path: &Path) -> Mode {
    use std::os::unix::fs::PermissionsExt as _;
    let runs = path.metadata().is_ok_and(|metadata| metadata.permissions().mode() & 0o111 != 0);
    if runs { Mode::Program } else { Mode::Unknown }
}

fn mistake(output: &Output, note: crate::project::Note) -> Error {
    let notes = [note];
    say(output, &notes);
    crate::project::args::mistakes(&notes)
}

fn broken_build(name: &str, broken: Broken, output: &Output) -> Error {
    match broken {
        Broken::Mistakes(words) => {
            output.complain(&words);
            Error::usage(format!("{name} does not compile"))
        }
        other => Error::platform(format!("{name} cannot be compiled")).because(other),
    }
}

/// A registry's refusal, and what to do about it.
fn refused(place: &Reference, error: flint_image::Error) -> Error {
    let said = error.to_string().to_ascii_lowercase();
    let host = place.registry();
    let who = ["401", "403", "unauthorized", "denied", "forbidden", "not authorized"]
        .iter()
        .any(|word| said.contains(word));
    let message = format!("the code cannot be sent to {place}");
    if who {
        return Error::new(Kind::Denied, message).because(error).try_this(format!(
            "docker login {host}; what only a credential helper knows is not asked for: write it into ~/.docker/config.json"
        ));
    }
    Error::platform(message)
        .because(error)
        .try_this(format!("is {host} right, and up? --plain-http is for one without TLS"))
}

#[cfg(test)]
mod tests;
