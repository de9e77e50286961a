//! The end of a gateway: nobody's request fails for it.

use flint_gateway::app::Config;
use flint_testing::upstream::Upstream;
use tokio::sync::watch;

use crate::support::{Running, answer, ask, config, function, get};

/// An instance that answers when told.
async fn slow() -> (watch::Sender<bool>, Upstream) {
    let (go, gone) = watch::channel(false);
    let slow = Upstream::start(move |_, mut peer| {
        let mut gone = gone.clone();
        async move {
            while peer.request().await.is_some() {
                let _ = gone.wait_for(|gone| *gone).await;
                peer.ok("done").await;
            }
        }
    })
    .await;
    (go, slow)
}

const IN_FLIGHT: &str = "flint_gateway_in_flight_requests{namespace=\"default\",function=\"hello\"} 1";

#[tokio::test]
async fn what_is_in_flight_is_answered_before_the_end() {
    let (go, slow) = slow().await;
    let mut gateway = Running::with(function("hello"), &[slow.address()]).await;
    let mut client = gateway.connect().await;
    client.say(&get("/function/hello")).await;
    gateway.metrics_show(IN_FLIGHT).await;
    gateway.stop();
    go.send_replace(true);
    let answer = answer(&mut client).await;
    assert_eq!((answer.status, answer.body.as_str()), (200, "done"));
    client.closed().await;
    gateway.ended().await;
}

#[tokio::test]
async fn while_the_news_spreads_it_is_not_ready_and_still_serves() {
    let (go, slow) = slow().await;
    go.send_replace(true);
    let config = Config { drain_delay: std::time::Duration::from_secs(60), ..config() };
    let mut gateway = Running::start_as(config).await.knowing(function("hello"), &[slow.address()]).await;
    assert_eq!(ask(gateway.admin, &get("/readyz")).await.status, 200);
    gateway.stop();
    let unready = async {
        while ask(gateway.admin, &get("/readyz")).await.status != 503 {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(std::time::Duration::from_secs(10), unready).await.expect("not ready");
    let answer = gateway.get("/function/hello").await;
    assert_eq!(answer.status, 200);
    assert_eq!(answer.header("connection"), Some("close"), "the client is sent to a gateway that stays");
}
