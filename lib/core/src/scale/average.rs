//! A moving average over buckets of one second.
//!
//! A bucket holds the mean of its second's samples, and a window's average is the mean of its buckets. A second without
//! a sample has no bucket: demand is sampled, so a gap means that nobody looked, not that nobody came.

use std::{collections::VecDeque, time::Duration};

/// Buckets by second, the oldest first; never more than the longest window asked for has seconds.
#[derive(Clone, Debug, Default)]
pub(super) struct Average {
    buckets: VecDeque<Bucket>,
}

#[derive(Clone, Copy, Debug)]
struct Bucket {
    second: u64,
    sum: f64,
    samples: u32,
}

// === impl Average ===

impl Average {
    /// Takes in a sample, and drops what is older than the window.
    pub(super) fn record(&mut self, now: Duration, value: f64, window: Duration) {
        let second = self.buckets.back().map_or(0, |last| last.second).max(now.as_secs());
        match self.buckets.back_mut() {
            Some(last) if last.second == second => {
                last.sum += value;
                last.samples += 1;
            }
            _ => self.buckets.push_back(Bucket { second, sum: value, samples: 1 }),
        }
        let length = seconds(window);
        while self.buckets.front().is_some_and(|first| first.second + length <= second) {
            self.buckets.pop_front();
        }
    }

    /// The average over a window that ends now; none where nothing was sampled in it.
    pub(super) fn over(&self, now: Duration, window: Duration) -> Option<f64> {
        let (now, length) = (now.as_secs(), seconds(window));
        let mut sum = 0.0;
        let mut count = 0_u32;
        for bucket in self.buckets.iter().rev().take_while(|bucket| bucket.second + length > now) {
            sum += bucket.sum / f64::from(bucket.samples);
            count += 1;
        }
        (count > 0).then(|| rounded(sum / f64::from(count)))
    }
}

/// To a millionth: a sum of sixty times 0.7 must not end above the target of 0.7 and ask for one more instance.
fn rounded(value: f64) -> f64 {
    (value * 1e6).round() / 1e6
}

/// A window in buckets, at least one.
fn seconds(window: Duration) -> u64 {
    (window.as_millis().div_ceil(1000) as u64).max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    const MINUTE: Duration = Duration::from_secs(60);

    fn at(millis: u64) -> Duration {
        Duration::from_millis(millis)
    }

    #[test]
    fn nothing_sampled_is_no_average() {
        let mut average = Average::default();
        assert_eq!(average.over(at(0), MINUTE), None);
        average.record(at(0), 5.0, MINUTE);
        assert_eq!(average.over(at(59_999), MINUTE), Some(5.0));
        assert_eq!(average.over(at(60_000), MINUTE), None);
    }

    #[test]
    fn a_second_counts_once_however_often_it_was_sampled() {
        let mut average = Average::default();
        for (time, value) in [(0, 2.0), (100, 4.0), (900, 6.0), (1000, 10.0)] {
            average.record(at(time), value, MINUTE);
        }
        assert_eq!(average.over(at(1000), MINUTE), Some(7.0));
    }

    #[test]
    fn a_second_that_nobody_sampled_is_no_zero() {
        let mut average = Average::default();
        average.record(at(0), 4.0, MINUTE);
        average.record(at(5_000), 4.0, MINUTE);
        assert_eq!(average.over(at(5_500), MINUTE), Some(4.0));
    }

    #[test]
    fn a_short_window_sees_only_its_own_seconds() {
        let mut average = Average::default();
        for second in 0..60 {
            average.record(at(second * 1000), if second < 54 { 1.0 } else { 11.0 }, MINUTE);
        }
        assert_eq!(average.over(at(59_000), MINUTE), Some(2.0));
        assert_eq!(average.over(at(59_000), at(6_000)), Some(11.0));
    }

    #[test]
    fn it_holds_no_more_buckets_than_the_window_has_seconds() {
        let mut average = Average::default();
        for second in 0..100_000 {
            average.record(at(second * 1000), 1.0, MINUTE);
        }
        assert_eq!(average.buckets.len(), 60);
    }
}
