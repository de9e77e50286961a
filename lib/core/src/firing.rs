//! A firing's identity: the same for every attempt at it, by whichever gateway.

use std::fmt::Write as _;

use jiff::Timestamp;
use sha2::{Digest, Sha256};

/// The id of a schedule's firing, in the form of a UUID (version 8, by SHA-256 of who fires when). It is the
/// invocation's request id and the event's id, so that a function can tell a repetition.
#[must_use]
pub fn id(namespace: &str, function: &str, schedule: &str, due: Timestamp) -> String {
    let mut hash = Sha256::new();
    for part in [namespace, function, schedule, &due.to_string()] {
        hash.update(part.as_bytes());
        hash.update(b"\n");
    }
    let mut bytes = [0; 16];
    bytes.copy_from_slice(&hash.finalize()[..16]);
    bytes[6] = bytes[6] & 0x0f | 0x80;
    bytes[8] = bytes[8] & 0x3f | 0x80;
    let mut text = String::with_capacity(36);
    for (place, byte) in bytes.iter().enumerate() {
        if matches!(place, 4 | 6 | 8 | 10) {
            text.push('-');
        }
        // Writing to a string does not fail.
        let _ = write!(text, "{byte:02x}");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_firing_has_one_id_and_no_other_has_it() {
        let due: Timestamp = "2026-11-21T02:00:00Z".parse().unwrap();
        let one = id("shop", "report", "nightly", due);
        assert_eq!(one, id("shop", "report", "nightly", due));
        assert_eq!(one.len(), 36);
        assert_eq!(one.as_bytes()[14], b'8');
        let later: Timestamp = "2026-11-22T02:00:00Z".parse().unwrap();
        for other in [
            id("shop", "report", "nightly", later),
            id("shop", "report", "hourly", due),
            id("shop", "reports", "nightly", due),
            id("shopreport", "", "nightly", due),
        ] {
            assert_ne!(one, other);
        }
    }
}
