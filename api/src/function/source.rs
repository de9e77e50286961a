//! Where a function's code comes from.

use std::collections::BTreeMap;

use kube::KubeSchema;
use serde::{Deserialize, Serialize};

use crate::rules::{invalid, object_name};

/// Where code comes from: exactly one of the fields.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = invalid(
        "[has(self.inline), has(self.configMap), has(self.archive), has(self.git), has(self.oci)].filter(x, x).size() == 1",
        "write exactly one of inline, configMap, archive, git and oci"
    )
)]
pub struct Source {
    /// Files by name, here in the object; at most 64, 1 MB together.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 64), inner(length(max = 1_000_000)))]
    #[x_kube(
        validation = invalid("self.size() > 0", "write at least one file, such as app.py: \"…\""),
        validation = invalid(
            "self.all(name, name != '' && name.size() <= 255 && !name.startsWith('/') && !name.endsWith('/') && !name.contains('..'))",
            "name each file by its path below the code's folder, such as app.py or lib/util.py: \
             no leading or trailing '/', no '..', at most 255 characters"
        ),
        validation = invalid(
            "self.map(name, self[name].size()).sum() <= 1000000",
            "inline code may have 1 MB together: put more into archive, git, oci or an image"
        )
    )]
    pub inline: Option<BTreeMap<String, String>>,
    /// A ConfigMap of the same namespace whose keys are files.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub config_map: Option<NameRef>,
    /// An archive behind a URL.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub archive: Option<Archive>,
    /// A folder of a git repository.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub git: Option<Git>,
    /// An artifact in a registry.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub oci: Option<Oci>,
}

/// An object of the same namespace, by name.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct NameRef {
    /// Its name.
    #[schemars(length(max = 253))]
    #[x_kube(validation = object_name("ConfigMap or Secret of the same namespace", "thumbnail-code"))]
    pub name: String,
}

/// An archive behind a URL: .zip, a Lambda package as it is, or .tar.gz.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Archive {
    /// https URL.
    #[schemars(length(max = 2048))]
    #[x_kube(validation = invalid(
        "self.matches('^https://[^ /]+/[^ ]*$')",
        "write an https URL of a .zip or .tar.gz, such as https://example.com/releases/thumbnail.zip"
    ))]
    pub url: String,
    /// SHA-256 of the archive, in hex.
    #[schemars(length(max = 128))]
    #[x_kube(validation = invalid(
        "self.matches('^[0-9a-f]{64}$')",
        "write the archive's SHA-256 as 64 lower-case hex digits, as sha256sum prints it"
    ))]
    pub sha256: String,
    /// Secret with credentials.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret_ref: Option<NameRef>,
}

/// A folder of a git repository.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Git {
    /// The repository's https URL.
    #[schemars(length(max = 2048))]
    #[x_kube(validation = invalid(
        "self.matches('^https://[^ /?#@]+/[^ ?#]+$')",
        "write the repository's https URL, such as https://github.com/team/functions.git; a name and a password belong into the \
         Secret of secretRef"
    ))]
    pub url: String,
    /// Branch, tag, or all 40 digits of a commit. Default: the repository's own default branch. A branch or a tag that moves is
    /// followed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 256))]
    #[x_kube(validation = invalid(
        "self.matches('^[^- ][^ ]*$')", "write a branch, tag or commit, such as main, or remove revision"
    ))]
    pub revision: Option<String>,
    /// Folder within the repository. Default: its root.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 1024))]
    #[x_kube(validation = invalid(
        "self != '' && !self.startsWith('/') && !self.contains('..')",
        "write a folder below the repository's root, such as functions/thumbnail: no leading '/', no '..'"
    ))]
    pub path: Option<String>,
    /// Secret with credentials.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret_ref: Option<NameRef>,
}

/// An artifact in a registry.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Oci {
    /// `registry/repository@sha256:digest`, or with a tag, which is followed when it moves.
    #[schemars(length(max = 512))]
    #[x_kube(validation = invalid(
        "self.matches('^[a-zA-Z0-9][a-zA-Z0-9.-]*(:[0-9]+)?(/[a-z0-9]+([._-]+[a-z0-9]+)*)+(:[a-zA-Z0-9_][a-zA-Z0-9._-]*(@sha256:[0-9a-f]{64})?|@sha256:[0-9a-f]{64})$')",
        "write the artifact as registry/repository:tag, or registry/repository@sha256: and 64 hex digits, so that the code cannot change unseen"
    ))]
    pub reference: String,
    /// Secret with credentials.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret_ref: Option<NameRef>,
}
