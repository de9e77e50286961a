//! Counts the requests of a function so that their time-weighted average can be told, without a lock.
//!
//! The average of "requests present" over a time is its integral divided by that time. The integral up to T is
//! `present · T − Σ (arrivals' times) + Σ (departures' times)`, so an arrival adds (1, −t) and a departure (−1, +t) to a
//! pair of numbers. The pair must be read as one, or a reader between the two halves would be off by a whole T: so both
//! live in one 64-bit word, the count in the low 20 bits and the sum, modulo 2⁴⁴ µs, above it. The modulus does not
//! matter: only differences between two readings are used, and they are far below 200 days.

use std::sync::atomic::{AtomicU64, Ordering};

const PRESENT_BITS: u32 = 20;
const PRESENT: u64 = (1 << PRESENT_BITS) - 1;

/// Requests of one function in this gateway, forwarded and waiting.
#[derive(Debug, Default)]
pub struct Demand {
    word: AtomicU64,
    arrived: AtomicU64,
}

/// A reading of a [`Demand`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Reading {
    at: u64,
    integral: u64,
    arrived: u64,
    /// Requests in the gateway at that moment.
    pub present: u32,
}

/// What happened between two readings.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Between {
    /// Time-weighted average of requests present.
    pub concurrency: f64,
    /// Requests that arrived.
    pub arrived: u64,
    /// Length of the time, in milliseconds.
    pub elapsed_ms: u32,
}

// === impl Demand ===

impl Demand {
    /// A request comes. `now` is in microseconds since a fixed moment. Tells how many were there before.
    pub fn enter(&self, now: u64) -> u32 {
        self.arrived.fetch_add(1, Ordering::Relaxed);
        let step = 1_u64.wrapping_sub(now << PRESENT_BITS);
        (self.word.fetch_add(step, Ordering::Relaxed) & PRESENT) as u32
    }

    /// A request goes.
    pub fn leave(&self, now: u64) {
        let step = (now << PRESENT_BITS).wrapping_sub(1);
        self.word.fetch_add(step, Ordering::Relaxed);
    }

    /// Requests that have arrived, ever.
    pub fn arrived(&self) -> u64 {
        self.arrived.load(Ordering::Relaxed)
    }

    /// Requests in the gateway at this moment.
    pub fn present(&self) -> u32 {
        (self.word.load(Ordering::Relaxed) & PRESENT) as u32
    }

    /// Reads the state at `now`.
    pub fn read(&self, now: u64) -> Reading {
        let word = self.word.load(Ordering::Relaxed);
        let present = word & PRESENT;
        let integral = (word >> PRESENT_BITS).wrapping_add(present.wrapping_mul(now));
        Reading { at: now, integral, arrived: self.arrived(), present: present as u32 }
    }
}

// === impl Reading ===

impl Reading {
    /// The reading of one that nobody has entered.
    #[must_use]
    pub const fn zero(at: u64) -> Self {
        Self { at, integral: 0, arrived: 0, present: 0 }
    }

    /// What happened since an earlier reading.
    #[must_use]
    pub fn since(&self, earlier: &Self) -> Between {
        let elapsed = self.at.saturating_sub(earlier.at);
        let modulus = (1_u64 << (u64::BITS - PRESENT_BITS)) - 1;
        let mut area = self.integral.wrapping_sub(earlier.integral) & modulus;
        if area > modulus / 2 {
            // A request took its time just before this reading took its own: a hair below zero.
            area = 0;
        }
        let concurrency = if elapsed == 0 { f64::from(self.present) } else { area as f64 / elapsed as f64 };
        Between {
            concurrency,
            arrived: self.arrived.wrapping_sub(earlier.arrived),
            elapsed_ms: u32::try_from(elapsed / 1000).unwrap_or(u32::MAX),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_average_weighs_by_time() {
        let demand = Demand::default();
        let start = demand.read(1_000_000);
        assert_eq!(demand.enter(1_250_000), 0);
        assert_eq!(demand.enter(1_500_000), 1);
        demand.leave(1_750_000);
        let end = demand.read(2_000_000);
        assert_eq!(end.present, 1);
        // One for three quarters of the second, a second one for a quarter.
        assert_eq!(end.since(&start), Between { concurrency: 1.0, arrived: 2, elapsed_ms: 1000 });
    }

    #[test]
    fn a_request_that_stays_counts_in_every_reading() {
        let demand = Demand::default();
        demand.enter(0);
        let (first, second) = (demand.read(5_000_000), demand.read(6_000_000));
        assert_eq!(second.since(&first), Between { concurrency: 1.0, arrived: 0, elapsed_ms: 1000 });
    }

    #[test]
    fn a_reader_slightly_behind_sees_no_negative_average() {
        let demand = Demand::default();
        let before = demand.read(1_000_000);
        demand.enter(1_000_010);
        assert_eq!(demand.read(1_000_005).since(&before).concurrency, 0.0);
    }

    proptest! {
        #[test]
        fn the_average_is_that_of_the_intervals(
            base in 0u64..1 << 50, stays in proptest::collection::vec((0u64..1_000_000, 0u64..1_000_000), 0..50),
        ) {
            let demand = Demand::default();
            let mut moments: Vec<(u64, bool)> = Vec::new();
            let mut area = 0;
            for (a, b) in stays {
                moments.push((a.min(b), true));
                moments.push((a.max(b), false));
                area += a.abs_diff(b);
            }
            moments.sort_by_key(|&(at, enters)| (at, !enters));
            let start = demand.read(base);
            for (at, enters) in moments {
                if enters { demand.enter(base + at); } else { demand.leave(base + at); }
            }
            let between = demand.read(base + 1_000_000).since(&start);
            prop_assert!((between.concurrency - area as f64 / 1e6).abs() < 1e-6);
        }
    }
}
