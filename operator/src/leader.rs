//! How the others find the leader: the EndpointSlice of the Service `flint-leader`, which has no selector.

use std::{net::IpAddr, time::Duration};

use flint_api::labels;
use flint_core::wire::{CONTROL_PORT, HOME_PORT};
use flint_kube::{Applier, Manifest, lease::Holding};
use k8s_openapi::api::discovery::v1::EndpointSlice;
use serde_json::json;
use tokio_util::sync::CancellationToken;

/// The Service, its EndpointSlice's name, and part of the address that instances call home to.
pub(crate) const SERVICE: &str = "flint-leader";
/// The Lease that the operators contend for.
pub(crate) const LEASE: &str = "flint-operator";
/// After a failed write: gateways are without an operator until it works.
const RETRY: Duration = Duration::from_millis(500);
/// Somebody may have deleted or changed it; nothing watches it, for nobody does.
const REPEAT: Duration = Duration::from_secs(60);

/// Says in the EndpointSlice that the leader is here, until `shutdown`. Only while we hold the Lease: one that lost it and has not
/// noticed writes nothing.
pub(crate) async fn advertise(
    applier: Applier,
    namespace: String,
    address: IpAddr,
    holding: Holding,
    shutdown: CancellationToken,
) {
    let slice = slice(&namespace, address);
    loop {
        let wait = if holding.is_held() {
            match applier.apply(&slice).await {
                Ok(_) => REPEAT,
                Err(error) => {
                    let cause = std::error::Error::source(&error).map(ToString::to_string);
                    tracing::warn!(%error, cause, "gateways and instances cannot be told where the leader is");
                    RETRY
                }
            }
        } else {
            RETRY
        };
        tokio::select! {
            () = shutdown.cancelled() => return,
            () = tokio::time::sleep(wait) => {}
        }
    }
}

fn slice(namespace: &str, address: IpAddr) -> Manifest {
    let family = if address.is_ipv4() { "IPv4" } else { "IPv6" };
    Manifest::new::<EndpointSlice>(json!({
        "metadata": {
            "name": SERVICE,
            "namespace": namespace,
            "labels": {
                "kubernetes.io/service-name": SERVICE,
                "endpointslice.kubernetes.io/managed-by": labels::FIELD_MANAGER,
                labels::PART_OF: labels::PART_OF_FLINT,
                labels::MANAGED_BY: labels::FIELD_MANAGER,
            },
        },
        "addressType": family,
        "endpoints": [{"addresses": [address.to_string()], "conditions": {"ready": true}}],
        "ports": [
            {"name": "home", "port": HOME_PORT, "protocol": "TCP"},
            {"name": "control", "port": CONTROL_PORT, "protocol": "TCP"},
        ],
    }))
}

#[cfg(test)]
mod tests {
    use flint_kube::{Lease, lease::Config};
    use flint_testing::apiserver::ApiServer;

    use super::*;

    const PATH: &str = "/apis/discovery.k8s.io/v1/namespaces/flint/endpointslices/flint-leader";

    #[tokio::test(start_paused = true)]
    async fn the_leader_says_where_it_is_again_when_somebody_removed_it() {
        let server = ApiServer::new();
        let stop = CancellationToken::new();
        let lease = Lease::new(server.client(), Config::new("flint", LEASE, "operator-1"));
        let (holding, _task) = lease.spawn(stop.clone());
        holding.acquired().await;
        let applier = Applier::new(server.client(), "flint-operator");
        server.fail("PATCH", "/endpointslices/", 503, "ServiceUnavailable", "away");
        let address = "10.0.0.7".parse().unwrap();
        let task = tokio::spawn(advertise(applier, "flint".into(), address, holding, stop.clone()));
        tokio::time::sleep(RETRY * 2).await;
        assert_eq!(server.get(PATH).unwrap()["endpoints"][0]["addresses"][0], "10.0.0.7");
        server.remove(PATH);
        tokio::time::sleep(REPEAT * 2).await;
        assert!(server.get(PATH).is_some());
        stop.cancel();
        task.await.unwrap();
    }
}
