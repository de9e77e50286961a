use flint_testing::apiserver::ApiServer;
use tokio::time::advance;

use super::*;

const PATH: &str = "/apis/coordination.k8s.io/v1/namespaces/flint/leases/flint-operator";

fn observed(holder: Option<&str>, since: Instant) -> Observed {
    Observed {
        holder: holder.map(str::to_owned),
        duration: Duration::from_secs(15),
        version: Some("7".into()),
        since,
    }
}

fn contend(server: &ApiServer, identity: &str) -> (Holding, CancellationToken, JoinHandle<()>) {
    let shutdown = CancellationToken::new();
    let lease = Lease::new(server.client(), Config::new("flint", "flint-operator", identity));
    let (holding, task) = lease.spawn(shutdown.clone());
    (holding, shutdown, task)
}

fn holder(server: &ApiServer) -> Option<String> {
    server.get(PATH)?["spec"]["holderIdentity"].as_str().map(str::to_owned)
}

#[tokio::test(start_paused = true)]
async fn a_free_lease_is_taken_and_our_own_is_renewed() {
    let now = Instant::now();
    assert_eq!(evaluate(None, "me", now), Verdict::Acquire);
    assert_eq!(evaluate(Some(&observed(None, now)), "me", now), Verdict::Acquire);
    assert_eq!(evaluate(Some(&observed(Some("me"), now)), "me", now), Verdict::Renew);
}

#[tokio::test(start_paused = true)]
async fn anothers_lease_is_waited_for_since_its_last_change_was_seen() {
    let now = Instant::now();
    let theirs = observed(Some("them"), now);
    assert_eq!(
        evaluate(Some(&theirs), "me", now + Duration::from_secs(5)),
        Verdict::Wait(Duration::from_secs(10))
    );
    assert_eq!(evaluate(Some(&theirs), "me", now + Duration::from_secs(15)), Verdict::Acquire);
}

#[tokio::test(start_paused = true)]
async fn a_clock_that_is_wrong_elsewhere_changes_nothing() {
    // The renewal time is in the year 1970; what counts is when we first saw this version.
    let lease: Object = serde_json::from_value(serde_json::json!({
        "metadata": {"name": "flint-operator", "resourceVersion": "7"},
        "spec": {"holderIdentity": "them", "leaseDurationSeconds": 15, "renewTime": "1970-01-01T00:00:00.000000Z"},
    }))
    .unwrap();
    let first = Observed::see(None, &lease, Instant::now());
    advance(Duration::from_secs(10)).await;
    let again = Observed::see(Some(&first), &lease, Instant::now());
    assert_eq!(again.since, first.since);
    assert_eq!(evaluate(Some(&again), "me", Instant::now()), Verdict::Wait(Duration::from_secs(5)));
}

#[tokio::test(start_paused = true)]
async fn one_of_two_holds_it_and_the_other_follows_at_its_release() {
    let server = ApiServer::new();
    let (first, stop, task) = contend(&server, "first");
    first.acquired().await;
    let (second, _stop_second, _second_task) = contend(&server, "second");
    sleep(Duration::from_secs(60)).await;
    assert!(first.is_held() && !second.is_held());
    stop.cancel();
    task.await.unwrap();
    assert!(!first.is_held());
    let released = Instant::now();
    second.acquired().await;
    assert!(released.elapsed() < Duration::from_secs(3));
    assert_eq!(holder(&server).as_deref(), Some("second"));
}

#[tokio::test(start_paused = true)]
async fn a_holder_that_cannot_renew_stops_before_another_starts() {
    let server = ApiServer::new();
    let (first, _stop, task) = contend(&server, "first");
    first.acquired().await;
    // The holder's process hangs: nothing renews, nothing is released.
    task.abort();
    let hung = Instant::now();
    let (second, _stop_second, _second_task) = contend(&server, "second");
    first.lost().await;
    assert!(!second.is_held());
    second.acquired().await;
    assert!(hung.elapsed() >= Duration::from_secs(12));
}

#[tokio::test(start_paused = true)]
async fn an_outage_shorter_than_the_deadline_is_ridden_out() {
    let server = ApiServer::new();
    let (first, _stop, _task) = contend(&server, "first");
    first.acquired().await;
    for _ in 0..4 {
        server.fail("PUT", "/leases/", 503, "ServiceUnavailable", "away");
    }
    sleep(Duration::from_secs(30)).await;
    assert!(first.is_held());
}

#[tokio::test(start_paused = true)]
async fn an_outage_longer_than_the_deadline_loses_it() {
    let server = ApiServer::new();
    let (first, _stop, _task) = contend(&server, "first");
    first.acquired().await;
    for _ in 0..40 {
        server.fail("PUT", "/leases/", 503, "ServiceUnavailable", "away");
    }
    let away = Instant::now();
    first.lost().await;
    assert!(away.elapsed() <= Duration::from_secs(10));
}

#[tokio::test(start_paused = true)]
async fn a_lease_that_was_taken_away_is_noticed_at_the_next_renewal() {
    let server = ApiServer::new();
    let (first, _stop, _task) = contend(&server, "first");
    first.acquired().await;
    let mut lease = server.get(PATH).unwrap();
    lease["spec"]["holderIdentity"] = "an administrator".into();
    server.put(&lease);
    let taken = Instant::now();
    first.lost().await;
    assert!(taken.elapsed() < Duration::from_secs(4));
}
