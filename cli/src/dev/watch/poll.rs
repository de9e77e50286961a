//! Looking at files again and again, where nobody tells of their changes.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    time::{Duration, SystemTime},
};

use tokio::time::sleep;

use super::{Watched, ignored::Ignored};

/// The files, as they were when they were looked at last.
#[derive(Debug)]
pub(super) struct Poll {
    seen: BTreeMap<PathBuf, Seen>,
}

type Seen = Option<(SystemTime, u64)>;

/// Fast enough for a reload within half a second of a save, on average.
const EVERY: Duration = Duration::from_millis(500);
/// So many files are looked at in some milliseconds.
const MOST: usize = 1000;

// === impl Poll ===

impl Poll {
    /// The files that count anyway, and those right inside of the folders with code.
    pub(super) fn of(watched: &Watched, ignored: &Ignored) -> Self {
        let beside = watched.folders.iter().filter_map(|folder| std::fs::read_dir(folder).ok());
        let beside = beside.flat_map(|entries| entries.flatten().map(|entry| entry.path()));
        let beside = beside.filter(|path| !ignored.file(path) && path.is_file());
        let files = watched.files.iter().cloned().chain(beside.take(MOST));
        Self { seen: files.map(|file| (file.clone(), look(&file))).collect() }
    }

    /// How many files are looked at.
    pub(super) fn len(&self) -> usize {
        self.seen.len()
    }

    /// The files that are not as they were. It may be dropped and called again.
    pub(super) async fn changed(&mut self) -> Vec<PathBuf> {
        loop {
            sleep(EVERY).await;
            let mut changed = Vec::new();
            for (file, seen) in &mut self.seen {
                let now = look(file);
                if now != *seen {
                    *seen = now;
                    changed.push(file.clone());
                }
            }
            if !changed.is_empty() {
                return changed;
            }
        }
    }
}

fn look(file: &Path) -> Seen {
    let metadata = file.metadata().ok()?;
    Some((metadata.modified().ok()?, metadata.len()))
}
