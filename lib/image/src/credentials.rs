//! Who we are to a registry: the `auths` of a Docker configuration, or a name and a password.

use std::{
    collections::BTreeMap,
    env, fs,
    path::{Path, PathBuf},
};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use oci_client::secrets::RegistryAuth;
use serde::Deserialize;

use crate::Error;

/// Credentials by registry; a registry without is asked as anybody.
#[derive(Clone, Default)]
pub struct Credentials {
    registries: BTreeMap<String, (String, String)>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct DockerConfig {
    #[serde(default)]
    auths: BTreeMap<String, DockerAuth>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct DockerAuth {
    auth: Option<String>,
    username: Option<String>,
    password: Option<String>,
}

// === impl Credentials ===

impl Credentials {
    /// Those of `$DOCKER_CONFIG/config.json` or `~/.docker/config.json`; none where there is no such file. Credential helpers are
    /// not asked: they are programs.
    ///
    /// # Errors
    /// The file is there and cannot be understood.
    pub fn from_docker_config() -> Result<Self, Error> {
        let folder = env::var_os("DOCKER_CONFIG")
            .map(PathBuf::from)
            .or_else(|| env::var_os("HOME").map(|home| Path::new(&home).join(".docker")));
        match folder.map(|folder| folder.join("config.json")) {
            Some(path) if path.exists() => {
                let text = fs::read(&path).map_err(Error::file(&path))?;
                Self::from_json(&text).map_err(|message| Error::Credentials { path, message })
            }
            _ => Ok(Self::default()),
        }
    }

    /// Those of a Docker configuration's text, which is also what a Secret of type `kubernetes.io/dockerconfigjson` holds.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn from_json(text: &[u8]) -> Result<Self, String> {
        let config: DockerConfig = serde_json::from_slice(text).map_err(|error| error.to_string())?;
        let mut credentials = Self::default();
        for (registry, auth) in config.auths {
            let pair = match (auth.auth, auth.username, auth.password) {
                (Some(auth), ..) if !auth.is_empty() => {
                    let text =
                        STANDARD.decode(auth.trim()).ok().and_then(|bytes| String::from_utf8(bytes).ok());
                    let pair = text.as_deref().and_then(|text| text.split_once(':'));
                    let (name, password) =
                        pair.ok_or_else(|| format!("the entry {registry} is not NAME:PASSWORD"))?;
                    (name.into(), password.into())
                }
                (_, Some(name), Some(password)) => (name, password),
                // A credential helper's entry is empty.
                _ => continue,
            };
            credentials.registries.insert(host(&registry).into(), pair);
        }
        Ok(credentials)
    }

    /// Sets a name and a password for a registry.
    pub fn set(&mut self, registry: &str, name: &str, password: &str) {
        self.registries.insert(host(registry).into(), (name.into(), password.into()));
    }

    /// The name and the password for a registry.
    pub fn get(&self, registry: &str) -> Option<(&str, &str)> {
        self.registries.get(host(registry)).map(|(name, password)| (name.as_str(), password.as_str()))
    }

    pub(crate) fn of(&self, registry: &str) -> RegistryAuth {
        match self.get(registry) {
            Some((name, password)) => RegistryAuth::Basic(name.to_owned(), password.to_owned()),
            None => RegistryAuth::Anonymous,
        }
    }
}

/// Docker's old entries are URLs with a version, and its own registry has two names.
fn host(registry: &str) -> &str {
    let registry =
        registry.strip_prefix("https://").or_else(|| registry.strip_prefix("http://")).unwrap_or(registry);
    match registry.split('/').next().unwrap_or(registry) {
        "docker.io" | "registry-1.docker.io" => "index.docker.io",
        host => host,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_docker_configuration_is_understood_in_its_three_forms() {
        let text = br#"{"auths": {
            "registry.example": {"auth": "YW5uYTpzZWNyZXQ6MQ=="},
            "https://index.docker.io/v1/": {"username": "ben", "password": "two"},
            "helper.example": {}
        }}"#;
        let credentials = Credentials::from_json(text).unwrap();
        assert_eq!(credentials.of("registry.example"), RegistryAuth::Basic("anna".into(), "secret:1".into()));
        assert_eq!(credentials.of("docker.io"), RegistryAuth::Basic("ben".into(), "two".into()));
        assert_eq!(credentials.of("helper.example"), RegistryAuth::Anonymous);
    }

    #[test]
    fn an_entry_that_is_no_pair_is_named() {
        let error = Credentials::from_json(br#"{"auths": {"a.example": {"auth": "!"}}}"#).err().unwrap();
        assert!(error.contains("a.example"), "{error}");
    }
}
