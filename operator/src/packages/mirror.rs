//! Every replica has what instances may ask it for, before they do: what the leader fetched or was brought by a build is copied by the
//! others. So a leader that goes, with the folder on its node, takes no package along.

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
    time::Duration,
};

use flint_telemetry::Part;
use kube::ResourceExt as _;
use tokio::{
    sync::Notify,
    time::{Instant, MissedTickBehavior, interval, timeout},
};

use super::Storehouse;
use crate::{
    package::{BYTES_ANNOTATION, DIGEST_ANNOTATION, IMAGE_ANNOTATION},
    stores::Stores,
};

/// How often it is looked for what is missing: all in memory.
const EVERY: Duration = Duration::from_secs(5);
/// What nobody could give is asked for again after this.
const AGAIN: Duration = Duration::from_secs(60);
/// An operator that comes is ready after this long, whatever it still lacks: rollouts are waited for.
const WORTH_WAITING: Duration = Duration::from_secs(60);

/// Brings what the Revisions' instances fetch to this replica's volume, until the task is aborted; at once when `missed` says
/// that somebody asked in vain. `copied` is ready when all that the others have is here: so a rollout, which ends one replica when
/// the next is ready, loses nothing.
pub(crate) async fn mirror(store: Storehouse, stores: Stores, missed: Arc<Notify>, copied: Part) {
    let mut ticks = interval(EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut failed = HashMap::new();
    loop {
        tokio::select! {
            _ = ticks.tick() => {}
            () = missed.notified() => {}
        }
        let copying = copy(&store, &stores, &mut failed);
        tokio::pin!(copying);
        if timeout(WORTH_WAITING, &mut copying).await.is_err() {
            copied.ready();
            copying.await;
        }
        copied.ready();
    }
}

async fn copy(store: &Storehouse, stores: &Stores, failed: &mut HashMap<String, Instant>) {
    for digest in lacking(store, stores, failed, Instant::now()) {
        match store.bring(&digest).await {
            Ok(true) => tracing::info!(digest, "a package was copied"),
            Ok(false) => {
                failed.insert(digest, Instant::now() + AGAIN);
            }
            Err(error) => {
                tracing::warn!(digest, error = format!("{error:#}"), "a package cannot be copied");
                failed.insert(digest, Instant::now() + AGAIN);
            }
        }
    }
}

/// What instances may ask for and this replica lacks; not what failed a moment ago. `failed` has when it is tried again, and forgets
/// what nobody has any more.
fn lacking(
    store: &Storehouse,
    stores: &Stores,
    failed: &mut HashMap<String, Instant>,
    now: Instant,
) -> Vec<String> {
    let deployments = stores.deployments.state();
    let fetched = deployments.iter().map(|deployment| deployment.annotations()).filter(|annotations| {
        // Neither inline code, which is in ConfigMaps, nor what is in an image.
        annotations.contains_key(BYTES_ANNOTATION) && !annotations.contains_key(IMAGE_ANNOTATION)
    });
    let mut wanted: HashSet<String> = fetched.filter_map(|has| has.get(DIGEST_ANNOTATION).cloned()).collect();
    // A Revision without requests has no Deployment, and can be called again.
    let revisions = stores.revisions.state();
    let packages = revisions.iter().filter_map(|revision| revision.spec.package.as_ref());
    wanted.extend(packages.filter(|package| package.image.is_none()).map(|package| package.digest.clone()));
    failed.retain(|digest, _| wanted.contains(digest));
    wanted
        .retain(|digest| failed.get(digest).is_none_or(|again| *again <= now) && !store.volume().has(digest));
    if !wanted.is_empty() {
        // A small package that was built is in one, too.
        for map in stores.config_maps.state() {
            if let Some(digest) = map.annotations().get(DIGEST_ANNOTATION) {
                wanted.remove(digest);
            }
        }
    }
    wanted.into_iter().collect()
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use serde_json::json;

    use super::*;
    use crate::{packages::Volume, stores::tests::stores};

    fn deployment(name: &str, annotations: &serde_json::Value) -> serde_json::Value {
        json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": name, "namespace": "shop",
            "labels": {"flint.dev/function": name}, "annotations": annotations}})
    }

    #[tokio::test(start_paused = true)]
    async fn what_instances_fetch_from_a_volume_is_copied_and_nothing_else() {
        let folder = tempfile::tempdir().unwrap();
        let volume = Arc::new(Volume::open(folder.path(), 1000).unwrap());
        let (stores, mut fill) = stores();
        let mut file = volume.draft().unwrap();
        file.write_all(b"code").unwrap();
        let here = format!("sha256:{}", "a".repeat(64));
        volume.put(&here, file).unwrap();
        let other = |letter: &str| format!("sha256:{}", letter.repeat(64));
        fill.put(&deployment("here", &json!({DIGEST_ANNOTATION: here, BYTES_ANNOTATION: "4"})));
        fill.put(&deployment("inline", &json!({DIGEST_ANNOTATION: other("b")})));
        let image = json!({DIGEST_ANNOTATION: other("c"), BYTES_ANNOTATION: "4", IMAGE_ANNOTATION: "x"});
        fill.put(&deployment("image", &image));
        fill.put(&deployment("elsewhere", &json!({DIGEST_ANNOTATION: other("d"), BYTES_ANNOTATION: "4"})));
        fill.put(&deployment("small", &json!({DIGEST_ANNOTATION: other("e"), BYTES_ANNOTATION: "4"})));
        fill.put(&json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "small-code", "namespace": "shop",
            "labels": {"flint.dev/package": "e"}, "annotations": {DIGEST_ANNOTATION: other("e")}}}));
        let store = Storehouse::new(volume, None);
        let (mut failed, now) = (HashMap::new(), Instant::now());
        assert_eq!(lacking(&store, &stores, &mut failed, now), [other("d")]);
        failed.insert(other("d"), now + AGAIN);
        failed.insert(other("f"), now + AGAIN);
        assert!(lacking(&store, &stores, &mut failed, now).is_empty(), "not at once again");
        assert_eq!(failed.len(), 1, "what nobody has any more is forgotten");
        assert_eq!(lacking(&store, &stores, &mut failed, now + AGAIN), [other("d")]);
    }
}
