//! What a test does to the node itself, where the node is this machine: killing and stopping processes.

use std::{fs, process::Command};

use anyhow::{Context, Result, ensure};

/// Processes whose environment has this `NAME=VALUE`, such as a pod's uid.
#[must_use]
pub fn processes_with(variable: &str) -> Vec<u32> {
    let Ok(entries) = fs::read_dir("/proc") else { return Vec::new() };
    entries
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
        .filter(|pid: &u32| {
            fs::read(format!("/proc/{pid}/environ")).is_ok_and(|environ| {
                environ.split(|byte| *byte == 0).any(|entry| entry == variable.as_bytes())
            })
        })
        .collect()
}

/// Sends a signal by name to processes.
///
/// # Errors
/// When `kill` refuses.
pub fn signal(name: &str, pids: &[u32]) -> Result<()> {
    ensure!(!pids.is_empty(), "no process to send {name} to");
    let status = Command::new("kill").arg(format!("-{name}")).args(pids.iter().map(u32::to_string)).status();
    ensure!(status.context("kill")?.success(), "kill -{name} {pids:?} failed");
    Ok(())
}

/// The API server's process on this node.
#[must_use]
pub fn api_server() -> Vec<u32> {
    let Ok(entries) = fs::read_dir("/proc") else { return Vec::new() };
    entries
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
        .filter(|pid: &u32| {
            fs::read(format!("/proc/{pid}/cmdline")).is_ok_and(|line| {
                let mut words = line.split(|byte| *byte == 0);
                words.next().is_some_and(|program| program.ends_with(b"flint-node"))
                    && words.next() == Some(b"apiserver")
            })
        })
        .collect()
}

/// Resident memory of the processes of a program on this node, in KiB.
#[must_use]
pub fn resident(program: &str) -> Vec<u64> {
    let Ok(entries) = fs::read_dir("/proc") else { return Vec::new() };
    let status = |pid: &str| fs::read_to_string(format!("/proc/{pid}/status")).ok();
    entries
        .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
        .filter_map(|pid| status(&pid))
        .filter(|status| status.lines().next().and_then(|line| line.strip_prefix("Name:\t")) == Some(program))
        .filter_map(|status| {
            status
                .lines()
                .find_map(|line| line.strip_prefix("VmRSS:"))?
                .trim()
                .strip_suffix(" kB")?
                .parse()
                .ok()
        })
        .collect()
}
