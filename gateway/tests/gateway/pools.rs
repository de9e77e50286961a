//! Claims of pods that wait in a warm pool, with doubles of the operator and of the pods.

use std::net::SocketAddr;

use flint_control::v1::{Pool, PoolMember, PoolNews, PoolTicket, operator_message::Message};
use flint_core::pool::prove;
use flint_testing::upstream::Upstream;

use crate::{
    control::{Operator, greeter, hello},
    support::{Running, function, header},
};

/// A pod that answers claims with these statuses, one after the other, the last for ever.
async fn pod(statuses: &'static [&'static str]) -> Upstream {
    Upstream::start(move |number, mut peer| async move {
        let claim = peer.request().await.expect("a claim");
        assert!(claim.head.starts_with("POST /claim "), "{}", claim.head);
        assert_eq!(claim.body, b"sealed");
        assert_eq!(header(&claim.head, "x-flint-proof"), Some(prove("the proof key", "uid-warm").as_str()));
        let status = statuses[number.min(statuses.len() - 1)];
        peer.say(&format!("HTTP/1.1 {status}\r\ncontent-length: 0\r\n\r\n")).await;
        peer.closed().await;
    })
    .await
}

fn member(claims: SocketAddr, traffic: SocketAddr) -> PoolMember {
    PoolMember {
        pod: format!("warm-{}", claims.port()),
        uid: "uid-warm".into(),
        address: traffic.to_string(),
        claims: claims.to_string(),
    }
}

fn news(members: Vec<PoolMember>) -> Message {
    let ticket = PoolTicket {
        function: Some(hello()),
        revision: "r1".into(),
        pool: "pool".into(),
        sealed: b"sealed".to_vec(),
        proof_key: "the proof key".into(),
        expires: u64::MAX,
    };
    let pool = Pool { namespace: "default".into(), name: "pool".into(), members };
    Message::Pools(PoolNews { pools: vec![pool], tickets: vec![ticket], ..PoolNews::default() })
}

#[tokio::test]
async fn a_first_request_is_answered_by_a_pod_that_waited_and_the_operator_hears_of_no_queue() {
    let (operator, greeter, pod) = (Operator::start().await, greeter().await, pod(&["200 OK"]).await);
    let gateway = Running::controlled_by(operator.url()).await.knowing(function("hello"), &[]).await;
    operator.say(news(vec![member(pod.address(), greeter.address())])).await;
    gateway.metrics_show("flint_gateway_pool_tickets 1").await;
    assert_eq!(gateway.get("/function/hello").await.status, 200);
    gateway.metrics_show("flint_gateway_pool_claims_total{outcome=\"won\"} 1").await;
    let demand = operator.demand(|demand| demand.arrived == 1).await;
    assert_eq!(demand.queued, 0);
    assert_eq!(pod.connections(), 1);
}

#[tokio::test]
async fn a_pod_that_is_taken_is_left_for_the_next_and_in_the_end_for_the_operator() {
    let (operator, greeter) = (Operator::start().await, greeter().await);
    let taken = pod(&["409 Conflict"]).await;
    let gateway = Running::controlled_by(operator.url()).await.knowing(function("hello"), &[]).await;
    let nobody = Upstream::nobody().await;
    let members = vec![member(taken.address(), greeter.address()), member(nobody, greeter.address())];
    operator.say(news(members)).await;
    gateway.metrics_show("flint_gateway_pool_tickets 1").await;
    let starting = async {
        operator.demand(|demand| demand.queued == 1).await;
        let ready = crate::support::pod("hello", "hello-1", greeter.address());
        gateway.tell(flint_gateway::index::Event::Pod(ready)).await;
    };
    let (answer, ()) = tokio::join!(gateway.get("/function/hello"), starting);
    assert_eq!(answer.status, 200);
    gateway.metrics_show("flint_gateway_pool_claims_total{outcome=\"lost\"} 1").await;
    gateway.metrics_show("flint_gateway_pool_claims_total{outcome=\"failed\"} 1").await;
}
