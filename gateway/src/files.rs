//! How many connections the process has room for: each is an open file and some memory, and a gateway that runs out of
//! either serves nobody.

use std::fs;

use nix::sys::resource::{Resource, getrlimit, setrlimit};

/// What a connection holds while it says nothing, in bytes. Ten thousand, half of them after a request, took 17 KiB each.
const BYTES: u64 = 20 * 1024;
/// Where the control group's limit of memory is, in its second version and in its first.
const MEMORY: [&str; 2] = ["/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"];

/// Allows the process as many open files as the system lets it have: container runtimes start programs with a soft limit of 1024.
/// Tells how many that are.
///
/// # Errors
/// The system does not tell, or does not let it.
pub fn allow_most() -> std::io::Result<u64> {
    let (soft, hard) = getrlimit(Resource::RLIMIT_NOFILE)?;
    if soft < hard {
        setrlimit(Resource::RLIMIT_NOFILE, hard, hard)?;
    }
    Ok(hard)
}

/// The memory that the process may have, in bytes, where its control group says.
#[must_use]
pub fn memory() -> Option<u64> {
    MEMORY.iter().find_map(|file| fs::read_to_string(file).ok()?.trim().parse().ok())
}

/// The client connections that each worker may have, where `wanted` are asked for: so many that files and memory are left for
/// requests.
#[must_use]
pub fn connections(wanted: usize, files: u64, memory: Option<u64>, workers: usize) -> usize {
    // Half of either is for clients: each may have a request under way, on a connection to an instance.
    let by_memory = memory.map_or(u64::MAX, |memory| memory / 2 / BYTES);
    let room = usize::try_from((files / 2).min(by_memory)).unwrap_or(usize::MAX) / workers.max(1);
    wanted.min(room).max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn connections_leave_files_and_memory_for_requests() {
        assert_eq!(connections(16_384, 1_048_576, None, 4), 16_384);
        assert_eq!(connections(16_384, 20_000, None, 2), 5_000);
        assert_eq!(connections(16_384, 1_048_576, Some(512 << 20), 2), 6_553);
        assert_eq!(connections(16_384, 0, Some(0), 2), 1);
    }
}
