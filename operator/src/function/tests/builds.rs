//! Sources with dependencies: what becomes of a function while they are built, when they are, and when they cannot be.

use super::*;
use crate::function::problem;

/// A function whose code names dependencies.
fn with(name: &str, requirements: &str) -> Value {
    json!({"apiVersion": "flint.dev/v1alpha1", "kind": "Function",
        "metadata": {"name": name, "namespace": "shop", "uid": format!("uid-{name}"), "generation": 1},
        "spec": {"runtime": "python3.11", "handler": "app.handler",
            "source": {"inline": {"app.py": "import six", "requirements.txt": requirements}}}})
}

impl Cluster {
    async fn that_builds() -> Self {
        let mut cluster = Self::new().await;
        cluster.put(&json!({"apiVersion": "flint.dev/v1alpha1", "kind": "Runtime", "metadata": {"name": "python3.11"},
            "spec": {"mode": "lambda", "image": "python:1", "command": ["python3", "-m", "awslambdaric", "{handler}"],
                "build": {"image": "python-build:1", "manifests": ["requirements.txt"]}}}));
        cluster
    }

    fn job(&self) -> Value {
        let mut jobs = self.server.objects("Job");
        assert_eq!(jobs.len(), 1, "{jobs:?}");
        jobs.remove(0)
    }

    /// The Job's pod ends with those last words.
    async fn ends(&mut self, code: i32, words: &Value) {
        let mut job = self.job();
        let name = job["metadata"]["name"].clone();
        self.fill.put(&json!({"apiVersion": "v1", "kind": "Pod",
            "metadata": {"name": format!("{}-x", name.as_str().unwrap()), "namespace": "shop", "labels": {"flint.dev/build": name}},
            "status": {"containerStatuses": [{"name": "build", "image": "b", "imageID": "", "ready": false, "restartCount": 0,
                "state": {"terminated": {"exitCode": code, "message": words.to_string()}}}]}}));
        let kind = if code == 0 { "Complete" } else { "Failed" };
        job["status"] = json!({"conditions": [{"type": kind, "status": "True", "lastTransitionTime": "2026-01-01T00:00:00Z"}]});
        self.put(&job);
        self.settle().await;
    }

    /// The builder brings a package, then ends well.
    async fn builds(&mut self, text: &str) -> String {
        let digest = self.bring(text);
        self.ends(0, &json!({"outcome": "built", "digest": digest, "bytes": text.len()})).await;
        digest
    }

    fn bring(&self, text: &str) -> String {
        use sha2::Digest as _;
        let digest = format!("sha256:{}", hex::encode(sha2::Sha256::digest(text)));
        self.fetcher.keep(&digest, text);
        digest
    }

    async fn serving_built(&mut self) -> String {
        self.put(&with("cart", "six"));
        self.settle().await;
        self.builds("package").await;
        let revision = self.latest();
        self.pod(&revision, 0, None);
        self.settle().await;
        revision
    }
}

#[tokio::test(start_paused = true)]
async fn a_function_waits_for_its_build_and_then_starts_with_what_was_built() {
    let mut cluster = Cluster::that_builds().await;
    cluster.put(&with("cart", "six"));
    cluster.settle().await;
    let (status, reason, message) = cluster.condition("Built");
    assert_eq!((status.as_str(), reason.as_str()), ("Unknown", problem::BUILDING));
    let name = cluster.job()["metadata"]["name"].as_str().unwrap().to_owned();
    assert!(message.contains(&format!("job/{name}")), "{message}");
    assert_eq!(cluster.server.names("Secret"), [name.as_str()], "its key, and no revision's");
    assert!(cluster.revisions().is_empty());
    assert!(cluster.settle().await.is_empty(), "nothing is done twice");

    let digest = cluster.builds("package").await;
    assert_eq!(cluster.condition("Built").0, "True");
    let annotations = cluster.server.objects("Deployment")[0]["metadata"]["annotations"].clone();
    assert_eq!(annotations["flint.dev/package-digest"], digest);
    assert_eq!(annotations["flint.dev/package-source"], format!("build {name}"));
    assert_eq!(cluster.server.names("ConfigMap").len(), 1, "a small one outlives the operator's volume");
    let events = cluster.events();
    for reason in ["BuildStarted", "BuildReady"] {
        assert!(events.contains(&reason.to_owned()), "{events:?}");
    }
    cluster.end().await;
}

#[tokio::test(start_paused = true)]
async fn a_build_that_was_made_is_not_made_again_even_when_its_job_is_gone() {
    let mut cluster = Cluster::that_builds().await;
    cluster.serving_built().await;
    let job = cluster.job();
    cluster.remove(&format!(
        "/apis/batch/v1/namespaces/shop/jobs/{}",
        job["metadata"]["name"].as_str().unwrap()
    ));
    assert!(cluster.settle().await.is_empty());
    let mut update = changed(&cluster, &with("cart", "six"));
    update["spec"]["timeout"] = json!("5s");
    cluster.put(&update);
    cluster.settle().await;
    assert_eq!(cluster.condition("Built").0, "True");
    assert!(cluster.server.objects("Job").is_empty());
    cluster.end().await;
}

#[tokio::test(start_paused = true)]
async fn a_build_that_fails_quotes_the_line_that_matters_and_leaves_the_running_revision_alone() {
    let mut cluster = Cluster::that_builds().await;
    let serving = cluster.serving_built().await;
    let job = cluster.job();
    cluster.remove(&format!(
        "/apis/batch/v1/namespaces/shop/jobs/{}",
        job["metadata"]["name"].as_str().unwrap()
    ));
    let update = changed(&cluster, &with("cart", "nothing==9"));
    cluster.put(&update);
    cluster.settle().await;
    assert_eq!(cluster.condition("Built").1, problem::BUILDING);
    cluster.ends(65, &json!({"outcome": "failed", "message": "ERROR: No matching distribution found for nothing==9", "heals": false})).await;
    let (status, reason, message) = cluster.condition("Ready");
    assert_eq!((status.as_str(), reason.as_str()), ("False", problem::BUILD_FAILED));
    assert!(message.contains("No matching distribution found for nothing==9"), "{message}");
    assert!(message.contains(&format!("Revision {serving} keeps serving")), "{message}");
    assert_eq!(cluster.serving(), serving);
    assert!(cluster.settle().await.is_empty(), "it is not built again");
    cluster.end().await;
}

#[tokio::test(start_paused = true)]
async fn a_job_that_somebody_deleted_is_made_again_and_one_that_nobody_wants_is_ended() {
    let mut cluster = Cluster::that_builds().await;
    cluster.put(&with("cart", "six"));
    cluster.settle().await;
    let path = format!(
        "/apis/batch/v1/namespaces/shop/jobs/{}",
        cluster.job()["metadata"]["name"].as_str().unwrap()
    );
    cluster.remove(&path);
    assert!(cluster.settle().await.contains(&"POST jobs".to_owned()));
    let update = changed(&cluster, &with("cart", "six==1.17.0"));
    cluster.put(&update);
    let writes = cluster.settle().await;
    assert!(
        writes.contains(&"POST jobs".to_owned())
            && writes.iter().any(|write| write.starts_with("DELETE jobs/")),
        "{writes:?}"
    );
    assert!(cluster.server.get(&path).is_none());
    cluster.end().await;
}
