//! Writes a Function's `status.lastInvocation`: roughly the last request, for people, and so as seldom as people look.
//!
//! A write of a status goes to every watch of Functions. So it is made when a function's traffic has paused, and at least
//! every [`FRESH`] while it goes on; one write after the other, so that many functions that pause at once are no burst.

use std::{sync::Arc, time::Duration};

use flint_api::Function;
use flint_kube::Applier;
use jiff::{SignedDuration, Timestamp};
use kube::Client;
use serde_json::json;
use tokio::time::MissedTickBehavior;
use tokio_util::sync::CancellationToken;

use super::Control;
use crate::stores::Stores;

/// The field manager of `status.lastInvocation`: the reconciler's status never carries it, and neither undoes the other.
const FIELD_MANAGER: &str = "flint-invocations";
/// The resolution of what is written, and how often something is.
const ROUND: Duration = Duration::from_secs(60);
/// Traffic that does not pause is written down again after this time.
const FRESH: SignedDuration = SignedDuration::from_mins(10);
/// Without a request in the last whole minute, traffic has paused.
const PAUSE: SignedDuration = SignedDuration::from_secs(120);

/// Writes until `shutdown`; for the leader alone.
pub(crate) async fn write_invocations(
    client: Client,
    stores: Stores,
    control: Arc<Control>,
    shutdown: CancellationToken,
) {
    let applier = Applier::new(client, FIELD_MANAGER);
    let mut round = tokio::time::interval(ROUND);
    round.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            () = shutdown.cancelled() => return,
            _ = round.tick() => {}
        }
        let now = Timestamp::now();
        for (key, last) in control.demand.last_invocations() {
            if shutdown.is_cancelled() {
                return;
            }
            let Some(function) = stores.function(&key) else { continue };
            let stored = function.status.as_ref().and_then(|status| status.last_invocation);
            if !is_due(stored, last, now) {
                continue;
            }
            let status = json!({"lastInvocation": last});
            if let Err(error) = applier.status::<Function>(&key.namespace, &key.name, &status).await {
                // The next round tries again.
                tracing::debug!(function = %key, %error, "the last invocation was not written");
            }
        }
    }
}

fn is_due(stored: Option<Timestamp>, last: Timestamp, now: Timestamp) -> bool {
    stored.is_none_or(|stored| {
        let newer = last.duration_since(stored);
        newer >= FRESH || (newer > SignedDuration::ZERO && now.duration_since(last) >= PAUSE)
    })
}

#[cfg(test)]
mod tests {
    use flint_testing::apiserver::ApiServer;
    use serde_json::json;

    use super::*;
    use crate::{
        control::tests::{control, function, report},
        stores::tests::stores,
    };

    #[test]
    fn it_is_written_at_first_and_after_a_pause_and_now_and_then() {
        let at = |minute: i64| Timestamp::from_second(minute * 60).unwrap();
        assert!(is_due(None, at(100), at(100)));
        assert!(!is_due(Some(at(100)), at(100), at(200)));
        assert!(!is_due(Some(at(100)), at(101), at(101)));
        assert!(is_due(Some(at(100)), at(101), at(103)));
        assert!(!is_due(Some(at(100)), at(109), at(109)));
        assert!(is_due(Some(at(100)), at(110), at(110)));
        // Somebody else has heard of a later one.
        assert!(!is_due(Some(at(120)), at(110), at(200)));
    }

    #[tokio::test(start_paused = true)]
    async fn a_function_without_a_request_is_never_written() {
        let server = ApiServer::new();
        let (stores, mut fill) = stores();
        for name in ["cart", "pay"] {
            let function = function(name, json!({}));
            server.put(&function);
            fill.put(&function);
        }
        let control = control(&stores);
        let gateway: Arc<str> = "a".into();
        control.demand.connected(&gateway);
        control.demand.report(&gateway, report("cart", 1.0, 0, 1));
        tokio::spawn(write_invocations(server.client(), stores, control, CancellationToken::new()));
        tokio::time::sleep(Duration::from_secs(1)).await;
        assert_eq!(server.writes(), ["PATCH /apis/flint.dev/v1alpha1/namespaces/shop/functions/cart/status"]);
    }
}
