use std::io::Write as _;

use super::*;

fn packed(build: impl FnOnce(&mut tar::Builder<Vec<u8>>)) -> Vec<u8> {
    let mut builder = tar::Builder::new(Vec::new());
    build(&mut builder);
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    gzip.write_all(&builder.into_inner().unwrap()).unwrap();
    gzip.finish().unwrap()
}

fn file(builder: &mut tar::Builder<Vec<u8>>, path: &str, text: &str) {
    let mut header = tar::Header::new_gnu();
    header.set_size(text.len() as u64);
    header.set_mode(0o640);
    header.set_uid(1000);
    header.set_gid(1000);
    header.as_mut_bytes()[..path.len()].copy_from_slice(path.as_bytes());
    header.set_cksum();
    builder.append(&header, text.as_bytes()).unwrap();
}

fn text(tree: &Tree, path: &str) -> String {
    let Some(Entry { kind: Kind::File { size, content, .. }, .. }) = tree.get(path) else {
        panic!("{path} is no file")
    };
    let mut text = String::new();
    content.open(*size).unwrap().read_to_string(&mut text).unwrap();
    text
}

fn paths(tree: &Tree) -> Vec<&str> {
    tree.entries().map(|(path, _)| path).collect()
}

#[test]
fn an_archive_lands_under_its_place_with_the_given_owner() {
    let mut tree = Tree::default();
    let archive = packed(|builder| file(builder, "./app.py", "x = 1"));
    tree.add_tar_gz(&archive[..], "var/task", 100, Some(Owner::ROOT)).unwrap();
    assert_eq!(paths(&tree), ["var", "var/task", "var/task/app.py"]);
    assert_eq!(text(&tree, "var/task/app.py"), "x = 1");
    assert_eq!(tree.get("var/task/app.py").unwrap().mode, 0o640);
}

#[test]
fn an_archive_that_leaves_its_place_is_refused() {
    let archive = packed(|builder| file(builder, "../../etc/passwd", "root"));
    let error = Tree::default().add_tar_gz(&archive[..], "var/task", 100, None).unwrap_err();
    assert!(matches!(error, Error::Path { .. }), "{error}");
}

#[test]
fn an_archive_that_unpacks_to_too_much_is_refused_before_it_fills_the_memory() {
    let archive = packed(|builder| {
        file(builder, "a", &"a".repeat(60));
        file(builder, "b", &"b".repeat(60));
    });
    let error = Tree::default().add_tar_gz(&archive[..], "", 100, None).unwrap_err();
    assert!(matches!(error, Error::TooLarge { limit: 100 }), "{error}");
    Tree::default().add_tar_gz(&archive[..], "", 120, None).unwrap();
}

#[test]
fn a_truncated_archive_is_an_error() {
    let archive = packed(|builder| file(builder, "a", &"a".repeat(5000)));
    assert!(Tree::default().add_tar_gz(&archive[..archive.len() / 2], "", 10_000, None).is_err());
}

#[test]
fn a_hard_link_becomes_a_file_of_its_own() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("root.tar");
    let mut builder = tar::Builder::new(Vec::new());
    file(&mut builder, "usr/bin/perl", "program");
    let mut header = tar::Header::new_gnu();
    header.set_entry_type(tar::EntryType::Link);
    header.set_size(0);
    header.set_mode(0o755);
    header.set_uid(0);
    header.set_gid(0);
    builder.append_link(&mut header, "usr/bin/perl5", "usr/bin/perl").unwrap();
    std::fs::write(&path, builder.into_inner().unwrap()).unwrap();

    let mut tree = Tree::default();
    tree.add_tar(&path, |_| true).unwrap();
    assert_eq!(text(&tree, "usr/bin/perl5"), "program");
}

#[test]
fn a_device_must_be_excluded_by_name() {
    let mut builder = tar::Builder::new(Vec::new());
    let mut header = tar::Header::new_gnu();
    header.set_entry_type(tar::EntryType::Char);
    header.set_size(0);
    header.set_mode(0o666);
    builder.append_data(&mut header, "dev/null", io::empty()).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("root.tar");
    std::fs::write(&path, builder.into_inner().unwrap()).unwrap();

    let error = Tree::default().add_tar(&path, |_| true).unwrap_err();
    assert!(error.to_string().contains("dev/null"), "{error}");
    let mut tree = Tree::default();
    tree.add_tar(&path, |path| !path.starts_with("dev/")).unwrap();
    assert!(tree.is_empty());
}

#[test]
fn a_layer_keeps_only_what_the_layers_below_lack() {
    let mut below = Tree::default();
    below.add_folder("tmp", 0o1777, Owner::ROOT).unwrap();
    below.add_bytes("etc/passwd", "old".into(), 0o644, Owner::ROOT).unwrap();
    below.add_bytes("etc/same", "same".into(), 0o644, Owner::ROOT).unwrap();
    let mut tree = Tree::default();
    tree.add_bytes("tmp/note", "n".into(), 0o644, Owner::ROOT).unwrap();
    tree.add_bytes("etc/passwd", "new".into(), 0o644, Owner::ROOT).unwrap();
    tree.add_bytes("etc/same", "same".into(), 0o644, Owner::ROOT).unwrap();
    let tree = tree.without(&below);
    assert_eq!(paths(&tree), ["etc/passwd", "tmp/note"], "and the folder /tmp keeps its mode");
}

#[test]
fn a_folder_that_was_implied_gives_way_to_the_real_one_and_not_the_other_way_round() {
    let mut tree = Tree::default();
    tree.add_bytes("var/task/a", "a".into(), 0o644, Owner::ROOT).unwrap();
    tree.add_folder("var/task", 0o700, Owner { uid: 7, gid: 7 }).unwrap();
    tree.add_bytes("var/task/b", "b".into(), 0o644, Owner::ROOT).unwrap();
    let folder = tree.get("var/task").unwrap();
    assert_eq!((folder.mode, folder.owner.uid), (0o700, 7));
}

#[test]
fn a_file_that_shrinks_before_its_layer_is_written_is_an_error() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("program");
    std::fs::write(&path, "0123456789").unwrap();
    let mut tree = Tree::default();
    tree.add_file("program", &path, 0o755, Owner::ROOT).unwrap();
    std::fs::write(&path, "0123").unwrap();
    assert!(crate::Layer::in_memory(&tree, "program").is_err());
}
