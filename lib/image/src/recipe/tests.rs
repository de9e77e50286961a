use super::*;
use crate::{Kind, Layer};

struct Kitchen {
    folder: tempfile::TempDir,
}

impl Kitchen {
    fn new() -> Self {
        Self { folder: tempfile::tempdir().unwrap() }
    }

    fn with(self, path: &str, text: &str) -> Self {
        let path = self.folder.path().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
        self
    }

    fn build(&self, recipe: &str) -> Result<Image, Error> {
        let store = Store::open(self.folder.path().join("store"))?;
        let variables = [("BIN".to_owned(), self.folder.path().join("bin").display().to_string())].into();
        Recipe::read(&self.folder.path().join(recipe))?.build(&variables, &store, Platform::host())
    }
}

const BASE: &str = r#"
name: base
layers:
  - name: files
    files:
      flint/watchdog: {from: "${BIN}/watchdog", mode: "0755"}
      tmp: {empty: true, mode: "1777"}
config:
  user: "65532:65532"
  entrypoint: [/flint/watchdog]
  env: {HOME: /tmp, LANG: C.UTF-8}
"#;

const CHILD: &str = r#"
extends: ../base/image.yaml
name: child
layers:
  - name: more
    files:
      tmp: {empty: true, mode: "1777"}
      client: {folder: client}
config:
  env: {LANG: en}
"#;

fn kitchen() -> Kitchen {
    Kitchen::new()
        .with("bin/watchdog", "program")
        .with("base/image.yaml", BASE)
        .with("child/image.yaml", CHILD)
        .with("child/client/index.mjs", "code")
}

#[test]
fn a_recipe_stands_on_the_one_it_extends() {
    let image = kitchen().build("child/image.yaml").unwrap();
    assert_eq!(image.layers().len(), 2);
    assert_eq!(image.run().user.as_deref(), Some("65532:65532"));
    assert_eq!(image.run().env, ["HOME=/tmp", "LANG=en"]);
}

#[test]
fn the_same_recipe_gives_the_same_digest_elsewhere_and_from_the_store() {
    let (here, there) = (kitchen(), kitchen());
    let first = here.build("child/image.yaml").unwrap();
    let again = here.build("child/image.yaml").unwrap();
    let elsewhere = there.build("child/image.yaml").unwrap();
    assert_eq!(first.digest(), again.digest());
    assert_eq!(first.digest(), elsewhere.digest());
}

#[test]
fn another_file_gives_another_digest_and_the_same_lower_layer() {
    let kitchen = kitchen();
    let first = kitchen.build("child/image.yaml").unwrap();
    let second = kitchen.with("child/client/index.mjs", "changed").build("child/image.yaml").unwrap();
    assert_ne!(first.digest(), second.digest());
    let digests = |image: &Image| image.layers().iter().map(Layer::digest).collect::<Vec<_>>();
    assert_eq!(digests(&first)[0], digests(&second)[0]);
}

#[test]
fn the_digest_is_the_one_that_was_seen_before() {
    // Guards the claim that any machine makes the same bytes: a change here changes every image that users have.
    let mut tree = Tree::default();
    tree.add_bytes("a/b", "flint".into(), 0o644, Owner::ROOT).unwrap();
    tree.add_link("a/c", "b").unwrap();
    let layer = Layer::in_memory(&tree, "test").unwrap();
    assert_eq!(
        layer.diff_id.to_string(),
        "sha256:c2cba79ee63cfe65f60d46ed5cf1afaf68ce719116a9f5a7121a4d06d3b1793b"
    );
}

#[test]
fn a_layout_holds_every_blob_that_its_manifest_names() {
    let kitchen = kitchen();
    let image = kitchen.build("child/image.yaml").unwrap();
    let folder = kitchen.folder.path().join("layout");
    let digest = image.write_layout(&folder, "latest").unwrap();
    assert_eq!(digest, image.digest());
    let index: serde_json::Value =
        serde_json::from_slice(&fs::read(folder.join("index.json")).unwrap()).unwrap();
    assert_eq!(index["manifests"][0]["digest"], digest.to_string());
    let blob = |digest: &str| fs::read(folder.join("blobs").join(digest.replace(':', "/"))).unwrap();
    let manifest: serde_json::Value = serde_json::from_slice(&blob(&digest.to_string())).unwrap();
    for descriptor in manifest["layers"].as_array().unwrap().iter().chain([&manifest["config"]]) {
        let bytes = blob(descriptor["digest"].as_str().unwrap());
        assert_eq!(descriptor["digest"], crate::Digest::of(&bytes).to_string());
        assert_eq!(descriptor["size"], bytes.len());
    }
}

#[test]
fn a_store_that_lost_a_blob_makes_it_again() {
    let kitchen = kitchen();
    let first = kitchen.build("base/image.yaml").unwrap();
    fs::remove_dir_all(kitchen.folder.path().join("store/blobs")).unwrap();
    let second = kitchen.build("base/image.yaml").unwrap();
    assert_eq!(first.digest(), second.digest());
}

#[test]
fn what_is_wrong_with_a_recipe_is_said() {
    let cases = [
        ("name: x\nlayer: []\n", "layer"),
        ("layers: []\n", "give it a `name`"),
        ("extends: image.yaml\nname: x\n", "extends itself"),
        ("name: x\nlayers: [{name: l, files: {a: {from: b, text: c}}}]\n", "write one of"),
        ("name: x\nlayers: [{name: l, files: {a: {text: c, mode: rwx}}}]\n", "not octal"),
        ("name: x\nlayers: [{name: l, files: {../a: {text: c}}}]\n", "../a"),
        ("name: x\nlayers: [{name: l, tar: \"${NOWHERE}/a\"}]\n", "NOWHERE"),
        ("name: x\nlayers: [{name: l, tar: missing.tar}]\n", "missing.tar"),
    ];
    for (text, word) in cases {
        let error = Kitchen::new().with("image.yaml", text).build("image.yaml").unwrap_err().to_string();
        assert!(error.contains(word), "{text}: {error}");
    }
}

#[test]
fn patterns_cover_paths_and_what_lies_in_them() {
    for (pattern, path, covered) in [
        ("dev", "dev/null", true),
        ("dev", "development", false),
        ("usr/share/doc", "usr/share/doc/a/b", true),
        ("*.pyc", "usr/lib/a.pyc", true),
        ("*.pyc", "usr/lib/a.py", false),
        ("usr/lib/*/gconv", "usr/lib/x86_64-linux-gnu/gconv/UTF-16.so", true),
        ("usr/lib/*/gconv", "usr/lib/gconv", false),
    ] {
        assert_eq!(covers(pattern, path), covered, "{pattern} on {path}");
    }
}

#[test]
fn a_link_and_a_folder_are_in_the_tree_as_written() {
    let text = "name: x\nlayers: [{name: l, files: {bin/sh: {link: dash}, var/task: {empty: true, owner: 65532}}}]\n";
    let kitchen = Kitchen::new().with("image.yaml", text);
    let recipe = Recipe::read(&kitchen.folder.path().join("image.yaml")).unwrap();
    let tree = recipe.layers[0].tree(&[], &Variables::new()).unwrap();
    assert!(matches!(&tree.get("bin/sh").unwrap().kind, Kind::Link(target) if target == "dash"));
    assert_eq!(tree.get("var/task").unwrap().owner.uid, 65532);
}
