//! Request ids and traces: accepted where a client sends them, made where it does not.

use flint_core::trace::{TraceParent, write_hex};
use http::{HeaderMap, HeaderValue};
use rand::{Rng, SeedableRng, rngs::SmallRng};

use crate::names;

/// A worker's source of random ids. It is seeded by the system once: no system call for a request.
#[derive(Debug)]
pub struct Ids {
    rng: SmallRng,
}

/// A client's id longer than this is replaced: it would be copied into every log on its way.
const LONGEST: usize = 128;

// === impl Ids ===

impl Ids {
    /// A source of its own.
    #[must_use]
    pub fn new() -> Self {
        Self { rng: SmallRng::from_os_rng() }
    }

    /// The client's request id if it is sane, or a new one.
    pub fn request_id(&mut self, headers: &HeaderMap) -> HeaderValue {
        match headers.get(names::REQUEST_ID) {
            Some(id) if is_sane(id) => id.clone(),
            _ => self.new_request_id(),
        }
    }

    /// The client's trace if it is one, or a new one; and whether it is new.
    pub fn trace(&mut self, headers: &HeaderMap) -> (HeaderValue, bool) {
        let mut given = headers.get_all(names::TRACEPARENT).iter();
        match (given.next(), given.next()) {
            (Some(trace), None) if TraceParent::parse(trace.as_bytes()).is_some() => (trace.clone(), false),
            _ => {
                let made = TraceParent::new(self.rng.random(), self.rng.random()).encode();
                (text(&made), true)
            }
        }
    }

    /// A random UUID, version 4.
    fn new_request_id(&mut self) -> HeaderValue {
        let random: u128 = self.rng.random();
        let number = random & !(0xf << 76) & !(0b11 << 62) | 4 << 76 | 0b10 << 62;
        let mut id = *b"00000000-0000-0000-0000-000000000000";
        // Each group's place in the text, and how many digits come after it.
        for (group, after) in [(0..8, 24), (9..13, 20), (14..18, 16), (19..23, 12), (24..36, 0)] {
            write_hex(&mut id[group], number >> (after * 4));
        }
        text(&id)
    }
}

impl Default for Ids {
    fn default() -> Self {
        Self::new()
    }
}

fn is_sane(id: &HeaderValue) -> bool {
    let bytes = id.as_bytes();
    !bytes.is_empty() && bytes.len() <= LONGEST && bytes.iter().all(u8::is_ascii_graphic)
}

fn text(bytes: &[u8]) -> HeaderValue {
    HeaderValue::from_bytes(bytes).unwrap_or_else(|_| HeaderValue::from_static("invalid"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(name: &'static str, value: &str) -> HeaderMap {
        let mut headers = HeaderMap::new();
        headers.insert(name, HeaderValue::from_bytes(value.as_bytes()).unwrap());
        headers
    }

    #[test]
    fn a_made_id_is_a_uuid_of_version_4() {
        let mut ids = Ids::new();
        for _ in 0..100 {
            let id = ids.request_id(&HeaderMap::new());
            let id = uuid::Uuid::try_parse(id.to_str().unwrap()).unwrap();
            assert_eq!(id.get_version_num(), 4);
            assert_eq!(id.get_variant(), uuid::Variant::RFC4122);
        }
        assert_ne!(ids.new_request_id(), ids.new_request_id());
    }

    #[test]
    fn a_sane_id_of_the_client_stays_and_any_other_is_replaced() {
        let mut ids = Ids::new();
        assert_eq!(ids.request_id(&headers("x-request-id", "order-17/a")), "order-17/a");
        for bad in ["", "with space", &"x".repeat(129), "ü"] {
            assert_ne!(ids.request_id(&headers("x-request-id", bad)), bad);
        }
    }

    #[test]
    fn a_trace_goes_on_and_a_broken_one_is_replaced() {
        let mut ids = Ids::new();
        let trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00";
        let (kept, new) = ids.trace(&headers("traceparent", trace));
        assert_eq!((kept.to_str().unwrap(), new), (trace, false));
        let (made, new) = ids.trace(&headers("traceparent", "00-garbage"));
        assert!(new && TraceParent::parse(made.as_bytes()).is_some());
    }
}
