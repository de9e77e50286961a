//! What nobody edits: by name, and by the `.gitignore` and `.flintignore` files on the way.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::{Path, PathBuf},
};

use ignore::{WalkBuilder, gitignore::Gitignore};
use parking_lot::Mutex;

/// Decides which files and folders are watched.
#[derive(Debug)]
pub(in crate::dev) struct Ignored {
    roots: BTreeSet<PathBuf>,
    /// The rules of each folder that was asked about.
    rules: Mutex<BTreeMap<PathBuf, Vec<Gitignore>>>,
}

/// Folders that programs fill.
const FILLED: [&str; 10] = [
    ".git",
    ".hg",
    "node_modules",
    ".venv",
    "venv",
    "target",
    "__pycache__",
    ".pytest_cache",
    ".mypy_cache",
    ".serverless",
];
const RULES: [&str; 2] = [".gitignore", ".flintignore"];

// === impl Ignored ===

impl Ignored {
    /// By the rules that hold in these folders.
    pub(in crate::dev) fn below(roots: &BTreeSet<PathBuf>) -> Self {
        Self { roots: roots.clone(), rules: Mutex::default() }
    }

    /// These folders and those below them that are watched, at most so many.
    pub(in crate::dev) fn folders(&self, of: impl IntoIterator<Item = PathBuf>, most: usize) -> Vec<PathBuf> {
        let walk = |root: PathBuf| {
            let mut walk = WalkBuilder::new(&root);
            walk.hidden(false)
                .require_git(false)
                .add_custom_ignore_filename(".flintignore")
                .follow_links(false);
            walk.filter_entry(move |entry| {
                entry.file_type().is_some_and(|kind| kind.is_dir())
                    && (entry.depth() == 0
                        || !entry.file_name().to_str().is_some_and(|name| FILLED.contains(&name)))
            });
            walk.build().flatten().map(ignore::DirEntry::into_path)
        };
        of.into_iter().filter(|root| !self.folder(root)).flat_map(walk).take(most).collect()
    }

    /// Whether changes of this file, or folder that appeared, mean nothing.
    pub(in crate::dev) fn file(&self, path: &Path) -> bool {
        // A rule like `build/` is for folders alone.
        path.file_name().and_then(|name| name.to_str()).is_none_or(is_scratch)
            || self.by_rules(path, path.is_dir())
    }

    fn folder(&self, path: &Path) -> bool {
        self.by_rules(path, true)
    }

    fn by_rules(&self, path: &Path, is_folder: bool) -> bool {
        let Some(root) = self.roots.iter().find(|root| path.starts_with(root)) else { return false };
        let below = path.strip_prefix(root).unwrap_or(path);
        if below.components().any(|part| part.as_os_str().to_str().is_some_and(|part| FILLED.contains(&part)))
        {
            return true;
        }
        let mut rules = self.rules.lock();
        let folders = path.ancestors().skip(1).take_while(|folder| folder.starts_with(root));
        for folder in folders {
            let here = rules.entry(folder.to_owned()).or_insert_with(|| read(folder));
            for rule in here.iter() {
                let verdict = rule.matched_path_or_any_parents(path, is_folder);
                if !verdict.is_none() {
                    return verdict.is_ignore();
                }
            }
        }
        false
    }
}

fn read(folder: &Path) -> Vec<Gitignore> {
    RULES
        .iter()
        .map(|name| folder.join(name))
        .filter(|file| file.is_file())
        .map(|file| Gitignore::new(file).0)
        .collect()
}

/// Editors' own files: they come and go around each save.
fn is_scratch(name: &str) -> bool {
    name.ends_with('~')
        || name.starts_with(".#")
        || name == "4913"
        || [".swp", ".swx", ".swo", ".tmp", ".pyc", ".part"].iter().any(|end| name.ends_with(end))
}
