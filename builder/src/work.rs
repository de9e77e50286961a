//! One build from its source to its package: fetch, restore the cache, run, pack, bring home, save the cache.

use std::{
    fs::{self, File},
    io,
    path::{Path, PathBuf},
};

use flint_package::Packed;

use crate::{
    command,
    config::Config,
    error::Error,
    folder,
    home::{Home, discard},
};

/// Makes the package. Nothing of it is anywhere but in this pod unless all of it worked.
pub(crate) async fn work(config: &Config) -> Result<Packed, Error> {
    let home = Home::new(config)?;
    for folder in [config.cache_folder(), config.home_folder()] {
        fs::create_dir_all(folder)?;
    }
    let archive = config.work.join("source.tar.gz");
    home.source(&archive).await?;
    let (file, folder) = (File::open(&archive)?, config.source_folder());
    blocking(move || folder::unpack(file, &folder).map_err(Error::from)).await?;
    discard(&archive)?;
    let before = restore(config, &home).await;
    println!("flint-builder: {} of {}", config.manifest, config.source);
    command::run(config).await?;

    let (packed, file) = pack(config, config.source_folder(), config.unpacked).await.map_err(too_large)?;
    home.bring("package", &packed.digest, &file).await?;
    discard(&file)?;
    if let Err(error) = keep(config, &home, before).await {
        // The package is what counts: the next build is slower, and that is all.
        println!("flint-builder: the cache is not kept: {error}");
    }
    Ok(packed)
}

/// Unpacks the cache that an earlier build left. Without one, or with a damaged one, a build is slower and no worse.
async fn restore(config: &Config, home: &Home<'_>) -> Option<String> {
    if config.cache == 0 {
        return None;
    }
    let archive = config.work.join("cache.tar.gz");
    let restored = async {
        let Some(digest) = home.cache(&archive).await? else { return Ok(None) };
        let (file, folder) = (File::open(&archive)?, config.cache_folder());
        blocking(move || folder::unpack(file, &folder).map_err(Error::from)).await?;
        Ok::<_, Error>(Some(digest))
    };
    let result = restored.await;
    let _ = discard(&archive);
    match result {
        Ok(None) => println!("flint-builder: no cache yet"),
        Ok(Some(digest)) => {
            println!("flint-builder: with the cache of an earlier build");
            return Some(digest);
        }
        Err(error) => {
            println!("flint-builder: the cache is not used: {error}");
            let folder = config.cache_folder();
            if let Err(error) = fs::remove_dir_all(&folder).and_then(|()| fs::create_dir_all(&folder)) {
                println!("flint-builder: what came of it cannot be removed: {error}");
            }
        }
    }
    None
}

/// Brings the cache home, if it is another than before.
async fn keep(config: &Config, home: &Home<'_>, before: Option<String>) -> Result<(), Error> {
    if config.cache == 0 || !holds_files(&config.cache_folder())? {
        return Ok(());
    }
    let (packed, file) = pack(config, config.cache_folder(), config.cache).await?;
    if before.as_ref() != Some(&packed.digest) {
        home.bring("cache", &packed.digest, &file).await?;
    }
    discard(&file)?;
    Ok(())
}

fn holds_files(folder: &Path) -> io::Result<bool> {
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        if !entry.file_type()?.is_dir() || holds_files(&entry.path())? {
            return Ok(true);
        }
    }
    Ok(false)
}

async fn pack(config: &Config, folder: PathBuf, most: u64) -> Result<(Packed, PathBuf), Error> {
    let (work, path) = (config.work.clone(), config.work.join("result.tar.gz"));
    let output = File::create(&path)?;
    let packed = blocking(move || {
        let spool = tempfile::tempfile_in(&work)?;
        folder::pack(&folder, most, spool, output).map_err(Error::Package)
    });
    Ok((packed.await?, path))
}

fn too_large(error: Error) -> Error {
    match error {
        Error::Package(flint_package::Error::TooLarge(most)) => Error::Refused(format!(
            "code and dependencies have more than {most} bytes together (sources.limits.unpacked of the chart): leave some out, or serve \
             the function as spec.image"
        )),
        other => other,
    }
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, Error> + Send + 'static,
) -> Result<T, Error> {
    let done = tokio::task::spawn_blocking(work).await;
    done.unwrap_or_else(|_| Err(Error::Disk(io::Error::other("the work was interrupted"))))
}
