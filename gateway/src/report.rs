//! Puts together what the operator hears of demand: who called how much since the last report.
//!
//! A function is reported while it has traffic and once more when it has none, so that its zero is known and not guessed.

use std::{collections::HashMap, sync::Arc};

use flint_control::v1::{Demand, FunctionRef, Report};
use flint_core::demand::Reading;

use crate::{clock::Micros, live::Live, table::Tables};

/// What was reported last, by function.
pub struct Reporter {
    tables: Arc<Tables>,
    /// By the address of the living part: a function deleted and made again is another one.
    last: HashMap<usize, Last>,
}

struct Last {
    live: Arc<Live>,
    reading: Reading,
    /// Nothing since the report before.
    silent: bool,
}

// === impl Reporter ===

impl Reporter {
    /// A reporter that has told nothing yet.
    #[must_use]
    pub fn new(tables: Arc<Tables>) -> Self {
        Self { tables, last: HashMap::new() }
    }

    /// Begins anew, for a listener who has heard nothing: what was before is not averaged in.
    pub fn reset(&mut self, now: Micros) {
        let table = self.tables.load();
        let lives = table.iter().map(|function| &function.live);
        self.last = lives.map(|live| (id(live), Last::new(live, live.demand.read(now)))).collect();
    }

    /// The regular report: every function with traffic.
    pub fn regular(&mut self, now: Micros) -> Report {
        for function in self.tables.load().iter() {
            self.see(&function.live, now);
        }
        let report = self.report(now, |_| true);
        self.last.retain(|_, last| !(last.silent && last.live.is_gone()));
        report
    }

    /// A report of the functions that requests wait for.
    pub fn queued(&mut self, now: Micros) -> Report {
        self.report(now, |live| live.waiting() > 0)
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
            let queued = u32::try_from(live.waiting()).unwrap_or(u32::MAX);
            demands.push(Demand {
                function: Some(reference(live)),
                concurrency: between.concurrency,
                queued,
                in_flight: reading.present.saturating_sub(queued),
                arrived: between.arrived,
                elapsed_ms: between.elapsed_ms,
            });
            last.reading = reading;
            last.silent = silent;
        }
        Report { demands }
    }
}

// === impl Last ===

impl Last {
    fn new(live: &Arc<Live>, reading: Reading) -> Self {
        Self { live: Arc::clone(live), reading, silent: true }
    }
}

fn id(live: &Arc<Live>) -> usize {
    Arc::as_ptr(live) as usize
}

fn reference(live: &Live) -> FunctionRef {
    let key = live.key();
    FunctionRef { namespace: key.namespace.clone(), name: key.name.clone() }
}
