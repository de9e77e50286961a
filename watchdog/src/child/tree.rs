//! Who descends from whom, as `/proc` has it.
//!
//! A process group covers what a child starts in the ordinary way. A daemon leaves its group; it is found by its parent.

use std::collections::HashMap;
use std::fs;

use nix::sys::signal::Signal;
use nix::unistd::Pid;

/// Everything that descends from a process, without it.
pub(super) fn descendants(root: i32) -> Vec<i32> {
    let parents = parents();
    let mut found = vec![root];
    let mut at = 0;
    while let Some(&pid) = found.get(at) {
        found.extend(
            parents
                .iter()
                .filter(|(child, parent)| **parent == pid && **child != root)
                .map(|(child, _)| *child),
        );
        at += 1;
    }
    found.split_off(1)
}

pub(super) fn children_of(pid: i32) -> Vec<i32> {
    parents().into_iter().filter(|(_, parent)| *parent == pid).map(|(child, _)| child).collect()
}

pub(super) fn kill(pids: &[i32]) {
    for pid in pids {
        let _ = nix::sys::signal::kill(Pid::from_raw(*pid), Signal::SIGKILL);
    }
}

fn parents() -> HashMap<i32, i32> {
    let Ok(processes) = fs::read_dir("/proc") else { return HashMap::new() };
    processes
        .flatten()
        .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
        .filter_map(|pid: i32| Some((pid, parent(&fs::read_to_string(format!("/proc/{pid}/stat")).ok()?)?)))
        .collect()
}

/// The fourth field; the second is the program's name in parentheses, with anything inside.
fn parent(stat: &str) -> Option<i32> {
    let (_, rest) = stat.rsplit_once(") ")?;
    rest.split(' ').nth(1)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_parent_is_found_behind_any_name() {
        assert_eq!(parent("12 (bash) S 7 12 12 0"), Some(7));
        assert_eq!(parent("12 (a) b (c) R 1 2) S 9 12"), Some(9));
        assert_eq!(parent("garbage"), None);
    }

    #[test]
    fn this_process_descends_from_its_parent() {
        let me = std::process::id().cast_signed();
        let parent = std::os::unix::process::parent_id().cast_signed();
        assert!(descendants(parent).contains(&me));
        assert!(children_of(parent).contains(&me));
    }
}
