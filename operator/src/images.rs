//! Images: the package on top of its Runtime's image, as one layer, for functions with `spec.build.output: image`.
//!
//! One job for each such Function works beside the reconciler: it looks whether the registry has the image already, makes and pushes it
//! where not ([`make`]), tries again until that is done, and touches the Function. What an image is made of is its [`Order`], and the
//! revision that came of it remembers that: at rest, and for a new leader, no registry is asked. Whatever a job does or fails to do, what
//! runs goes on. There are at most as many jobs as Functions, and [`LANES`] of them work at a time.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use flint_api::{BuildOutput, Function, Runtime};
use flint_kube::lease::jittered;
use kube::ResourceExt as _;
use prometheus::{IntCounterVec, Opts, Registry};
use tokio::{sync::Semaphore, time::timeout};

use crate::{
    fetch::Failure,
    function::problem::{self, Problem},
    home::PackageSource,
    jobs::{Jobs, Pauses, Progress},
    key::Key,
    package::{IMAGE_ANNOTATION, Image, Package},
    packages::Volume,
    stores::Stores,
};

mod make;
mod order;
mod place;

pub(crate) use order::Order;
pub(crate) use place::{Place, Reached};

use make::Workshop;

/// Makes images of packages.
pub(crate) struct Images {
    stores: Stores,
    workshop: Option<Workshop>,
    lanes: Semaphore,
    /// What they make is an image, by its digest.
    jobs: Jobs<Order, String>,
    pushes: IntCounterVec,
}

/// Jobs that make images at a time: each takes a core while it packs, and a file's worth of disk.
const LANES: usize = 2;
/// All of one attempt: the largest package at 500 kB/s, and a base that has to be copied from another registry.
const ATTEMPT: Duration = Duration::from_secs(900);

// === impl Images ===

impl Images {
    /// Images in `place`; without one, functions are told that there is none.
    ///
    /// # Errors
    /// When the registry of metrics has one of that name.
    pub(crate) fn new(
        stores: Stores,
        place: Option<Place>,
        packages: Arc<dyn PackageSource>,
        volume: Arc<Volume>,
        registry: &Registry,
    ) -> Result<Self, prometheus::Error> {
        let pushes = IntCounterVec::new(
            Opts::new(
                "flint_image_attempts_total",
                "Attempts to have an image of a package in the registry, by the condition's reason, or pushed or present.",
            ),
            &["result"],
        )?;
        registry.register(Box::new(pushes.clone()))?;
        let workshop = place.map(|place| Workshop::new(place, packages, volume));
        let jobs = Jobs::new(stores.clone());
        Ok(Self { stores, workshop, lanes: Semaphore::new(LANES), jobs, pushes })
    }

    /// The package as the function wants it: itself, or with the image that holds it.
    pub(crate) fn package(
        self: &Arc<Self>,
        key: &Key,
        function: &Function,
        runtime: Option<&Runtime>,
        package: Package,
    ) -> Result<Package, Problem> {
        let output = function.spec.build.as_ref().and_then(|build| build.output).unwrap_or_default();
        let Some(runtime) = runtime.filter(|_| output == BuildOutput::Image) else {
            self.forget(key);
            return Ok(package);
        };
        let Some(workshop) = &self.workshop else {
            let text = "spec.build.output is image, and this installation has no registry for images: set builds.images.registry of the \
                        chart, or remove spec.build.output.";
            return Err(Problem::build(problem::IMAGES_NOT_CONFIGURED, text));
        };
        let order = workshop.place.order(key, function, runtime, &package)?;
        let made_of = order.text();
        let with = |reference: String| Package {
            image: Some(Image { reference, made_of: Some(made_of.clone()) }),
            ..package.clone()
        };
        match self.jobs.progress(key, &order) {
            Some(Progress::Made(reference)) => Ok(with(reference)),
            progress => {
                if let Some(reference) = self.deployed(key, function, &made_of) {
                    return Ok(with(reference));
                }
                match progress {
                    Some(Progress::Failed(failure)) => Err(Problem::build(failure.reason, failure.message)),
                    progress => {
                        if progress.is_none() {
                            let work =
                                Arc::clone(self).work(key.clone(), order.clone(), package.data.clone());
                            self.jobs.start(key, order, work);
                        }
                        let text = "The image with the code is being pushed.";
                        Err(Problem::waiting(problem::IMAGE_PUSHING, text))
                    }
                }
            }
        }
    }

    /// The function is gone, or wants no image.
    pub(crate) fn forget(&self, key: &Key) {
        self.jobs.forget(key);
    }

    /// The image that a revision of the function has, if it was made of the same.
    fn deployed(&self, key: &Key, function: &Function, made_of: &str) -> Option<String> {
        let owner = function.metadata.uid.as_deref().unwrap_or_default();
        self.stores.deployments.of(key).into_iter().find_map(|deployment| {
            let ours = deployment.owner_references().iter().any(|reference| reference.uid == owner);
            let same = deployment.annotations().get(IMAGE_ANNOTATION).is_some_and(|has| has == made_of);
            let pod = deployment.spec.as_ref()?.template.spec.as_ref()?;
            let container =
                pod.containers.iter().find(|one| one.name == flint_api::labels::FUNCTION_CONTAINER);
            container?.image.clone().filter(|_| ours && same)
        })
    }

    async fn work(self: Arc<Self>, key: Key, order: Order, data: Option<Bytes>) {
        let mut pauses = Pauses::new();
        loop {
            let result = self.attempt(&order, data.clone()).await;
            let label = match &result {
                Ok((_, true)) => "pushed",
                Ok((_, false)) => "present",
                Err(failure) => failure.reason,
            };
            self.pushes.with_label_values(&[label]).inc();
            match result {
                Ok((image, pushed)) => {
                    tracing::info!(function = %key, image, pushed, "a package is in an image");
                    return self.jobs.tell(&key, &order, Progress::Made(image));
                }
                Err(failure) => {
                    let heals = failure.heals;
                    tracing::info!(function = %key, reason = failure.reason, message = failure.message, heals, "an image was not made");
                    self.jobs.tell(&key, &order, Progress::Failed(failure));
                    if !heals {
                        return;
                    }
                }
            }
            tokio::time::sleep(jittered(pauses.next())).await;
        }
    }

    async fn attempt(&self, order: &Order, data: Option<Bytes>) -> Result<(String, bool), Failure> {
        let Some(workshop) = &self.workshop else { return Err(Failure::store("there is no registry")) };
        let _turn = self.lanes.acquire().await.map_err(Failure::store)?;
        let late = || {
            let text = format!(
                "The image cannot be pushed: it takes longer than {} s. It is tried again.",
                ATTEMPT.as_secs()
            );
            Failure::passing(problem::IMAGE_PUSH_FAILED, text)
        };
        timeout(ATTEMPT, workshop.make(order, data)).await.unwrap_or_else(|_| Err(late()))
    }
}

#[cfg(test)]
impl Images {
    /// Images that go nowhere, for tests of others.
    pub(crate) fn for_tests(stores: Stores, folder: &tempfile::TempDir) -> Arc<Self> {
        Self::in_registry(stores, None, folder)
    }

    /// Images in a registry, of packages that functions have as bytes.
    pub(crate) fn in_registry(stores: Stores, place: Option<Place>, folder: &tempfile::TempDir) -> Arc<Self> {
        struct Nothing;
        impl PackageSource for Nothing {
            fn fetch<'a>(
                &'a self,
                _: &'a str,
            ) -> futures::future::BoxFuture<'a, anyhow::Result<Option<crate::home::Content>>> {
                Box::pin(async { Ok(None) })
            }
        }
        let volume = Arc::new(Volume::open(folder.path(), 1 << 20).expect("a volume"));
        let images = Self::new(stores, place, Arc::new(Nothing), volume, &Registry::new());
        Arc::new(images.expect("images"))
    }
}

#[cfg(test)]
mod tests;
