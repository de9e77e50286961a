//! System calls per request, counted by `strace` in a time of its own.

use std::{
    process::{Command, Stdio},
    time::Duration,
};

use anyhow::{Context, bail};
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};

use crate::{
    load::{Shape, run},
    process::Running,
    rivals::Standing,
};

/// How long `strace` may take to be there; what it counts before the load is a few idle wake-ups.
const ATTACH: Duration = Duration::from_millis(500);
/// The time of the load. Thousands of requests even at strace's price.
const TIME: Duration = Duration::from_secs(2);

/// Loads what stands there while `strace` counts the system calls of its processes.
pub(crate) fn per_request(standing: &Standing, connections: usize) -> anyhow::Result<f64> {
    let file = tempfile::NamedTempFile::new()?;
    let mut command = Command::new("strace");
    command.args(["-c", "-f", "-q", "-o"]).arg(file.path());
    for id in standing.processes.iter().flat_map(Running::ids) {
        command.arg("-p").arg(id.to_string());
    }
    let mut strace = command
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .context("--calls needs strace")?;
    std::thread::sleep(ATTACH);
    let shape = Shape { connections, rate: None, warm_up: Duration::ZERO, time: TIME };
    let load = run(&standing.target, shape, || {});
    kill(Pid::from_raw(i32::try_from(strace.id())?), Signal::SIGINT)?;
    strace.wait()?;
    let load = load?;
    if load.failed > 0 || load.requests == 0 {
        bail!("requests failed while system calls were counted");
    }
    let summary = std::fs::read_to_string(file.path())?;
    let calls = total(&summary).context("strace has counted nothing")?;
    Ok(calls as f64 / load.requests as f64)
}

/// The number of calls in the last line of strace's summary.
fn total(summary: &str) -> Option<u64> {
    let line = summary.lines().rfind(|line| line.trim_end().ends_with(" total"))?;
    // % time, seconds, usecs/call, calls, errors (if any), "total"
    line.split_whitespace().nth(3)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_summary_tells_the_total() {
        let with_errors = "% time     seconds  usecs/call     calls    errors syscall\n\
            ------ ----------- ----------- --------- --------- ----------------\n \
            60.00    0.000060          10         6         1 read\n\
            ------ ----------- ----------- --------- --------- ----------------\n\
            100.00    0.000100          10        10         1 total\n";
        assert_eq!(total(with_errors), Some(10));
        assert_eq!(total("100.00    0.000100          10      1234           total\n"), Some(1234));
        assert_eq!(total("strace: nothing\n"), None);
    }
}
