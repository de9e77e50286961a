//! The load: connections in a closed loop, or arrivals at a rate with latencies from when they were due.

use std::{collections::VecDeque, net::SocketAddr, rc::Rc, sync::Arc, time::Duration};

use anyhow::Context;
use clap::Args;
use hdrhistogram::Histogram;
use parking_lot::Mutex;
use tokio::{
    runtime::{Builder, LocalOptions},
    sync::Semaphore,
    time::Instant,
};

use crate::{
    report::Times,
    wire::{Wire, get},
};

/// Loads one address, and says what came of it.
#[derive(Debug, Args)]
pub(crate) struct Single {
    /// IP:PORT.
    address: SocketAddr,
    /// The path with its query.
    #[arg(long, default_value = "/")]
    path: String,
    /// The `host`.
    #[arg(long, default_value = "bench.example")]
    host: String,
    /// Client connections.
    #[arg(long, short, default_value_t = 16)]
    connections: usize,
    /// Requests per second for an open load; without it the loop is closed.
    #[arg(long)]
    rate: Option<f64>,
    /// How long, in seconds.
    #[arg(long, default_value_t = 5.0)]
    seconds: f64,
}

/// What to load.
#[derive(Clone, Debug)]
pub(crate) struct Target {
    pub(crate) address: SocketAddr,
    pub(crate) host: String,
    pub(crate) path: String,
}

/// How.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Shape {
    pub(crate) connections: usize,
    /// Requests per second in all; none is a closed loop.
    pub(crate) rate: Option<f64>,
    pub(crate) warm_up: Duration,
    pub(crate) time: Duration,
}

/// What came of it.
#[derive(Clone, Debug)]
pub(crate) struct Load {
    pub(crate) requests: u64,
    pub(crate) failed: u64,
    pub(crate) seconds: f64,
    /// In microseconds.
    pub(crate) latency: Histogram<u64>,
}

// === impl Single ===

impl Single {
    pub(crate) fn run(self) -> anyhow::Result<()> {
        let target = Target { address: self.address, host: self.host, path: self.path };
        let shape = Shape {
            connections: self.connections,
            rate: self.rate,
            warm_up: Duration::ZERO,
            time: Duration::from_secs_f64(self.seconds),
        };
        let load = run(&target, shape, || {})?;
        let times = Times::of(&load.latency);
        println!(
            "{} answered 200, {} failed, {:.0} per second; p50 {:.3} ms, p99 {:.3} ms, max {:.3} ms",
            load.requests,
            load.failed,
            load.requests as f64 / load.seconds,
            times.p50,
            times.p99,
            times.max
        );
        Ok(())
    }
}

/// Everything after the warm-up is counted, between the two calls of `edge`.
///
/// It runs on a thread of its own with its own runtime: one thread saturates two cores' worth of proxies.
pub(crate) fn run(target: &Target, shape: Shape, mut edge: impl FnMut()) -> anyhow::Result<Load> {
    let runtime = Builder::new_current_thread().enable_all().build_local(LocalOptions::default())?;
    runtime.block_on(async {
        let mut wires = Vec::with_capacity(shape.connections);
        for _ in 0..shape.connections {
            wires.push(Wire::connect(target.address).await.context("cannot connect for the load")?);
        }
        let request: Rc<[u8]> = get(&target.host, &target.path).into();
        let begin = Instant::now() + shape.warm_up;
        let end = begin + shape.time;
        let arrivals = Arc::new(Semaphore::new(0));
        let due = Arc::new(Due::default());
        let mut tasks = Vec::with_capacity(shape.connections);
        for wire in wires {
            let (request, arrivals, due) = (Rc::clone(&request), Arc::clone(&arrivals), Arc::clone(&due));
            let open = shape.rate.is_some();
            tasks.push(tokio::task::spawn_local(async move {
                let mut wire = wire;
                let mut counted = Counted::new();
                loop {
                    let start = if open {
                        match arrivals.acquire().await {
                            Ok(permit) => permit.forget(),
                            Err(_) => break,
                        }
                        match due.waiting.lock().pop_front() {
                            Some(due) => due,
                            None => break,
                        }
                    } else {
                        Instant::now()
                    };
                    if start >= end {
                        break;
                    }
                    let outcome = wire.call(&request).await;
                    let done = Instant::now();
                    if done >= begin && done < end {
                        counted.add(outcome.as_ref().is_ok_and(|answer| answer.status == 200), done - start);
                    }
                    if outcome.is_err() {
                        // Broken: the window is invalid anyway, and one error says why.
                        break;
                    }
                }
                counted
            }));
        }
        if let Some(rate) = shape.rate {
            std::thread::spawn(move || arrive(rate, end, &arrivals, &due));
        }
        tokio::time::sleep_until(begin).await;
        edge();
        let started = Instant::now();
        tokio::time::sleep_until(end).await;
        edge();
        let seconds = started.elapsed().as_secs_f64();
        let mut all = Counted::new();
        for task in tasks {
            all.join(&task.await?)?;
        }
        Ok(Load { requests: all.good, failed: all.failed, seconds, latency: all.latency })
    })
}

/// Requests that are due, in the order in which they became so.
#[derive(Default)]
struct Due {
    waiting: Mutex<VecDeque<Instant>>,
}

/// Lets requests become due at a steady rate, whether or not earlier ones are answered: latency counts from then, so that
/// a stall is not hidden by the requests that it kept from being made. On a thread of its own, because a runtime's timer has a
/// precision of 1 ms, which would be all that a p99 shows.
fn arrive(rate: f64, end: Instant, arrivals: &Semaphore, due: &Due) {
    let start = Instant::now();
    let mut made = 0_u64;
    loop {
        let next = start + Duration::from_secs_f64(made as f64 / rate);
        if next >= end {
            break;
        }
        let now = Instant::now();
        if next > now {
            std::thread::sleep(next - now);
            continue;
        }
        due.waiting.lock().push_back(next);
        arrivals.add_permits(1);
        made += 1;
    }
    arrivals.close();
}

struct Counted {
    good: u64,
    failed: u64,
    latency: Histogram<u64>,
}

// === impl Counted ===

impl Counted {
    fn new() -> Self {
        // 1 µs to a minute, three digits; the bounds are constants, so this cannot fail.
        let latency = Histogram::new_with_bounds(1, 60_000_000, 3)
            .unwrap_or_else(|_| unreachable!("constant bounds of a histogram"));
        Self { good: 0, failed: 0, latency }
    }

    fn add(&mut self, good: bool, latency: Duration) {
        if good {
            self.good += 1;
        } else {
            self.failed += 1;
        }
        self.latency.saturating_record(u64::try_from(latency.as_micros()).unwrap_or(u64::MAX));
    }

    fn join(&mut self, other: &Self) -> anyhow::Result<()> {
        self.good += other.good;
        self.failed += other.failed;
        self.latency.add(&other.latency)?;
        Ok(())
    }
}
