//! One gateway's part of a function's demand: its reports, averaged since they were last taken.

use std::time::Duration;

use super::Sample;

/// What a gateway reports of one function.
#[derive(Clone, Debug, Default)]
pub struct Share {
    latest: Sample,
    queued: u32,
    in_flight: u32,
    /// Not yet taken: time, the average's integral over it (requests × ms), and arrivals in it.
    elapsed_ms: f64,
    integral: f64,
    arrived: f64,
    at: Option<Duration>,
}

/// Rates are taken over no shorter time than this, the pace of urgent reports: one request within a millisecond is no
/// thousand a second.
const SHORTEST_MS: f64 = 100.0;
/// What has demand is in every report, every second: left out for this long, it has none.
const SILENT_AFTER: Duration = Duration::from_secs(5);

// === impl Share ===

impl Share {
    /// Takes in a report: the average of requests in the gateway and the number that arrived, over `elapsed_ms`; those that wait
    /// and those that instances work on at this moment.
    pub fn add(
        &mut self,
        now: Duration,
        concurrency: f64,
        arrived: u64,
        elapsed_ms: u32,
        queued: u32,
        in_flight: u32,
    ) {
        let elapsed_ms = f64::from(elapsed_ms.max(1));
        // Far below the numbers that a float has no whole ones for.
        let arrived = arrived as f64;
        self.latest = Sample { concurrency, rps: arrived * 1000.0 / elapsed_ms.max(SHORTEST_MS) };
        (self.queued, self.in_flight) = (queued, in_flight);
        self.elapsed_ms += elapsed_ms;
        self.integral += concurrency * elapsed_ms;
        self.arrived += arrived;
        self.at = Some(now);
    }

    /// Requests that waited for an instance at the last report.
    #[must_use]
    pub fn queued(&self) -> u32 {
        self.queued
    }

    /// Requests that were with instances at the last report.
    #[must_use]
    pub fn in_flight(&self) -> u32 {
        self.in_flight
    }

    /// Averages since they were last taken; the last ones again where nothing was reported since.
    #[must_use]
    pub fn sample(&self) -> Sample {
        if self.elapsed_ms == 0.0 {
            return self.latest;
        }
        Sample {
            concurrency: self.integral / self.elapsed_ms,
            rps: self.arrived * 1000.0 / self.elapsed_ms.max(SHORTEST_MS),
        }
    }

    /// The averages; the next ones begin here. What has not been reported for some seconds has no demand any more.
    pub fn take(&mut self, now: Duration) -> Sample {
        let sample = self.sample();
        (self.elapsed_ms, self.integral, self.arrived) = (0.0, 0.0, 0.0);
        if self.at.is_some_and(|at| now.saturating_sub(at) >= SILENT_AFTER) {
            *self = Self::default();
        }
        sample
    }

    /// Whether there is no demand left to speak of.
    #[must_use]
    pub fn is_silent(&self) -> bool {
        self.queued == 0 && self.in_flight == 0 && self.sample() == Sample::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn averages_are_weighted_by_the_time_that_they_cover() {
        let mut share = Share::default();
        share.add(SECOND, 1.0, 3, 900, 0, 1);
        share.add(SECOND, 11.0, 1, 100, 10, 1);
        assert_eq!(share.take(SECOND), Sample { concurrency: 2.0, rps: 4.0 });
        // Nothing new: the latest report stands.
        assert_eq!(share.take(2 * SECOND), Sample { concurrency: 11.0, rps: 10.0 });
    }

    #[test]
    fn a_single_request_within_a_millisecond_is_no_thousand_a_second() {
        let mut share = Share::default();
        share.add(SECOND, 1.0, 1, 1, 1, 0);
        assert_eq!(share.sample().rps, 10.0);
    }

    #[test]
    fn who_is_left_out_of_the_reports_has_no_demand() {
        let mut share = Share::default();
        assert!(share.is_silent());
        share.add(SECOND, 1.0, 1, 1000, 0, 1);
        share.take(2 * SECOND);
        assert!(!share.is_silent());
        share.take(6 * SECOND);
        assert!(share.is_silent());
        assert_eq!((share.queued(), share.in_flight()), (0, 0));
    }
}
