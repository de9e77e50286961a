//! Whether one function's users notice what another's do: its latency at a steady rate, with somebody who misbehaves and without.

use std::{path::PathBuf, process::Command, time::Duration};

use anyhow::bail;
use clap::Args;
use serde::Serialize;
use serde_json::json;

use crate::{
    attack::Kind,
    cores::{Cores, Part},
    load::{Load, Shape, Target, run},
    plot::{Figure, Shape as Drawn},
    process::{Running, most_files},
    report::{Machine, Report, Times, median, now},
    rivals::{Setting, free_port, with_table},
};

/// One function's latency while others misbehave.
#[derive(Debug, Args)]
pub(crate) struct Fairness {
    /// The gateway's program.
    #[arg(long)]
    gateway: PathBuf,
    /// Who misbehaves.
    #[arg(long, value_enum, value_delimiter = ',', default_values = ["slow", "idle", "headers", "trickle"])]
    attacks: Vec<Kind>,
    /// Connections that say nothing, of `idle`.
    #[arg(long, default_value_t = 10_000)]
    idle: usize,
    /// Client connections of one worker, which `idle` may reach: the gateway's `--connections`.
    #[arg(long)]
    limit: Option<usize>,
    /// Requests per second of the function that is watched.
    #[arg(long, default_value_t = 1000.0)]
    rate: f64,
    /// Pairs of windows, one with and one without; the median of their ratios counts.
    #[arg(long, default_value_t = 5)]
    windows: usize,
    /// Length of a window in seconds.
    #[arg(long, default_value_t = 4.0)]
    seconds: f64,
    /// Where results are written.
    #[arg(long, default_value = "bench/results")]
    results: PathBuf,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Row {
    attack: &'static str,
    connections: usize,
    quiet_ms: Vec<Times>,
    attacked_ms: Vec<Times>,
    /// p99 with ÷ p99 without, the median over pairs.
    p99_ratio: f64,
    p50_ratio: f64,
    /// Requests of the watched function that failed while somebody misbehaved.
    failed: u64,
    /// The gateway's resident memory at the end of the last window with the attack.
    resident_mib: f64,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Results {
    cores: String,
    rate: f64,
    rows: Vec<Row>,
}

/// What the function's p99 may grow by.
const MOST: f64 = 1.2;
/// The slow function's time.
const SLOW_MS: u64 = 500;
/// Connections of the watched function.
const CONNECTIONS: usize = 16;

// === impl Fairness ===

impl Fairness {
    pub(crate) fn run(self) -> anyhow::Result<()> {
        let machine = Machine::here();
        // The gateway inherits it.
        most_files()?;
        let cores = Cores::here();
        println!("cores {}", cores.told);
        let directory = tempfile::tempdir()?;
        cores.enter(Part::Backend)?;
        let (backend, _backend) = backend_of(0)?;
        let (slow, _slow) = backend_of(SLOW_MS)?;
        let setting = Setting {
            backend,
            workers: cores.for_proxies(),
            directory: directory.path(),
            nginx: &PathBuf::new(),
            gateway: Some(&self.gateway),
            watchdog: None,
            functions: 0,
            changes: 0.0,
        };
        let address = free_port()?;
        let functions = json!([
            {"name": "watched", "instances": [backend]},
            {"name": "slow", "instances": [slow]},
        ]);
        cores.enter(Part::Proxy)?;
        let mut command = with_table(&setting, address, json!({"functions": functions}), true)?;
        if let Some(limit) = self.limit {
            command.args(["--connections", &limit.to_string()]);
        }
        let gateway = Running::start(&mut command, address)?;
        cores.enter(Part::Load)?;
        let target = Target { address, host: "bench.example".into(), path: "/function/watched".into() };
        println!(
            "\n{:10} {:>12} {:>12} {:>14} {:>10} {:>10} {:>7} {:>9}",
            "", "connections", "quiet p99", "attacked p99", "p99 ÷", "p50 ÷", "failed", "MiB"
        );
        let mut rows = Vec::new();
        for kind in &self.attacks {
            let row = self.row(*kind, &target, &gateway)?;
            let p99 = |times: &[Times]| median(times.iter().map(|times| times.p99));
            println!(
                "{:10} {:>12} {:>9.3} ms {:>11.3} ms {:>10.2} {:>10.2} {:>7} {:>9.1}",
                row.attack,
                row.connections,
                p99(&row.quiet_ms),
                p99(&row.attacked_ms),
                row.p99_ratio,
                row.p50_ratio,
                row.failed,
                row.resident_mib
            );
            rows.push(row);
        }
        let bars = rows.iter().map(|row| {
            (
                row.attack.to_owned(),
                vec![("p99".to_owned(), row.p99_ratio), ("p50".to_owned(), row.p50_ratio)],
            )
        });
        let figure = Figure::new(
            "Latency of one function while somebody else misbehaves",
            "quiet is 1",
            Drawn::Bars(bars.collect()),
        );
        let figures = [figure.with_mark(MOST, "the most that is fair")];
        let results = Results { cores: cores.told, rate: self.rate, rows };
        Report { benchmark: "fairness", date: now(), machine, results }.write_with(&self.results, &figures)
    }

    fn row(&self, kind: Kind, target: &Target, gateway: &Running) -> anyhow::Result<Row> {
        let connections = match kind {
            Kind::Slow => 200,
            Kind::Idle => self.idle,
            Kind::Headers => 16,
            Kind::Trickle => 1000,
        };
        let mut row = Row {
            attack: kind.name(),
            connections,
            quiet_ms: Vec::new(),
            attacked_ms: Vec::new(),
            p99_ratio: f64::NAN,
            p50_ratio: f64::NAN,
            failed: 0,
            resident_mib: 0.0,
        };
        for _ in 0..self.windows {
            let quiet = self.window(target)?;
            if quiet.failed > 0 || quiet.requests == 0 {
                bail!("{} of {} requests failed without any attack", quiet.failed, quiet.requests);
            }
            let ready = free_port()?;
            let mut command = Command::new(std::env::current_exe()?);
            command.args(["attack", "--kind", kind.name(), "--target", &target.address.to_string()]);
            command.args(["--connections", &connections.to_string(), "--ready", &ready.to_string()]);
            let attacker = Running::start(&mut command, ready)?;
            let attacked = self.window(target)?;
            row.resident_mib = gateway.usage().resident_kib as f64 / 1024.0;
            drop(attacker);
            row.quiet_ms.push(Times::of(&quiet.latency));
            row.attacked_ms.push(Times::of(&attacked.latency));
            row.failed += attacked.failed;
        }
        let ratio = |of: fn(&Times) -> f64| {
            let pairs = row.quiet_ms.iter().zip(&row.attacked_ms);
            median(pairs.map(|(quiet, attacked)| of(attacked) / of(quiet)))
        };
        (row.p99_ratio, row.p50_ratio) = (ratio(|times| times.p99), ratio(|times| times.p50));
        Ok(row)
    }

    /// Its connections are new ones each time, so that one who gets none is noticed.
    fn window(&self, target: &Target) -> anyhow::Result<Load> {
        let shape = Shape {
            connections: CONNECTIONS,
            rate: Some(self.rate),
            warm_up: Duration::from_millis(700),
            time: Duration::from_secs_f64(self.seconds),
        };
        run(target, shape, || {})
    }
}

fn backend_of(delay_ms: u64) -> anyhow::Result<(std::net::SocketAddr, Running)> {
    let address = free_port()?;
    let mut command = Command::new(std::env::current_exe()?);
    command.args(["backend", "--listen", &address.to_string(), "--delay-ms", &delay_ms.to_string()]);
    Ok((address, Running::start(&mut command, address)?))
}
