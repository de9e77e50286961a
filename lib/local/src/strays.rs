//! What a watchdog that was killed left behind: processes of its session, as `/proc` has them.

use std::fs;

use nix::{
    sys::signal::{Signal, kill as send},
    unistd::Pid,
};

/// Kills everything in the session that `leader` began.
pub(crate) fn kill(leader: u32) {
    let Ok(processes) = fs::read_dir("/proc") else { return };
    for entry in processes.flatten() {
        let Some(pid) = entry.file_name().to_str().and_then(|name| name.parse::<i32>().ok()) else {
            continue;
        };
        let Ok(stat) = fs::read_to_string(format!("/proc/{pid}/stat")) else { continue };
        if session(&stat) == Some(leader) {
            let _ = send(Pid::from_raw(pid), Signal::SIGKILL);
        }
    }
}

/// The sixth field; the second is the program's name in parentheses, with anything inside.
fn session(stat: &str) -> Option<u32> {
    let (_, rest) = stat.rsplit_once(") ")?;
    rest.split(' ').nth(3)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_session_is_found_behind_any_name() {
        assert_eq!(session("12 (bash) S 7 12 11 34816 12 4194304"), Some(11));
        assert_eq!(session("12 (a) b (c) R 1 2 3 0"), Some(3));
        assert_eq!(session("garbage"), None);
    }
}
