//! Proxies beside each other: same load, same backend, same minute. What counts is the CPU that a request costs.

use std::{path::PathBuf, process::Command, time::Duration};

use anyhow::{Context, bail};
use clap::Args;
use serde::Serialize;

use crate::{
    calls,
    changes::known_after,
    cores::{Cores, Part},
    load::{Load, Shape, run},
    process::{Running, Usage, cpu_of, machine_busy},
    report::{Machine, Report, Times, median, now},
    rivals::{Rival, Setting, Standing, free_port},
};

mod figures;

/// How often a window is repeated before the run is given up.
const REPEATS: usize = 5;

/// Compares reverse proxies in front of the same backend.
#[derive(Debug, Args)]
pub(crate) struct Compare {
    /// What is compared.
    #[arg(long, value_enum, value_delimiter = ',', default_values = ["direct", "nginx", "engine"])]
    rivals: Vec<Rival>,
    /// Client connections, one table for each.
    #[arg(long, value_delimiter = ',', default_values_t = [1, 16, 64, 256])]
    connections: Vec<usize>,
    /// Windows for each rival and number of connections; the median counts.
    #[arg(long, default_value_t = 5)]
    windows: usize,
    /// Length of a window in seconds.
    #[arg(long, default_value_t = 4.0)]
    seconds: f64,
    /// Not measured, before each window, in seconds.
    #[arg(long, default_value_t = 0.7)]
    warm_up: f64,
    /// Requests per second for an open load; without it the loop is closed.
    #[arg(long)]
    rate: Option<f64>,
    /// Count system calls too, with `strace`.
    #[arg(long)]
    calls: bool,
    /// Bytes of the backend's answers, for bytes per second and memory; small ones without it.
    #[arg(long)]
    answer_bytes: Option<usize>,
    /// Functions in the table of `gateway-many` and `gateway-changes`.
    #[arg(long, default_value_t = 10_000)]
    functions: usize,
    /// How many of them change in a second with `gateway-changes`.
    #[arg(long, default_value_t = 50.0)]
    changes: f64,
    /// Workers of each proxy; as many as there are cores for them unless told otherwise.
    #[arg(long)]
    workers: Option<usize>,
    /// nginx's program.
    #[arg(long, default_value = "/usr/sbin/nginx")]
    nginx: PathBuf,
    /// The gateway's program.
    #[arg(long)]
    gateway: Option<PathBuf>,
    /// The watchdog's program.
    #[arg(long)]
    watchdog: Option<PathBuf>,
    /// The results' name.
    #[arg(long, default_value = "proxy")]
    name: String,
    /// Where results are written.
    #[arg(long, default_value = "bench/results")]
    results: PathBuf,
}

#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Window {
    rival: &'static str,
    connections: usize,
    requests: u64,
    requests_per_second: f64,
    /// Of the proxy and its children alone.
    cpu_micros_per_request: f64,
    switches_per_request: f64,
    /// Of those, the ones for want of work; the rest are the kernel's, for another's sake.
    voluntary_switches_per_request: f64,
    latency_ms: Times,
    /// Of the proxy and its children, at the window's end.
    resident_mib: f64,
    /// Cores that something outside the rig used meanwhile.
    foreign_cores: f64,
}

#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Row {
    rival: &'static str,
    connections: usize,
    windows: usize,
    requests_per_second: f64,
    cpu_micros_per_request: f64,
    /// CPU of nginx ÷ CPU of this one, of windows taken one after the other; above 1 is better than nginx. With the access log on
    /// it is nginx with its log on.
    against_nginx: Option<f64>,
    /// Requests per second of this one ÷ nginx's, of the same pairs of windows.
    throughput_against_nginx: Option<f64>,
    /// Requests per second of this one ÷ those of the gateway with one function, of pairs of windows too.
    throughput_against_gateway: Option<f64>,
    /// Median of what it adds to the direct call's median in the same round, in milliseconds.
    added_p50_ms: Option<f64>,
    switches_per_request: f64,
    voluntary_switches_per_request: f64,
    /// By `strace`, in a time of its own: it slows what it counts.
    calls_per_request: Option<f64>,
    p50_ms: f64,
    p99_ms: f64,
    p999_ms: f64,
    /// Of the proxy and its children.
    resident_mib: f64,
    foreign_cores: f64,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Results {
    nginx: String,
    cores: String,
    seconds: f64,
    rate: Option<f64>,
    answer_bytes: Option<usize>,
    functions: usize,
    changes_per_second: f64,
    /// At the end of all windows: what the gateway took at most to know of the last change, in milliseconds.
    change_known_ms: Option<f64>,
    workers: usize,
    rows: Vec<Row>,
    windows: Vec<Window>,
    invalid_windows: usize,
}

// === impl Compare ===

impl Compare {
    pub(crate) fn run(self) -> anyhow::Result<()> {
        let machine = Machine::here();
        let directory = tempfile::tempdir()?;
        let cores = Cores::here();
        println!("cores {}", cores.told);
        let workers = self.workers.unwrap_or_else(|| cores.for_proxies());
        let backend = free_port()?;
        let mut command = Command::new(std::env::current_exe()?);
        command.args(["backend", "--listen", &backend.to_string()]);
        if let Some(bytes) = self.answer_bytes {
            command.args(["--answer-bytes", &bytes.to_string()]);
        }
        cores.enter(Part::Backend)?;
        let backend_process = Running::start(&mut command, backend)?;
        let setting = Setting {
            backend,
            workers,
            directory: directory.path(),
            nginx: &self.nginx,
            gateway: self.gateway.as_deref(),
            watchdog: self.watchdog.as_deref(),
            functions: self.functions,
            changes: self.changes,
        };
        cores.enter(Part::Proxy)?;
        let standing =
            self.rivals.iter().map(|rival| rival.start(&setting)).collect::<Result<Vec<_>, _>>()?;
        cores.enter(Part::Load)?;
        let mut windows: Vec<Window> = Vec::new();
        let mut invalid = 0;
        let mut rows = Vec::new();
        for &connections in &self.connections {
            println!("\n{connections} connections, {} windows of {} s each", self.windows, self.seconds);
            println!(
                "{:15} {:>10} {:>12} {:>9} {:>9} {:>9} {:>9} {:>9} {:>9} {:>9} {:>9} {:>9} {:>9}",
                "",
                "req/s",
                "CPU µs/req",
                "nginx ÷",
                "÷ gateway",
                "added ms",
                "switches",
                "calls",
                "p50 ms",
                "p99 ms",
                "p99.9 ms",
                "MiB",
                "foreign"
            );
            // Each round measures everybody once, one after the other, so that what the machine does meanwhile hits all.
            for round in 0..self.windows {
                for at in 0..standing.len() {
                    // Nobody is always the one after the floor.
                    let standing = &standing[(at + round) % standing.len()];
                    let window = self.window(standing, connections, &backend_process, &mut invalid)?;
                    windows.push(window);
                }
            }
            for standing in &standing {
                let mut row = row(standing.rival, connections, &windows);
                if self.calls && !standing.processes.is_empty() {
                    row.calls_per_request = Some(calls::per_request(standing, connections)?);
                }
                row.print();
                rows.push(row);
            }
        }
        let mut change_known_ms = None;
        for standing in &standing {
            if let Some(source) = standing.source {
                let known = known_after(source, standing.target.address)?;
                println!("\n{}: the last change is known within {known:.1} ms", standing.rival.name());
                change_known_ms = Some(known);
            }
        }
        if invalid > 0 {
            println!("\n{invalid} windows had failed requests and were taken again");
        }
        let results = Results {
            nginx: version(&self.nginx),
            cores: cores.told,
            seconds: self.seconds,
            rate: self.rate,
            answer_bytes: self.answer_bytes,
            functions: self.functions,
            changes_per_second: self.changes,
            change_known_ms,
            workers,
            rows,
            windows,
            invalid_windows: invalid,
        };
        let figures = figures::of(&results);
        Report { benchmark: &self.name, date: now(), machine, results }.write_with(&self.results, &figures)
    }

    fn window(
        &self,
        standing: &Standing,
        connections: usize,
        backend: &Running,
        invalid: &mut usize,
    ) -> anyhow::Result<Window> {
        let shape = Shape {
            connections,
            rate: self.rate,
            warm_up: Duration::from_secs_f64(self.warm_up),
            time: Duration::from_secs_f64(self.seconds),
        };
        for _ in 0..REPEATS {
            let mut edges: Vec<(Usage, f64, f64)> = Vec::new();
            let load = run(&standing.target, shape, || {
                let proxy = standing.usage();
                let rig = proxy.cpu + backend.usage().cpu + cpu_of(std::process::id());
                edges.push((proxy, rig, machine_busy()));
            })
            .with_context(|| format!("loading {}", standing.rival.name()))?;
            let [(before, rig_before, busy_before), (after, rig_after, busy_after)] = edges[..] else {
                bail!("a window has two edges");
            };
            if load.failed > 0 || load.requests == 0 {
                *invalid += 1;
                continue;
            }
            let foreign = (busy_after - busy_before) - (rig_after - rig_before);
            return Ok(Window::new(standing.rival.name(), connections, &load, before, after, foreign));
        }
        bail!("{}: {REPEATS} windows in a row had failed requests", standing.rival.name())
    }
}

fn row(rival: Rival, connections: usize, windows: &[Window]) -> Row {
    let of = |rival: Rival| -> Vec<&Window> {
        let of_both = |window: &&Window| window.rival == rival.name() && window.connections == connections;
        windows.iter().filter(of_both).collect()
    };
    let (own, nginx, direct) = (of(rival), of(rival.rival()), of(Rival::Direct));
    let one = if rival == Rival::Gateway { Vec::new() } else { of(Rival::Gateway) };
    let pairs = |other: &[&Window], with: fn(&Window, &Window) -> f64| {
        let pairs = other.iter().zip(&own).map(|(other, own)| with(other, own));
        let numbers: Vec<f64> = pairs.filter(|number| number.is_finite()).collect();
        (!numbers.is_empty()).then(|| median(numbers))
    };
    let middle = |of: fn(&Window) -> f64| median(own.iter().map(|window| of(window)));
    Row {
        rival: rival.name(),
        connections,
        windows: own.len(),
        requests_per_second: middle(|window| window.requests_per_second),
        cpu_micros_per_request: middle(|window| window.cpu_micros_per_request),
        against_nginx: pairs(&nginx, |nginx, own| nginx.cpu_micros_per_request / own.cpu_micros_per_request),
        throughput_against_nginx: pairs(&nginx, |nginx, own| {
            own.requests_per_second / nginx.requests_per_second
        }),
        throughput_against_gateway: pairs(&one, |one, own| own.requests_per_second / one.requests_per_second),
        added_p50_ms: pairs(&direct, |direct, own| own.latency_ms.p50 - direct.latency_ms.p50),
        switches_per_request: middle(|window| window.switches_per_request),
        voluntary_switches_per_request: middle(|window| window.voluntary_switches_per_request),
        calls_per_request: None,
        p50_ms: middle(|window| window.latency_ms.p50),
        p99_ms: middle(|window| window.latency_ms.p99),
        p999_ms: middle(|window| window.latency_ms.p999),
        resident_mib: middle(|window| window.resident_mib),
        foreign_cores: middle(|window| window.foreign_cores),
    }
}

fn version(nginx: &PathBuf) -> String {
    let Ok(output) = Command::new(nginx).arg("-v").output() else { return "none".into() };
    String::from_utf8_lossy(&output.stderr).trim().trim_start_matches("nginx version: ").to_owned()
}

// === impl Window ===

impl Window {
    fn new(
        rival: &'static str,
        connections: usize,
        load: &Load,
        before: Usage,
        after: Usage,
        foreign: f64,
    ) -> Self {
        let requests = load.requests as f64;
        let voluntary = after.voluntary_switches.saturating_sub(before.voluntary_switches);
        let involuntary = after.involuntary_switches.saturating_sub(before.involuntary_switches);
        Self {
            rival,
            connections,
            requests: load.requests,
            requests_per_second: requests / load.seconds,
            cpu_micros_per_request: (after.cpu - before.cpu) * 1e6 / requests,
            switches_per_request: (voluntary + involuntary) as f64 / requests,
            voluntary_switches_per_request: voluntary as f64 / requests,
            latency_ms: Times::of(&load.latency),
            resident_mib: after.resident_kib as f64 / 1024.0,
            foreign_cores: (foreign / load.seconds).max(0.0),
        }
    }
}

// === impl Row ===

impl Row {
    fn print(&self) {
        let some = |number: Option<f64>| number.map_or_else(|| "-".into(), |number| format!("{number:.2}"));
        println!(
            "{:15} {:>10.0} {:>12.1} {:>9} {:>9} {:>9} {:>9.3} {:>9} {:>9.3} {:>9.3} {:>9.3} {:>9.1} {:>9.2}",
            self.rival,
            self.requests_per_second,
            self.cpu_micros_per_request,
            some(self.against_nginx),
            some(self.throughput_against_gateway),
            self.added_p50_ms.map_or_else(|| "-".into(), |added| format!("{added:.3}")),
            self.switches_per_request,
            some(self.calls_per_request),
            self.p50_ms,
            self.p99_ms,
            self.p999_ms,
            self.resident_mib,
            self.foreign_cores
        );
    }
}
