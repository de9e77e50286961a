//! Puts together what the operator hears of demand: who called how much since the last report.
//!
//! A function is reported while it has traffic and once more when it has none, so that its zero is known and not guessed.

use std::{collections::HashMap, sync::Arc};

use flint_control::v1::{Demand, FunctionRef, Report};
use flint_core::demand::Reading;

use flint_core::canary::Outcomes;

use crate::{clock::Micros, hub::Hub, live::Live, table::Tables};

/// What was reported last, by function.
pub struct Reporter {
    tables: Arc<Tables>,
    hub: Arc<Hub>,
    /// By the address of the living part: a function deleted and made again is another one.
    last: HashMap<usize, Last>,
}

struct Last {
    live: Arc<Live>,
    reading: Reading,
    outcomes: Outcomes,
    /// Nothing since the report before.
    silent: bool,
}

// === impl Reporter ===

impl Reporter {
    /// A reporter that has told nothing yet.
    #[must_use]
    pub fn new(tables: Arc<Tables>, hub: Arc<Hub>) -> Self {
        Self { tables, hub, last: HashMap::new() }
    }

    /// Begins anew, for a listener who has heard nothing: what was before is not averaged in.
    pub fn reset(&mut self, now: Micros) {
        let begin = |live: Arc<Live>| {
            let outcomes = live.outcomes.read();
            (id(&live), Last { outcomes, ..Last::new(&live, live.demand.read(now)) })
        };
        let mains: Vec<_> = self.tables.load().iter().map(|function| Arc::clone(&function.live)).collect();
        self.last = mains.into_iter().chain(self.hub.revisions.all()).map(begin).collect();
    }

    /// The regular report: every function with traffic.
    pub fn regular(&mut self, now: Micros) -> Report {
        for function in self.tables.load().iter() {
            self.see(&function.live, now);
        }
        for live in self.hub.revisions.all() {
            self.see(&live, now);
        }
        let report = self.report(now, |live| !live.is_claiming(now));
        // A revision that nobody else knows of any more has had its last word, too.
        self.last
            .retain(|_, last| !(last.silent && (last.live.is_gone() || Arc::strong_count(&last.live) == 1)));
        report
    }

    /// A report of the functions that requests wait for.
    pub fn queued(&mut self, now: Micros) -> Report {
        self.report(now, |live| live.waiting() > 0 && !live.is_claiming(now))
    }

    /// A report of one function that has just begun to be waited for.
    pub fn one(&mut self, live: &Arc<Live>, now: Micros) -> Report {
        self.see(live, now);
        self.report(now, |other| std::ptr::eq(other, live.as_ref()))
    }

    /// The last words of a gateway that goes: zero for all.
    pub fn farewell(&mut self) -> Report {
        let demands = self.last.drain().filter(|(_, last)| !last.silent).map(|(_, last)| Demand {
            function: Some(reference(&last.live)),
            concurrency: 0.0,
            queued: 0,
            in_flight: 0,
            arrived: 0,
            elapsed_ms: 1,
            revision: last.live.revision().unwrap_or_default().to_owned(),
            ..Demand::default()
        });
        Report { demands: demands.collect() }
    }

    /// Takes in a function that is new since the last report: all its past is news.
    fn see(&mut self, live: &Arc<Live>, now: Micros) {
        self.last.entry(id(live)).or_insert_with(|| Last::new(live, Reading::zero(now)));
    }

    fn report(&mut self, now: Micros, which: impl Fn(&Live) -> bool) -> Report {
        let mut demands = Vec::new();
        for last in self.last.values_mut().filter(|last| which(&last.live)) {
            let live = &last.live;
            let reading = live.demand.read(now);
            let between = reading.since(&last.reading);
            let silent = between.arrived == 0 && between.concurrency == 0.0 && reading.present == 0;
            if silent && last.silent {
                last.reading = reading;
                continue;
            }
            let ended = live.outcomes.read();
            let outcomes = ended.since(last.outcomes);
            let queued = u32::try_from(live.waiting()).unwrap_or(u32::MAX);
            demands.push(Demand {
                function: Some(reference(live)),
                concurrency: between.concurrency,
                queued,
                in_flight: reading.present.saturating_sub(queued),
                arrived: between.arrived,
                elapsed_ms: between.elapsed_ms,
                revision: live.revision().unwrap_or_default().to_owned(),
                answered: outcomes.requests,
                errors: outcomes.errors,
                slow: outcomes.slow,
            });
            last.reading = reading;
            last.outcomes = ended;
            last.silent = silent;
        }
        Report { demands }
    }
}

// === impl Last ===

impl Last {
    fn new(live: &Arc<Live>, reading: Reading) -> Self {
        Self { live: Arc::clone(live), reading, outcomes: Outcomes::default(), silent: true }
    }
}

fn id(live: &Arc<Live>) -> usize {
    Arc::as_ptr(live) as usize
}

fn reference(live: &Live) -> FunctionRef {
    let key = live.key();
    FunctionRef { namespace: key.namespace.clone(), name: key.name.clone() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        clock::Clock,
        function::{Function, Key, Seen},
        hub::Hub,
        table::Table,
    };

    const SECOND: Micros = 1_000_000;

    fn world() -> (Arc<Live>, Reporter) {
        let (hub, _bell) = Hub::new(Clock::start(), 10);
        let key = Key::new("shop", "hello");
        let live = Arc::new(Live::new(key.clone(), Arc::clone(&hub)));
        let seen = Seen {
            key,
            mode: flint_api::Mode::Http,
            timeout: std::time::Duration::from_secs(1),
            concurrency: 1,
            revision: None,
            traffic: Arc::default(),
            event_v1: false,
            blocked: None,
            schedules: Arc::default(),
            created: jiff::Timestamp::UNIX_EPOCH,
        };
        let mut table = Table::default();
        table.insert(Arc::new(Function::new(seen, Arc::clone(&live))));
        let tables = Arc::new(Tables::default());
        tables.store(table);
        let mut reporter = Reporter::new(tables, hub);
        reporter.reset(0);
        (live, reporter)
    }

    fn told(report: &Report) -> Vec<(f64, u64, u32)> {
        report.demands.iter().map(|demand| (demand.concurrency, demand.arrived, demand.in_flight)).collect()
    }

    #[test]
    fn a_function_is_told_of_while_it_has_traffic_and_once_more() {
        let (live, mut reporter) = world();
        assert_eq!(told(&reporter.regular(SECOND)), []);
        live.demand.enter(SECOND + SECOND / 2);
        assert_eq!(told(&reporter.regular(2 * SECOND)), [(0.5, 1, 1)]);
        assert_eq!(told(&reporter.regular(3 * SECOND)), [(1.0, 0, 1)]);
        live.demand.leave(3 * SECOND);
        assert_eq!(told(&reporter.regular(4 * SECOND)), [(0.0, 0, 0)]);
        assert_eq!(told(&reporter.regular(5 * SECOND)), []);
    }

    #[test]
    fn the_first_who_waits_is_told_of_at_once() {
        let (live, mut reporter) = world();
        live.demand.enter(10);
        let report = reporter.one(&live, 20);
        assert_eq!(report.demands[0].arrived, 1);
        assert!(report.demands[0].concurrency > 0.0);
    }

    #[test]
    fn at_the_end_all_demand_is_taken_back() {
        let (live, mut reporter) = world();
        live.demand.enter(10);
        reporter.regular(SECOND);
        assert_eq!(told(&reporter.farewell()), [(0.0, 0, 0)]);
    }
}
