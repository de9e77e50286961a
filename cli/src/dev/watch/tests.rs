use super::*;

struct Folder(tempfile::TempDir);

impl Folder {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn path(&self) -> PathBuf {
        self.0.path().canonicalize().unwrap()
    }

    fn write(&self, name: &str, text: &str) -> PathBuf {
        let path = self.path().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, text).unwrap();
        path
    }

    fn watched(&self) -> Watched {
        Watched { folders: [self.path()].into(), files: BTreeSet::new() }
    }
}

#[tokio::test]
async fn a_save_is_told_once_with_its_file() {
    let folder = Folder::new();
    let file = folder.write("app.py", "1");
    let mut watcher = Watcher::new(folder.watched());
    folder.write("app.py", "2");
    folder.write("app.py.swp", "scratch");
    let changes = watcher.changed().await;
    assert_eq!(changes, Changes { files: [file].into(), all: false });
}

#[tokio::test]
async fn a_file_that_is_saved_by_way_of_another_is_the_only_change() {
    let folder = Folder::new();
    let file = folder.write("app.py", "1");
    let gone = folder.write("gone.py", "1");
    let mut watcher = Watcher::new(folder.watched());
    let scratch = folder.write("sedX1y2", "2");
    std::fs::rename(scratch, &file).unwrap();
    std::fs::remove_file(&gone).unwrap();
    assert_eq!(watcher.changed().await.files, [file, gone].into());
}

#[tokio::test]
async fn whoever_stops_waiting_in_the_middle_of_a_save_hears_of_it_later() {
    let folder = Folder::new();
    let file = folder.write("app.py", "1");
    let mut watcher = Watcher::new(folder.watched());
    let gathered = Arc::clone(&watcher.gathered);
    let heard = async {
        while gathered.is_empty() {
            tokio::task::yield_now().await;
        }
    };
    folder.write("app.py", "2");
    tokio::select! {
        biased;
        changes = watcher.changed() => panic!("before the end of the save: {changes:?}"),
        () = heard => {}
    }
    assert_eq!(watcher.changed().await.files, [file].into());
}

#[tokio::test]
async fn a_program_that_is_made_executable_is_a_change() {
    let folder = Folder::new();
    let file = folder.write("bootstrap", "#!/bin/sh");
    let mut watcher = Watcher::new(folder.watched());
    std::fs::set_permissions(&file, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    assert_eq!(watcher.changed().await.files, [file].into());
}

#[tokio::test]
async fn what_is_ignored_is_no_change_unless_it_is_named() {
    let folder = Folder::new();
    folder.write(".gitignore", ".env\n*.log\nbuild/\n");
    let env = folder.write(".env", "A=1");
    folder.write("node_modules/x/index.js", "");
    let mut watched = folder.watched();
    watched.files.insert(env.clone());
    let mut watcher = Watcher::new(watched);
    folder.write("x.log", "noise");
    folder.write("node_modules/x/index.js", "noise");
    folder.write("build/out.js", "noise");
    folder.write(".env", "A=2");
    assert_eq!(watcher.changed().await.files, [env].into());
}

#[tokio::test]
async fn a_folder_that_appears_is_watched() {
    let folder = Folder::new();
    let mut watcher = Watcher::new(folder.watched());
    folder.write("lib/one.py", "1");
    watcher.changed().await;
    let file = folder.write("lib/two.py", "2");
    assert!(watcher.changed().await.files.contains(&file));
}

#[tokio::test]
async fn too_many_folders_leave_the_files_beside_the_handler() {
    let folder = Folder::new();
    let file = folder.write("app.py", "1");
    for number in 0..=MOST_FOLDERS {
        std::fs::create_dir(folder.path().join(number.to_string())).unwrap();
    }
    let mut watcher = Watcher::new(folder.watched());
    assert!(watcher.note().unwrap().starts_with("there are more than 4096 folders: only the 1 files"));
    folder.write("app.py", "22");
    assert_eq!(watcher.changed().await.files, [file].into());
}

#[test]
fn large_folders_that_nobody_edits_cost_nothing() {
    let folder = Folder::new();
    folder.write("src/app.py", "");
    folder.write(".gitignore", "data\n");
    for name in ["node_modules/a/b", "target/debug/x", "data/1", ".venv/lib/y"] {
        folder.write(name, "");
    }
    let root = folder.path();
    let ignored = Ignored::below(&[root.clone()].into());
    assert_eq!(ignored.folders([root.clone()], 100), [root.clone(), root.join("src")]);
}
