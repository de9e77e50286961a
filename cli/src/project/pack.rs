//! What of a folder belongs to a function, and the folder as a Function's own text.

use std::{
    collections::BTreeMap,
    io::Read as _,
    path::{Path, PathBuf},
};

use ignore::{
    DirEntry, WalkBuilder,
    gitignore::{Gitignore, GitignoreBuilder},
};

use super::{Folder, Note, Place, files::said};

/// Files that a Function takes as its own text, by its definition.
const MOST_FILES: usize = 64;
/// Their bytes. The definition takes 1 MB; but every list and watch of Functions carries it, and etcd keeps each version.
const MOST_BYTES: u64 = 256 * 1024;
/// What one function may consist of at all, so that a walk of the wrong folder ends.
const MOST_WALKED: usize = 20_000;
/// What belongs to no function: history, environments, caches, settings of this machine, and descriptions.
const NEVER: &[&str] = &[
    ".git",
    ".gitignore",
    ".flintignore",
    ".venv",
    "venv",
    "__pycache__",
    ".pytest_cache",
    ".DS_Store",
    ".serverless",
    ".aws-sam",
    "flint.yaml",
    "flint.yml",
];
/// Where larger code goes.
const ELSEWHERE: &str = "leave files out by a .flintignore, let `flint deploy --registry HOST/PATH` bring it through a registry, \
                         or put it where the cluster fetches it (source.archive, source.git), or into an image";

/// A Function's own text in the making: files by their paths, as long as they fit.
pub(crate) struct Texts {
    /// What messages are about where no single file is.
    root: PathBuf,
    texts: BTreeMap<String, String>,
    bytes: u64,
}

// === impl Folder ===

impl Folder {
    /// The whole folder.
    #[must_use]
    pub fn new(root: impl Into<PathBuf>) -> Self {
        Self { root: root.into(), patterns: Vec::new() }
    }

    /// The files that belong to the function, relative to the folder, in order.
    ///
    /// # Errors
    /// When the folder cannot be read, or has so many files that it cannot be meant.
    pub fn files(&self) -> Result<Vec<PathBuf>, Note> {
        let mut files = Vec::new();
        for file in self.walk()? {
            files.push(file?);
            if files.len() > MOST_WALKED {
                let message = format!(
                    "there are more than {MOST_WALKED} files here: name the folder of the code, or leave files out by a .flintignore"
                );
                return Err(self.wrong(&self.root, message));
            }
        }
        // The walk goes folder by folder, and `a-b` comes before `a/b` there.
        files.sort();
        Ok(files)
    }

    /// The folder as `spec.source.inline`: texts by their paths.
    ///
    /// # Errors
    /// When it is too large for that, or something in it is no text: says what to do.
    pub fn inline(&self) -> Result<BTreeMap<String, String>, Note> {
        let mut texts = Texts::new(&self.root);
        for file in self.walk()? {
            let file = file?;
            texts.add(name_of(&self.root, &file)?, &self.root.join(&file))?;
        }
        texts.finish()
    }

    /// The files that belong to the function, and where they are, by their paths.
    ///
    /// # Errors
    /// As [`Folder::files`], and where a name is not UTF-8.
    pub(crate) fn named(&self) -> Result<Vec<(String, PathBuf)>, Note> {
        let named = |file: &PathBuf| Ok((name_of(&self.root, file)?.to_owned(), self.root.join(file)));
        self.files()?.iter().map(named).collect()
    }

    /// Each file, relative to the folder.
    fn walk(&self) -> Result<impl Iterator<Item = Result<PathBuf, Note>> + '_, Note> {
        let patterns = self.patterns()?;
        let chosen = patterns.is_some();
        let mut walk = WalkBuilder::new(&self.root);
        walk.standard_filters(false)
            .git_ignore(!chosen)
            .parents(!chosen)
            .require_git(false)
            .add_custom_ignore_filename(".flintignore")
            .sort_by_file_name(Ord::cmp)
            .filter_entry(|entry| entry.depth() == 0 || !is_never(entry));
        Ok(walk.build().filter_map(move |entry| match entry {
            Err(error) => Some(Err(self.wrong(&self.root, format!("it cannot be read: {error}")))),
            Ok(entry) => self.belongs(&entry, patterns.as_ref()).transpose(),
        }))
    }

    fn belongs(&self, entry: &DirEntry, patterns: Option<&Gitignore>) -> Result<Option<PathBuf>, Note> {
        let kind = entry.file_type();
        let path = entry.path();
        let Ok(relative) = path.strip_prefix(&self.root) else { return Ok(None) };
        if kind.is_none_or(|kind| kind.is_dir())
            || patterns.is_some_and(|patterns| patterns.matched(relative, false).is_ignore())
        {
            return Ok(None);
        }
        if kind.is_some_and(|kind| kind.is_symlink()) {
            let inside = path.canonicalize().is_ok_and(|real| {
                self.root.canonicalize().is_ok_and(|root| real.starts_with(root)) && real.is_file()
            });
            if !inside {
                let message = "this link leads to no file within the folder: copy what it leads to, or leave it out by a .flintignore";
                return Err(self.wrong(path, message));
            }
        } else if !kind.is_some_and(|kind| kind.is_file()) {
            return Err(
                self.wrong(path, "this is neither a file nor a folder: leave it out by a .flintignore")
            );
        }
        Ok(Some(relative.to_owned()))
    }

    /// The patterns, turned round: what they leave out is what a `.gitignore` names.
    fn patterns(&self) -> Result<Option<Gitignore>, Note> {
        if self.patterns.is_empty() {
            return Ok(None);
        }
        let mut builder = GitignoreBuilder::new("");
        for pattern in &self.patterns {
            let (negated, glob) = match pattern.strip_prefix('!') {
                Some(glob) => ("", glob),
                None => ("!", pattern.as_str()),
            };
            let glob = glob.trim_start_matches("./").trim_start_matches('/');
            builder.add_line(None, &format!("{negated}/{glob}")).map_err(|error| {
                self.wrong(&self.root, format!("the pattern {pattern:?} cannot be read: {error}"))
            })?;
        }
        let patterns = builder.build().map_err(|error| self.wrong(&self.root, error.to_string()))?;
        Ok(Some(patterns))
    }

    fn wrong(&self, path: &Path, message: impl Into<String>) -> Note {
        wrong(path, message)
    }
}

// === impl Texts ===

impl Texts {
    /// Without any file yet; `root` is what messages are about.
    pub(crate) fn new(root: &Path) -> Self {
        Self { root: root.to_owned(), texts: BTreeMap::new(), bytes: 0 }
    }

    /// One more file.
    ///
    /// # Errors
    /// When it is no text, or it is one too many: says what to do.
    pub(crate) fn add(&mut self, name: &str, path: &Path) -> Result<(), Note> {
        if self.texts.len() == MOST_FILES {
            let message =
                format!("more than {MOST_FILES} files, the most a Function has as its own text: {ELSEWHERE}");
            return Err(wrong(&self.root, message));
        }
        let failed = |error: std::io::Error| wrong(path, format!("it cannot be read: {}", said(&error)));
        let mut bytes = Vec::new();
        let file = std::fs::File::open(path).map_err(failed)?;
        file.take(MOST_BYTES + 1).read_to_end(&mut bytes).map_err(failed)?;
        let text = String::from_utf8(bytes).ok().filter(|text| !text.contains('\0'));
        let text = text.ok_or_else(|| {
            wrong(path, format!("this is no text, and a Function's own code has to be: {ELSEWHERE}"))
        })?;
        self.bytes += text.len() as u64;
        if self.bytes > MOST_BYTES {
            let kib = MOST_BYTES / 1024;
            let message = format!(
                "with {name} the code is larger than {kib} KiB, the most a Function has as its own text: {ELSEWHERE}"
            );
            return Err(wrong(&self.root, message));
        }
        self.texts.insert(name.to_owned(), text);
        Ok(())
    }

    /// All of them.
    ///
    /// # Errors
    /// When there are none.
    pub(crate) fn finish(self) -> Result<BTreeMap<String, String>, Note> {
        if self.texts.is_empty() {
            return Err(wrong(&self.root, "there are no files here that belong to the function"));
        }
        Ok(self.texts)
    }
}

fn wrong(path: &Path, message: impl Into<String>) -> Note {
    Note::error(&Place { file: path.to_owned(), line: 0, column: 0 }, message)
}

fn name_of<'a>(root: &Path, file: &'a Path) -> Result<&'a str, Note> {
    file.to_str().ok_or_else(|| {
        wrong(&root.join(file), "its name is not UTF-8: rename it, or leave it out by a .flintignore")
    })
}

fn is_never(entry: &DirEntry) -> bool {
    let name = entry.file_name().to_string_lossy();
    NEVER.contains(&name.as_ref()) || name == ".env" || name.starts_with(".env.")
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn folder(files: &[(&str, &str)]) -> (tempfile::TempDir, Folder) {
        let dir = tempfile::tempdir().unwrap();
        for (name, text) in files {
            let path = dir.path().join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        let folder = Folder::new(dir.path());
        (dir, folder)
    }

    fn names(folder: &Folder) -> Vec<String> {
        folder.files().unwrap().iter().map(|file| file.display().to_string()).collect()
    }

    #[test]
    fn what_the_ignore_files_leave_out_does_not_belong() {
        let (_dir, folder) = folder(&[
            ("app.py", ""),
            (".env", "A=1"),
            (".env.local", "A=1"),
            ("flint.yaml", ""),
            (".gitignore", "node_modules\n*.log\n"),
            ("node_modules/a/index.js", ""),
            ("x.log", ""),
            ("lib/.flintignore", "*.md"),
            ("lib/a.md", ""),
            ("lib/a.py", ""),
            (".git/config", ""),
        ]);
        assert_eq!(names(&folder), ["app.py", "lib/a.py"]);
    }

    #[test]
    fn of_patterns_the_last_that_matches_decides() {
        let (_dir, mut folder) = folder(&[
            ("a.js", ""),
            ("src/a.js", ""),
            ("src/b.js", ""),
            ("docs/a.md", ""),
            (".gitignore", "src"),
        ]);
        folder.patterns = ["!./**", "src/**", "!src/b.js"].map(str::to_owned).to_vec();
        assert_eq!(names(&folder), ["src/a.js"]);
        folder.patterns = vec!["!docs/**".to_owned()];
        assert_eq!(names(&folder), ["a.js", "src/a.js", "src/b.js"]);
    }

    #[test]
    fn what_does_not_fit_says_what_to_do() {
        let (_dir, large) = folder(&[("a", &"x".repeat(200_000)), ("b", &"x".repeat(200_000))]);
        assert!(large.inline().unwrap_err().message.starts_with("with b the code is larger than 256 KiB"));
        let many: Vec<_> = (0..65).map(|number| (number.to_string(), String::new())).collect();
        let many: Vec<_> = many.iter().map(|(name, text)| (name.as_str(), text.as_str())).collect();
        let (_dir, many) = folder(&many);
        assert!(many.inline().unwrap_err().message.starts_with("more than 64 files"));
        let (_dir, binary) = folder(&[("a", "\0")]);
        assert!(binary.inline().unwrap_err().message.starts_with("this is no text"));
        let (_dir, empty) = folder(&[]);
        assert!(empty.inline().unwrap_err().message.starts_with("there are no files"));
    }

    #[test]
    fn a_folder_of_fifty_thousand_files_is_refused_without_reading_them() {
        let (dir, folder) = folder(&[]);
        for number in 0..50_000 {
            fs::File::create(dir.path().join(number.to_string())).unwrap();
        }
        assert!(folder.files().unwrap_err().message.contains("more than 20000 files"));
        assert!(folder.inline().unwrap_err().message.starts_with("more than 64 files"));
    }

    #[test]
    fn links_lead_within_the_folder_or_nowhere() {
        let (dir, folder) = folder(&[("lib/a.py", "a")]);
        std::os::unix::fs::symlink("lib/a.py", dir.path().join("b.py")).unwrap();
        assert_eq!(folder.inline().unwrap().get("b.py").map(String::as_str), Some("a"));
        std::os::unix::fs::symlink("/etc/hostname", dir.path().join("c.py")).unwrap();
        assert!(folder.inline().unwrap_err().message.starts_with("this link leads to no file within"));
    }
}
