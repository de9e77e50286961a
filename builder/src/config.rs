//! The builder's configuration: read from the environment once, checked before anything is fetched.

use std::{
    env::VarError,
    ffi::{OsStr, OsString},
    path::{Path, PathBuf},
};

/// Everything that the environment decides.
pub(crate) struct Config {
    /// The namespace that the build belongs to.
    pub(crate) namespace: String,
    /// The build's name: that of its Job.
    pub(crate) build: String,
    /// The operator's home, without a slash at the end.
    pub(crate) home: String,
    /// Signs requests for this build.
    pub(crate) key: String,
    /// The source's package: `sha256:HEX`.
    pub(crate) source: String,
    /// The file that names the dependencies.
    pub(crate) manifest: String,
    /// The command and its arguments.
    pub(crate) command: Vec<String>,
    /// The most bytes that the package may hold.
    pub(crate) unpacked: u64,
    /// The most bytes that the cache may hold; 0 keeps none.
    pub(crate) cache: u64,
    /// The folder for everything.
    pub(crate) work: PathBuf,
    /// A file of certificates in PEM that servers may be signed by, beside the usual ones; it need not be there.
    pub(crate) authorities: PathBuf,
    /// Where Kubernetes looks for last words.
    pub(crate) termination_log: PathBuf,
    /// What the command gets: everything that is not ours.
    pub(crate) environment: Vec<(OsString, OsString)>,
}

/// What is wrong with the environment.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ConfigError {
    /// A variable that has to be there is not.
    #[error("{0} is not set, or is no text")]
    Missing(&'static str),
    /// A variable's value cannot be understood.
    #[error("{0}={1:?} is not valid: {2}")]
    Invalid(&'static str, String, &'static str),
}

// === impl Config ===

impl Config {
    /// Reads the environment.
    pub(crate) fn read() -> Result<Self, ConfigError> {
        Self::from(std::env::var, std::env::vars_os())
    }

    fn from(
        variable: impl Fn(&'static str) -> Result<String, VarError>,
        all: impl Iterator<Item = (OsString, OsString)>,
    ) -> Result<Self, ConfigError> {
        let text = |name| {
            let value = variable(name).ok().filter(|value| !value.is_empty());
            value.ok_or(ConfigError::Missing(name))
        };
        let number = |name| {
            let value = text(name)?;
            value.parse().map_err(|_| ConfigError::Invalid(name, value, "write a number of bytes"))
        };
        let path = |name, default: &str| text(name).map_or_else(|_| PathBuf::from(default), PathBuf::from);
        let command = text("FLINT_COMMAND")?;
        let command: Vec<String> = serde_json::from_str(&command)
            .ok()
            .filter(|command: &Vec<String>| command.first().is_some_and(|program| !program.is_empty()))
            .ok_or(ConfigError::Invalid("FLINT_COMMAND", command, "write a JSON array of strings"))?;
        Ok(Self {
            namespace: text("FLINT_NAMESPACE")?,
            build: text("FLINT_BUILD")?,
            home: text("FLINT_HOME_URL")?.trim_end_matches('/').to_owned(),
            key: text("FLINT_KEY")?,
            source: text("FLINT_SOURCE_DIGEST")?,
            manifest: text("FLINT_BUILD_MANIFEST")?,
            command,
            unpacked: number("FLINT_UNPACKED_LIMIT")?,
            cache: number("FLINT_CACHE_LIMIT")?,
            work: path("FLINT_WORK", "/work"),
            authorities: path("FLINT_AUTHORITIES", "/flint/order/ca.crt"),
            termination_log: path("FLINT_TERMINATION_LOG", "/dev/termination-log"),
            environment: all.filter(|(name, _)| !is_ours(name)).collect(),
        })
    }

    /// The source's folder, and the package's afterwards.
    pub(crate) fn source_folder(&self) -> PathBuf {
        self.work.join("source")
    }

    /// What tools may keep for the next build.
    pub(crate) fn cache_folder(&self) -> PathBuf {
        self.work.join("cache")
    }

    /// The command's home.
    pub(crate) fn home_folder(&self) -> PathBuf {
        self.work.join("home")
    }

    /// The authorities' file, if there is one.
    pub(crate) fn own_authorities(&self) -> Option<&Path> {
        self.authorities.is_file().then_some(self.authorities.as_path())
    }
}

fn is_ours(name: &OsStr) -> bool {
    name.to_str().is_some_and(|name| name.starts_with("FLINT_"))
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &[(&str, &str)] = &[
        ("FLINT_NAMESPACE", "shop"),
        ("FLINT_BUILD", "flint-build-1"),
        ("FLINT_HOME_URL", "http://home:8082/"),
        ("FLINT_KEY", "secret"),
        ("FLINT_SOURCE_DIGEST", "sha256:00"),
        ("FLINT_BUILD_MANIFEST", "requirements.txt"),
        ("FLINT_COMMAND", r#"["/flint/build"]"#),
        ("FLINT_UNPACKED_LIMIT", "1000"),
        ("FLINT_CACHE_LIMIT", "0"),
        ("PIP_INDEX_URL", "https://index"),
    ];

    fn config(change: (&'static str, &str)) -> Result<Config, ConfigError> {
        let value = |name| {
            if name == change.0 {
                Some(change.1)
            } else {
                GOOD.iter().find(|(has, _)| *has == name).map(|(_, value)| *value)
            }
        };
        let all = GOOD.iter().map(|(name, value)| (OsString::from(name), OsString::from(value)));
        Config::from(|name| value(name).map(str::to_owned).ok_or(VarError::NotPresent), all)
    }

    #[test]
    fn the_command_gets_what_is_the_users_and_no_key() {
        let config = config(("", "")).unwrap();
        assert_eq!(config.home, "http://home:8082");
        assert_eq!(config.environment, [("PIP_INDEX_URL".into(), "https://index".into())]);
    }

    #[test]
    fn what_is_missing_or_wrong_is_named() {
        for (name, value) in [
            ("FLINT_KEY", ""),
            ("FLINT_COMMAND", "make"),
            ("FLINT_COMMAND", "[\"\"]"),
            ("FLINT_CACHE_LIMIT", "1Gi"),
        ] {
            let error = config((name, value)).err().expect("an error").to_string();
            assert!(error.contains(name), "{error}");
        }
    }
}
