//! Packages that no revision has are removed from the volume, after a while.

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
    time::Duration,
};

use kube::ResourceExt as _;
use tokio::{
    sync::watch,
    time::{Instant, MissedTickBehavior, interval},
};

use super::{Storehouse, Volume};
use crate::{fetch::Fetcher, package::DIGEST_ANNOTATION, stores::Stores};

/// How often the volume is looked through.
const EVERY: Duration = Duration::from_secs(10 * 60);
/// So long a package stays when nobody has it any more: whoever goes back to it does not wait.
const GRACE: Duration = Duration::from_secs(60 * 60);

/// Since when each package has been nobody's.
type Unused = HashMap<String, Instant>;

/// Removes packages until the task is aborted: every replica from its own volume, and the one that leads from the shared store.
pub(crate) async fn sweep(
    volume: Arc<Volume>,
    store: Storehouse,
    leads: watch::Receiver<bool>,
    stores: Stores,
    fetcher: Arc<Fetcher>,
) {
    let (mut unused, mut unused_in_store) = (Unused::new(), Unused::new());
    let mut ticks = interval(EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        let mut used = fetcher.digests();
        for deployment in stores.deployments.state() {
            used.extend(deployment.annotations().get(DIGEST_ANNOTATION).cloned());
        }
        // A build may take longer than the grace, and its source is to be there for each attempt.
        for job in stores.jobs.state() {
            used.extend(job.annotations().get(DIGEST_ANNOTATION).cloned());
        }
        for revision in stores.revisions.state() {
            used.extend(revision.spec.package.as_ref().map(|package| package.digest.clone()));
        }
        let gone = expired(&mut unused, volume.digests(), |digest| used.contains(digest), Instant::now());
        let volume = Arc::clone(&volume);
        let removed = tokio::task::spawn_blocking(move || {
            for digest in gone {
                match volume.remove(&digest) {
                    Ok(()) => tracing::info!(digest, "a package that nobody has is removed"),
                    Err(error) => tracing::warn!(digest, %error, "a package cannot be removed"),
                }
            }
        });
        let _ = removed.await;
        let leading = *leads.borrow();
        if leading && let Err(error) = sweep_store(&store, &mut unused_in_store, &used).await {
            tracing::warn!(error = format!("{error:#}"), "the package store cannot be looked through");
        }
    }
}

async fn sweep_store(store: &Storehouse, unused: &mut Unused, used: &HashSet<String>) -> anyhow::Result<()> {
    let Some(shared) = store.shared() else { return Ok(()) };
    let stored = shared.list().await?;
    for digest in expired(unused, stored, |digest| used.contains(digest), Instant::now()) {
        store.forget(&digest);
        shared.remove(&digest).await?;
        tracing::info!(digest, "a package that nobody has is removed from the store");
    }
    Ok(())
}

/// The packages that have been nobody's for long enough.
fn expired(
    unused: &mut Unused,
    stored: Vec<String>,
    used: impl Fn(&str) -> bool,
    now: Instant,
) -> Vec<String> {
    unused.retain(|digest, _| stored.contains(digest));
    let mut gone = Vec::new();
    for digest in stored {
        if used(&digest) {
            unused.remove(&digest);
        } else if now.duration_since(*unused.entry(digest.clone()).or_insert(now)) >= GRACE {
            gone.push(digest);
        }
    }
    gone
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_package_goes_an_hour_after_its_last_revision() {
        let (mut unused, now) = (Unused::new(), Instant::now());
        let stored = || vec!["a".to_owned(), "b".to_owned()];
        let is_a = |digest: &str| digest == "a";
        assert!(expired(&mut unused, stored(), is_a, now).is_empty());
        assert!(expired(&mut unused, stored(), is_a, now + GRACE / 2).is_empty());
        assert_eq!(expired(&mut unused, stored(), is_a, now + GRACE), ["b"]);
        assert!(!unused.contains_key("a"));
    }

    #[test]
    fn a_package_that_is_used_again_starts_over() {
        let (mut unused, now) = (Unused::new(), Instant::now());
        let stored = || vec!["a".to_owned()];
        expired(&mut unused, stored(), |_| false, now);
        expired(&mut unused, stored(), |_| true, now + GRACE / 2);
        assert!(expired(&mut unused, stored(), |_| false, now + GRACE).is_empty());
        assert_eq!(expired(&mut unused, stored(), |_| false, now + GRACE * 2), ["a"]);
    }

    #[test]
    fn what_is_gone_is_forgotten() {
        let (mut unused, now) = (Unused::new(), Instant::now());
        expired(&mut unused, vec!["a".to_owned()], |_| false, now);
        expired(&mut unused, vec![], |_| false, now);
        assert!(unused.is_empty());
    }
}
