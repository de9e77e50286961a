//! Watches a project's files and tells, once a save is over, which of them changed.
//!
//! Folders are watched one by one, without those that nobody edits (`.git`, `node_modules`, virtual environments, what
//! `.gitignore` names), so that a large project costs no more than its own folders. Where the system gives no more watches, or there
//! are too many folders, the files beside the handlers are looked at twice a second instead, and [`Watcher::note`] says so.

mod ignored;
mod poll;

use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use notify::{
    Event, EventKind, RecommendedWatcher, RecursiveMode, Watcher as _,
    event::{AccessKind, AccessMode, CreateKind, MetadataKind, ModifyKind},
};
use parking_lot::Mutex;
use tokio::{sync::Notify, time::timeout};

pub(super) use self::ignored::Ignored;
use self::poll::Poll;

/// What is watched.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(super) struct Watched {
    /// Folders with code.
    pub(super) folders: BTreeSet<PathBuf>,
    /// Files that count even where they are ignored: the project's own, `.env`.
    pub(super) files: BTreeSet<PathBuf>,
}

/// What changed.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(super) struct Changes {
    /// These files.
    pub(super) files: BTreeSet<PathBuf>,
    /// So many that anything may have.
    pub(super) all: bool,
}

/// Watches until it is dropped.
pub(super) struct Watcher {
    watched: Watched,
    ignored: Ignored,
    gathered: Arc<Gathered>,
    looking: Looking,
}

enum Looking {
    Notified { watcher: RecommendedWatcher, folders: BTreeSet<PathBuf> },
    Polling { poll: Poll, why: String },
}

/// What the system told since it was last taken.
#[derive(Default)]
struct Gathered {
    changes: Mutex<Changes>,
    /// Files that somebody writes at the moment.
    open: Mutex<BTreeSet<PathBuf>>,
    /// Those of the changes that were not there before.
    born: Mutex<BTreeSet<PathBuf>>,
    news: Notify,
}

/// A save is over when nothing came for this long: editors write, rename and touch within a few milliseconds.
const QUIET: Duration = Duration::from_millis(15);
/// The same, while a file is still open for writing: what is half written is not read.
const QUIET_WHILE_WRITTEN: Duration = Duration::from_millis(60);
/// A folder that never comes to rest is told of all the same.
const LONGEST: Duration = Duration::from_millis(400);
/// The default of Linux allows some thousand watches to a user, who has an editor that wants them too.
const MOST_FOLDERS: usize = 4096;
/// Paths that are remembered between two reloads; with more, everything is reloaded.
const MOST_PATHS: usize = 1000;

// === impl Changes ===

impl Changes {
    /// Both.
    pub(super) fn merge(&mut self, more: Self) {
        self.files.extend(more.files);
        self.all |= more.all;
    }
}

// === impl Watcher ===

impl Watcher {
    /// Begins to watch.
    #[must_use]
    pub(super) fn new(watched: Watched) -> Self {
        let gathered = Arc::new(Gathered::default());
        let ignored = Ignored::below(&watched.folders);
        let looking = notified(&watched, &ignored, &gathered)
            .unwrap_or_else(|why| Looking::Polling { poll: Poll::of(&watched, &ignored), why });
        Self { watched, ignored, gathered, looking }
    }

    /// What the user should know about how it is done.
    #[must_use]
    pub(super) fn note(&self) -> Option<String> {
        match &self.looking {
            Looking::Notified { .. } => None,
            Looking::Polling { poll, why } => Some(format!(
                "{why}: only the {} files beside the handlers are looked at, twice a second; name large folders in .gitignore",
                poll.len()
            )),
        }
    }

    /// Watches something else from here on.
    pub(super) fn watch(&mut self, watched: Watched) {
        if watched != self.watched {
            let gathered = Arc::clone(&self.gathered);
            *self = Self::new(watched);
            // What the one before had heard is not lost.
            *self.gathered.changes.lock() = std::mem::take(&mut gathered.changes.lock());
            self.gathered.news.notify_one();
        }
    }

    /// Waits for a change, and for the end of it. Dropped before, it has lost nothing.
    pub(super) async fn changed(&mut self) -> Changes {
        loop {
            if self.gathered.is_empty() {
                self.something().await;
            }
            let settle = async {
                while timeout(self.gathered.quiet(), self.gathered.news.notified()).await.is_ok() {}
            };
            let _ = timeout(LONGEST, settle).await;
            let mut told = std::mem::take(&mut *self.gathered.changes.lock());
            let born = std::mem::take(&mut *self.gathered.born.lock());
            // Programs that save write another file first, and put it in the place of the old one.
            told.files.retain(|path| path.exists() || !born.contains(path));
            self.follow_new_folders(&told);
            let files: BTreeSet<_> = told.files.into_iter().filter(|path| self.counts(path)).collect();
            if told.all || !files.is_empty() {
                return Changes { files, all: told.all };
            }
        }
    }

    async fn something(&mut self) {
        match &mut self.looking {
            Looking::Notified { .. } => self.gathered.news.notified().await,
            Looking::Polling { poll, .. } => {
                let changed = poll.changed().await;
                self.gathered.add(changed);
            }
        }
    }

    fn counts(&self, path: &Path) -> bool {
        self.watched.files.contains(path)
            || (self.watched.folders.iter().any(|folder| path.starts_with(folder))
                && !self.ignored.file(path))
    }

    /// A folder that appears is watched, and so is what was in it before that.
    fn follow_new_folders(&mut self, told: &Changes) {
        let Looking::Notified { watcher, folders } = &mut self.looking else { return };
        let appeared = told.files.iter().filter(|path| path.is_dir() && !folders.contains(*path)).cloned();
        for folder in self.ignored.folders(appeared.collect::<Vec<_>>(), MOST_FOLDERS - folders.len()) {
            if watcher.watch(&folder, RecursiveMode::NonRecursive).is_ok() {
                folders.insert(folder);
            }
        }
    }
}

/// The system's own notices, or why they cannot be had.
fn notified(watched: &Watched, ignored: &Ignored, gathered: &Arc<Gathered>) -> Result<Looking, String> {
    let told = Arc::clone(gathered);
    let mut watcher = notify::recommended_watcher(move |event: notify::Result<Event>| told.hear(event))
        .map_err(|error| format!("files cannot be watched ({error})"))?;
    let mut folders = BTreeSet::new();
    let beside = watched.files.iter().filter_map(|file| file.parent()).filter(|folder| folder.is_dir());
    let below = ignored.folders(watched.folders.iter().cloned(), MOST_FOLDERS + 1);
    for folder in beside.map(Path::to_owned).chain(below) {
        if folders.contains(&folder) {
            continue;
        }
        if folders.len() >= MOST_FOLDERS {
            return Err(format!("there are more than {MOST_FOLDERS} folders"));
        }
        match watcher.watch(&folder, RecursiveMode::NonRecursive) {
            Ok(()) => drop(folders.insert(folder)),
            // Gone again meanwhile.
            Err(_) if !folder.exists() => {}
            Err(error) => return Err(format!("the system gives no more watches ({error})")),
        }
    }
    Ok(Looking::Notified { watcher, folders })
}

// === impl Gathered ===

impl Gathered {
    fn hear(&self, event: notify::Result<Event>) {
        match event {
            Ok(event) if is_change(event.kind) => {
                self.follow_writers(&event);
                if matches!(event.kind, EventKind::Create(_)) {
                    let mut born = self.born.lock();
                    let room = MOST_PATHS.saturating_sub(born.len());
                    born.extend(event.paths.iter().take(room).cloned());
                }
                self.add(event.paths);
            }
            // The last word of a save.
            Ok(event) if event.kind == EventKind::Access(AccessKind::Close(AccessMode::Write)) => {
                self.follow_writers(&event);
                self.news.notify_one();
            }
            Ok(event) if !event.need_rescan() => {}
            // Notices were lost.
            _ => {
                self.changes.lock().all = true;
                self.news.notify_one();
            }
        }
    }

    fn is_empty(&self) -> bool {
        let changes = self.changes.lock();
        changes.files.is_empty() && !changes.all
    }

    /// How long nothing may come before a save is over.
    fn quiet(&self) -> Duration {
        if self.open.lock().is_empty() { QUIET } else { QUIET_WHILE_WRITTEN }
    }

    fn follow_writers(&self, event: &Event) {
        let mut open = self.open.lock();
        for path in &event.paths {
            match event.kind {
                EventKind::Create(CreateKind::File) | EventKind::Modify(ModifyKind::Data(_))
                    if open.len() < MOST_PATHS =>
                {
                    open.insert(path.clone());
                }
                EventKind::Access(_) | EventKind::Remove(_) | EventKind::Modify(ModifyKind::Name(_)) => {
                    open.remove(path);
                }
                _ => {}
            }
        }
    }

    fn add(&self, paths: Vec<PathBuf>) {
        let mut changes = self.changes.lock();
        for path in paths {
            if changes.files.len() >= MOST_PATHS {
                changes.all = true;
                break;
            }
            changes.files.insert(path);
        }
        drop(changes);
        self.news.notify_one();
    }
}

/// Reading is no change. Being touched is, and so is being made executable: what was missing may have been just that.
fn is_change(kind: EventKind) -> bool {
    match kind {
        EventKind::Access(_) | EventKind::Modify(ModifyKind::Metadata(MetadataKind::AccessTime)) => false,
        EventKind::Any
        | EventKind::Create(_)
        | EventKind::Modify(_)
        | EventKind::Remove(_)
        | EventKind::Other => true,
    }
}

#[cfg(test)]
mod tests;
