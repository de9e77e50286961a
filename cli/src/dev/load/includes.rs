//! Which functions of one folder a saved file belongs to: those whose code names it, themselves or through what they name.
//!
//! Nothing is parsed. Of a source file only the words count: a file belongs to a function when its name is among the words of the
//! handler's file, or of a file that belongs to the function. That finds too much at times, and then a function is restarted for
//! nothing. It must never find too little: so a file that is no source, code that puts names together when it runs, and a
//! function whose first file is not known, all mean that it belongs.

use std::{
    collections::{BTreeSet, HashSet},
    path::{Path, PathBuf},
};

use crate::{dev::watch::Ignored, languages::Language};

/// The sources of a folder, and the words in them.
pub(super) struct Sources(Vec<Source>);

struct Source {
    path: PathBuf,
    words: HashSet<String>,
    /// It puts names of files together when it runs.
    is_dynamic: bool,
}

/// How files end whose words tell what they include.
const SOURCES: [&str; 14] =
    ["cjs", "cts", "js", "jsx", "mjs", "mts", "php", "pl", "py", "pyi", "rb", "sh", "ts", "tsx"];
/// How handlers are written without the end of their file.
const ENDS: [&str; 11] = ["py", "js", "mjs", "cjs", "ts", "mts", "cts", "jsx", "tsx", "rb", "php"];
/// Names of files that are included by the name of their folder.
const FOR_THEIR_FOLDER: [&str; 3] = ["__init__", "index", "__main__"];
/// Words of code that finds other code when it runs.
const DYNAMIC: [&str; 11] = [
    "__import__",
    "eval",
    "glob",
    "importlib",
    "iterdir",
    "listdir",
    "pkgutil",
    "readdir",
    "readdirSync",
    "runpy",
    "scandir",
];
/// More is not looked at within a reload's time: then a save is everybody's.
const MOST_FILES: usize = 300;
const MOST_BYTES: u64 = 256 * 1024;
const MOST_FOLDERS: usize = 100;

// === impl Sources ===

impl Sources {
    /// Those below the folder. None where there are too many to look at, or where they go by other names than their files'.
    pub(super) fn below(folder: &Path) -> Option<Self> {
        let ignored = Ignored::below(&[folder.to_owned()].into());
        let folders = ignored.folders([folder.to_owned()], MOST_FOLDERS + 1);
        let mut sources = Vec::new();
        for entry in folders.iter().filter_map(|folder| std::fs::read_dir(folder).ok()).flatten().flatten() {
            let path = entry.path();
            if renames(folder, &path) {
                return None;
            }
            if !is_source(&path) || ignored.file(&path) {
                continue;
            }
            let metadata = path.metadata().ok()?;
            if sources.len() >= MOST_FILES || metadata.len() > MOST_BYTES {
                return None;
            }
            let text = std::fs::read(&path).ok()?;
            sources.push(Source::new(path, &String::from_utf8_lossy(&text)));
        }
        (folders.len() <= MOST_FOLDERS).then_some(Self(sources))
    }

    /// Whether code that begins in one of these files may include one of those that changed.
    pub(super) fn reach(&self, first: &[PathBuf], changed: &BTreeSet<PathBuf>) -> bool {
        if first.is_empty() || changed.iter().any(|file| !is_source(file)) {
            return true;
        }
        let mut reached: Vec<&Source> = Vec::new();
        let mut next: Vec<&Source> = self.0.iter().filter(|source| first.contains(&source.path)).collect();
        while let Some(source) = next.pop() {
            if reached.iter().any(|known| known.path == source.path) {
                continue;
            }
            if source.is_dynamic || changed.iter().any(|file| *file == source.path || source.names(file)) {
                return true;
            }
            next.extend(self.0.iter().filter(|other| source.names(&other.path)));
            reached.push(source);
        }
        // Of a first file that cannot be read nothing is known.
        reached.is_empty()
    }
}

// === impl Source ===

impl Source {
    fn new(path: PathBuf, text: &str) -> Self {
        let words: HashSet<_> = words(text).map(str::to_owned).collect();
        let is_dynamic = DYNAMIC.iter().any(|word| words.contains(*word))
            || computes_names(text)
            || (path.extension().is_some_and(|end| end == "sh") && text.contains("/*"));
        Self { path, words, is_dynamic }
    }

    /// Whether it may include that file.
    fn names(&self, file: &Path) -> bool {
        let stem = file.file_stem().unwrap_or_default().to_string_lossy();
        let named = |name: &str| words(name).all(|word| self.words.contains(word));
        if !FOR_THEIR_FOLDER.contains(&stem.as_ref()) {
            return named(&stem);
        }
        let Some(folder) = file.parent() else { return true };
        // What is inside of a package begins with the package's own file.
        self.path.starts_with(folder) || named(&folder.file_name().unwrap_or_default().to_string_lossy())
    }
}

/// Whether this file gives other files names of their own: a package within the folder, `imports` of Node.js, `paths` of
/// TypeScript.
fn renames(folder: &Path, file: &Path) -> bool {
    let says = |word: &str| std::fs::read_to_string(file).is_ok_and(|text| text.contains(word));
    match file.file_name().and_then(|name| name.to_str()) {
        Some("package.json") => file.parent() != Some(folder) || says("\"imports\""),
        Some("tsconfig.json") => says("\"paths\""),
        _ => false,
    }
}

/// `require(name)` and `import(name)`: what is included is known when it runs.
fn computes_names(text: &str) -> bool {
    ["require(", "import("]
        .iter()
        .any(|call| text.split(call).skip(1).any(|rest| !rest.trim_start().starts_with(['"', '\'', ')'])))
}

fn words(text: &str) -> impl Iterator<Item = &str> {
    text.split(|c: char| !c.is_alphanumeric() && c != '_').filter(|word| !word.is_empty())
}

fn is_source(file: &Path) -> bool {
    file.extension().is_some_and(|end| SOURCES.iter().any(|source| end == *source))
}

/// The files that a function's code begins in, by its handler or the command that is run; none where that is not known.
pub(super) fn first(
    language: Option<Language>,
    folder: &Path,
    handler: &str,
    command: &[String],
) -> Vec<PathBuf> {
    match language {
        Some(Language::Python | Language::Node | Language::Ruby | Language::Php) => {
            handlers_file(folder, handler).into_iter().collect()
        }
        Some(Language::Process) => {
            let named = command.iter().map(String::as_str).chain([handler]);
            let words =
                named.flat_map(|command| command.split([' ', ';', '&', '|', '"', '\'', '=', '(', ')']));
            let files =
                words.filter(|word| !word.is_empty()).map(|word| folder.join(word.trim_start_matches("./")));
            files.filter(|file| file.starts_with(folder) && is_source(file) && file.is_file()).collect()
        }
        _ => Vec::new(),
    }
}

/// `src/app.handler`, and `src.app.handler` where Python has it.
fn handlers_file(folder: &Path, handler: &str) -> Option<PathBuf> {
    let (module, _) = handler.rsplit_once('.')?;
    let packages = module.replace('.', "/");
    let packed = ["__init__.py"].map(|name| folder.join(&packages).join(name));
    [module, &packages]
        .iter()
        .flat_map(|module| ENDS.iter().map(move |end| folder.join(format!("{module}.{end}"))))
        .chain(packed)
        .find(|file| file.is_file())
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Folder(tempfile::TempDir);

    impl Folder {
        fn with(files: &[(&str, &str)]) -> Self {
            let folder = tempfile::tempdir().unwrap();
            for (name, text) in files {
                let path = folder.path().join(name);
                std::fs::create_dir_all(path.parent().unwrap()).unwrap();
                std::fs::write(path, text).unwrap();
            }
            Self(folder)
        }

        /// Whether a function with this handler is restarted when that file is saved.
        fn restarts(&self, handler: &str, saved: &str) -> bool {
            let folder = self.0.path();
            let first = first(Some(Language::Python), folder, handler, &[]);
            Sources::below(folder).unwrap().reach(&first, &[folder.join(saved)].into())
        }
    }

    #[test]
    fn a_handlers_own_file_is_nobody_elses() {
        let folder = Folder::with(&[
            ("src/users.js", "exports.handler = async () => 'users'"),
            ("src/orders.js", "exports.handler = async () => 'orders of ' + id"),
        ]);
        assert!(folder.restarts("src/users.handler", "src/users.js"));
        assert!(!folder.restarts("src/orders.handler", "src/users.js"));
    }

    #[test]
    fn what_is_shared_belongs_to_those_who_name_it_through_others_too() {
        let folder = Folder::with(&[
            ("users.py", "from lib import tables\n"),
            ("orders.py", "import json\n"),
            ("lib/__init__.py", ""),
            ("lib/tables.py", "from .names import NAMES\n"),
            ("lib/names.py", ""),
        ]);
        for shared in ["lib/__init__.py", "lib/tables.py", "lib/names.py"] {
            assert!(folder.restarts("users.handler", shared), "{shared}");
            assert!(!folder.restarts("orders.handler", shared), "{shared}");
        }
    }

    #[test]
    fn a_file_that_is_gone_belongs_to_those_who_name_it() {
        let folder = Folder::with(&[("a.js", "require('./gone')"), ("b.js", "")]);
        assert!(folder.restarts("a.handler", "gone.js"));
        assert!(!folder.restarts("b.handler", "gone.js"));
    }

    #[test]
    fn what_is_not_certain_belongs_to_everybody() {
        let folder = Folder::with(&[
            ("a.py", "import importlib\nimportlib.import_module(name)\n"),
            ("b.js", "const all = await import(`./${name}.js`)"),
            ("c.js", "require('./c-part')"),
            ("d.sh", "for part in parts/*; do . $part; done"),
            ("other.py", ""),
        ]);
        assert!(folder.restarts("a.handler", "other.py"));
        assert!(folder.restarts("b.handler", "other.py"));
        assert!(!folder.restarts("c.handler", "other.py"));
        assert!(folder.restarts("c.handler", "data.json"), "no source");
        assert!(folder.restarts("nowhere.handler", "other.py"), "no first file");
    }

    #[test]
    fn where_files_go_by_other_names_it_is_not_looked_at_all() {
        for (file, text) in [
            ("package.json", r##"{"imports": {"#db": "./lib/database.js"}}"##),
            ("lib/package.json", r#"{"main": "src/thing.js"}"#),
            ("tsconfig.json", r#"{"compilerOptions": {"paths": {}}}"#),
        ] {
            assert!(Sources::below(Folder::with(&[("a.js", ""), (file, text)]).0.path()).is_none(), "{file}");
        }
        assert!(Sources::below(Folder::with(&[("a.js", ""), ("package.json", "{}")]).0.path()).is_some());
    }

    #[test]
    fn a_package_is_begun_by_whoever_is_inside() {
        let folder = Folder::with(&[("pkg/__init__.py", ""), ("pkg/app.py", ""), ("other/app2.py", "")]);
        assert!(folder.restarts("pkg.app.handler", "pkg/__init__.py"));
        assert!(!folder.restarts("other/app2.handler", "pkg/__init__.py"));
    }

    #[test]
    fn a_command_begins_in_the_file_that_it_names() {
        let folder = Folder::with(&[("server.py", ""), ("run.sh", "")]);
        let at = |command: &str, handler: &str| {
            first(Some(Language::Process), folder.0.path(), handler, &[command.to_owned()])
        };
        assert_eq!(at("exec python3 server.py --fast", ""), [folder.0.path().join("server.py")]);
        assert_eq!(at("/bin/sh", "./run.sh"), [folder.0.path().join("run.sh")]);
        assert_eq!(at("cat", ""), [] as [PathBuf; 0]);
    }
}
