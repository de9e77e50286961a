//! A Kubernetes Lease: at most one holder at a time, judged by no clock but our own.
//!
//! The decision is [`evaluate`], a pure function; the task around it reads and writes the Lease. Two rules keep two holders
//! from overlapping:
//!
//! * **Others' clocks are never believed.** A candidate notes when it *saw* the Lease change last. Only when it has seen no
//!   change for the whole duration does it take over, so skewed clocks cannot shorten a tenure.
//! * **A holder stops earlier than others may begin.** Its right ends [`Config::renew_deadline`] after the *sending* of the last
//!   renewal that succeeded, and a candidate waits [`Config::duration`], which is longer. [`Holding::is_held`] compares times, so
//!   a task that was asleep for a minute does not believe in an old right when it wakes.
//!
//! Races: two candidates that find the Lease expired both write it with the version they read; the API server takes one and
//! answers 409 to the other, which then waits. A renewal whose answer is lost may have been stored: the next attempt gets 409,
//! reads the Lease again, finds itself in it, and renews. At shutdown the holder writes an empty identity, and the next one
//! need not wait at all.

use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::{api::coordination::v1::Lease as Object, apimachinery::pkg::apis::meta::v1::MicroTime};
use kube::{Api, Client, ResourceExt, api::PostParams};
use tokio::{
    sync::watch,
    task::JoinHandle,
    time::{Instant, sleep, sleep_until, timeout},
};
use tokio_util::sync::CancellationToken;

/// Which Lease, and the times that go with it.
#[derive(Clone, Debug)]
pub struct Config {
    /// The Lease's namespace.
    pub namespace: String,
    /// The Lease's name.
    pub name: String,
    /// Who we are: unique per process, not only per pod name.
    pub identity: String,
    /// How long others wait after the last change they saw.
    pub duration: Duration,
    /// How long after its last successful renewal a holder may still act; less than `duration`.
    pub renew_deadline: Duration,
    /// How often a holder renews.
    pub renew_every: Duration,
    /// How often a candidate looks: each look is a request to the API server, at rest too.
    pub look_every: Duration,
    /// How soon a failed renewal is repeated.
    pub retry_every: Duration,
}

/// A Lease that this process wants to hold.
pub struct Lease {
    api: Api<Object>,
    config: Config,
}

/// Whether this process holds the Lease; clones see the same.
#[derive(Clone, Debug)]
pub struct Holding {
    until: watch::Receiver<Option<Instant>>,
}

/// What is known of the Lease, and when that changed last by our own clock.
#[derive(Clone, Debug, PartialEq)]
pub struct Observed {
    /// The holder; none when it was released.
    pub holder: Option<String>,
    /// How long the holder asks others to wait.
    pub duration: Duration,
    /// The version that was seen.
    pub version: Option<String>,
    /// When that version was first seen.
    pub since: Instant,
}

/// What to do now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Nobody holds it, or whoever did is overdue.
    Acquire,
    /// It is ours.
    Renew,
    /// Another holds it, for at least this long.
    Wait(Duration),
}

/// Decides whether `me` may take the Lease. `observed` is none when there is no Lease yet.
#[must_use]
pub fn evaluate(observed: Option<&Observed>, me: &str, now: Instant) -> Verdict {
    let Some(observed) = observed else { return Verdict::Acquire };
    match observed.holder.as_deref() {
        None => Verdict::Acquire,
        Some(holder) if holder == me => Verdict::Renew,
        Some(_) => {
            let expires = observed.since + observed.duration;
            if now >= expires { Verdict::Acquire } else { Verdict::Wait(expires - now) }
        }
    }
}

// === impl Config ===

impl Config {
    /// The usual times: others wait 15 s, a holder stops after 10 s without a renewal and renews every 3 s.
    #[must_use]
    pub fn new(namespace: &str, name: &str, identity: &str) -> Self {
        Self {
            namespace: namespace.to_owned(),
            name: name.to_owned(),
            identity: identity.to_owned(),
            duration: Duration::from_secs(15),
            renew_deadline: Duration::from_secs(10),
            renew_every: Duration::from_secs(3),
            // Also how long a released Lease may lie unnoticed.
            look_every: Duration::from_secs(1),
            retry_every: Duration::from_secs(1),
        }
    }
}

// === impl Observed ===

impl Observed {
    /// What `lease` says, seen at `now`. The time stays that of `before` when nothing changed since.
    #[must_use]
    pub fn see(before: Option<&Self>, lease: &Object, now: Instant) -> Self {
        let version = lease.resource_version();
        let spec = lease.spec.clone().unwrap_or_default();
        let seconds =
            spec.lease_duration_seconds.and_then(|seconds| u64::try_from(seconds).ok()).unwrap_or(0);
        let since = match before {
            Some(before) if before.version == version => before.since,
            _ => now,
        };
        Self {
            holder: spec.holder_identity.filter(|holder| !holder.is_empty()),
            duration: Duration::from_secs(seconds),
            version,
            since,
        }
    }
}

// === impl Holding ===

impl Holding {
    /// Whether the Lease is ours at this moment.
    #[must_use]
    pub fn is_held(&self) -> bool {
        self.until.borrow().is_some_and(|until| Instant::now() < until)
    }

    /// Waits until the Lease is ours. Never returns when the task has ended.
    pub async fn acquired(&self) {
        let mut until = self.until.clone();
        loop {
            if self.is_held() {
                return;
            }
            if until.changed().await.is_err() {
                std::future::pending::<()>().await;
            }
        }
    }

    /// Waits until the Lease is not ours, or not any more.
    pub async fn lost(&self) {
        let mut until = self.until.clone();
        loop {
            let Some(end) = *until.borrow_and_update() else { return };
            tokio::select! {
                () = sleep_until(end) => if !self.is_held() { return },
                changed = until.changed() => if changed.is_err() { return },
            }
        }
    }
}

// === impl Lease ===

impl Lease {
    /// The Lease that `config` names.
    #[must_use]
    pub fn new(client: Client, config: Config) -> Self {
        Self { api: Api::namespaced(client, &config.namespace), config }
    }

    /// Tries to get and keep the Lease until `shutdown`, and releases it then. Whoever acts under the Lease must have ended
    /// before `shutdown` is cancelled. After losing it the task tries again; a fail-stop process leaves on [`Holding::lost`].
    #[must_use]
    pub fn spawn(self, shutdown: CancellationToken) -> (Holding, JoinHandle<()>) {
        let (sender, until) = watch::channel(None);
        let task = tokio::spawn(async move {
            tokio::select! {
                () = self.contest(&sender) => {}
                () = shutdown.cancelled() => {}
            }
            // Nobody is told "held" any more before the others are told "free".
            let held = sender.send_replace(None).is_some_and(|until| Instant::now() < until);
            if held {
                self.release().await;
            }
        });
        (Holding { until }, task)
    }

    async fn contest(&self, until: &watch::Sender<Option<Instant>>) {
        let mut seen = None;
        // What we wrote last: as long as nobody else writes, renewing needs no reading.
        let mut ours = None;
        loop {
            let wait = match timeout(self.config.renew_deadline / 2, self.step(&mut seen, &mut ours)).await {
                Ok(Ok(Some(sent))) => {
                    if until.send_replace(Some(sent + self.config.renew_deadline)).is_none() {
                        tracing::info!(
                            lease = self.config.name,
                            identity = self.config.identity,
                            "the lease is ours"
                        );
                    }
                    self.config.renew_every
                }
                Ok(Ok(None)) => {
                    // Another holds it: whatever we believed is over.
                    if until.send_replace(None).is_some() {
                        tracing::warn!(lease = self.config.name, "another holds the lease");
                    }
                    jittered(self.config.look_every)
                }
                // Somebody wrote in between, or it was us and the answer was lost: look again soon.
                Ok(Err(kube::Error::Api(status))) if status.code == 409 => self.config.retry_every / 10,
                Ok(Err(error)) => {
                    tracing::warn!(lease = self.config.name, %error, "the lease cannot be read or written");
                    jittered(self.config.retry_every)
                }
                Err(_) => self.config.retry_every / 10,
            };
            if until.borrow().is_some_and(|until| Instant::now() >= until) {
                until.send_replace(None);
                tracing::warn!(lease = self.config.name, "the lease could not be renewed in time");
            }
            sleep(wait).await;
        }
    }

    /// One look where it is needed, and one write if it is ours to make. Gives the time of sending when the Lease is ours
    /// after it.
    async fn step(
        &self,
        seen: &mut Option<Observed>,
        ours: &mut Option<Object>,
    ) -> Result<Option<Instant>, kube::Error> {
        let lease = match ours.take() {
            Some(lease) => Some(lease),
            None => self.api.get_opt(&self.config.name).await?,
        };
        *seen = lease.as_ref().map(|lease| Observed::see(seen.as_ref(), lease, Instant::now()));
        let sent = Instant::now();
        match evaluate(seen.as_ref(), &self.config.identity, sent) {
            Verdict::Wait(_) => Ok(None),
            Verdict::Acquire | Verdict::Renew => {
                *ours = Some(self.write(lease).await?);
                Ok(Some(sent))
            }
        }
    }

    async fn write(&self, lease: Option<Object>) -> Result<Object, kube::Error> {
        let now = MicroTime(Timestamp::now());
        let params = PostParams::default();
        let fresh = lease.is_none();
        let mut lease = lease.unwrap_or_default();
        lease.metadata.name = Some(self.config.name.clone());
        let spec = lease.spec.get_or_insert_default();
        if spec.holder_identity.as_deref() != Some(self.config.identity.as_str()) {
            spec.lease_transitions = Some(if fresh { 0 } else { spec.lease_transitions.unwrap_or(0) + 1 });
            spec.acquire_time = Some(now.clone());
        }
        spec.holder_identity = Some(self.config.identity.clone());
        spec.lease_duration_seconds = Some(i32::try_from(self.config.duration.as_secs()).unwrap_or(i32::MAX));
        spec.renew_time = Some(now);
        if fresh {
            self.api.create(&params, &lease).await
        } else {
            // Carries the version that was read: a write by another in between makes it a 409.
            self.api.replace(&self.config.name, &params, &lease).await
        }
    }

    async fn release(&self) {
        let attempt = async {
            let Some(mut lease) = self.api.get_opt(&self.config.name).await? else { return Ok(()) };
            let spec = lease.spec.get_or_insert_default();
            if spec.holder_identity.as_deref() != Some(self.config.identity.as_str()) {
                return Ok(());
            }
            spec.holder_identity = None;
            // The API server wants a positive number; one second is the least.
            spec.lease_duration_seconds = Some(1);
            spec.renew_time = Some(MicroTime(Timestamp::now()));
            self.api.replace(&self.config.name, &PostParams::default(), &lease).await.map(|_| ())
        };
        match timeout(self.config.renew_deadline / 2, attempt).await {
            Ok(Ok(())) => tracing::info!(lease = self.config.name, "the lease is released"),
            Ok(Err(error)) => tracing::warn!(lease = self.config.name, %error, "the lease was not released"),
            Err(_) => tracing::warn!(lease = self.config.name, "the lease was not released in time"),
        }
    }
}

/// Up to a tenth longer, so that those who wait do not march in step.
#[must_use]
pub fn jittered(wait: Duration) -> Duration {
    wait + wait.mul_f64(rand::random::<f64>() / 10.0)
}

#[cfg(test)]
mod tests;
