//! What the parts hold while nobody asks for anything.

use std::{path::PathBuf, time::Duration};

use anyhow::Context;
use clap::Args;
use serde::Serialize;

use crate::{
    process::{cpu_of, memory},
    report::{Machine, Report, now},
};

/// Memory and CPU of processes at rest.
#[derive(Debug, Args)]
pub(crate) struct Idle {
    /// NAME=PID, for each part.
    #[arg(required = true, value_parser = part)]
    parts: Vec<(String, u32)>,
    /// How long their CPU is watched, in seconds.
    #[arg(long, default_value_t = 30.0)]
    seconds: f64,
    /// Where results are written.
    #[arg(long, default_value = "bench/results")]
    results: PathBuf,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Row {
    part: String,
    resident_mib: f64,
    /// The part of it that no other process shares: what one more of them costs.
    private_mib: f64,
    cpu_millicores: f64,
}

// === impl Idle ===

impl Idle {
    pub(crate) fn run(self) -> anyhow::Result<()> {
        let machine = Machine::here();
        let before: Vec<f64> = self.parts.iter().map(|(_, process)| cpu_of(*process)).collect();
        std::thread::sleep(Duration::from_secs_f64(self.seconds));
        let mut rows = Vec::new();
        println!("{:20} {:>13} {:>12} {:>10}", "", "resident MiB", "private MiB", "millicores");
        for ((part, process), before) in self.parts.into_iter().zip(before) {
            let (resident, private) = memory(process)?;
            let row = Row {
                part,
                resident_mib: resident as f64 / 1024.0,
                private_mib: private as f64 / 1024.0,
                cpu_millicores: (cpu_of(process) - before) / self.seconds * 1000.0,
            };
            println!(
                "{:20} {:>13.1} {:>12.1} {:>10.1}",
                row.part, row.resident_mib, row.private_mib, row.cpu_millicores
            );
            rows.push(row);
        }
        Report { benchmark: "idle", date: now(), machine, results: rows }.write(&self.results)
    }
}

fn part(text: &str) -> anyhow::Result<(String, u32)> {
    let (name, process) = text.split_once('=').context("write NAME=PID")?;
    Ok((name.to_owned(), process.parse().context("the process is a number")?))
}
