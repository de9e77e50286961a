//! What the operator was told at its start that shapes the objects it writes.

use flint_core::wire::HOME_PORT;
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

/// Settings of the whole installation.
#[derive(Clone, Debug)]
pub(crate) struct Settings {
    /// The namespace that Flint runs in.
    pub(crate) system_namespace: String,
    /// The cluster's DNS domain.
    pub(crate) cluster_domain: String,
    /// The gateway's DNS name, as pods of any namespace resolve it.
    pub(crate) gateway_service: String,
    /// Where clients reach the gateway, without a slash at the end.
    pub(crate) public_url: String,
    /// The image of the watchdog that runs beside users' images.
    pub(crate) watchdog_image: String,
    /// Pull policy of the images that are ours: the watchdog's and the Runtimes'.
    pub(crate) pull_policy: Option<String>,
    /// Pull secrets of every function pod; they must exist in the functions' namespaces.
    pub(crate) pull_secrets: Vec<String>,
    /// Log level of the watchdogs.
    pub(crate) watchdog_log_level: String,
    /// The key from which the functions' keys are derived.
    pub(crate) master_key: MasterKey,
}

/// The key from which the functions' keys are derived; never shown.
#[derive(Clone)]
pub(crate) struct MasterKey(Vec<u8>);

/// The chart's Service of all replicas, behind one address.
const PACKAGES_SERVICE: &str = "flint-packages";
/// The chart's Service of all replicas that has no address of its own, so that its name has theirs.
const REPLICAS_SERVICE: &str = "flint-operator-admin";
/// The least length of a master key, in bytes: what HMAC-SHA-256 makes use of.
pub(crate) const MASTER_KEY_LENGTH: usize = 32;

// === impl Settings ===

impl Settings {
    /// Where instances call home. The dot ends the name: without it a pod's resolver asks for it in each of
    /// its search domains first, which costs a cold start three round trips.
    pub(crate) fn home_url(&self) -> String {
        format!("http://{}:{HOME_PORT}", self.service(crate::leader::SERVICE))
    }

    /// Where instances fetch their packages: any replica.
    pub(crate) fn packages_url(&self) -> String {
        format!("http://{}:{HOME_PORT}", self.service(PACKAGES_SERVICE))
    }

    /// A name that has the addresses of all replicas that are ready.
    pub(crate) fn replicas(&self) -> String {
        self.service(REPLICAS_SERVICE)
    }

    fn service(&self, name: &str) -> String {
        format!("{name}.{}.svc.{}.", self.system_namespace, self.cluster_domain)
    }

    /// A function's URL for clients.
    pub(crate) fn url(&self, namespace: &str, name: &str) -> String {
        let public = self.public_url.trim_end_matches('/');
        match namespace {
            "default" => format!("{public}/function/{name}"),
            _ => format!("{public}/function/{name}.{namespace}"),
        }
    }
}

// === impl MasterKey ===

impl MasterKey {
    /// The key's bytes as they are in the environment.
    pub(crate) fn new(key: &str) -> Self {
        Self(key.as_bytes().to_vec())
    }

    /// The bytes, for whoever derives keys.
    pub(crate) fn bytes(&self) -> &[u8] {
        &self.0
    }

    /// A name of the key that gives nothing away: with another key every function needs new instances.
    pub(crate) fn fingerprint(&self) -> String {
        // HMAC takes keys of any length, so this cannot fail.
        let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(&self.0) else { return String::new() };
        mac.update(b"flint-master-key-fingerprint");
        hex::encode(&mac.finalize().into_bytes()[..4])
    }
}

impl std::fmt::Debug for MasterKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "MasterKey({})", self.fingerprint())
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// Settings of an installation in `flint-system`.
    pub(crate) fn settings() -> Settings {
        Settings {
            system_namespace: "flint-system".into(),
            cluster_domain: "cluster.local".into(),
            gateway_service: "flint-gateway.flint-system.svc.cluster.local".into(),
            public_url: "http://127.0.0.1:30080".into(),
            watchdog_image: "flint/watchdog:1".into(),
            pull_policy: None,
            pull_secrets: Vec::new(),
            watchdog_log_level: "info".into(),
            master_key: MasterKey::new("a master key of thirty-two bytes"),
        }
    }

    #[test]
    fn a_url_leaves_out_the_default_namespace() {
        assert_eq!(settings().url("default", "cart"), "http://127.0.0.1:30080/function/cart");
        assert_eq!(settings().url("shop", "cart"), "http://127.0.0.1:30080/function/cart.shop");
    }

    #[test]
    fn a_key_is_not_shown() {
        let shown = format!("{:?}", settings());
        assert!(!shown.contains("thirty-two"), "{shown}");
    }
}
