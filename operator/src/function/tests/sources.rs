//! Code that is elsewhere: what becomes of a function while it is fetched, when it is there, and when it is not.

use super::*;
use crate::{
    fetch::{Failure, Made, Progress},
    function::problem,
};

fn archive(sha256: char) -> Value {
    json!({"apiVersion": "flint.dev/v1alpha1", "kind": "Function", "metadata": {"name": "cart", "namespace": "shop"},
        "spec": {"runtime": "python3.11", "handler": "app.handler", "source": {"archive": {
            // Refused at once, should anybody ask for it.
            "url": "https://169.254.0.1/cart.zip", "sha256": sha256.to_string().repeat(64)}}}})
}

fn made(digit: char) -> Made {
    Made { digest: format!("sha256:{}", digit.to_string().repeat(64)), bytes: 5000, resolved: None }
}

impl Cluster {
    /// What the fetcher has come to with the function's source.
    fn fetched(&self, progress: Progress) {
        let key = Key::new("shop", "cart");
        let function = self.context.stores.function(&key).expect("a Function");
        self.fetcher.set(&key, &function, progress);
    }

    fn deployment(&self) -> Value {
        let mut deployments = self.server.objects("Deployment");
        assert_eq!(deployments.len(), 1);
        deployments.remove(0)
    }

    async fn serving_archive(&mut self) -> String {
        self.put(&archive('a'));
        self.fetched(Progress::Made(made('1')));
        self.settle().await;
        let revision = self.latest();
        self.pod(&revision, 0, None);
        self.settle().await;
        revision
    }
}

#[tokio::test(start_paused = true)]
async fn a_function_waits_for_its_code_and_then_starts() {
    let mut cluster = Cluster::new().await;
    cluster.put(&archive('a'));
    cluster.fetched(Progress::Working);
    cluster.settle().await;
    let (status, reason, _) = cluster.condition("Built");
    assert_eq!((status.as_str(), reason.as_str()), ("Unknown", problem::FETCHING));
    assert_eq!(cluster.condition("Deployed").0, "Unknown");
    assert_eq!(cluster.condition("Ready").0, "Unknown");
    assert!(cluster.revisions().is_empty());

    cluster.fetched(Progress::Made(made('1')));
    cluster.settle().await;
    assert_eq!(cluster.condition("Built").0, "True");
    let deployment = cluster.deployment();
    let annotations = &deployment["metadata"]["annotations"];
    assert_eq!(annotations["flint.dev/package-digest"], made('1').digest);
    assert_eq!(annotations["flint.dev/package-source"], format!("archive sha256:{}", "a".repeat(64)));
    let env = deployment["spec"]["template"]["spec"]["containers"][0]["env"].to_string();
    assert!(env.contains(&format!("/packages/{}", made('1').digest)), "{env}");
    assert!(cluster.server.names("ConfigMap").is_empty(), "its package is on the volume");
    let record = cluster.server.objects("Revision").remove(0);
    let origin = &record["spec"]["package"]["origin"]["archive"];
    assert_eq!(origin["url"], "https://169.254.0.1/cart.zip", "where it can be had again");

    let revision = cluster.latest();
    cluster.pod(&revision, 0, None);
    cluster.settle().await;
    assert_eq!(cluster.function()["status"]["package"], json!({"digest": made('1').digest, "bytes": 5000}));
    assert_eq!(cluster.condition("Ready").0, "True");
    cluster.end().await;
}

#[tokio::test(start_paused = true)]
async fn code_that_cannot_be_fetched_leaves_the_running_revision_alone() {
    let mut cluster = Cluster::new().await;
    let serving = cluster.serving_archive().await;
    let before = cluster.deployment();

    let update = changed(&cluster, &archive('b'));
    cluster.put(&update);
    cluster.fetched(Progress::Working);
    cluster.settle().await;
    assert_eq!(cluster.condition("Built").1, problem::FETCHING);
    assert_eq!(cluster.serving(), serving);

    cluster.fetched(Progress::Failed(Failure::lasting(problem::DIGEST_MISMATCH, "It is another.")));
    cluster.settle().await;
    let (status, reason, message) = cluster.condition("Ready");
    assert_eq!((status.as_str(), reason.as_str()), ("False", problem::DIGEST_MISMATCH));
    assert!(message.contains(&format!("Revision {serving} keeps serving")), "{message}");
    assert_eq!(cluster.serving(), serving);
    assert_eq!(cluster.deployment(), before);
    cluster.end().await;
}

#[tokio::test(start_paused = true)]
async fn a_new_leader_takes_the_package_from_the_revision_and_fetches_it_again_beside() {
    let mut cluster = Cluster::new().await;
    let serving = cluster.serving_archive().await;
    let before = cluster.deployment();
    // As after a restart with an empty volume.
    let key = Key::new("shop", "cart");
    cluster.fetcher.forget(&key);
    let lost = cluster.fetcher.lose(&made('1').digest);
    assert!(lost, "it was there");
    let function = cluster.context.stores.function(&key).unwrap();
    let package =
        cluster.context.sources.package(&cluster.context.client, &cluster.context.stores, &key, &function);
    let package = package.await.unwrap().unwrap().expect("a package");
    assert_eq!((package.digest, package.size), (made('1').digest, 5000));
    let order = crate::fetch::Order::of(&function).unwrap();
    assert_eq!(cluster.fetcher.progress(&key, &order), Some(Progress::Working));
    assert_eq!((cluster.deployment(), cluster.serving()), (before, serving));
    cluster.end().await;
}
