//! Writes what a line is made of straight into its bytes: there is a line for each request, and formatting machinery would cost more
//! than all the rest of it.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use jiff::Timestamp;

/// Now as lines have it, `2026-01-01T00:00:00.000Z`: made anew once a second, but for its end.
#[derive(Debug, Default)]
pub(super) struct Stamp {
    second: u64,
    /// Up to the point before the milliseconds.
    text: String,
}

/// `2026-01-01T00:00:00.`
const UP_TO_THE_POINT: usize = 20;

/// Appends a whole number.
pub(crate) fn push_number(line: &mut Vec<u8>, number: u64) {
    line.extend_from_slice(itoa::Buffer::new().format(number).as_bytes());
}

/// Appends a time in milliseconds, to two places.
pub(crate) fn push_millis(line: &mut Vec<u8>, time: Duration) {
    let hundredths = time
        .as_secs()
        .saturating_mul(100_000)
        .saturating_add(((time.subsec_nanos() + 5_000) / 10_000).into());
    push_number(line, hundredths / 100);
    let rest = u8::try_from(hundredths % 100).unwrap_or_default();
    line.extend_from_slice(&[b'.', b'0' + rest / 10, b'0' + rest % 10]);
}

// === impl Stamp ===

impl Stamp {
    /// Appends the time of this moment.
    pub(super) fn push(&mut self, line: &mut Vec<u8>) {
        self.push_time(line, SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default());
    }

    fn push_time(&mut self, line: &mut Vec<u8>, since_epoch: Duration) {
        if self.second != since_epoch.as_secs() || self.text.is_empty() {
            self.second = since_epoch.as_secs();
            let second =
                i64::try_from(self.second).ok().and_then(|second| Timestamp::from_second(second).ok());
            self.text = format!("{:.3}", second.unwrap_or_default());
            self.text.truncate(UP_TO_THE_POINT);
        }
        line.extend_from_slice(self.text.as_bytes());
        let millis = since_epoch.subsec_millis();
        let digit = |tens: u32| b'0' + u8::try_from(millis / tens % 10).unwrap_or_default();
        line.extend_from_slice(&[digit(100), digit(10), digit(1), b'Z']);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(write: impl FnOnce(&mut Vec<u8>)) -> String {
        let mut line = Vec::new();
        write(&mut line);
        String::from_utf8(line).unwrap()
    }

    #[test]
    fn times_have_two_places_and_are_rounded() {
        let millis = |nanos| written(|line| push_millis(line, Duration::from_nanos(nanos)));
        assert_eq!(millis(0), "0.00");
        assert_eq!(millis(12_341_000), "12.34");
        assert_eq!(millis(12_345_000), "12.35");
        assert_eq!(millis(999_995_000), "1000.00");
        assert_eq!(millis(61_000_050_000), "61000.05");
    }

    #[test]
    fn a_stamp_is_the_moments_own_within_a_second_and_after_it() {
        let mut stamp = Stamp::default();
        let mut at = |millis| written(|line| stamp.push_time(line, Duration::from_millis(millis)));
        assert_eq!(at(0), "1970-01-01T00:00:00.000Z");
        assert_eq!(at(7), "1970-01-01T00:00:00.007Z");
        assert_eq!(at(1_767_225_600_123), "2026-01-01T00:00:00.123Z");
        assert_eq!(at(1_767_225_600_999), "2026-01-01T00:00:00.999Z");
        assert_eq!(at(1_767_225_601_000), "2026-01-01T00:00:01.000Z");
    }
}
