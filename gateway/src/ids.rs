//! Request ids and traces: accepted where a client sends them, made where it does not.

use flint_core::{
    trace::{TraceParent, write_hex},
    wire,
};
use http::{HeaderMap, HeaderValue};
use rand::{Rng, SeedableRng, rngs::SmallRng};

use crate::names;

/// A worker's source of random ids. It is seeded by the system once: no system call for a request.
#[derive(Debug)]
pub struct Ids {
    rng: SmallRng,
}

/// What a client says of a request that concerns the gateway, found by one look over its fields.
#[derive(Debug, Default)]
pub struct Said<'a> {
    id: Option<&'a HeaderValue>,
    ids: usize,
    trace: Option<&'a HeaderValue>,
    traces: usize,
    /// There is a `tracestate`.
    pub state: bool,
    /// It waits for a `100 Continue`, or for whatever else it expects.
    pub expects: bool,
    /// There are fields that only the gateway may say to a watchdog.
    pub private: bool,
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

    /// The client's request id if it is sane, or a new one; and whether it is other than what the client wrote.
    pub fn request_id(&mut self, said: &Said<'_>) -> (HeaderValue, bool) {
        match said.id {
            Some(id) if is_sane(id) => (id.clone(), said.ids > 1),
            _ => (self.new_request_id(), true),
        }
    }

    /// The client's trace if it is one, or a new one; and whether it is new.
    pub fn trace(&mut self, said: &Said<'_>) -> (HeaderValue, bool) {
        match said.trace {
            Some(trace) if said.traces == 1 && TraceParent::parse(trace.as_bytes()).is_some() => {
                (trace.clone(), false)
            }
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

// === impl Said ===

impl<'a> Said<'a> {
    /// Looks over a request's fields.
    #[must_use]
    pub fn of(headers: &'a HeaderMap) -> Self {
        let mut said = Self::default();
        for (name, value) in headers {
            match name.as_str() {
                wire::REQUEST_ID_HEADER => {
                    said.id = said.id.or(Some(value));
                    said.ids += 1;
                }
                names::TRACEPARENT_HEADER => {
                    said.trace = Some(value);
                    said.traces += 1;
                }
                names::TRACESTATE_HEADER => said.state = true,
                "expect" => said.expects = true,
                name => said.private |= name.starts_with(names::PRIVATE_PREFIX),
            }
        }
        said
    }

    /// Whether something must go from its fields, where the id, or the trace, is new.
    #[must_use]
    pub fn is_replaced(&self, id_is_new: bool, trace_is_new: bool) -> bool {
        self.private || id_is_new && self.ids > 0 || trace_is_new && (self.traces > 0 || self.state)
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
            let (id, _) = ids.request_id(&Said::default());
            let id = uuid::Uuid::try_parse(id.to_str().unwrap()).unwrap();
            assert_eq!(id.get_version_num(), 4);
            assert_eq!(id.get_variant(), uuid::Variant::RFC4122);
        }
        assert_ne!(ids.new_request_id(), ids.new_request_id());
    }

    #[test]
    fn a_sane_id_of_the_client_stays_and_any_other_is_replaced() {
        let mut ids = Ids::new();
        let (kept, new) = ids.request_id(&Said::of(&headers("x-request-id", "order-17/a")));
        assert_eq!((kept.to_str().unwrap(), new), ("order-17/a", false));
        for bad in ["", "with space", &"x".repeat(129), "ü"] {
            assert_ne!(ids.request_id(&Said::of(&headers("x-request-id", bad))).0, bad);
        }
    }

    #[test]
    fn a_trace_goes_on_and_a_broken_one_is_replaced() {
        let mut ids = Ids::new();
        let trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00";
        let (kept, new) = ids.trace(&Said::of(&headers("traceparent", trace)));
        assert_eq!((kept.to_str().unwrap(), new), (trace, false));
        let (made, new) = ids.trace(&Said::of(&headers("traceparent", "00-garbage")));
        assert!(new && TraceParent::parse(made.as_bytes()).is_some());
    }
}
