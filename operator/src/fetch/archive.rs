//! An archive behind a URL becomes a package.

use flint_api::Archive;
use flint_package::Draft;
use tokio::fs::File;

use super::{
    Made, Workshop,
    failure::Failure,
    http::{Http, save, shown},
};
use crate::{function::problem, packages::Volume};

/// Fetches the archive, makes the package and stores it.
pub(crate) async fn fetch(archive: &Archive, http: Http, workshop: &Workshop) -> Result<Made, Failure> {
    let response = http.get(&archive.url, &[]).await?;
    let from = shown(response.url());
    let mut file = File::from_std(workshop.volume.spool().map_err(Failure::store)?);
    let do_what = "make it smaller, or serve the function as spec.image";
    let sha256 = save(response, &mut file, workshop.bounds.archive, do_what).await?;
    if sha256 != archive.sha256 {
        let text = format!(
            "{from} has the SHA-256 {sha256}, and spec.source.archive.sha256 is {}: write the one that is meant, if this is the \
             archive that is meant.",
            archive.sha256
        );
        return Err(Failure::lasting(problem::DIGEST_MISMATCH, text));
    }
    let file = file.into_std().await;
    let workshop = workshop.clone();
    let made = tokio::task::spawn_blocking(move || make(file, &workshop, &from));
    made.await.unwrap_or_else(|_| Err(Failure::store("packing was interrupted")))
}

/// A package from an archive's file.
pub(crate) fn make(file: std::fs::File, workshop: &Workshop, from: &str) -> Result<Made, Failure> {
    let volume = &workshop.volume;
    let mut draft = Draft::new(volume.spool().map_err(Failure::store)?, workshop.bounds.limits);
    flint_package::read(file, &mut draft).map_err(|error| refused(&error, from))?;
    finish(draft, volume, from)
}

/// Stores a draft whose files are all there.
pub(crate) fn finish(draft: Draft<std::fs::File>, volume: &Volume, from: &str) -> Result<Made, Failure> {
    let output = std::io::BufWriter::new(volume.draft().map_err(Failure::store)?);
    let (packed, output) = draft.finish(output).map_err(|error| refused(&error, from))?;
    let output = output.into_inner().map_err(Failure::store)?;
    volume.put(&packed.digest, output).map_err(Failure::store)?;
    Ok(Made { digest: packed.digest, bytes: packed.bytes, resolved: None })
}

/// What is wrong with an archive, as the condition says it.
pub(crate) fn refused(error: &flint_package::Error, from: &str) -> Failure {
    if error.is_refusal() {
        Failure::lasting(problem::ARCHIVE_REFUSED, format!("{from} is no package: {error}."))
    } else {
        Failure::store(error)
    }
}
