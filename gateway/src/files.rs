//! Open files: each connection is one, and a gateway without any left accepts nobody.

use nix::sys::resource::{Resource, getrlimit, setrlimit};

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

/// The client connections that each worker may have so that files are left for connections to instances, where `wanted` are
/// asked for.
#[must_use]
pub fn connections(wanted: usize, files: u64, workers: usize) -> usize {
    // Half for clients: each may have a request under way, on a connection to an instance.
    let room = usize::try_from(files / 2).unwrap_or(usize::MAX) / workers.max(1);
    wanted.min(room).max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn connections_leave_files_for_instances() {
        assert_eq!(connections(16_384, 1_048_576, 4), 16_384);
        assert_eq!(connections(16_384, 20_000, 2), 5_000);
        assert_eq!(connections(16_384, 0, 2), 1);
    }
}
