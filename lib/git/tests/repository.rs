//! Folders out of real repositories, by the answers of git's own `upload-pack`.

// Helpers of tests fail as tests do.
#![allow(clippy::unwrap_used)]

use std::{
    collections::BTreeMap,
    io::{Cursor, Read as _},
    sync::atomic::AtomicBool,
};

use flint_git::{Error, ObjectId, Objects, Revision, Server};
use flint_package::{Draft, Limits};
use flint_testing::git::Repository;

/// What a fetch does, with the answers of a repository's own server.
trait Fetching {
    fn server(&self) -> Server;
    fn resolve(&self, revision: Option<&str>) -> Result<ObjectId, Error>;
    fn fetch(&self, revision: Option<&str>, folder: Option<&str>) -> Result<(String, Files), Error>;
    fn refused(&self, revision: Option<&str>, folder: Option<&str>) -> String;
}

type Files = BTreeMap<String, String>;

impl Fetching for Repository {
    fn server(&self) -> Server {
        Server::read(self.advertisement().as_slice()).unwrap()
    }

    fn resolve(&self, revision: Option<&str>) -> Result<ObjectId, Error> {
        let (server, revision) = (self.server(), Revision::of(revision));
        match (&revision, server.ask_refs(&revision)) {
            (_, Some(request)) => server.resolve(self.ask(&request).as_slice(), &revision),
            (Revision::Commit(commit), None) => Ok(*commit),
            _ => panic!("nothing to ask for {revision:?}"),
        }
    }

    fn fetch(&self, revision: Option<&str>, folder: Option<&str>) -> Result<(String, Files), Error> {
        let server = self.server();
        let commit = self.resolve(revision)?;
        let spool = tempfile::tempdir().unwrap();
        let mut objects = Objects::new(spool.path())?;
        let stop = AtomicBool::new(false);
        let names_only = folder.is_some() && server.can_leave_out();
        let answer = self.ask(&server.ask_commit(commit, names_only));
        objects.receive(answer.as_slice(), commit, &stop)?;
        let listing = objects.listing(commit, folder, 1000)?;
        let missing = listing.missing(&objects);
        assert_eq!(missing.is_empty(), !names_only, "what was left out is known");
        if !missing.is_empty() {
            let answer = self.ask(&server.ask_files(missing));
            objects.receive(answer.as_slice(), commit, &stop)?;
        }
        let limits = Limits { unpacked: 100 << 20, entries: 1000 };
        let mut draft = Draft::new(Cursor::new(Vec::new()), limits);
        listing.write(&objects, &mut draft)?;
        let (_, bytes) = draft.finish(Vec::new())?;
        Ok((listing.commit.to_string(), unpack(&bytes)))
    }

    fn refused(&self, revision: Option<&str>, folder: Option<&str>) -> String {
        let error = self.fetch(revision, folder).unwrap_err();
        assert!(error.is_refusal(), "{error:?}");
        error.to_string()
    }
}

/// Files by name: what is in them, with `*` before it for programs and `-> ` for links.
fn unpack(bytes: &[u8]) -> Files {
    let mut archive = tar::Archive::new(flate2::read::GzDecoder::new(bytes));
    let mut files = Files::new();
    for entry in archive.entries().unwrap() {
        let mut entry = entry.unwrap();
        let name = entry.path().unwrap().display().to_string();
        if let Some(target) = entry.link_name().unwrap() {
            files.insert(name, format!("-> {}", target.display()));
        } else if !name.ends_with('/') {
            let mut text =
                if entry.header().mode().unwrap() == 0o755 { "*".to_owned() } else { String::new() };
            entry.read_to_string(&mut text).unwrap();
            files.insert(name, text);
        }
    }
    files
}

fn files(pairs: &[(&str, &str)]) -> Files {
    pairs.iter().map(|(name, text)| ((*name).to_owned(), (*text).to_owned())).collect()
}

#[test]
fn a_branch_a_tag_and_a_commit_lead_to_their_files() {
    let repository = Repository::new();
    let first = repository.write("app.py", "one").write("lib/util.py", "x").commit();
    repository.git(&["tag", "light"]);
    repository.git(&["tag", "--annotate", "--message=m", "heavy"]);
    let second = repository.write("app.py", "two").commit();
    repository.git(&["branch", "feature/x"]);
    for (revision, commit, text) in [
        (None, &second, "two"),
        (Some("main"), &second, "two"),
        (Some("feature/x"), &second, "two"),
        (Some("refs/heads/main"), &second, "two"),
        (Some("light"), &first, "one"),
        (Some("heavy"), &first, "one"),
        (Some(first.as_str()), &first, "one"),
        (Some(repository.git(&["rev-parse", "heavy"]).as_str()), &first, "one"),
    ] {
        let (found, found_files) = repository.fetch(revision, None).unwrap();
        assert_eq!(&found, commit, "{revision:?}");
        assert_eq!(found_files, files(&[("app.py", text), ("lib/util.py", "x")]));
    }
}

#[test]
fn of_a_folder_only_its_own_files_are_fetched() {
    let repository = Repository::new();
    repository.write("functions/thumbnail/app.py", "app").write("functions/thumbnail/run", "#!/bin/sh");
    repository.git(&["config", "core.fileMode", "false"]);
    repository.write("large", vec![b'x'; 1 << 20]).link("functions/thumbnail/again.py", "app.py").commit();
    repository.git(&["update-index", "--chmod=+x", "functions/thumbnail/run"]);
    repository.git(&["commit", "--quiet", "--message=program"]);
    let wanted = files(&[("again.py", "-> app.py"), ("app.py", "app"), ("run", "*#!/bin/sh")]);
    for folder in ["functions/thumbnail", "functions/thumbnail/", "./functions//thumbnail"] {
        assert_eq!(repository.fetch(None, Some(folder)).unwrap().1, wanted);
    }
    let server = repository.server();
    let commit = repository.resolve(None).unwrap();
    let (names, all) = (server.ask_commit(commit, true), server.ask_commit(commit, false));
    assert!(repository.ask(&names).len() < repository.ask(&all).len());

    repository.set("uploadpack.allowFilter", "false");
    assert!(!repository.server().can_leave_out());
    assert_eq!(
        repository.fetch(None, Some("functions/thumbnail")).unwrap().1,
        wanted,
        "it is found among all"
    );
}

#[test]
fn similar_files_come_as_differences_and_are_whole_again() {
    let repository = Repository::new();
    let lines: Vec<_> = (0..5000).map(|line| format!("line {line} {}\n", line * 7919 % 104_729)).collect();
    let first = lines.concat();
    let second = first.replacen("line 2500", "another line", 1);
    repository.write("a.txt", &first).write("b.txt", &second).commit();
    repository.git(&["repack", "-adfq", "--depth=50"]);
    let (_, found) = repository.fetch(None, None).unwrap();
    assert_eq!(found, files(&[("a.txt", &first), ("b.txt", &second)]));
}

#[test]
fn what_is_not_there_is_named() {
    let repository = Repository::new();
    let empty = repository.resolve(None).unwrap_err().to_string();
    assert!(empty.contains("no commits"), "{empty}");
    repository.write("app.py", "x").commit();
    for (revision, folder, word) in [
        (Some("production"), None, "no branch or tag production"),
        (Some(&*"1".repeat(40)), None, "no commit 1111"),
        (None, Some("functions"), "no folder functions"),
        (None, Some("app.py"), "app.py is a file"),
    ] {
        let said = repository.refused(revision, folder);
        assert!(said.contains(word), "{said}");
    }
}

#[test]
fn what_has_no_place_in_a_package_is_refused_with_its_name() {
    let inner = Repository::new();
    inner.write("x", "x").commit();
    for (name, word, prepare) in [
        (
            "submodule",
            "vendor/inner is a submodule",
            Box::new(|repository: &Repository| {
                let from = inner.folder().to_str().unwrap();
                repository.git(&[
                    "-c",
                    "protocol.file.allow=always",
                    "submodule",
                    "add",
                    "--quiet",
                    from,
                    "vendor/inner",
                ]);
            }) as Box<dyn Fn(&Repository)>,
        ),
        (
            "lfs",
            "model.bin is kept in git LFS",
            Box::new(|repository| {
                let text = "version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 1\n";
                repository.write("model.bin", text);
            }),
        ),
        (
            "link",
            "secret",
            Box::new(|repository| {
                repository.link("secret", "../../etc/passwd");
            }),
        ),
    ] {
        let repository = Repository::new();
        repository.write("app.py", "x");
        prepare(&repository);
        repository.commit();
        let said = repository.refused(None, None);
        assert!(said.contains(word), "{name}: {said}");
    }
}

#[test]
fn a_file_that_does_not_fit_into_memory_is_refused_and_does_no_harm_elsewhere() {
    let repository = Repository::new();
    repository.write("huge", vec![0; (64 << 20) + 1]).write("functions/app.py", "x").commit();
    let said = repository.refused(None, None);
    assert!(said.contains("67108864 bytes"), "{said}");
    assert_eq!(repository.fetch(None, Some("functions")).unwrap().1, files(&[("app.py", "x")]));
}

#[test]
fn trees_that_name_one_another_ten_times_a_level_are_no_bomb() {
    let repository = Repository::new();
    repository.write("seed", "x").commit();
    let mut tree = repository.git(&["write-tree"]);
    for _ in 0..8 {
        let lines: Vec<_> = (0..10).map(|number| format!("040000 tree {tree}\t{number}\n")).collect();
        tree = repository.git_with(&["mktree"], &lines.concat());
    }
    let commit = repository.git(&["commit-tree", "-m", "bomb", &tree]);
    repository.git(&["update-ref", "refs/heads/main", &commit]);
    let said = repository.refused(None, None);
    assert!(said.contains("more than 1000 files"), "{said}");
}

#[test]
fn what_was_cut_off_or_changed_on_its_way_may_be_asked_for_again() {
    let repository = Repository::new();
    repository.write("app.py", "x".repeat(1000)).commit();
    let commit = repository.resolve(None).unwrap();
    let whole = repository.ask(&repository.server().ask_commit(commit, false));
    let spool = tempfile::tempdir().unwrap();
    let receive = |bytes: &[u8], stop: bool| {
        let mut objects = Objects::new(spool.path()).unwrap();
        objects.receive(bytes, commit, &AtomicBool::new(stop))
    };
    assert!(receive(&whole, false).is_ok());
    for end in [10, whole.len() / 2, whole.len() - 30] {
        assert!(!receive(&whole[..end], false).unwrap_err().is_refusal(), "cut at {end}");
    }
    let mut changed = whole.clone();
    let middle = changed.len() / 2;
    changed[middle] ^= 1;
    assert!(!receive(&changed, false).unwrap_err().is_refusal());
    assert!(receive(&whole, true).is_err(), "told to stop");
    assert_eq!(std::fs::read_dir(spool.path()).unwrap().count(), 0, "nothing stays behind");
}
