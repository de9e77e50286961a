//! An artifact in a registry becomes a package.

use flint_api::Oci;
use flint_image::Reference;
use tokio::fs::File;

use super::{
    Made, Workshop, archive,
    credentials::Credentials,
    failure::Failure,
    http::{Http, save, shown},
    reach::Reach,
    registry::Registry,
};
use crate::function::problem;

/// Fetches the artifact, makes the package and stores it, unless `known` is that already.
pub(crate) async fn fetch(
    oci: &Oci,
    reach: Reach,
    mut credentials: Credentials,
    workshop: &Workshop,
    known: Option<&Made>,
) -> Result<Made, Failure> {
    let reference = reference(oci)?;
    let server = reference.resolve_registry();
    let basic = credentials.take_basic(reference.registry());
    let http = Http::with(reach, credentials, workshop.insecure.iter().any(|plain| plain == server))?;
    let mut registry = Registry::new(&http, &reference, basic);
    let (manifest, digest) = registry.manifest(&reference).await?;
    let resolved = digest.to_string();
    let same = |made: &&Made| made.resolved.as_ref() == Some(&resolved);
    if let Some(known) = known.filter(same).filter(|known| workshop.volume.has(&known.digest)) {
        return Ok(known.clone());
    }
    let code = manifest.code().map_err(|why| {
        Failure::lasting(problem::ARCHIVE_REFUSED, format!("{} is no package: {why}.", oci.reference))
    })?;
    let answer = registry.blob(&code.digest).await?;
    let from = shown(answer.url());
    let mut file = File::from_std(workshop.volume.spool().map_err(Failure::store)?);
    let do_what = "make it smaller, or serve the function as spec.image";
    let sha256 = save(answer, &mut file, workshop.bounds.archive, do_what).await?;
    if code.digest != format!("sha256:{sha256}") {
        let why = format!("what came has the digest sha256:{sha256}, and should have {}", code.digest);
        return Err(Failure::unreachable(&from, why));
    }
    let (file, workshop) = (file.into_std().await, workshop.clone());
    let name = oci.reference.clone();
    let made = tokio::task::spawn_blocking(move || archive::make(file, &workshop, &name));
    let made = made.await.unwrap_or_else(|_| Err(Failure::store("packing was interrupted")))?;
    Ok(Made { resolved: Some(resolved), ..made })
}

/// The reference as it is meant.
fn reference(oci: &Oci) -> Result<Reference, Failure> {
    oci.reference.parse().map_err(|error| {
        let text = format!("spec.source.oci.reference {} cannot be read: {error}.", oci.reference);
        Failure::lasting(problem::SOURCE_INVALID, text)
    })
}
