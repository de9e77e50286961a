//! One image: looked for, and where it is not there made and pushed.

use std::{io::Read, sync::Arc};

use bytes::{Buf as _, Bytes};
use flint_image::{Credentials, Error, Image, Layer, Platform, Reference, Registry, Trouble};

use super::{Order, place::Place};
use crate::{
    fetch::Failure,
    function::problem,
    home::{Content, PackageSource},
    packages::Volume,
};

/// What images are made with.
pub(super) struct Workshop {
    pub(super) place: Place,
    packages: Arc<dyn PackageSource>,
    volume: Arc<Volume>,
    /// With the installation's credentials.
    signed: Result<Registry, String>,
    /// As anybody.
    anonymous: Registry,
}

/// Where code is in a function's pod, and its working directory.
const TASK_ROOT: &str = "var/task";
/// The layer's name in the image's history.
const LAYER: &str = "the function's package";
/// The image's label with the digest of the package in it.
const LABEL: &str = "dev.flint.package";
/// Of what a registry says.
const SAID: usize = 400;

// === impl Workshop ===

impl Workshop {
    pub(super) fn new(place: Place, packages: Arc<dyn PackageSource>, volume: Arc<Volume>) -> Self {
        let registry = |credentials: Credentials| {
            Registry::new(credentials, Platform::host()).without_tls(place.insecure.iter().cloned())
        };
        let signed = place.credentials().map(registry);
        let anonymous = registry(Credentials::default());
        Self { place, packages, volume, signed, anonymous }
    }

    /// The image by its digest, as nodes pull it, and whether it was pushed now. `data` is the package where the function has its bytes.
    pub(super) async fn make(&self, order: &Order, data: Option<Bytes>) -> Result<(String, bool), Failure> {
        let signed = self.signed.as_ref().map_err(|error| {
            let text = format!("The Secret of builds.images.secret is of no use: {error}.");
            Failure::passing(problem::IMAGE_PUSH_FAILED, text)
        })?;
        let image = self.base(signed, order).await?;
        let repository = format!("{}/{}", self.place.registry, order.repository);
        let tagged = format!("{repository}:{}", order.tag(&image.digest()));
        let target = self.place.reach(&tagged).map_err(|error| push_failed(&repository, &error))?;
        let found = signed.find(&target).await.map_err(|error| push_failed(&repository, &error))?;
        if let Some(digest) = found {
            return Ok((format!("{repository}@{digest}"), false));
        }
        let pushed = self.push(signed, order, image, &target, data).await?;
        let flint_image::Pushed { digest, sent, bytes, mounted, present } =
            pushed.map_err(|error| push_failed(&repository, &error))?;
        tracing::info!(repository, %digest, sent, bytes, mounted, present, "an image was pushed");
        Ok((format!("{repository}@{digest}"), true))
    }

    /// The image beneath, its layers staying where they are.
    async fn base(&self, signed: &Registry, order: &Order) -> Result<Image, Failure> {
        let registry = if order.trusted { signed } else { &self.anonymous };
        let unreadable = |error: Error| {
            let do_what = match error.trouble() {
                Trouble::Refused if order.trusted => {
                    "Give the Secret of builds.images.secret an entry for its registry that may pull it"
                }
                Trouble::Refused => {
                    "An image that spec.runtimeImage names must be one that everybody may pull: make it so, or remove spec.build.output"
                }
                Trouble::Missing => "Correct the Runtime's image or spec.runtimeImage",
                Trouble::Full | Trouble::Away | Trouble::Ours => {
                    "See that the operator reaches its registry (builds.images.reach, sources.insecureRegistries)"
                }
            };
            let text = format!(
                "The image {} cannot be read: {}. {do_what}. It is tried again.",
                order.base,
                said(&error)
            );
            Failure::passing(problem::BASE_IMAGE_UNREADABLE, text)
        };
        let reference = self.place.reach(&order.base).map_err(unreadable)?;
        registry.pull(&reference).await.map_err(unreadable)
    }

    /// The outer error is the package's, the inner one the registry's.
    async fn push(
        &self,
        registry: &Registry,
        order: &Order,
        mut image: Image,
        target: &Reference,
        data: Option<Bytes>,
    ) -> Result<Result<flint_image::Pushed, Error>, Failure> {
        let package = self.package(&order.package, data).await?;
        let (volume, digest) = (Arc::clone(&self.volume), order.package.clone());
        let written = tokio::task::spawn_blocking(move || {
            let file = volume.draft().map_err(Failure::store)?;
            let layer = Layer::of_package(package, TASK_ROOT, LAYER, file.path()).map_err(Failure::store)?;
            Ok::<_, Failure>((layer, file))
        });
        // The file goes with the end of this.
        let (layer, _file) =
            written.await.unwrap_or_else(|_| Err(Failure::store("packing was interrupted")))?;
        image.run_mut().labels.insert(LABEL.to_owned(), digest);
        Ok(registry.push(&image.append(layer), target).await)
    }

    async fn package(&self, digest: &str, data: Option<Bytes>) -> Result<Box<dyn Read + Send>, Failure> {
        if let Some(data) = data {
            return Ok(Box::new(data.reader()));
        }
        match self.packages.fetch(digest).await {
            Ok(Some(Content::Bytes(bytes))) => Ok(Box::new(bytes.reader())),
            Ok(Some(Content::File(file, _))) => Ok(Box::new(std::io::BufReader::new(file.into_std().await))),
            Ok(None) => {
                let text = format!("The package {digest} is not here any more, and is made again.");
                Err(Failure::passing(problem::STORE_FAILED, text))
            }
            Err(error) => Err(Failure::store(format_args!("{error:#}"))),
        }
    }
}

fn push_failed(repository: &str, error: &Error) -> Failure {
    let do_what = match error.trouble() {
        Trouble::Refused => {
            "The Secret of builds.images.secret needs an entry for this registry that may push there"
        }
        Trouble::Missing => {
            "The registry makes no repositories by itself: create this one, or correct builds.images.registry"
        }
        Trouble::Full => "The registry has no room for it, or too many requests: make room there",
        Trouble::Away => {
            "See that the operator reaches the registry (builds.images.registry, builds.images.reach, sources.insecureRegistries)"
        }
        Trouble::Ours => "See the operator's disk (packages.capacity)",
    };
    let text =
        format!("The image cannot be pushed to {repository}: {}. {do_what}. It is tried again.", said(error));
    Failure::passing(problem::IMAGE_PUSH_FAILED, text)
}

fn said(error: &Error) -> String {
    let text = error.to_string().split_whitespace().collect::<Vec<_>>().join(" ");
    flint_kube::events::shorten(text.trim_end_matches('.'), SAID).to_owned()
}
