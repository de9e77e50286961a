//! The access keys that Lambda's Invoke is signed with: a file in the form of AWS's credentials file, read again when it changes.
//!
//! ```ini
//! [ci]
//! aws_access_key_id = AKIAEXAMPLE
//! aws_secret_access_key = …
//! ```
//! It is the form that every client of AWS reads already, so one file serves both ends. A section is a key; its name is for people.

use std::{
    collections::HashMap,
    fmt, io,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use arc_swap::ArcSwap;
use flint_core::sigv4::{Claim, Denial, Request};

/// The access keys. Cheap to ask; replaced whole.
#[derive(Debug)]
pub struct Credentials {
    path: PathBuf,
    keys: ArcSwap<Keys>,
}

/// Secrets by the ids of their keys.
#[derive(Default, PartialEq)]
struct Keys(HashMap<String, String>);

/// Why a file cannot be used. None of it shows a secret.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// It is not there, or not ours to read.
    #[error("the credentials file {0} cannot be read")]
    Read(PathBuf, #[source] io::Error),
    /// It is no credentials file.
    #[error("the credentials file {path}, line {line}: {problem}")]
    Form {
        /// The file.
        path: PathBuf,
        /// The line, from 1.
        line: usize,
        /// What is wrong with it.
        problem: &'static str,
    },
    /// It has no keys: nobody could invoke.
    #[error(
        "the credentials file {0} has no keys: write a section with aws_access_key_id and aws_secret_access_key, or do not name a file"
    )]
    Empty(PathBuf),
}

/// kubelet brings a changed Secret within a minute or so; this adds little to it.
const LOOK_EVERY: Duration = Duration::from_secs(5);

// === impl Credentials ===

impl Credentials {
    /// Reads the file.
    ///
    /// # Errors
    /// When it cannot be read, is not in the form, or has no keys.
    pub fn read(path: &Path) -> Result<Self, Error> {
        let text = std::fs::read_to_string(path).map_err(|error| Error::Read(path.to_owned(), error))?;
        Ok(Self { path: path.to_owned(), keys: ArcSwap::from_pointee(parse(path, &text)?) })
    }

    /// Reads it again when it has changed, for ever. A change that cannot be used leaves the keys as they were.
    pub(crate) async fn follow(&self) {
        let mut said = None;
        loop {
            tokio::time::sleep(LOOK_EVERY).await;
            let text = tokio::fs::read_to_string(&self.path).await;
            let read = text.map_err(|error| Error::Read(self.path.clone(), error));
            match read.and_then(|text| parse(&self.path, &text)) {
                Ok(keys) => {
                    said = None;
                    if keys != **self.keys.load() {
                        tracing::info!(keys = keys.0.len(), "the credentials of Invoke have changed");
                        self.keys.store(Arc::new(keys));
                    }
                }
                Err(error) => {
                    let text = format!("{:#}", anyhow::Error::from(error));
                    if said.as_ref() != Some(&text) {
                        tracing::warn!(error = text, "the credentials of Invoke stay as they were");
                        said = Some(text);
                    }
                }
            }
        }
    }

    /// Whether the key of a claim is known: what can be said before the body is here.
    ///
    /// # Errors
    /// When it is not.
    pub(crate) fn knows(&self, claim: &Claim<'_>) -> Result<(), Denial> {
        if self.keys.load().0.contains_key(claim.key_id) { Ok(()) } else { Err(Denial::UnknownKey) }
    }

    /// Whether a claim is good for a request with that body.
    ///
    /// # Errors
    /// When it is not.
    pub(crate) fn verify(&self, claim: &Claim<'_>, request: Request<'_>, body: &[u8]) -> Result<(), Denial> {
        let keys = self.keys.load();
        let secret = keys.0.get(claim.key_id).ok_or(Denial::UnknownKey)?;
        claim.verify(secret, request, body)
    }
}

// === impl Keys ===

impl fmt::Debug for Keys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.0.keys()).finish()
    }
}

fn parse(path: &Path, text: &str) -> Result<Keys, Error> {
    let wrong = |line, problem| Error::Form { path: path.to_owned(), line, problem };
    let mut keys = HashMap::new();
    let mut section: Option<(usize, Option<&str>, Option<&str>)> = None;
    let mut close = |section: Option<(usize, Option<&str>, Option<&str>)>| match section {
        None => Ok(()),
        Some((_, Some(id), Some(secret))) if !id.is_empty() && !secret.is_empty() => {
            keys.insert(id.to_owned(), secret.to_owned());
            Ok(())
        }
        Some((line, ..)) => Err(wrong(line, "the section needs aws_access_key_id and aws_secret_access_key")),
    };
    for (number, line) in text.lines().enumerate().map(|(index, line)| (index + 1, line.trim())) {
        if line.is_empty() || line.starts_with(['#', ';']) {
            continue;
        }
        if line.starts_with('[') && line.ends_with(']') {
            close(section.replace((number, None, None)))?;
            continue;
        }
        let (name, value) =
            line.split_once('=').ok_or_else(|| wrong(number, "write [section] or name = value"))?;
        let (_, id, secret) = section.as_mut().ok_or_else(|| wrong(number, "write a [section] first"))?;
        match name.trim() {
            "aws_access_key_id" => *id = Some(value.trim()),
            "aws_secret_access_key" => *secret = Some(value.trim()),
            // Region, output and so on are the clients'.
            _ => {}
        }
    }
    close(section)?;
    if keys.is_empty() {
        return Err(Error::Empty(path.to_owned()));
    }
    Ok(Keys(keys))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(text: &str) -> Result<Keys, String> {
        parse(Path::new("keys"), text).map_err(|error| error.to_string())
    }

    #[test]
    fn a_file_of_awss_own_form_is_read() {
        let keys = parsed(
            "# whose keys\n[ci]\naws_access_key_id = AKIA1\naws_secret_access_key=s3cr=t/+\nregion = eu-west-1\n\n[other]\n\
             aws_secret_access_key = two\naws_access_key_id = AKIA2\n",
        )
        .unwrap();
        assert_eq!(keys.0["AKIA1"], "s3cr=t/+");
        assert_eq!(keys.0["AKIA2"], "two");
        assert!(!format!("{keys:?}").contains("s3cr"), "a secret shows itself to nobody");
    }

    #[test]
    fn what_is_wrong_is_said_with_its_line_and_without_the_secret() {
        for (text, words) in [
            ("", "has no keys"),
            ("[a]\naws_access_key_id = A\n", "line 1: the section needs"),
            ("[a]\naws_access_key_id = A\naws_secret_access_key =\n", "line 1: the section needs"),
            ("aws_access_key_id = A\n", "line 1: write a [section] first"),
            ("[a]\nhunter2\n", "line 2: write [section] or name = value"),
        ] {
            let error = parsed(text).unwrap_err();
            assert!(error.contains(words) && !error.contains("hunter2"), "{text}: {error}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_changed_file_counts_and_a_broken_one_does_not() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("credentials");
        let write = |id: &str| {
            std::fs::write(&path, format!("[a]\naws_access_key_id={id}\naws_secret_access_key=s\n"))
        };
        write("ONE").unwrap();
        let credentials = Arc::new(Credentials::read(&path).unwrap());
        let following = tokio::spawn({
            let credentials = Arc::clone(&credentials);
            async move { credentials.follow().await }
        });
        let becomes = async |id: &str| {
            while !credentials.keys.load().0.contains_key(id) {
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        };
        write("TWO").unwrap();
        becomes("TWO").await;
        std::fs::write(&path, "nonsense").unwrap();
        tokio::time::sleep(3 * LOOK_EVERY).await;
        becomes("TWO").await;
        write("THREE").unwrap();
        becomes("THREE").await;
        following.abort();
    }
}
