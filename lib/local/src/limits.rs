//! Memory limits by control groups, where the system lets us make some.
//!
//! A limit on the address space (`RLIMIT_AS`, `RLIMIT_DATA`) would be at hand everywhere, but it counts what an interpreter
//! reserves and not what it uses: Node, Go and Java would not start under limits that they are far below. So there is either a
//! control group that counts as a pod's does, or no limit, and that is said.

use std::{
    fs, io,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
};

/// Limits memory; cheap to clone.
#[derive(Clone)]
pub(crate) struct Limits(Result<Arc<Group>, String>);

/// The control group over those of our processes.
struct Group {
    folder: PathBuf,
    /// The file that takes a limit.
    limit: &'static str,
}

/// What our groups are called, before the process id of the platform and the number of the platform in it.
const PREFIX: &str = "flint-";
/// Platforms in this process so far.
static PLATFORMS: AtomicU32 = AtomicU32::new(0);

// === impl Limits ===

impl Limits {
    /// Looks for a place where we may make groups.
    pub(crate) fn find() -> Self {
        let found = find(Path::new("/sys/fs/cgroup"));
        Self(found.map(Arc::new).map_err(|error| error.to_string()))
    }

    /// Why there are no limits, if there are none.
    pub(crate) fn missing(&self) -> Option<&str> {
        self.0.as_ref().err().map(String::as_str)
    }

    /// Limits a process and everything that it starts from here on. Without control groups it does nothing.
    pub(crate) fn apply(&self, name: &str, pid: u32, bytes: u64) -> io::Result<()> {
        let Ok(group) = &self.0 else { return Ok(()) };
        let folder = group.folder.join(name);
        fs::create_dir_all(&folder)?;
        fs::write(folder.join(group.limit), bytes.to_string())?;
        fs::write(folder.join("cgroup.procs"), pid.to_string())
    }

    /// Its process is gone.
    pub(crate) fn forget(&self, name: &str) {
        if let Ok(group) = &self.0 {
            // There is none where it had no limit. One that is not empty yet goes with the platform.
            let _ = fs::remove_dir(group.folder.join(name));
        }
    }

    /// All processes are gone.
    pub(crate) fn end(&self) {
        if let Ok(group) = &self.0 {
            remove(&group.folder);
        }
    }
}

fn find(root: &Path) -> io::Result<Group> {
    let own = fs::read_to_string("/proc/self/cgroup")?;
    let number = PLATFORMS.fetch_add(1, Ordering::Relaxed);
    let mine = format!("{PREFIX}{}-{number}", std::process::id());
    // Version 1: `4:memory:/path`.
    let v1 = own.lines().find_map(|line| {
        let (_, rest) = line.split_once(':')?;
        let (controllers, path) = rest.split_once(':')?;
        controllers.split(',').any(|name| name == "memory").then_some(path)
    });
    if let Some(path) = v1 {
        let parent = below(&root.join("memory"), path);
        remove_old(&parent);
        let folder = parent.join(mine);
        fs::create_dir_all(&folder)?;
        return Ok(Group { folder, limit: "memory.limit_in_bytes" });
    }
    // Version 2: `0::/path`. A group with processes of its own cannot have limited ones below it, so ours goes beside one of
    // those that we are in; the nearest that is ours to change.
    let path = own.lines().find_map(|line| line.strip_prefix("0::")).unwrap_or("/");
    let mut outcome =
        Err(io::Error::other("the memory controller is not given to any control group of ours"));
    for parent in below(root, path).ancestors().skip(1).take_while(|folder| folder.starts_with(root)) {
        let given = fs::read_to_string(parent.join("cgroup.subtree_control")).unwrap_or_default();
        if !given.split_whitespace().any(|name| name == "memory") {
            continue;
        }
        remove_old(parent);
        let folder = parent.join(&mine);
        let made = fs::create_dir_all(&folder)
            .and_then(|()| fs::write(folder.join("cgroup.subtree_control"), "+memory"))
            // Whoever moves a process must be allowed to change what is above both its groups.
            .and_then(|()| fs::OpenOptions::new().write(true).open(parent.join("cgroup.procs")).map(drop));
        match made {
            Ok(()) => return Ok(Group { folder, limit: "memory.max" }),
            Err(error) => {
                let _ = fs::remove_dir(&folder);
                outcome = Err(error);
            }
        }
    }
    outcome
}

/// The path as `/proc` has it is absolute within the hierarchy.
fn below(root: &Path, path: &str) -> PathBuf {
    let folder = root.join(path.trim_start_matches('/'));
    // In a container the hierarchy may begin at our own group.
    if folder.is_dir() { folder } else { root.to_owned() }
}

/// Groups of platforms that were killed: empty by now, and nobody else's to remove.
fn remove_old(parent: &Path) {
    let Ok(entries) = fs::read_dir(parent) else { return };
    for entry in entries.flatten() {
        let name = entry.file_name();
        let pid =
            name.to_str().and_then(|name| name.strip_prefix(PREFIX)?.split('-').next()?.parse::<u32>().ok());
        if pid.is_some_and(|pid| !Path::new("/proc").join(pid.to_string()).exists()) {
            remove(&entry.path());
        }
    }
}

fn remove(folder: &Path) {
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            let _ = fs::remove_dir(entry.path());
        }
    }
    let _ = fs::remove_dir(folder);
}
