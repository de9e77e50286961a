//! A folder of a git repository becomes a package.

use std::{
    fs::File as StdFile,
    io::BufReader,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use flint_api::Git;
use flint_git::{ADVERTISEMENT, Error, Listing, Objects, PROTOCOL, Revision, SERVICE, Server};
use flint_package::Draft;
use reqwest::{Response, Url, header};
use tokio::{fs::File, sync::Semaphore};

use super::{
    Made, Workshop,
    archive::{finish, refused},
    failure::Failure,
    http::{Http, read, save, shown},
};
use crate::function::problem;

/// What a server says of itself, and its answer about names that begin alike.
const MOST_NAMES: u64 = 4 << 20;
/// Packs may take three times the largest object in memory: one is read at a time.
static UNPACKING: Semaphore = Semaphore::const_new(1);
const REQUEST: &str = "application/x-git-upload-pack-request";

/// A repository on its server.
struct Remote<'a> {
    http: &'a Http,
    /// The URL in the spec: credentials are for its server alone.
    first: Url,
    service: Url,
    /// As messages have it.
    shown: String,
}

/// Ends work in another thread when nobody waits for it any more.
struct Stop(Arc<AtomicBool>);

/// Fetches the folder as it is at its revision, makes the package and stores it, unless `known` is that already.
pub(crate) async fn fetch(
    git: &Git,
    http: Http,
    workshop: &Workshop,
    known: Option<&Made>,
) -> Result<Made, Failure> {
    let (remote, server) = Remote::open(&http, &git.url).await?;
    let revision = Revision::of(git.revision.as_deref());
    let commit = match (&revision, server.ask_refs(&revision)) {
        (Revision::Commit(commit), _) => *commit,
        (_, request) => {
            let answer = remote.ask(request.unwrap_or_default()).await?;
            let answer = read(answer, MOST_NAMES).await?;
            server.resolve(answer.as_ref(), &revision).map_err(|error| remote.failure(error))?
        }
    };
    let same = |made: &&Made| made.resolved.as_deref() == Some(&*commit.to_string());
    if let Some(known) = known.filter(same).filter(|known| workshop.volume.has(&known.digest)) {
        return Ok(known.clone());
    }

    let stop = Stop::default();
    let names_only = git.path.is_some() && server.can_leave_out();
    let commits = remote.save(server.ask_commit(commit, names_only), workshop).await?;
    let folder = git.path.clone();
    let most = workshop.bounds.limits.entries;
    let (mut objects, listing) = {
        let (stop, work) = (stop.flag(), workshop.volume.work().to_owned());
        let read = move || -> Result<_, Error> {
            let mut objects = Objects::new(&work)?;
            objects.receive(BufReader::new(commits), commit, &stop)?;
            let listing = objects.listing(commit, folder.as_deref(), most)?;
            Ok((objects, listing))
        };
        remote.work(read).await?.map_err(|error| remote.failure(error))?
    };
    let missing = listing.missing(&objects);
    let files = match missing.is_empty() {
        true => None,
        false => Some(remote.save(server.ask_files(missing), workshop).await?),
    };
    let (stop, workshop, from) = (stop.flag(), workshop.clone(), remote.shown.clone());
    let make = move || -> Result<Made, Failure> {
        if let Some(files) = files {
            let received = objects.receive(BufReader::new(files), commit, &stop);
            received.map_err(|error| failure(error, &from))?;
        }
        pack(&objects, &listing, &workshop, &from)
    };
    remote.work(make).await?
}

fn pack(objects: &Objects, listing: &Listing, workshop: &Workshop, from: &str) -> Result<Made, Failure> {
    let volume = &workshop.volume;
    let mut draft = Draft::new(volume.spool().map_err(Failure::store)?, workshop.bounds.limits);
    listing.write(objects, &mut draft).map_err(|error| failure(error, from))?;
    let made = finish(draft, volume, from)?;
    Ok(Made { resolved: Some(listing.commit.to_string()), ..made })
}

// === impl Remote ===

impl<'a> Remote<'a> {
    /// Asks what the server can do, and finds where to ask for more.
    async fn open(http: &'a Http, url: &str) -> Result<(Self, Server), Failure> {
        let url = url.trim_end_matches('/');
        let invalid = |why: &str| {
            Failure::lasting(problem::SOURCE_INVALID, format!("{url} cannot be asked for: {why}."))
        };
        let first = Url::parse(url).map_err(|error| invalid(&error.to_string()))?;
        let answer = http.get(&format!("{url}{ADVERTISEMENT}"), &[PROTOCOL]).await?;
        // Repositories that were moved are redirected, and all of their requests go to the new place.
        let mut service = answer.url().clone();
        let repository = service.path().strip_suffix("/info/refs").map(str::to_owned);
        let repository = repository.ok_or_else(|| {
            invalid(&format!("it leads to {}, which is no git repository", shown(answer.url())))
        })?;
        service.set_path(&format!("{repository}{SERVICE}"));
        service.set_query(None);
        let remote = Remote { http, shown: shown(&first), first, service };
        let answer = read(answer, MOST_NAMES).await?;
        let server = Server::read(answer.as_ref()).map_err(|error| remote.failure(error))?;
        Ok((remote, server))
    }

    async fn ask(&self, request: Vec<u8>) -> Result<Response, Failure> {
        let headers = [PROTOCOL, (header::CONTENT_TYPE.as_str(), REQUEST)];
        self.http.post(&self.first, &self.service, &headers, request).await
    }

    /// An answer that may be large, in a file.
    async fn save(&self, request: Vec<u8>, workshop: &Workshop) -> Result<StdFile, Failure> {
        let answer = self.ask(request).await?;
        let mut file = File::from_std(workshop.volume.spool().map_err(Failure::store)?);
        let do_what = "take large files out of it, name a folder in spec.source.git.path, or have sources.limits.repository of \
                       the chart raised";
        save(answer, &mut file, workshop.bounds.repository, do_what).await?;
        let mut file = file.into_std().await;
        std::io::Seek::rewind(&mut file).map_err(Failure::store)?;
        Ok(file)
    }

    /// Does what takes a while, and memory, in another thread.
    async fn work<T: Send + 'static>(&self, work: impl FnOnce() -> T + Send + 'static) -> Result<T, Failure> {
        let _turn = UNPACKING.acquire().await.map_err(Failure::store)?;
        tokio::task::spawn_blocking(work).await.map_err(|_| Failure::store("packing was interrupted"))
    }

    fn failure(&self, error: Error) -> Failure {
        failure(error, &self.shown)
    }
}

/// What is wrong with a repository, as the condition says it.
fn failure(error: Error, from: &str) -> Failure {
    let text = format!("{from} cannot be used: {error}.");
    match error {
        Error::NoRevision(_) | Error::NothingThere | Error::NoCommit(_) | Error::NoFolder(_) => {
            Failure::lasting(problem::SOURCE_NOT_FOUND, text)
        }
        Error::NoRepository(_) | Error::Version | Error::Hash(_) | Error::File(_) => {
            Failure::lasting(problem::SOURCE_INVALID, text)
        }
        Error::Refused(_) => Failure::passing(problem::SOURCE_REFUSED, format!("{text} It is tried again.")),
        Error::Submodule(_) | Error::Elsewhere(_) | Error::LargeFile(_) => {
            Failure::lasting(problem::ARCHIVE_REFUSED, text)
        }
        Error::Damaged(why) => Failure::unreachable(from, format_args!("what came is damaged: {why}")),
        Error::Package(error) => refused(&error, from),
        Error::Disk(error) => Failure::store(error),
    }
}

// === impl Stop ===

impl Stop {
    fn flag(&self) -> Arc<AtomicBool> {
        Arc::clone(&self.0)
    }
}

impl Default for Stop {
    fn default() -> Self {
        Self(Arc::new(AtomicBool::new(false)))
    }
}

impl Drop for Stop {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}
