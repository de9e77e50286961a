//! W3C Trace Context: reads and makes the `traceparent` header.

use std::fmt;

/// A trace's place: version 00 of <https://www.w3.org/TR/trace-context/>.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TraceParent {
    /// Never zero.
    pub trace_id: u128,
    /// Never zero.
    pub parent_id: u64,
    /// Bit 0 is "sampled".
    pub flags: u8,
}

/// Length of the text.
pub const LEN: usize = 55;

// === impl TraceParent ===

impl TraceParent {
    /// Reads the header. A later version is read by the fields it shares with version 00, as the specification asks.
    #[must_use]
    pub fn parse(text: &[u8]) -> Option<Self> {
        let (version, rest) = (hex(text.get(..2)?)?, text.get(2..)?);
        let well_formed = match version {
            0xff => false,
            0 => text.len() == LEN,
            _ => text.len() == LEN || text.get(LEN) == Some(&b'-'),
        };
        if !well_formed || rest[0] != b'-' || rest[33] != b'-' || rest[50] != b'-' {
            return None;
        }
        let this = Self {
            trace_id: hex(&rest[1..33])?,
            parent_id: u64::try_from(hex(&rest[34..50])?).ok()?,
            flags: u8::try_from(hex(&rest[51..53])?).ok()?,
        };
        (this.trace_id != 0 && this.parent_id != 0).then_some(this)
    }

    /// A new trace from random numbers. It is marked as sampled: most samplers follow the caller's mark, and a gateway
    /// that records nothing itself must not switch off everybody's traces behind it.
    #[must_use]
    pub fn new(random_trace: u128, random_parent: u64) -> Self {
        Self { trace_id: random_trace.max(1), parent_id: random_parent.max(1), flags: 1 }
    }

    /// The header's value.
    #[must_use]
    pub fn encode(self) -> [u8; LEN] {
        let mut text = *b"00-00000000000000000000000000000000-0000000000000000-00";
        write_hex(&mut text[3..35], self.trace_id);
        write_hex(&mut text[36..52], u128::from(self.parent_id));
        write_hex(&mut text[53..55], u128::from(self.flags));
        text
    }
}

impl fmt::Display for TraceParent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "00-{:032x}-{:016x}-{:02x}", self.trace_id, self.parent_id, self.flags)
    }
}

/// Lower-case hex only, as the specification asks.
fn hex(text: &[u8]) -> Option<u128> {
    text.iter().try_fold(0, |number, byte| {
        let digit = match byte {
            b'0'..=b'9' => byte - b'0',
            b'a'..=b'f' => byte - b'a' + 10,
            _ => return None,
        };
        Some(number << 4 | u128::from(digit))
    })
}

/// Writes the number's low digits, filling the text.
pub fn write_hex(text: &mut [u8], number: u128) {
    let mut rest = number;
    for byte in text.iter_mut().rev() {
        *byte = b"0123456789abcdef"[(rest & 15) as usize];
        rest >>= 4;
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const GOOD: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

    #[test]
    fn reads_what_the_specification_shows() {
        let parsed = TraceParent::parse(GOOD.as_bytes()).expect("valid");
        assert_eq!(parsed.to_string(), GOOD);
        assert_eq!(parsed.encode(), GOOD.as_bytes());
    }

    #[test]
    fn reads_a_later_version_by_what_it_shares() {
        let later = format!("cc{}-what-the-future-brings", &GOOD[2..]);
        assert_eq!(TraceParent::parse(later.as_bytes()), TraceParent::parse(GOOD.as_bytes()));
    }

    #[test]
    fn refuses_what_is_no_traceparent() {
        for text in [
            "",
            "00",
            "00-",
            "ff-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
            "00-0AF7651916CD43DD8448EB211C80319C-b7ad6b7169203331-01",
            "00-00000000000000000000000000000000-b7ad6b7169203331-01",
            "00-0af7651916cd43dd8448eb211c80319c-0000000000000000-01",
            "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01-extra",
            "00-0af7651916cd43dd8448eb211c80319c_b7ad6b7169203331-01",
            "cc-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01x",
            "00-0af7651916cd43dd8448eb211c80319c-b7ad6b71",
        ] {
            assert_eq!(TraceParent::parse(text.as_bytes()), None, "{text}");
        }
    }

    proptest! {
        #[test]
        fn what_is_made_is_read_back(trace in any::<u128>(), parent in any::<u64>()) {
            let made = TraceParent::new(trace, parent);
            prop_assert_eq!(TraceParent::parse(&made.encode()), Some(made));
        }

        #[test]
        fn any_bytes_are_read_without_a_panic(bytes in proptest::collection::vec(any::<u8>(), 0..80)) {
            let _ = TraceParent::parse(&bytes);
        }
    }
}
