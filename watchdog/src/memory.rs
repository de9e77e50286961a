//! The most memory that the function has used so far.

use std::fs;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::Instant;

/// A peak only grows; looking at it more often than this costs more than it tells.
const FRESH: Duration = Duration::from_millis(100);

/// Where control groups keep the peak: version 2, version 1.
const PEAKS: [&str; 2] = ["/sys/fs/cgroup/memory.peak", "/sys/fs/cgroup/memory/memory.max_usage_in_bytes"];
/// Where they count processes killed for want of memory, with the word before the count.
const KILLS: [&str; 2] = ["/sys/fs/cgroup/memory.events", "/sys/fs/cgroup/memory/memory.oom_control"];

/// Reads the peak.
#[derive(Debug)]
pub struct MemoryMeter {
    /// The control group's file; `None` where the group is not the function's alone.
    peak_file: Option<&'static str>,
    kills_at_start: u64,
    last: Mutex<Option<(Instant, u64)>>,
}

// === impl MemoryMeter ===

impl MemoryMeter {
    /// As PID 1 the control group is the container's; elsewhere it is somebody else's, and the children are asked.
    #[must_use]
    pub fn new(own_control_group: bool) -> Self {
        let peak_file = PEAKS.into_iter().find(|path| own_control_group && read_number(path).is_some());
        Self { peak_file, kills_at_start: out_of_memory_kills(), last: Mutex::default() }
    }

    /// Bytes; `pids` are the children.
    pub fn peak(&self, pids: &[i32], now: Instant) -> Option<u64> {
        let mut last = self.last.lock();
        if let Some((at, bytes)) = *last
            && now.saturating_duration_since(at) < FRESH
        {
            return Some(bytes);
        }
        let bytes = match self.peak_file {
            Some(path) => read_number(path),
            None => Some(pids.iter().filter_map(|pid| high_water(*pid)).sum()).filter(|sum| *sum > 0),
        }?;
        *last = Some((now, bytes));
        Some(bytes)
    }

    /// Whether the kernel has killed something here for want of memory.
    pub fn ran_out(&self) -> bool {
        out_of_memory_kills() > self.kills_at_start
    }
}

/// The machine's memory, for functions without a limit.
#[must_use]
pub fn machine_total() -> Option<u64> {
    kibibytes(&fs::read_to_string("/proc/meminfo").ok()?, "MemTotal:")
}

fn high_water(pid: i32) -> Option<u64> {
    kibibytes(&fs::read_to_string(format!("/proc/{pid}/status")).ok()?, "VmHWM:")
}

fn kibibytes(text: &str, name: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix(name))?;
    Some(line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()? * 1024)
}

fn read_number(path: &str) -> Option<u64> {
    fs::read_to_string(path).ok()?.trim().parse().ok()
}

fn out_of_memory_kills() -> u64 {
    let counts = KILLS.into_iter().filter_map(|path| fs::read_to_string(path).ok());
    counts
        .filter_map(|text| {
            text.lines().find_map(|line| line.strip_prefix("oom_kill ")?.trim().parse::<u64>().ok())
        })
        .sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_read_as_the_kernel_writes_them() {
        assert_eq!(kibibytes("VmPeak:\t 9 kB\nVmHWM:\t    2048 kB\n", "VmHWM:"), Some(2 * 1024 * 1024));
        assert_eq!(kibibytes("Name:\tx\n", "VmHWM:"), None);
        assert!(machine_total().is_some());
    }

    #[tokio::test(start_paused = true)]
    async fn a_process_has_a_peak_and_it_is_looked_at_rarely() {
        let meter = MemoryMeter::new(false);
        let me = [std::process::id().cast_signed()];
        let peak = meter.peak(&me, Instant::now()).unwrap();
        assert!(peak > 0);
        assert_eq!(meter.peak(&[], Instant::now()), Some(peak));
        assert_eq!(meter.peak(&[], Instant::now() + FRESH), None);
    }
}
