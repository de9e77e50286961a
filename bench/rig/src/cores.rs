//! Which cores belong to whom: where there are enough, load, backend and proxies do not disturb each other.

use std::{collections::BTreeSet, fs};

use nix::{
    sched::{CpuSet, sched_getaffinity, sched_setaffinity},
    unistd::Pid,
};

/// Cores for each part of the rig, or none where the machine has too few to share out.
#[derive(Clone, Debug)]
pub(crate) struct Cores {
    /// By part, as [`Part`] counts them.
    parts: Option<[Vec<usize>; 3]>,
    /// How they are shared, in words.
    pub(crate) told: String,
}

/// A part of the rig.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Part {
    Load,
    Backend,
    Proxy,
}

/// With fewer, a core for each would leave the proxies one, and they would not be what is measured.
const ENOUGH: usize = 4;

// === impl Cores ===

impl Cores {
    /// Shares out the cores that this process may use: threads of one core never go to two parts.
    pub(crate) fn here() -> Self {
        let allowed = allowed();
        let whole: BTreeSet<Vec<usize>> = allowed.iter().map(|core| siblings(*core, &allowed)).collect();
        let whole: Vec<Vec<usize>> = whole.into_iter().collect();
        let threads = whole.iter().map(Vec::len).max().unwrap_or(1);
        if whole.len() < ENOUGH {
            let told = format!(
                "not pinned: {} threads on {} cores ({threads} a core), and all parts share them",
                allowed.len(),
                whole.len()
            );
            return Self { parts: None, told };
        }
        let proxies = whole[2..].concat();
        let told =
            format!("pinned: load on {:?}, backend on {:?}, proxies on {proxies:?}", whole[0], whole[1]);
        Self { parts: Some([whole[0].clone(), whole[1].clone(), proxies]), told }
    }

    /// How many threads the proxies have.
    pub(crate) fn for_proxies(&self) -> usize {
        match &self.parts {
            Some(parts) => parts[Part::Proxy as usize].len(),
            None => std::thread::available_parallelism().map_or(1, usize::from),
        }
    }

    /// Puts this thread, and what it starts from now on, on the cores of a part.
    pub(crate) fn enter(&self, part: Part) -> anyhow::Result<()> {
        let Some(parts) = &self.parts else { return Ok(()) };
        let mut set = CpuSet::new();
        for core in &parts[part as usize] {
            set.set(*core)?;
        }
        sched_setaffinity(Pid::from_raw(0), &set)?;
        Ok(())
    }
}

fn allowed() -> Vec<usize> {
    let Ok(set) = sched_getaffinity(Pid::from_raw(0)) else { return Vec::new() };
    (0..CpuSet::count()).filter(|core| set.is_set(*core).unwrap_or(false)).collect()
}

/// The threads of a core that we may use, itself included.
fn siblings(core: usize, allowed: &[usize]) -> Vec<usize> {
    let file = format!("/sys/devices/system/cpu/cpu{core}/topology/thread_siblings_list");
    let mut list = ranges(fs::read_to_string(file).unwrap_or_default().trim());
    list.retain(|sibling| allowed.contains(sibling));
    if list.is_empty() { vec![core] } else { list }
}

/// `0-2,5` as numbers.
fn ranges(text: &str) -> Vec<usize> {
    let range = |part: &str| {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        Some(first.parse().ok()?..=last.parse().ok()?)
    };
    text.split(',').filter_map(range).flatten().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_of_cores_are_read_as_the_kernel_writes_them() {
        assert_eq!(ranges("0-1"), [0, 1]);
        assert_eq!(ranges("3,7"), [3, 7]);
        assert_eq!(ranges("0-2,5"), [0, 1, 2, 5]);
        assert!(ranges("").is_empty());
    }
}
