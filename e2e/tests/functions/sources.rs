//! Code from elsewhere: archives behind https, in a cluster whose Flint trusts the tests' authority (`sources.caBundle`).
//!
//! The server's certificate is for its name in these tests' namespaces alone, so the namespaces have fixed names, one for each test.

use flint_api::Function;
use flint_e2e::{
    cluster::SYSTEM, eventually, files::Files, functions::PATIENCE, namespace::with_namespace_named,
};
use kube::api::{Patch, PatchParams};
use serde_json::{Value, json};

#[tokio::test]
async fn a_zip_goes_from_apply_to_an_answer_to_zero_and_back() {
    with_namespace_named("e2e-sources-zip", |namespace| async move {
        let files = Files::start(&namespace).await;
        let function = files.function("zipped", files.archive("/one.zip")).apply().await;
        function.ready().await;
        assert_eq!(function.ok("/").await, "\"one\"");
        let package = function.current().await.status.unwrap_or_default().package.expect("status.package");
        assert!(package.digest.starts_with("sha256:") && package.digest.len() == 71, "{package:?}");
        assert!(package.bytes > 0, "{package:?}");
        function.zero().await;
        assert_eq!(function.ok("/").await, "\"one\"", "from zero, with the package that is there");
    })
    .await;
}

#[tokio::test]
async fn a_jar_runs_as_the_archive_that_it_is() {
    with_namespace_named("e2e-sources-jar", |namespace| async move {
        let files = Files::start(&namespace).await;
        let function = files
            .function("greeter", files.archive("/greeter.jar"))
            .set("runtime", json!("java17"))
            .set("handler", json!("com.example.Greeter::greet"))
            .apply()
            .await;
        assert_eq!(function.ok("/").await, "hello from a jar");
        function.zero().await;
        assert_eq!(function.ok("/").await, "hello from a jar", "from zero, with the package that is there");
    })
    .await;
}

#[tokio::test]
async fn a_wrong_digest_leaves_what_runs_alone_and_the_right_one_heals_it() {
    with_namespace_named("e2e-sources-digest", |namespace| async move {
        let files = Files::start(&namespace).await;
        let function = files.function("pinned", files.archive("/one.zip")).apply().await;
        assert_eq!(function.ok("/").await, "\"one\"");
        function.ready().await;
        let before = function.current().await.status.unwrap_or_default();

        let mut wrong = files.archive("/two.zip");
        wrong["sha256"] = json!("0".repeat(64));
        let function = function.set("source", json!({"archive": wrong})).apply().await;
        let built = function.condition("Built", "False").await;
        assert_eq!(built.reason, "DigestMismatch", "{built:?}");
        assert!(built.message.contains(&files.digest("/two.zip")), "it says what it has: {built:?}");
        let status = function.current().await.status.unwrap_or_default();
        assert_eq!((status.revision, status.package), (before.revision, before.package));
        assert_eq!(function.ok("/").await, "\"one\"", "what ran goes on");

        let function = function.set("source", json!({"archive": files.archive("/two.zip")})).apply().await;
        function.condition("Built", "True").await;
        eventually("the new code's answer", PATIENCE, || async {
            let body = function.ok("/").await;
            if body == "\"two\"" { Ok(()) } else { Err(body) }
        })
        .await;
    })
    .await;
}

#[tokio::test]
async fn an_archive_that_leads_out_of_its_folder_is_refused_with_the_name() {
    with_namespace_named("e2e-sources-poisoned", |namespace| async move {
        let files = Files::start(&namespace).await;
        let function = files.function("poisoned", files.archive("/escape.zip")).apply().await;
        let built = function.condition("Built", "False").await;
        assert_eq!(built.reason, "ArchiveRefused", "{built:?}");
        assert!(built.message.contains("../../etc/cron.d/escape"), "{built:?}");
        assert!(namespace.pods("poisoned").await.is_empty(), "nothing runs");
    })
    .await;
}

#[tokio::test]
async fn a_private_archive_needs_a_secret_that_the_operator_may_read() {
    with_namespace_named("e2e-sources-private", |namespace| async move {
        let files = Files::start(&namespace).await;
        let mut archive = files.archive("/private/one.zip");
        let function = files.function("private", archive.clone()).apply().await;
        let refused = function.condition("Built", "False").await;
        assert_eq!(refused.reason, "SourceRefused", "{refused:?}");

        let secret = json!({
            "apiVersion": "v1", "kind": "Secret", "metadata": {"name": "repository", "namespace": namespace.name},
            "stringData": {"token": "open-sesame"},
        });
        namespace.apply(&secret).await.expect("a Secret");
        archive["secretRef"] = json!({"name": "repository"});
        let function = function.set("source", json!({"archive": archive})).apply().await;
        let unreadable = function.condition("Built", "False").await;
        assert_eq!(unreadable.reason, "CredentialsUnreadable", "{unreadable:?}");

        for object in let_the_operator_read("repository", &namespace.name) {
            namespace.apply(&object).await.expect("a right");
        }
        function.condition("Built", "True").await;
        assert_eq!(function.ok("/").await, "\"one\"");
    })
    .await;
}

#[tokio::test]
async fn a_branch_is_followed_and_what_is_not_there_leaves_what_runs_alone() {
    with_namespace_named("e2e-sources-git", |namespace| async move {
        let files = Files::start(&namespace).await;
        let git =
            |path: &str| json!({"git": {"url": files.url("/team.git"), "revision": "main", "path": path}});
        let function =
            namespace.function("followed").python("").set("source", git("functions/word")).apply().await;
        assert_eq!(function.ok("/").await, "\"one\"");
        function.ready().await;
        let first = function.current().await.status.unwrap_or_default();
        let commit = first.source.and_then(|source| source.commit).expect("status.source.commit");
        assert_eq!(commit.len(), 40, "{commit}");

        let pushed = files.push("two").await;
        let refresh = json!({"metadata": {"annotations": {"flint.dev/refresh": "now"}}});
        namespace
            .api::<Function>()
            .patch("followed", &PatchParams::default(), &Patch::Merge(&refresh))
            .await
            .expect("an annotation");
        let says = |word: &'static str| {
            let function = &function;
            eventually("the new commit's answer", PATIENCE, move || async move {
                let body = function.ok("/").await;
                if body == format!("\"{word}\"") { Ok(()) } else { Err(body) }
            })
        };
        says("two").await;
        eventually("the new commit in the status", PATIENCE, || async {
            let source = function.current().await.status.unwrap_or_default().source.unwrap_or_default();
            if source.commit.as_deref() == Some(&pushed) { Ok(()) } else { Err(source) }
        })
        .await;

        files.push("three").await;
        says("three").await;

        let function = function.set("source", git("functions/missing")).apply().await;
        let built = function.condition("Built", "False").await;
        assert_eq!(built.reason, "SourceNotFound", "{built:?}");
        assert!(built.message.contains("functions/missing"), "{built:?}");
        assert_eq!(function.ok("/").await, "\"three\"", "what ran goes on");
    })
    .await;
}

#[tokio::test]
async fn an_artifact_of_a_registry_runs_and_says_its_digest() {
    with_namespace_named("e2e-sources-oci", |namespace| async move {
        let files = Files::start(&namespace).await;
        let host = files.url("").trim_start_matches("https://").to_owned();
        let oci = |rest: &str| json!({"oci": {"reference": format!("{host}/team/word{rest}")}});
        let function = namespace.function("artifact").python("").set("source", oci(":one")).apply().await;
        assert_eq!(function.ok("/").await, "\"one\"");
        function.ready().await;
        let source = function.current().await.status.unwrap_or_default().source.unwrap_or_default();
        let digest = source.digest.expect("status.source.digest");

        let function = function.set("source", oci(":two")).apply().await;
        eventually("the other tag's answer", PATIENCE, || async {
            let body = function.ok("/").await;
            if body == "\"two\"" { Ok(()) } else { Err(body) }
        })
        .await;
        let function = function.set("source", oci(&format!("@{digest}"))).apply().await;
        eventually("the first one's answer, by its digest", PATIENCE, || async {
            let body = function.ok("/").await;
            if body == "\"one\"" { Ok(()) } else { Err(body) }
        })
        .await;

        let function = function.set("source", oci(":three")).apply().await;
        let built = function.condition("Built", "False").await;
        assert_eq!(built.reason, "SourceNotFound", "{built:?}");
        assert_eq!(function.ok("/").await, "\"one\"", "what ran goes on");
    })
    .await;
}

/// The Role of docs/rbac.md: one Secret, in one namespace.
fn let_the_operator_read(secret: &str, namespace: &str) -> [Value; 2] {
    let metadata = json!({"name": "flint-sources", "namespace": namespace});
    let group = "rbac.authorization.k8s.io";
    let version = format!("{group}/v1");
    [
        json!({
            "apiVersion": version, "kind": "Role", "metadata": metadata,
            "rules": [{"apiGroups": [""], "resources": ["secrets"], "resourceNames": [secret], "verbs": ["get"]}],
        }),
        json!({
            "apiVersion": version, "kind": "RoleBinding", "metadata": metadata,
            "roleRef": {"apiGroup": group, "kind": "Role", "name": "flint-sources"},
            "subjects": [{"kind": "ServiceAccount", "name": "flint-operator", "namespace": SYSTEM}],
        }),
    ]
}
