//! Whether an announcement is believed.

use std::net::{IpAddr, SocketAddr};

use flint_api::labels;
use flint_core::wire::{self, Announcement};
use http::StatusCode;
use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt;

use crate::{key::Key, pool::Claims, stores::Stores};

/// Why an announcement is not believed. What it says goes to the instance; it names nothing the instance does not know.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Refused {
    #[error("the body is no announcement")]
    Malformed,
    #[error("the signature is not this function's")]
    Signature,
    #[error("the address is not the sender's")]
    Source,
    #[error("the pod is not known yet")]
    Unknown,
    #[error("the pod is not an instance of this revision")]
    Foreign,
    #[error("the pod is terminating")]
    Terminating,
}

// === impl Refused ===

impl Refused {
    /// As metrics and the answer have it.
    pub(super) const fn reason(self) -> &'static str {
        match self {
            Self::Malformed => "malformed",
            Self::Signature => "signature",
            Self::Source => "source",
            Self::Unknown => "unknown",
            Self::Foreign => "foreign",
            Self::Terminating => "terminating",
        }
    }

    /// 409 asks the instance to try again: the watch may be behind. Nothing else gets better by trying.
    pub(super) const fn status(self) -> StatusCode {
        match self {
            Self::Malformed => StatusCode::BAD_REQUEST,
            Self::Unknown => StatusCode::CONFLICT,
            Self::Signature | Self::Source | Self::Foreign | Self::Terminating => StatusCode::FORBIDDEN,
        }
    }
}

/// Believes an announcement that its function's key signed, that comes from the address it names, and whose pod the
/// watch knows as a living instance of the revision.
pub(super) fn verify(
    master: &[u8],
    stores: &Stores,
    claims: &Claims,
    source: IpAddr,
    signature: &str,
    body: &[u8],
) -> Result<Announcement, Refused> {
    let announcement: Announcement = serde_json::from_slice(body).map_err(|_| Refused::Malformed)?;
    let key = wire::instance_key(master, &announcement.namespace, &announcement.function);
    if !wire::verify(&key, body, signature) {
        return Err(Refused::Signature);
    }
    let address: SocketAddr = announcement.address.parse().map_err(|_| Refused::Malformed)?;
    if address.ip().to_canonical() != source.to_canonical() {
        return Err(Refused::Source);
    }
    let pod = stores.pods.find(&announcement.namespace, &announcement.pod).ok_or(Refused::Unknown)?;
    is_instance(&pod, claims, &announcement, source)?;
    Ok(announcement)
}

fn is_instance(
    pod: &Pod,
    claims: &Claims,
    announcement: &Announcement,
    source: IpAddr,
) -> Result<(), Refused> {
    let label = |name: &str, value: &str| pod.labels().get(name).is_some_and(|label| label == value);
    let labelled =
        label(labels::FUNCTION, &announcement.function) && label(labels::REVISION, &announcement.revision);
    // One from a pool may not have its labels yet.
    let function = Key::new(&announcement.namespace, &announcement.function);
    let claimed = || claims.knows(&announcement.uid, &function, &announcement.revision);
    if pod.metadata.uid.as_deref() != Some(&announcement.uid) || !(labelled || claimed()) {
        let waits = pod.labels().contains_key(labels::POOL);
        return Err(if waits { Refused::Unknown } else { Refused::Foreign });
    }
    if pod.metadata.deletion_timestamp.is_some() {
        return Err(Refused::Terminating);
    }
    // The watch learns of a pod's address half a second after the instance runs; once it has, they must agree.
    let known = pod.status.as_ref().and_then(|status| status.pod_ip.as_deref());
    match known.and_then(|address| address.parse::<IpAddr>().ok()) {
        Some(known) if known.to_canonical() != source.to_canonical() => Err(Refused::Source),
        _ => Ok(()),
    }
}
