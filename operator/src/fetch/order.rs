//! What a Function wants fetched: the part of its source that says so.

use flint_api::{Archive, Function, Git, Oci, Source};

/// What to fetch.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Order {
    pub(super) what: What,
    /// A text that a user changes to have it fetched again.
    pub(super) refresh: Option<String>,
}

/// Where code is when it is elsewhere.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum What {
    /// Behind a URL.
    Archive(Archive),
    /// In a repository.
    Git(Git),
    /// In a registry.
    Oci(Oci),
}

/// The annotation on a Function that has its source fetched again whenever it changes.
pub(crate) const REFRESH: &str = "flint.dev/refresh";

// === impl Order ===

impl Order {
    /// What the function wants fetched, if it does.
    pub(crate) fn of(function: &Function) -> Option<Self> {
        let order = Self::of_source(function.spec.source.as_ref()?)?;
        let refresh = function.metadata.annotations.as_ref().and_then(|all| all.get(REFRESH)).cloned();
        Some(Self { refresh, ..order })
    }

    /// What a source wants fetched, if it does.
    pub(crate) fn of_source(source: &Source) -> Option<Self> {
        let what = match source {
            Source { archive: Some(archive), .. } => What::Archive(archive.clone()),
            Source { git: Some(git), .. } => What::Git(git.clone()),
            Source { oci: Some(oci), .. } => What::Oci(oci.clone()),
            _ => return None,
        };
        Some(Self { what, refresh: None })
    }

    /// The order in one line, for the revision that comes of it. An archive is known by what it is, wherever it is from; a branch by
    /// its name, whatever commit it is at.
    pub(crate) fn text(&self) -> String {
        match &self.what {
            What::Archive(archive) => format!("archive sha256:{}", archive.sha256),
            What::Git(Git { url, revision, path, .. }) => {
                let revision = revision.as_deref().unwrap_or("HEAD");
                format!("git {url} {revision} {}", path.as_deref().unwrap_or("."))
            }
            What::Oci(oci) => format!("oci {}", oci.reference),
        }
    }

    /// Whether the same order may be for other code tomorrow: a branch moves, and so may a tag.
    pub(crate) fn moves(&self) -> bool {
        match &self.what {
            What::Archive(_) => false,
            What::Git(git) => {
                let revision = flint_git::Revision::of(git.revision.as_deref());
                !matches!(revision, flint_git::Revision::Commit(_))
            }
            What::Oci(oci) => !oci.reference.contains('@'),
        }
    }

    /// The Secret with the credentials.
    pub(super) fn secret(&self) -> Option<&str> {
        let secret = match &self.what {
            What::Archive(archive) => &archive.secret_ref,
            What::Git(git) => &git.secret_ref,
            What::Oci(oci) => &oci.secret_ref,
        };
        secret.as_ref().map(|secret| secret.name.as_str())
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn order(source: serde_json::Value) -> Order {
        let function = json!({"apiVersion": "flint.dev/v1alpha1", "kind": "Function", "metadata": {"name": "cart"},
            "spec": {"runtime": "nodejs", "source": source}});
        Order::of(&serde_json::from_value(function).expect("a Function")).expect("an order")
    }

    #[test]
    fn a_branch_and_a_tag_move_and_a_commit_and_an_archive_do_not() {
        let git = |revision: Option<&str>| {
            order(json!({"git": {"url": "https://example.com/a.git", "revision": revision}}))
        };
        for revision in [None, Some("main"), Some("v1"), Some("abc1234")] {
            assert!(git(revision).moves(), "{revision:?}");
        }
        assert!(!git(Some(&"a".repeat(40))).moves());
        let oci = |reference: &str| order(json!({"oci": {"reference": reference}})).moves();
        assert!(oci("registry.example/code:1") && !oci("registry.example/code@sha256:00"));
        assert!(!order(json!({"archive": {"url": "https://example.com/a.zip", "sha256": "00"}})).moves());
    }

    #[test]
    fn each_part_that_leads_to_other_code_is_in_the_text() {
        let git = |more: serde_json::Value| {
            let mut git = json!({"url": "https://example.com/a.git"});
            git.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
            order(json!({"git": git})).text()
        };
        assert_eq!(git(json!({})), "git https://example.com/a.git HEAD .");
        let all = [
            json!({}),
            json!({"revision": "main"}),
            json!({"path": "a"}),
            json!({"url": "https://example.com/b"}),
        ];
        let texts: std::collections::BTreeSet<_> = all.into_iter().map(git).collect();
        assert_eq!(texts.len(), 4);
        let secret = json!({"secretRef": {"name": "x"}});
        assert_eq!(git(secret), git(json!({})), "who asks makes no difference to what comes");
    }
}
