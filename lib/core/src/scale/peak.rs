//! The highest number of the last while, which holds back a descent.

use std::{collections::VecDeque, time::Duration};

/// Numbers by second, falling from front to back, so that the front is the highest of those still in the window; a
/// second has one entry at most, so the window's length bounds it.
#[derive(Clone, Debug, Default)]
pub(super) struct Peak {
    falling: VecDeque<(u64, u32)>,
}

// === impl Peak ===

impl Peak {
    /// Takes in a number and returns the highest of the window that ends now, this one included.
    pub(super) fn max(&mut self, now: Duration, number: u32, window: Duration) -> u32 {
        if window.is_zero() {
            self.falling.clear();
            return number;
        }
        let now = now.as_secs();
        while self.falling.back().is_some_and(|(second, last)| *last <= number || *second >= now) {
            let dropped = self.falling.pop_back();
            // The same second: its highest number stays.
            if let Some((second, last)) = dropped.filter(|(second, last)| *second >= now && *last > number) {
                self.falling.push_back((second, last));
                break;
            }
        }
        if self.falling.back().is_none_or(|(second, _)| *second < now) {
            self.falling.push_back((now, number));
        }
        while self.falling.front().is_some_and(|(second, _)| second + window.as_secs() < now) {
            self.falling.pop_front();
        }
        self.falling.front().map_or(number, |(_, highest)| (*highest).max(number))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn the_highest_of_the_window_stands_until_the_window_has_passed() {
        let mut peak = Peak::default();
        let seen: Vec<u32> = [5, 3, 4, 1, 1, 1, 1, 1]
            .into_iter()
            .enumerate()
            .map(|(second, number)| peak.max(at(second as u64), number, at(3)))
            .collect();
        assert_eq!(seen, [5, 5, 5, 5, 4, 4, 1, 1]);
    }

    #[test]
    fn without_a_window_the_number_stands_alone() {
        let mut peak = Peak::default();
        assert_eq!(peak.max(at(0), 5, Duration::ZERO), 5);
        assert_eq!(peak.max(at(0), 1, Duration::ZERO), 1);
    }

    #[test]
    fn one_second_has_one_entry_its_highest() {
        let mut peak = Peak::default();
        assert_eq!(peak.max(at(0), 5, at(3)), 5);
        for _ in 0..100 {
            assert_eq!(peak.max(at(0), 2, at(3)), 5);
        }
        assert_eq!(peak.falling.len(), 1);
        assert_eq!(peak.max(at(0), 9, at(3)), 9);
        assert_eq!(peak.falling.len(), 1);
    }
}
