//! Processes of the rig: started, accounted, and ended by their id.

use std::{
    fs,
    net::SocketAddr,
    path::Path,
    process::{Child, Command, Stdio},
    time::Duration,
};

use anyhow::{Context, bail};
use nix::{
    sys::{
        resource::{Resource, getrlimit, setrlimit},
        signal::{Signal, kill},
    },
    unistd::{Pid, SysconfVar, sysconf},
};
use tokio::time::Instant;

/// A process with its children; ended when dropped.
pub(crate) struct Running {
    child: Child,
    /// What it starts is not the rig's business.
    alone: bool,
}

/// What a process and its children have used.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Usage {
    /// Seconds of CPU, user and system.
    pub(crate) cpu: f64,
    pub(crate) voluntary_switches: u64,
    pub(crate) involuntary_switches: u64,
    /// Resident memory now.
    pub(crate) resident_kib: u64,
}

impl std::ops::Add for Usage {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self {
            cpu: self.cpu + other.cpu,
            voluntary_switches: self.voluntary_switches + other.voluntary_switches,
            involuntary_switches: self.involuntary_switches + other.involuntary_switches,
            resident_kib: self.resident_kib + other.resident_kib,
        }
    }
}

/// What a process may take until it listens: somebody with ten thousand connections makes them first.
const PATIENCE: Duration = Duration::from_secs(30);

// === impl Running ===

impl Running {
    /// Starts it and waits until its port takes connections.
    pub(crate) fn start(command: &mut Command, address: SocketAddr) -> anyhow::Result<Self> {
        let name = command.get_program().to_string_lossy().into_owned();
        let child = command
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .spawn()
            .with_context(|| format!("cannot start {name}"))?;
        let mut running = Self { child, alone: false };
        let patience = Instant::now() + PATIENCE;
        while std::net::TcpStream::connect_timeout(&address, Duration::from_millis(100)).is_err() {
            if let Some(status) = running.child.try_wait()? {
                bail!("{name} ended at once: {status}");
            }
            if Instant::now() > patience {
                bail!("{name} does not listen on {address}");
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        Ok(running)
    }

    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// The same, and what it starts is not accounted: a watchdog's function is the user's.
    pub(crate) fn alone(mut self) -> Self {
        self.alone = true;
        self
    }

    pub(crate) fn usage(&self) -> Usage {
        if self.alone { own(self.id()).unwrap_or_default() } else { usage(self.id()) }
    }

    /// The processes that are accounted.
    pub(crate) fn ids(&self) -> Vec<u32> {
        if self.alone { vec![self.id()] } else { family(self.id()) }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if let Ok(pid) = i32::try_from(self.child.id()) {
            let _gone = kill(Pid::from_raw(pid), Signal::SIGTERM);
        }
        for _ in 0..100 {
            if !matches!(self.child.try_wait(), Ok(None)) {
                return;
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        let _gone = self.child.kill();
        let _status = self.child.wait();
    }
}

/// Allows this process, and those that it starts, as many open files as the system lets it have.
pub(crate) fn most_files() -> anyhow::Result<()> {
    let (_, hard) = getrlimit(Resource::RLIMIT_NOFILE)?;
    setrlimit(Resource::RLIMIT_NOFILE, hard, hard)?;
    Ok(())
}

/// Seconds of CPU that a process has used, its children not counted.
pub(crate) fn cpu_of(process: u32) -> f64 {
    own(process).unwrap_or_default().cpu
}

/// What a process and its children have used so far; what is gone counts nothing.
pub(crate) fn usage(process: u32) -> Usage {
    let mut usage = own(process).unwrap_or_default();
    for child in children(process) {
        usage = usage + self::usage(child);
    }
    usage
}

/// A process and all that came of it.
pub(crate) fn family(process: u32) -> Vec<u32> {
    let mut all = vec![process];
    all.extend(children(process).into_iter().flat_map(family));
    all
}

/// Resident memory of a process in KiB, and the part of it that is nobody else's.
pub(crate) fn memory(process: u32) -> anyhow::Result<(u64, u64)> {
    let text = fs::read_to_string(format!("/proc/{process}/smaps_rollup"))
        .with_context(|| format!("process {process} cannot be read"))?;
    let field = |name: &str| {
        text.lines()
            .filter_map(|line| line.strip_prefix(name))
            .filter_map(|rest| rest.split_whitespace().next()?.parse::<u64>().ok())
            .sum::<u64>()
    };
    Ok((field("Rss:"), field("Private_Clean:") + field("Private_Dirty:")))
}

/// Seconds of CPU that all processes have used since the machine came up.
pub(crate) fn machine_busy() -> f64 {
    let text = fs::read_to_string("/proc/stat").unwrap_or_default();
    let fields: Vec<f64> = text
        .lines()
        .next()
        .map(|line| line.split_whitespace().skip(1).filter_map(|field| field.parse().ok()).collect())
        .unwrap_or_default();
    // All but idle and iowait; guest time is within user time.
    let busy: f64 =
        fields.iter().take(8).enumerate().filter(|(at, _)| *at != 3 && *at != 4).map(|(_, v)| v).sum();
    busy / ticks_per_second()
}

fn own(process: u32) -> Option<Usage> {
    let stat = fs::read_to_string(format!("/proc/{process}/stat")).ok()?;
    // The name may contain anything; fields are counted from the bracket that ends it.
    let fields: Vec<&str> = stat.rsplit_once(')')?.1.split_whitespace().collect();
    let ticks = fields.get(11)?.parse::<f64>().ok()? + fields.get(12)?.parse::<f64>().ok()?;
    let resident_kib = memory(process).map_or(0, |(resident, _)| resident);
    let mut usage = Usage { cpu: ticks / ticks_per_second(), resident_kib, ..Usage::default() };
    for task in fs::read_dir(format!("/proc/{process}/task")).ok()?.flatten() {
        let status = fs::read_to_string(task.path().join("status")).unwrap_or_default();
        for line in status.lines() {
            let value = || {
                line.rsplit_once('\t').and_then(|(_, value)| value.trim().parse::<u64>().ok()).unwrap_or(0)
            };
            if line.starts_with("voluntary_ctxt_switches") {
                usage.voluntary_switches += value();
            } else if line.starts_with("nonvoluntary_ctxt_switches") {
                usage.involuntary_switches += value();
            }
        }
    }
    Some(usage)
}

fn children(process: u32) -> Vec<u32> {
    let tasks = Path::new("/proc").join(process.to_string()).join("task");
    let Ok(tasks) = fs::read_dir(tasks) else { return Vec::new() };
    tasks
        .flatten()
        .filter_map(|task| fs::read_to_string(task.path().join("children")).ok())
        .flat_map(|text| text.split_whitespace().filter_map(|id| id.parse().ok()).collect::<Vec<_>>())
        .collect()
}

fn ticks_per_second() -> f64 {
    sysconf(SysconfVar::CLK_TCK).ok().flatten().map_or(100.0, |ticks| ticks as f64)
}
