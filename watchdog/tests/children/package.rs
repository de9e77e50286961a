//! The package: fetched, verified, unpacked.

use crate::support::{Function, Home, package};

fn packaged(home: &Home, digest: &str) -> Function {
    Function::new("process", &["./run"])
        .var("FLINT_PACKAGE_URL", &format!("{}/packages/{digest}", home.url))
        .var("FLINT_PACKAGE_DIGEST", digest)
}

const RUN: (&str, u32, &str) = ("run", 0o755, "#!/bin/sh\ncat data/file\n");

#[tokio::test]
async fn the_code_is_fetched_and_unpacked_before_the_child_starts() {
    let home = Home::start().await;
    let digest = home.offer(package(&[RUN, ("data/file", 0o644, "content")]));
    let watchdog = packaged(&home, &digest).ready().await;
    assert_eq!(watchdog.get("/").await.text(), "content");
    assert!(watchdog.said("package unpacked").await["bytes"].as_u64().unwrap() > 0);
}

#[tokio::test]
async fn it_is_tried_again_while_the_operator_is_away() {
    let home = Home::start().await;
    let digest = home.offer(package(&[RUN, ("data/file", 0o644, "content")]));
    home.answer_with([503, 404, 503]);
    let watchdog = packaged(&home, &digest).ready().await;
    assert_eq!(watchdog.get("/").await.text(), "content");
    let tries = watchdog.lines().iter().filter(|line| line["level"] == "warn").count();
    assert_eq!(tries, 3);
}

#[tokio::test]
async fn a_replica_that_lacks_it_or_is_away_or_sends_another_is_passed_over_for_home() {
    let nobody =
        format!("http://{}", std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap());
    let (lacks, sends_another) = (Home::start().await, Home::start().await);
    lacks.answer_with([404; 8]);
    sends_another.offer(package(&[("run", 0o755, "#!/bin/sh\necho wrong\n")]));
    for copy in [&nobody, &lacks.url, &sends_another.url] {
        let home = Home::start().await;
        let digest = home.offer(package(&[RUN, ("data/file", 0o644, "content")]));
        let watchdog = packaged(&home, &digest)
            .var("FLINT_PACKAGE_URL", &format!("{copy}/packages/{digest}"))
            .var("FLINT_HOME_URL", &home.url)
            .ready()
            .await;
        assert_eq!(watchdog.get("/").await.text(), "content", "{copy}");
        let unpacked = watchdog.said("package unpacked").await;
        assert_eq!(format!("http://{}", unpacked["from"].as_str().unwrap()), home.url);
        assert!(watchdog.lines().iter().all(|line| line["level"] != "warn"), "nothing to hear of");
    }
}

#[tokio::test]
async fn a_package_with_another_digest_is_not_run() {
    let home = Home::start().await;
    home.offer(package(&[RUN]));
    let mut watchdog = packaged(&home, &format!("sha256:{}", "0".repeat(64))).start().await;
    assert_ne!(watchdog.exit().await, 0);
    let said = watchdog.termination_message();
    assert_eq!(said["errorType"], "Runtime.InvalidPackage");
    assert!(said["errorMessage"].as_str().unwrap().contains("digest"), "{said}");
    assert!(std::fs::read_dir(watchdog.path("task")).unwrap().next().is_none(), "nothing of it is left");
}

#[tokio::test]
async fn a_package_that_is_no_archive_is_not_run() {
    let home = Home::start().await;
    let digest = home.offer(b"<html>not found</html>".to_vec());
    let mut watchdog = packaged(&home, &digest).start().await;
    assert_ne!(watchdog.exit().await, 0);
    let said = watchdog.termination_message();
    assert!(said["errorMessage"].as_str().unwrap().contains("cannot be unpacked"), "{said}");
}
