//! What the installation says about builds: limits, and what every build's pod has.

use std::{path::PathBuf, time::Duration};

use k8s_openapi::api::core::v1::{EnvFromSource, EnvVar, ResourceRequirements, Toleration};
use serde::Deserialize;

use crate::settings::Settings;

/// What the installation says about builds.
#[derive(Clone, Debug)]
pub(crate) struct BuildConfig {
    /// The image with the builder in it.
    pub(crate) builder_image: String,
    /// Builds at a time, in all namespaces.
    pub(crate) at_once: usize,
    /// How long one may take, all attempts together, where the Function says nothing.
    pub(crate) timeout: Duration,
    /// Bytes that a package may hold.
    pub(crate) unpacked: u64,
    /// Bytes that one cache may hold; 0 keeps none.
    pub(crate) cache: u64,
    /// What every build's pod has.
    pub(crate) pod: PodConfig,
    /// A file of certificates in PEM that servers may be signed by, beside those of the build's image. Read for each build.
    pub(crate) authorities: Option<PathBuf>,
}

/// What every build's pod has: fields of core/v1, as the chart's `builds` has them.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default, rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct PodConfig {
    /// Environment of the build command; a Function's own wins.
    pub(crate) env: Vec<EnvVar>,
    /// The same from ConfigMaps and Secrets of the functions' namespaces.
    pub(crate) env_from: Vec<EnvFromSource>,
    /// Where the Function names none.
    pub(crate) resources: ResourceRequirements,
    /// Where builds run.
    pub(crate) node_selector: std::collections::BTreeMap<String, String>,
    /// What they put up with.
    pub(crate) tolerations: Vec<Toleration>,
}

/// What a Job's manifest is made from, beside its order.
#[derive(Clone, Copy)]
pub(crate) struct Installation<'a> {
    /// For all parts.
    pub(crate) settings: &'a Settings,
    /// For builds.
    pub(crate) builds: &'a BuildConfig,
}

// === impl PodConfig ===

impl PodConfig {
    /// Reads it from JSON.
    ///
    /// # Errors
    /// With what is wrong and where.
    pub(crate) fn read(text: &str) -> Result<Self, String> {
        let config: Self = serde_json::from_str(text).map_err(|error| error.to_string())?;
        match config.env.iter().find(|variable| variable.name.starts_with("FLINT_")) {
            Some(ours) => Err(format!("{} belongs to the builder: choose another name", ours.name)),
            None => Ok(config),
        }
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// What a small installation says.
    pub(crate) fn config() -> BuildConfig {
        BuildConfig {
            builder_image: "flint/builder:1".into(),
            at_once: 2,
            timeout: Duration::from_secs(900),
            unpacked: 1 << 20,
            cache: 1 << 20,
            pod: PodConfig::default(),
            authorities: None,
        }
    }

    #[test]
    fn what_is_misspelt_or_the_builders_own_is_refused() {
        let good = r#"{"env": [{"name": "PIP_INDEX_URL", "value": "https://index"}], "resources": {"limits": {"memory": "2Gi"}}}"#;
        assert_eq!(PodConfig::read(good).unwrap().env[0].name, "PIP_INDEX_URL");
        assert!(PodConfig::read(r#"{"evn": []}"#).unwrap_err().contains("evn"));
        assert!(PodConfig::read(r#"{"env": [{"name": "FLINT_KEY"}]}"#).unwrap_err().contains("FLINT_KEY"));
    }
}
