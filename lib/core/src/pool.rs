//! Warm pools on the wire: the ticket by which a waiting instance becomes a function's, and how a claim is proved.
//!
//! A ticket is everything that an ordinary pod of the function would find in its environment, the function's key included, sealed
//! (ChaCha20-Poly1305) under the pool's key. Only the operator and the pool's own pods know that key: gateways carry tickets and
//! cannot read them. With a ticket a gateway gets the secret that proves a claim: its HMAC over the uid of the one pod that is
//! claimed. So whoever saw a claim pass by can repeat it at that pod only, which is taken.

mod bridge;

use chacha20poly1305::{
    ChaCha20Poly1305, Key, KeyInit as _, Nonce,
    aead::{Aead as _, Payload},
};
use serde::{Deserialize, Serialize};

pub use self::bridge::{Bridging, LASTING, REMEMBERED, bridging, waiting};
use crate::wire;

/// Path of a claim, on the watchdog's admin port.
pub const CLAIM_PATH: &str = "/claim";
/// Path at home by which a pod says whose it has become.
pub const CLAIMED_PATH: &str = "/claimed";
/// Header: the proof that the claimer got its ticket from the operator, for this pod.
pub const PROOF_HEADER: &str = "x-flint-proof";
/// The most bytes of a ticket's variables: what a pipe takes in one piece, with room for JSON around it.
pub const LARGEST_ENVIRONMENT: usize = 40 << 10;
/// The most bytes of a sealed ticket.
pub const LARGEST_TICKET: usize = 64 << 10;

/// Length of a nonce, in bytes.
pub const NONCE: usize = 12;

/// What a ticket says, once opened.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ticket {
    /// Unix time in seconds after which it is worth nothing.
    pub expires: u64,
    /// The environment of the function's watchdog, as an ordinary pod would have it.
    pub environment: Vec<(String, String)>,
}

/// What a claimed pod tells home, signed with the function's key: whose it is now. It may not be ready yet.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Claimed {
    /// The pool that it waited in.
    pub pool: String,
    /// The namespace.
    pub namespace: String,
    /// The function.
    pub function: String,
    /// The revision.
    pub revision: String,
    /// The pod's name.
    pub pod: String,
    /// The pod's uid.
    pub uid: String,
}

/// Why a claim is not good.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// Not made for this pod, or not by somebody with the ticket's secret.
    #[error("the claim is not proved for this pod")]
    Proof,
    /// Not sealed for this pool, or changed on its way.
    #[error("the ticket is not this pool's")]
    Seal,
    /// Its time is over.
    #[error("the ticket has expired")]
    Expired,
}

/// The key of a pool, in hex: derived, so that nobody has to read Secrets.
#[must_use]
pub fn pool_key(master: &[u8], namespace: &str, pool: &str) -> String {
    wire::derive(master, &["flint-pool-key", namespace, pool])
}

/// Seals a ticket for a pool. No two tickets of a pool may have the same nonce: it is made by chance.
///
/// # Errors
/// When it is too large to be sealed, which [`LARGEST_ENVIRONMENT`] excludes.
pub fn seal(key: &str, pool: &str, nonce: [u8; NONCE], ticket: &Ticket) -> Result<Vec<u8>, Refused> {
    let plain = serde_json::to_vec(ticket).map_err(|_| Refused::Seal)?;
    let payload = Payload { msg: &plain, aad: pool.as_bytes() };
    let sealed = cipher(key).encrypt(&Nonce::from(nonce), payload).map_err(|_| Refused::Seal)?;
    Ok([nonce.as_slice(), &sealed].concat())
}

/// The secret that proves claims with the sealed ticket; in hex.
#[must_use]
pub fn proof_key(key: &str, sealed: &[u8]) -> String {
    let nonce = hex::encode(sealed.get(..NONCE).unwrap_or_default());
    wire::derive(key.as_bytes(), &["flint-pool-proof", &nonce])
}

/// The proof of a claim of the pod with that uid; in hex.
#[must_use]
pub fn prove(proof_key: &str, uid: &str) -> String {
    wire::sign(proof_key, uid.as_bytes())
}

/// Opens a ticket at the pod with that uid. `now` is Unix time in seconds.
///
/// # Errors
/// When the claim is not good.
pub fn open(
    key: &str,
    pool: &str,
    uid: &str,
    sealed: &[u8],
    proof: &str,
    now: u64,
) -> Result<Ticket, Refused> {
    if !wire::verify(&proof_key(key, sealed), uid.as_bytes(), proof) {
        return Err(Refused::Proof);
    }
    let (nonce, sealed) = sealed.split_first_chunk::<NONCE>().ok_or(Refused::Seal)?;
    let payload = Payload { msg: sealed, aad: pool.as_bytes() };
    let plain = cipher(key).decrypt(&Nonce::from(*nonce), payload).map_err(|_| Refused::Seal)?;
    let ticket: Ticket = serde_json::from_slice(&plain).map_err(|_| Refused::Seal)?;
    if ticket.expires < now {
        return Err(Refused::Expired);
    }
    Ok(ticket)
}

// === impl Ticket ===

impl std::fmt::Debug for Ticket {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let names: Vec<_> = self.environment.iter().map(|(name, _)| name).collect();
        f.debug_struct("Ticket").field("expires", &self.expires).field("environment", &names).finish()
    }
}

fn cipher(key: &str) -> ChaCha20Poly1305 {
    let derived = wire::derive_bytes(key.as_bytes(), &["flint-pool-seal"]);
    ChaCha20Poly1305::new(&Key::from(derived))
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: u64 = 1_000;

    fn ticket() -> Ticket {
        Ticket { expires: NOW, environment: vec![("FLINT_KEY".into(), "a secret".into())] }
    }

    fn sealed(key: &str) -> Vec<u8> {
        seal(key, "pool", [7; NONCE], &ticket()).unwrap()
    }

    #[test]
    fn the_pods_of_the_pool_open_a_ticket_and_nobody_reads_it_on_its_way() {
        let key = pool_key(b"master", "shop", "pool");
        let sealed = sealed(&key);
        assert!(!sealed.windows(8).any(|bytes| bytes == b"a secret"));
        let proof = prove(&proof_key(&key, &sealed), "uid-1");
        assert_eq!(open(&key, "pool", "uid-1", &sealed, &proof, NOW), Ok(ticket()));
        assert!(!format!("{:?}", ticket()).contains("a secret"));
    }

    #[test]
    fn a_claim_seen_at_one_pod_is_worth_nothing_at_another() {
        let key = pool_key(b"master", "shop", "pool");
        let sealed = sealed(&key);
        let proof = prove(&proof_key(&key, &sealed), "uid-1");
        assert_eq!(open(&key, "pool", "uid-2", &sealed, &proof, NOW), Err(Refused::Proof));
    }

    #[test]
    fn a_ticket_of_another_namespace_or_pool_is_refused() {
        let key = pool_key(b"master", "shop", "pool");
        let other = pool_key(b"master", "bank", "pool");
        let sealed = sealed(&other);
        let proof = prove(&proof_key(&other, &sealed), "uid-1");
        assert_eq!(open(&key, "pool", "uid-1", &sealed, &proof, NOW), Err(Refused::Proof));
        // Even with the right proof the seal does not open.
        let proof = prove(&proof_key(&key, &sealed), "uid-1");
        assert_eq!(open(&key, "pool", "uid-1", &sealed, &proof, NOW), Err(Refused::Seal));
        let sealed = self::sealed(&key);
        let proof = prove(&proof_key(&key, &sealed), "uid-1");
        assert_eq!(open(&key, "another", "uid-1", &sealed, &proof, NOW), Err(Refused::Seal));
    }

    #[test]
    fn a_ticket_that_was_changed_or_is_too_old_is_refused() {
        let key = pool_key(b"master", "shop", "pool");
        let mut sealed = sealed(&key);
        let proof = prove(&proof_key(&key, &sealed), "uid-1");
        assert_eq!(open(&key, "pool", "uid-1", &sealed, &proof, NOW + 1), Err(Refused::Expired));
        *sealed.last_mut().unwrap() ^= 1;
        assert_eq!(open(&key, "pool", "uid-1", &sealed, &proof, NOW), Err(Refused::Seal));
        assert_eq!(open(&key, "pool", "uid-1", b"", &proof, NOW), Err(Refused::Proof));
    }
}
