//! Lines of several streams in the order of their times, a moment behind.
//!
//! A stream may bring an older line after another's newer one: nodes, connections and the API server all take their time. So a
//! line waits for [`HOLD`] before it goes out, and everything older that came meanwhile goes before it. A line that comes later
//! still goes out at once, out of order: late is better than lost.

use std::{
    cmp::{Ordering, Reverse},
    collections::{BinaryHeap, VecDeque},
    time::Duration,
};

use jiff::Timestamp;
use tokio::time::Instant;

use super::line::Line;

/// How long a line waits for older ones: streams from one API server are rarely further apart, and people do not notice it.
pub const HOLD: Duration = Duration::from_millis(250);
/// More lines than this are not held: then the oldest goes at once, whatever may still come.
const MOST: usize = 10_000;

/// Puts lines in the order of their times.
#[derive(Debug, Default)]
pub struct Merger {
    held: BinaryHeap<Reverse<Held>>,
    /// Times of lines, in the order of their arrival.
    arrivals: VecDeque<(Instant, Timestamp)>,
    /// Lines up to here may go.
    until: Option<Timestamp>,
    count: u64,
}

#[derive(Debug)]
struct Held {
    time: Timestamp,
    number: u64,
    line: Line,
}

// === impl Merger ===

impl Merger {
    /// A line came.
    pub fn push(&mut self, line: Line, now: Instant) {
        self.arrivals.push_back((now, line.time));
        self.count += 1;
        self.held.push(Reverse(Held { time: line.time, number: self.count, line }));
    }

    /// The next line that need not wait any longer.
    pub fn pop(&mut self, now: Instant) -> Option<Line> {
        while let Some((arrived, time)) = self.arrivals.front()
            && *arrived + HOLD <= now
        {
            self.until = self.until.max(Some(*time));
            self.arrivals.pop_front();
        }
        let next = self.held.peek()?;
        if Some(next.0.time) <= self.until || self.held.len() > MOST {
            return self.take();
        }
        None
    }

    /// The next line, however long it has waited: nothing comes any more.
    pub fn take(&mut self) -> Option<Line> {
        let line = self.held.pop().map(|Reverse(held)| held.line);
        if self.held.is_empty() {
            self.arrivals.clear();
        } else if self.arrivals.len() > 2 * MOST {
            // What went early has left its arrival behind. The oldest are dropped, and count as due.
            self.until = self.until.max(self.arrivals.drain(..MOST).map(|(_, time)| time).max());
        }
        line
    }

    /// When [`Self::pop`] may have a line that it has not now.
    #[must_use]
    pub fn deadline(&self) -> Option<Instant> {
        self.arrivals.front().map(|(arrived, _)| *arrived + HOLD)
    }
}

// === impl Held ===

impl Ord for Held {
    fn cmp(&self, other: &Self) -> Ordering {
        (self.time, self.number).cmp(&(other.time, other.number))
    }
}

impl PartialOrd for Held {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Held {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Held {}

#[cfg(test)]
mod tests {
    use super::{super::line::tests::line, *};

    fn at(millis: u32) -> Line {
        line("p", &format!("2026-11-21T14:03:07.{millis:03}Z {millis}"))
    }

    fn drain(merger: &mut Merger, now: Instant) -> Vec<String> {
        std::iter::from_fn(|| merger.pop(now)).map(|line| line.text).collect()
    }

    #[tokio::test(start_paused = true)]
    async fn an_older_line_that_comes_later_goes_first() {
        let mut merger = Merger::default();
        let start = Instant::now();
        merger.push(at(20), start);
        merger.push(at(10), start + Duration::from_millis(100));
        merger.push(at(30), start + Duration::from_millis(100));
        assert_eq!(drain(&mut merger, start + Duration::from_millis(200)), [""; 0]);
        assert_eq!(merger.deadline(), Some(start + HOLD));
        assert_eq!(drain(&mut merger, start + HOLD), ["10", "20"]);
        assert_eq!(drain(&mut merger, start + HOLD + Duration::from_millis(100)), ["30"]);
        assert_eq!(merger.deadline(), None);
    }

    #[tokio::test(start_paused = true)]
    async fn a_line_that_comes_too_late_is_shown_all_the_same() {
        let mut merger = Merger::default();
        let start = Instant::now();
        merger.push(at(20), start);
        assert_eq!(drain(&mut merger, start + HOLD), ["20"]);
        merger.push(at(10), start + HOLD);
        assert_eq!(drain(&mut merger, start + HOLD), ["10"]);
    }

    #[tokio::test(start_paused = true)]
    async fn lines_of_the_same_time_stay_in_the_order_they_came_in() {
        let mut merger = Merger::default();
        let now = Instant::now();
        for text in ["a", "b", "c"] {
            merger.push(line("p", &format!("2026-11-21T14:03:07Z {text}")), now);
        }
        assert_eq!(drain(&mut merger, now + HOLD), ["a", "b", "c"]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_flood_is_not_held() {
        let mut merger = Merger::default();
        let now = Instant::now();
        for _ in 0..MOST + 5 {
            merger.push(at(1), now);
        }
        assert_eq!(drain(&mut merger, now).len(), 5);
        // Held again and again, what went early leaves nothing behind.
        for _ in 0..3 * MOST {
            merger.push(at(1), now);
            assert!(merger.pop(now).is_some());
        }
        assert!(merger.arrivals.len() <= 2 * MOST + 1);
    }
}
