//! Functions' numbers, as the gateways count them.
//!
//! Each gateway counts for itself since it started. A [`Reading`] holds what all of them said at a moment; two readings make
//! the numbers of the time between ([`Reading::after`]), gateway by gateway, so that one that restarted does no harm.

pub mod gather;
pub mod numbers;
pub mod table;
pub mod text;

use std::{collections::BTreeMap, time::Duration};

use jiff::Timestamp;

pub use self::numbers::Numbers;

/// A function: its namespace and its name.
pub type Key = (String, String);

/// What all gateways said at a moment.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Reading {
    /// By the gateway's pod.
    pub gateways: BTreeMap<String, Counted>,
}

/// What one gateway said.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Counted {
    /// When it started to count.
    pub since: Option<Timestamp>,
    /// Its numbers, of the functions that it has any of.
    pub functions: BTreeMap<Key, Numbers>,
}

/// Numbers of all gateways together.
pub type Totals = BTreeMap<Key, Numbers>;

/// Two readings, and the time between them.
#[derive(Clone, Debug, Default)]
pub struct Window {
    /// Of the time between.
    pub recent: Totals,
    /// Since the gateways started.
    pub all: Totals,
    /// How far apart the readings are.
    pub length: Duration,
    /// Since when the gateways count: the one that started first.
    pub since: Option<Timestamp>,
    /// How many gateways there are.
    pub gateways: usize,
}

// === impl Reading ===

impl Reading {
    /// Everything that was counted.
    #[must_use]
    pub fn totals(&self) -> Totals {
        let mut totals = Totals::new();
        for counted in self.gateways.values() {
            for (key, numbers) in &counted.functions {
                totals.entry(key.clone()).or_default().add(numbers);
            }
        }
        totals
    }

    /// What was counted since an earlier reading. Gauges are as they are now.
    #[must_use]
    pub fn after(&self, earlier: &Self) -> Totals {
        let mut totals = Totals::new();
        for (gateway, counted) in &self.gateways {
            // One that started between the readings, again or for the first time, counted all it has since.
            let before = earlier.gateways.get(gateway).filter(|before| before.since == counted.since);
            for (key, numbers) in &counted.functions {
                let before = before.and_then(|before| before.functions.get(key));
                let recent = before.map_or_else(|| numbers.clone(), |before| numbers.less(before));
                totals.entry(key.clone()).or_default().add(&recent);
            }
        }
        totals
    }

    /// This reading beside one from `length` ago.
    #[must_use]
    pub fn window(&self, earlier: &Self, length: Duration) -> Window {
        Window {
            recent: self.after(earlier),
            all: self.totals(),
            length,
            since: self.gateways.values().filter_map(|counted| counted.since).min(),
            gateways: self.gateways.len(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reading(gateways: &[(&str, i64, f64)]) -> Reading {
        let gateways = gateways.iter().map(|(name, since, requests)| {
            let text = format!(
                "flint_gateway_requests_total{{namespace=\"shop\",function=\"cart\",code=\"2xx\"}} {requests}"
            );
            let since = Timestamp::from_second(*since).ok();
            ((*name).to_owned(), Counted { since, functions: numbers::read(&text) })
        });
        Reading { gateways: gateways.collect() }
    }

    fn requests(totals: &Totals) -> f64 {
        totals[&("shop".to_owned(), "cart".to_owned())].requests()
    }

    #[test]
    fn gateways_are_summed() {
        assert_eq!(requests(&reading(&[("a", 1, 5.0), ("b", 1, 7.0)]).totals()), 12.0);
    }

    #[test]
    fn a_gateway_that_started_between_counts_from_nothing() {
        let earlier = reading(&[("a", 1, 5.0), ("b", 1, 70.0), ("gone", 1, 9.0)]);
        let later = reading(&[("a", 1, 6.0), ("b", 2, 71.0), ("c", 2, 100.0)]);
        assert_eq!(requests(&later.after(&earlier)), 1.0 + 71.0 + 100.0);
    }

    #[test]
    fn a_window_begins_with_the_oldest_gateway() {
        let window =
            reading(&[("a", 5, 1.0), ("b", 3, 1.0)]).window(&Reading::default(), Duration::from_secs(2));
        assert_eq!((window.since.map(Timestamp::as_second), window.gateways), (Some(3), 2));
    }
}
