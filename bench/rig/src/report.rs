//! Results: what was run where, as JSON for later and as tables for now.

use std::{fs, path::Path, process::Command};

use anyhow::Context;
use hdrhistogram::Histogram;
use serde::Serialize;

use crate::plot::{Figure, Page};

/// The machine and the code that numbers belong to. A number without them says nothing.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Machine {
    pub(crate) processor: String,
    pub(crate) cores: usize,
    pub(crate) memory_mib: u64,
    pub(crate) kernel: String,
    pub(crate) system: String,
    /// The load of the last minute when the run began: other work on the machine makes everything slower.
    pub(crate) load_before: String,
    pub(crate) commit: String,
}

/// One file of results.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Report<'a, T> {
    pub(crate) benchmark: &'a str,
    pub(crate) date: String,
    pub(crate) machine: Machine,
    pub(crate) results: T,
}

/// Percentiles of times, in milliseconds.
#[derive(Clone, Copy, Debug, Serialize)]
pub(crate) struct Times {
    pub(crate) n: u64,
    pub(crate) min: f64,
    pub(crate) p50: f64,
    pub(crate) p95: f64,
    pub(crate) p99: f64,
    pub(crate) p999: f64,
    pub(crate) max: f64,
}

// === impl Machine ===

impl Machine {
    pub(crate) fn here() -> Self {
        let field = |file: &str, name: &str| {
            read(file)
                .lines()
                .find(|line| line.starts_with(name))
                .and_then(|line| line.split_once([':', '=']))
                .map(|(_, value)| value.trim().trim_matches('"').to_owned())
                .unwrap_or_default()
        };
        let memory = field("/proc/meminfo", "MemTotal");
        let memory = memory.split_whitespace().next().and_then(|kib| kib.parse::<u64>().ok()).unwrap_or(0);
        Self {
            processor: field("/proc/cpuinfo", "model name"),
            cores: std::thread::available_parallelism().map_or(0, usize::from),
            memory_mib: memory / 1024,
            kernel: read("/proc/sys/kernel/osrelease").trim().to_owned(),
            system: field("/etc/os-release", "PRETTY_NAME"),
            load_before: read("/proc/loadavg").split(' ').next().unwrap_or_default().to_owned(),
            commit: output(Command::new("git").args(["describe", "--always", "--dirty", "--abbrev=12"])),
        }
    }
}

// === impl Report ===

impl<T: Serialize> Report<'_, T> {
    /// Writes `DATE-BENCHMARK.json` into the directory; a second run of a day gets a number.
    pub(crate) fn write(&self, directory: &Path) -> anyhow::Result<()> {
        self.write_with(directory, &[])
    }

    /// The same, with a page of figures beside it.
    pub(crate) fn write_with(&self, directory: &Path, figures: &[Figure]) -> anyhow::Result<()> {
        fs::create_dir_all(directory)?;
        let day = self.date.get(..10).unwrap_or(&self.date);
        let file = (1..)
            .map(|number| match number {
                1 => directory.join(format!("{day}-{}.json", self.benchmark)),
                _ => directory.join(format!("{day}-{}-{number}.json", self.benchmark)),
            })
            .find(|file| !file.exists())
            .context("every name is taken")?;
        fs::write(&file, serde_json::to_string_pretty(self)? + "\n")?;
        println!("\nwritten to {}", file.display());
        if !figures.is_empty() {
            let Self { benchmark: title, date, machine, .. } = self;
            let file = file.with_extension("html");
            fs::write(&file, Page { title, date, machine, figures }.to_string())?;
            println!("plotted in {}", file.display());
        }
        Ok(())
    }
}

// === impl Times ===

impl Times {
    /// From a histogram of microseconds.
    pub(crate) fn of(histogram: &Histogram<u64>) -> Self {
        let at = |quantile| histogram.value_at_quantile(quantile) as f64 / 1000.0;
        Self {
            n: histogram.len(),
            min: histogram.min() as f64 / 1000.0,
            p50: at(0.5),
            p95: at(0.95),
            p99: at(0.99),
            p999: at(0.999),
            max: histogram.max() as f64 / 1000.0,
        }
    }

    /// From a few samples in milliseconds, by the nearest rank.
    pub(crate) fn of_samples(samples: &[f64]) -> Self {
        let mut sorted = samples.to_vec();
        sorted.sort_by(f64::total_cmp);
        let at = |quantile: f64| {
            let rank = (quantile * sorted.len() as f64).ceil().max(1.0) as usize - 1;
            sorted.get(rank.min(sorted.len().saturating_sub(1))).copied().unwrap_or(f64::NAN)
        };
        Self {
            n: sorted.len() as u64,
            min: at(0.0),
            p50: at(0.5),
            p95: at(0.95),
            p99: at(0.99),
            p999: at(0.999),
            max: at(1.0),
        }
    }
}

/// The middle of some numbers; of an even number of them, the lower one.
pub(crate) fn median(numbers: impl IntoIterator<Item = f64>) -> f64 {
    let mut sorted: Vec<f64> = numbers.into_iter().collect();
    sorted.sort_by(f64::total_cmp);
    sorted.get(sorted.len().saturating_sub(1) / 2).copied().unwrap_or(f64::NAN)
}

/// Now, to the second, in UTC.
pub(crate) fn now() -> String {
    jiff::Timestamp::now().strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}

fn read(file: &str) -> String {
    fs::read_to_string(file).unwrap_or_default()
}

fn output(command: &mut Command) -> String {
    command
        .output()
        .map(|output| String::from_utf8_lossy(&output.stdout).trim().to_owned())
        .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_of_few_samples_are_samples() {
        let times = Times::of_samples(&[5.0, 1.0, 3.0, 2.0, 4.0]);
        assert_eq!((times.min, times.p50, times.p95, times.max), (1.0, 3.0, 5.0, 5.0));
        assert_eq!(median([4.0, 1.0, 3.0, 2.0]), 2.0);
    }
}
