//! The arguments of commands that are about a project.

use std::path::{Path, PathBuf};

use super::{Note, Options, Project, Severity, load};
use crate::{error::Error, output::Output};

/// Which project, and what its variables are.
#[derive(Clone, Debug, clap::Args)]
pub struct ProjectArgs {
    /// A folder, or a file: flint.yaml, serverless.yml, a SAM template, or Functions
    #[arg(default_value = ".")]
    pub path: PathBuf,
    /// What ${sls:stage} and ${opt:stage} are in serverless.yml
    #[arg(long, env = "FLINT_STAGE")]
    pub stage: Option<String>,
    /// What ${opt:NAME}, or a SAM template's parameter, is; may be repeated
    #[arg(long = "opt", value_name = "NAME=VALUE", value_parser = pair)]
    pub opts: Vec<(String, String)>,
}

/// `NAME=VALUE`.
fn pair(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((name, value)) if !name.is_empty() => Ok((name.to_owned(), value.to_owned())),
        _ => Err("write it as NAME=VALUE".to_owned()),
    }
}

// === impl ProjectArgs ===

impl ProjectArgs {
    /// What the project is read with.
    #[must_use]
    pub fn options(&self) -> Options {
        let Self { path: _, stage, opts } = self;
        Options { stage: stage.clone(), opts: opts.iter().cloned().collect(), ..Options::from_environment() }
    }

    /// Reads the project; notes and mistakes go to standard error.
    ///
    /// # Errors
    /// When there are mistakes in it.
    pub fn load(&self, output: &Output) -> Result<Project, Error> {
        match load(&self.path, &self.options()) {
            Ok(project) => {
                say(output, &project.notes);
                Ok(project)
            }
            Err(notes) => {
                say(output, &notes);
                Err(mistakes(&notes))
            }
        }
    }
}

/// Notes, to standard error; those that are no more than that not to who wants quiet.
pub fn say(output: &Output, notes: &[Note]) {
    let here = std::env::current_dir().unwrap_or_default();
    for note in notes {
        if note.severity == Severity::Note {
            output.say(&note.pretty(&here));
        } else {
            output.complain(&note.pretty(&here));
        }
    }
}

/// How a command fails whose notes have been said.
#[must_use]
pub fn mistakes(notes: &[Note]) -> Error {
    Error::usage(summary(notes))
}

/// `2 errors, 1 warning`
#[must_use]
pub fn summary(notes: &[Note]) -> String {
    let count = |severity: Severity, name: &str| {
        let number = notes.iter().filter(|note| note.severity == severity).count();
        (number > 0).then(|| format!("{number} {name}{}", if number == 1 { "" } else { "s" }))
    };
    let parts =
        [count(Severity::Error, "error"), count(Severity::Warning, "warning"), count(Severity::Note, "note")];
    parts.into_iter().flatten().collect::<Vec<_>>().join(", ")
}

// === impl Note ===

impl Note {
    /// As its text, coloured, the file as seen from a folder.
    #[must_use]
    pub fn pretty(&self, from: &Path) -> String {
        use crate::output::{BAD, DIM, STRONG, WARN};
        let style = match self.severity {
            Severity::Note => DIM,
            Severity::Warning => WARN,
            Severity::Error => BAD,
        };
        let seen = self.seen_from(from);
        let whole = seen.to_string();
        let said = format!(" {}: {}", seen.severity, seen.message);
        let place = whole.strip_suffix(&said).unwrap_or(&whole);
        format!("{STRONG}{place}{STRONG:#} {style}{}:{style:#} {}", seen.severity, seen.message)
    }

    /// The same, the file relative to a folder where it is below it.
    #[must_use]
    pub fn seen_from(&self, folder: &Path) -> Self {
        let file = match self.file.strip_prefix(folder) {
            Ok(file) if file.as_os_str().is_empty() => PathBuf::from("."),
            Ok(file) => file.to_owned(),
            Err(_) => self.file.clone(),
        };
        Self { file, ..self.clone() }
    }
}
