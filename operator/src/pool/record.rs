//! Puts a claim on record: the pod's labels and owner become the function's. Behind the request, never in its way.

use std::{net::IpAddr, sync::Arc, time::Duration};

use flint_api::{Function, labels};
use flint_core::{pool::Claimed, wire};
use k8s_openapi::api::core::v1::Pod;
use kube::{
    Api, Client, Resource, ResourceExt,
    api::{Patch, PatchParams},
};
use serde_json::{Value, json};

use super::{Metrics, fit};
use crate::{control::Control, key::Key, stores::Stores};

/// Writes claims to the API server.
pub(crate) struct Recorder {
    client: Client,
    stores: Stores,
    control: Arc<Control>,
    master: Vec<u8>,
    metrics: Metrics,
}

/// Why a claim is not on record.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Unrecorded {
    /// The body is no claim.
    #[error("the body is no claim")]
    Malformed,
    /// Not signed with the function's key.
    #[error("the signature is not this function's")]
    Signature,
    /// The pod is not known (yet).
    #[error("the pod is not known yet")]
    Unknown,
    /// The pod is not of that pool, or another function's, or somebody else calls for it.
    #[error("the pod did not wait in this pool, or is another function's")]
    Foreign,
    /// The API server did not take it.
    #[error("the pod's labels could not be written")]
    Write(#[source] kube::Error),
}

/// The function's first request is under way on the same node: what is not urgent leaves it the processor.
const AFTERWARDS: Duration = Duration::from_millis(100);

// === impl Recorder ===

impl Recorder {
    /// A recorder.
    pub(crate) fn new(
        client: Client,
        stores: Stores,
        control: Arc<Control>,
        master: Vec<u8>,
        metrics: Metrics,
    ) -> Self {
        Self { client, stores, control, master, metrics }
    }

    /// Takes a pod's word that it was claimed, and puts that on record. What it says counts from the first moment; the answer comes when it is
    /// written, so that a pod that hears none says it again, to the next leader if need be.
    ///
    /// # Errors
    /// When it is not believed or not written.
    pub(crate) async fn record(
        &self,
        source: IpAddr,
        signature: &str,
        body: &[u8],
    ) -> Result<(), Unrecorded> {
        let claimed: Claimed = serde_json::from_slice(body).map_err(|_| Unrecorded::Malformed)?;
        let key = wire::instance_key(&self.master, &claimed.namespace, &claimed.function);
        if !wire::verify(&key, body, signature) {
            return Err(Unrecorded::Signature);
        }
        let function = Key::new(&claimed.namespace, &claimed.function);
        let pod = self.stores.pods.find(&claimed.namespace, &claimed.pod).ok_or(Unrecorded::Unknown)?;
        if is_recorded(&pod, &claimed) {
            return Ok(());
        }
        believe(&pod, &claimed, source)?;
        let owner = self.stores.function(&function).ok_or(Unrecorded::Foreign)?;
        if self.control.claims.claimed(&claimed) {
            self.metrics.claimed();
        }
        self.control.wake.touch(&function);
        self.stores.touch_pools(&claimed.namespace);
        let resizes = self.resizes(&claimed);
        // A task of its own: a pod that ends at once has been claimed all the same.
        let written = tokio::spawn(write(self.client.clone(), claimed, owner, resizes)).await;
        written.unwrap_or(Err(Unrecorded::Unknown))
    }

    /// How the pod's resources become the function's.
    fn resizes(&self, claimed: &Claimed) -> Vec<Value> {
        let deployment = |name: &str| self.stores.deployments.find(&claimed.namespace, name);
        match (deployment(&claimed.revision), deployment(&claimed.pool)) {
            (Some(function), Some(pool)) => fit::resizes(&function, &pool),
            _ => Vec::new(),
        }
    }
}

async fn write(
    client: Client,
    claimed: Claimed,
    owner: Arc<Function>,
    resizes: Vec<Value>,
) -> Result<(), Unrecorded> {
    let api: Api<Pod> = Api::namespaced(client, &claimed.namespace);
    let params =
        PatchParams { field_manager: Some(labels::FIELD_MANAGER.to_owned()), ..PatchParams::default() };
    let patch = Patch::Merge(patch(&claimed, &owner));
    tokio::time::sleep(AFTERWARDS).await;
    api.patch(&claimed.pod, &params, &patch).await.map_err(Unrecorded::Write)?;
    tracing::info!(
        namespace = claimed.namespace,
        function = claimed.function,
        pod = claimed.pod,
        pool = claimed.pool,
        "a claim is on record"
    );
    resize(&api, &params, &claimed.pod, resizes).await;
    Ok(())
}

/// Gives a claimed pod its function's resources. One that keeps the pool's has what it needs, and is a bridge for minutes.
async fn resize(api: &Api<Pod>, params: &PatchParams, pod: &str, resizes: Vec<Value>) {
    let mut refused = None;
    for patch in resizes {
        match api.patch_subresource("resize", pod, params, &Patch::Strategic(patch)).await {
            Ok(_) => return,
            Err(error) => refused = Some(error),
        }
    }
    if let Some(error) = refused {
        tracing::warn!(pod, %error, "a claimed pod keeps the pool's resources");
    }
}

fn is_recorded(pod: &Pod, claimed: &Claimed) -> bool {
    pod.metadata.uid.as_deref() == Some(&claimed.uid)
        && pod.labels().get(labels::FUNCTION) == Some(&claimed.function)
        && pod.labels().get(labels::REVISION) == Some(&claimed.revision)
}

fn believe(pod: &Pod, claimed: &Claimed, source: IpAddr) -> Result<(), Unrecorded> {
    let address = pod.status.as_ref().and_then(|status| status.pod_ip.as_deref()?.parse::<IpAddr>().ok());
    let is_its = pod.metadata.uid.as_deref() == Some(&claimed.uid)
        && pod.labels().get(labels::POOL) == Some(&claimed.pool)
        && address.is_none_or(|address| address.to_canonical() == source.to_canonical());
    if is_its { Ok(()) } else { Err(Unrecorded::Foreign) }
}

/// Without the pool's label the ReplicaSet lets go of the pod, and makes another one. The uid keeps a namesake out.
fn patch(claimed: &Claimed, owner: &Function) -> Value {
    json!({
        "metadata": {
            "uid": claimed.uid,
            "labels": {
                labels::POOL: null,
                labels::FROM_POOL: claimed.pool,
                labels::NAME: claimed.function,
                labels::INSTANCE: claimed.revision,
                labels::FUNCTION: claimed.function,
                labels::REVISION: claimed.revision,
            },
            "ownerReferences": [{
                "apiVersion": Function::api_version(&()),
                "kind": Function::kind(&()),
                "name": owner.name_any(),
                "uid": owner.uid().unwrap_or_default(),
                "controller": true,
            }],
        },
    })
}
