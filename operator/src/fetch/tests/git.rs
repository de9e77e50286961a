//! Fetching from git's own server behind https.

use ::http::{Method, Request};
use flint_testing::git::Repository;

use super::*;

/// A repository at `/team/functions.git`, and whoever has the password may read `/private.git`.
async fn serve(repository: Arc<Repository>) -> Https {
    Https::start(move |request: &Request<bytes::Bytes>| {
        if request.headers().get("git-protocol").is_none_or(|version| version != "version=2") {
            return answer(400, "another protocol");
        }
        let path = request.uri().path();
        let Some((place, service)) = path.split_once(".git/") else { return answer(404, "") };
        match (place, service, request.method()) {
            ("/private", ..) if !request.headers().contains_key("authorization") => answer(401, ""),
            ("/moved", "info/refs", _) => {
                let mut answer = answer(301, "");
                let to = "/team/functions.git/info/refs?service=git-upload-pack";
                answer.headers_mut().insert("location", to.parse().expect("a place"));
                answer
            }
            ("/page", ..) => answer(200, "<html>"),
            ("/moved" | "/missing", ..) => answer(404, ""),
            (_, "info/refs", &Method::GET) => answer(200, repository.advertisement()),
            (_, "git-upload-pack", &Method::POST) => answer(200, repository.ask(request.body())),
            _ => answer(405, ""),
        }
    })
    .await
}

fn repository() -> Arc<Repository> {
    let repository = Repository::new();
    repository.write("functions/thumbnail/app.py", "one").write("functions/other/app.py", "x").commit();
    Arc::new(repository)
}

/// The repository, its server, and somebody who trusts that server.
async fn served() -> (Arc<Repository>, Https, Fetching) {
    let repository = repository();
    let https = serve(Arc::clone(&repository)).await;
    let fetching = Fetching::new();
    fetching.trust(&https, &[]);
    (repository, https, fetching)
}

fn order(https: &Https, place: &str, revision: Option<&str>, path: Option<&str>) -> Order {
    let git = flint_api::Git {
        url: https.url(place),
        revision: revision.map(str::to_owned),
        path: path.map(str::to_owned),
        secret_ref: Some(flint_api::NameRef { name: "repo".into() }),
    };
    Order { what: What::Git(git), refresh: None }
}

impl Fetching {
    async fn made(&self, order: &Order) -> Made {
        match self.order(order).await {
            Progress::Made(made) => made,
            other => panic!("{other:?}"),
        }
    }

    /// Waits until what the function has is another package, and gives it.
    async fn next(&self, order: &Order, before: &Made) -> Made {
        loop {
            match self.fetcher.progress(&key(), order) {
                Some(Progress::Made(made)) if made != *before => return made,
                Some(Progress::Failed(failure)) => panic!("{failure:?}"),
                _ => sleep(Duration::from_millis(5)).await,
            }
        }
    }

    async fn failed(&self, order: &Order) -> Failure {
        loop {
            match self.fetcher.progress(&key(), order) {
                Some(Progress::Failed(failure)) => return failure,
                _ => sleep(Duration::from_millis(5)).await,
            }
        }
    }
}

#[tokio::test]
async fn a_folder_of_a_repository_becomes_a_package_that_says_its_commit() {
    let (repository, https, fetching) = served().await;
    let commit = repository.git(&["rev-parse", "HEAD"]);
    let folder = Some("functions/thumbnail");
    for place in ["/team/functions.git", "/team/functions.git/", "/moved.git"] {
        let made = fetching.made(&order(&https, place, Some("main"), folder)).await;
        assert_eq!(made.resolved.as_deref(), Some(&*commit), "{place}");
        assert_eq!(fetching.files(&made.digest), ["app.py"]);
    }
    let whole = fetching.made(&order(&https, "/team/functions.git", Some(&commit), None)).await;
    assert!(fetching.files(&whole.digest).contains(&"functions/other/app.py".to_owned()));
}

#[tokio::test]
async fn a_branch_that_moves_makes_another_package_and_one_that_does_not_is_not_fetched_again() {
    let (repository, https, fetching) = served().await;
    let order = order(&https, "/team/functions.git", None, Some("functions/thumbnail"));
    let first = fetching.made(&order).await;
    let asked = https.seen().len();
    while https.seen().len() < asked + 6 {
        sleep(Duration::from_millis(5)).await;
    }
    let packs = |lines: &[String]| lines.iter().filter(|line| line.starts_with("POST")).count();
    let (before, looks) = (packs(&https.seen()[..asked]), packs(&https.seen()[asked..asked + 6]));
    assert_eq!((before, looks), (3, 3), "names, then two packs; later a look at a time");

    let commit = repository.write("functions/other/app.py", "y").commit();
    let second = fetching.next(&order, &first).await;
    assert_eq!(
        (second.resolved.as_deref(), &second.digest),
        (Some(&*commit), &first.digest),
        "the same code"
    );
    repository.write("functions/thumbnail/app.py", "two").commit();
    let third = fetching.next(&order, &second).await;
    assert_ne!(third.digest, first.digest);
    assert!(fetching.fetcher.digests().contains(&third.digest));
}

#[tokio::test]
async fn a_commit_that_is_no_package_is_said_and_the_next_one_heals_it() {
    let (repository, https, fetching) = served().await;
    let order = order(&https, "/team/functions.git", None, Some("functions/thumbnail"));
    let first = fetching.made(&order).await;
    repository.link("functions/thumbnail/out", "/etc/passwd").commit();
    let failure = fetching.failed(&order).await;
    assert_eq!((failure.reason, failure.heals), (problem::ARCHIVE_REFUSED, false), "{failure:?}");
    repository.git(&["rm", "--quiet", "functions/thumbnail/out"]);
    let commit = repository.write("functions/thumbnail/app.py", "two").commit();
    loop {
        match fetching.fetcher.progress(&key(), &order) {
            Some(Progress::Made(made)) if made.resolved.as_deref() == Some(&commit) => break,
            _ => sleep(Duration::from_millis(5)).await,
        }
    }
    assert!(fetching.volume.has(&first.digest));
}

#[tokio::test]
async fn a_known_commit_is_not_fetched_by_a_new_leader_that_has_the_package() {
    let (_, https, fetching) = served().await;
    let order = order(&https, "/team/functions.git", Some("main"), None);
    let made = fetching.made(&order).await;
    let asked = https.seen().len();
    fetching.fetcher.forget(&key());
    fetching.fetcher.start(&key(), &order, Some(made.clone()));
    assert_eq!(fetching.outcome(&order).await, Progress::Made(made));
    assert_eq!(https.seen()[asked..asked + 2].len(), 2, "a look at the branch");
}

#[tokio::test]
async fn each_thing_that_is_not_there_has_its_condition() {
    let (_, https, fetching) = served().await;
    let team = "/team/functions.git";
    let commit = "1".repeat(40);
    for (place, revision, path, reason, heals, word) in [
        ("/missing.git", None, None, problem::SOURCE_NOT_FOUND, false, "is not there"),
        ("/private.git", None, None, problem::SOURCE_REFUSED, true, "secretRef"),
        ("/page.git", None, None, problem::SOURCE_INVALID, false, "no git repository"),
        (team, Some("production"), None, problem::SOURCE_NOT_FOUND, false, "no branch or tag production"),
        (team, Some(&*commit), None, problem::SOURCE_NOT_FOUND, false, "no commit"),
        (team, None, Some("lib"), problem::SOURCE_NOT_FOUND, false, "no folder lib"),
    ] {
        let order = order(&https, place, revision, path);
        let Progress::Failed(failure) = fetching.order(&order).await else { panic!("{place} was fetched") };
        assert_eq!((failure.reason, failure.heals), (reason, heals), "{failure:?}");
        assert!(failure.message.contains(word), "{failure:?}");
    }
    fetching.trust(&https, &[("username", "anna"), ("password", "secret")]);
    fetching.made(&order(&https, "/private.git", None, None)).await;
    let signed = https.seen().iter().filter(|line| line.contains("Basic YW5uYTpzZWNyZXQ=")).count();
    assert!(signed >= 3, "every request says who asks: {:?}", https.seen());
}

#[tokio::test]
async fn a_repository_that_is_too_large_says_what_to_do() {
    let repository = repository();
    let noise: Vec<u8> = (0..10_000_u32).flat_map(|block| Sha256::digest(block.to_le_bytes())).collect();
    repository.write("noise", noise).commit();
    let https = serve(repository).await;
    let fetching = Fetching::new();
    fetching.trust(&https, &[]);
    let large = order(&https, "/team/functions.git", None, None);
    let Progress::Failed(failure) = fetching.order(&large).await else { panic!("it was fetched") };
    assert_eq!(failure.reason, problem::ARCHIVE_REFUSED);
    assert!(failure.message.contains("spec.source.git.path"), "{failure:?}");
    fetching.made(&order(&https, "/team/functions.git", None, Some("functions/other"))).await;
}

#[tokio::test]
async fn an_older_revisions_package_comes_back_at_the_commit_that_it_was_made_of() {
    let (repository, https, fetching) = served().await;
    let main = order(&https, "/team/functions.git", Some("main"), Some("functions/thumbnail"));
    let old = fetching.made(&main).await;
    repository.write("functions/thumbnail/app.py", "two").commit();
    fetching.fetcher.forget(&key());
    fetching.volume.remove(&old.digest).unwrap();
    let What::Git(git) = &main.what else { panic!("a repository") };
    let pinned = flint_api::Git { revision: old.resolved.clone(), ..git.clone() };
    let package = RevisionPackage {
        digest: old.digest.clone(),
        bytes: i64::try_from(old.bytes).unwrap(),
        commit: old.resolved.clone(),
        origin: Some(json!({"git": pinned})),
        ..RevisionPackage::default()
    };
    let mut told = Box::pin(fetching.stores.subscribe().into_stream());
    fetching.fetcher.restore(&key(), &package);
    fetching.fetcher.restore(&key(), &package);
    assert_eq!(futures::StreamExt::next(&mut told).await, Some(key()));
    assert!(fetching.volume.has(&old.digest));
}
