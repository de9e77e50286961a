//! What the operator and the builder in a build's pod say to each other; described in `docs/internals.md`.

use serde::{Deserialize, Serialize};

use crate::wire;

/// Header: `sha256:HEX` of the body that is brought.
pub const DIGEST_HEADER: &str = "x-flint-digest";
/// The build command failed, and would fail again with the same source: the Job does not try it again.
pub const FAILED: u8 = 65;
/// Something was away: the Job tries again.
pub const TRY_AGAIN: u8 = 75;

/// The builder's last words, as JSON in the pod's termination message.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", tag = "outcome")]
pub enum Outcome {
    /// The package is in the operator's store.
    Built {
        /// `sha256:HEX`
        digest: String,
        /// Its size in bytes.
        bytes: u64,
    },
    /// There is none.
    Failed {
        /// The line of the log that matters.
        message: String,
        /// The same may work later.
        heals: bool,
    },
}

/// The path at the operator's home under which a build has its things: `package` and `cache`.
#[must_use]
pub fn path(namespace: &str, build: &str, what: &str) -> String {
    format!("/builds/{namespace}/{build}/{what}")
}

/// The key of one build, in hex: derived, so that nobody has to read Secrets to check a signature.
#[must_use]
pub fn key(master: &[u8], namespace: &str, build: &str) -> String {
    // Names of namespaces and builds have no line ends, and no function's key is derived from this prefix.
    wire::derive(master, &["flint-build-key", namespace, build])
}

/// The signature of a request under a build's key: it is good for this method, this path and a body of this digest (empty without
/// one).
#[must_use]
pub fn sign(key: &str, method: &str, path: &str, digest: &str) -> String {
    wire::sign(key, request(method, path, digest).as_bytes())
}

/// Whether `signature` is the request's under the build's key; compared in constant time.
#[must_use]
pub fn verify(key: &str, method: &str, path: &str, digest: &str, signature: &str) -> bool {
    wire::verify(key, request(method, path, digest).as_bytes(), signature)
}

fn request(method: &str, path: &str, digest: &str) -> String {
    format!("{method}\n{path}\n{digest}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_signature_is_good_for_one_build_one_request_and_one_body() {
        let key = key(b"master", "shop", "flint-build-1");
        let path = path("shop", "flint-build-1", "package");
        let signature = sign(&key, "PUT", &path, "sha256:aa");
        assert!(verify(&key, "PUT", &path, "sha256:aa", &signature));
        assert!(!verify(&key, "GET", &path, "sha256:aa", &signature));
        assert!(!verify(&key, "PUT", &path, "sha256:bb", &signature));
        assert!(!verify(
            &super::key(b"master", "shop", "flint-build-2"),
            "PUT",
            &path,
            "sha256:aa",
            &signature
        ));
        assert_ne!(key, wire::instance_key(b"master", "shop", "flint-build-1"));
    }

    #[test]
    fn last_words_are_one_object() {
        let failed = Outcome::Failed { message: "no such version".into(), heals: false };
        let text = serde_json::to_string(&failed).unwrap();
        assert_eq!(text, r#"{"outcome":"failed","message":"no such version","heals":false}"#);
        assert_eq!(serde_json::from_str::<Outcome>(&text).unwrap(), failed);
    }
}
