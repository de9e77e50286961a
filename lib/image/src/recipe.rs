//! A recipe: a YAML file that says what is in an image.
//!
//! ```yaml
//! extends: ../base/image.yaml        # its layers first, its configuration underneath
//! name: flint-python3.11
//! exclude: [dev, usr/share/doc, "*.pyc"]   # of archives, here and in all recipes that extend this one
//! layers:
//!   - name: python
//!     tar: ${BUILD}/rootfs/python3.11.tar
//!     files:
//!       flint/watchdog: {from: "${BIN}/flint-watchdog", mode: "0755"}
//!       opt/client: {folder: client}
//!       etc/passwd: {text: "root:x:0:0::/:/bin/sh\n"}
//!       var/task: {empty: true, owner: 65532}
//!       usr/bin/sh: {link: dash}
//! config:
//!   user: "65532:65532"
//!   entrypoint: [/flint/watchdog]
//!   env: {HOME: /tmp}
//! ```
//!
//! Paths on this machine are relative to the recipe; `${NAME}` is a variable of the caller's. A layer leaves out what the
//! layers below hold already. In `exclude`, `*` stands for any characters, and a path stands for all that lies in it.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

use serde::Deserialize;

use crate::{Error, Image, Owner, Platform, Store, Tree};

/// More generations of `extends` than this are a circle.
const MAX_EXTENDS: usize = 8;

/// The caller's variables: names and what stands for `${NAME}`.
pub type Variables = BTreeMap<String, String>;

/// A recipe with its ancestors, read and not yet built.
#[derive(Clone, Debug)]
pub struct Recipe {
    name: String,
    layers: Vec<Step>,
    exclude: Vec<String>,
    config: Config,
}

/// A layer and where its recipe lies.
#[derive(Clone, Debug)]
struct Step {
    spec: LayerSpec,
    folder: PathBuf,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Document {
    extends: Option<PathBuf>,
    name: Option<String>,
    #[serde(default)]
    exclude: Vec<String>,
    #[serde(default)]
    layers: Vec<LayerSpec>,
    #[serde(default)]
    config: Config,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct LayerSpec {
    name: String,
    tar: Option<String>,
    #[serde(default)]
    files: BTreeMap<String, FileSpec>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct FileSpec {
    from: Option<String>,
    folder: Option<String>,
    text: Option<String>,
    link: Option<String>,
    #[serde(default)]
    empty: bool,
    mode: Option<String>,
    #[serde(default)]
    owner: u32,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase", deny_unknown_fields)]
struct Config {
    user: Option<String>,
    entrypoint: Vec<String>,
    cmd: Vec<String>,
    working_dir: Option<String>,
    env: BTreeMap<String, String>,
    labels: BTreeMap<String, String>,
}

// === impl Recipe ===

impl Recipe {
    /// Reads a recipe and those that it extends.
    ///
    /// # Errors
    /// A file cannot be read or understood, or names an unknown variable.
    pub fn read(path: &Path) -> Result<Self, Error> {
        let mut chain = Vec::new();
        let mut next = Some(path.to_path_buf());
        while let Some(path) = next {
            let text = fs::read_to_string(&path).map_err(Error::file(&path))?;
            let document: Document =
                serde_saphyr::from_str(&text).map_err(|error| bad(&path, error.to_string()))?;
            if chain.len() == MAX_EXTENDS {
                return Err(bad(&path, "extends itself".into()));
            }
            let folder = path.parent().unwrap_or(Path::new("")).to_path_buf();
            next = document.extends.as_ref().map(|extends| folder.join(extends));
            chain.push((folder, document));
        }
        let mut recipe =
            Self { name: String::new(), layers: Vec::new(), exclude: Vec::new(), config: Config::default() };
        for (folder, document) in chain.into_iter().rev() {
            recipe.name = document.name.unwrap_or_default();
            recipe
                .layers
                .extend(document.layers.into_iter().map(|spec| Step { spec, folder: folder.clone() }));
            recipe.exclude.extend(document.exclude);
            recipe.config.take(document.config);
        }
        if recipe.name.is_empty() {
            return Err(bad(path, "give it a `name`".into()));
        }
        Ok(recipe)
    }

    /// The image's name, without registry and tag.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Makes the image for a platform, its layers in the store.
    ///
    /// # Errors
    /// A file is missing or cannot be held by an image, or a variable is unknown.
    pub fn build(&self, variables: &Variables, store: &Store, platform: Platform) -> Result<Image, Error> {
        let mut image = Image::scratch(platform);
        let mut below = Tree::default();
        for step in &self.layers {
            let tree = step.tree(&self.exclude, variables)?.without(&below);
            if !tree.is_empty() {
                image = image.append(store.layer(&tree, &step.spec.name)?);
                below.merge(tree);
            }
        }
        let (config, run) = (&self.config, image.run_mut());
        run.user = config.user.clone();
        run.entrypoint = config.entrypoint.clone();
        run.cmd = config.cmd.clone();
        run.working_dir = config.working_dir.clone();
        run.labels = config.labels.clone();
        for (name, value) in &config.env {
            run.set_env(name, value);
        }
        Ok(image)
    }
}

// === impl Config ===

impl Config {
    /// What a recipe says stands before what it extends.
    fn take(&mut self, over: Self) {
        self.user = over.user.or_else(|| self.user.take());
        self.working_dir = over.working_dir.or_else(|| self.working_dir.take());
        if !over.entrypoint.is_empty() {
            self.entrypoint = over.entrypoint;
        }
        if !over.cmd.is_empty() {
            self.cmd = over.cmd;
        }
        self.env.extend(over.env);
        self.labels.extend(over.labels);
    }
}

// === impl Step ===

impl Step {
    fn tree(&self, exclude: &[String], variables: &Variables) -> Result<Tree, Error> {
        let mut tree = Tree::default();
        if let Some(tar) = &self.spec.tar {
            let tar = self.path(tar, variables)?;
            tree.add_tar(&tar, |path| !exclude.iter().any(|pattern| covers(pattern, path)))?;
        }
        for (path, file) in &self.spec.files {
            self.add(&mut tree, path, file, variables)?;
        }
        Ok(tree)
    }

    fn add(&self, tree: &mut Tree, path: &str, file: &FileSpec, variables: &Variables) -> Result<(), Error> {
        let owner = Owner { uid: file.owner, gid: file.owner };
        let mode = |default: u32| match &file.mode {
            Some(text) => u32::from_str_radix(text, 8).map_err(|_| {
                bad(&self.folder, format!("{path}: the mode {text:?} is not octal, as \"0755\" is"))
            }),
            None => Ok(default),
        };
        match file {
            FileSpec { from: Some(from), folder: None, text: None, link: None, empty: false, .. } => {
                tree.add_file(path, &self.path(from, variables)?, mode(0o644)?, owner)
            }
            FileSpec { folder: Some(from), from: None, text: None, link: None, empty: false, .. } => {
                tree.add_dir(path, &self.path(from, variables)?, owner)
            }
            FileSpec { text: Some(text), from: None, folder: None, link: None, empty: false, .. } => {
                tree.add_bytes(path, text.clone().into(), mode(0o644)?, owner)
            }
            FileSpec { link: Some(link), from: None, folder: None, text: None, empty: false, .. } => {
                tree.add_link(path, link)
            }
            FileSpec { empty: true, from: None, folder: None, text: None, link: None, .. } => {
                tree.add_folder(path, mode(0o755)?, owner)
            }
            _ => Err(bad(
                &self.folder,
                format!("{path}: write one of from, folder, text, link and `empty: true`"),
            )),
        }
    }

    fn path(&self, text: &str, variables: &Variables) -> Result<PathBuf, Error> {
        let mut out = String::new();
        let mut rest = text;
        while let Some((before, after)) = rest.split_once("${") {
            let (name, after) = after
                .split_once('}')
                .ok_or_else(|| bad(&self.folder, format!("{text}: a `${{` has no end")))?;
            let value =
                variables.get(name).ok_or_else(|| bad(&self.folder, format!("set the variable {name}")))?;
            out.push_str(before);
            out.push_str(value);
            rest = after;
        }
        out.push_str(rest);
        Ok(self.folder.join(out))
    }
}

fn bad(path: &Path, message: String) -> Error {
    Error::Recipe { path: path.into(), message }
}

/// Whether the pattern names the path or a folder that it lies in.
fn covers(pattern: &str, path: &str) -> bool {
    let ends = path.match_indices('/').map(|(slash, _)| slash).chain([path.len()]);
    ends.into_iter().any(|end| matches(pattern.as_bytes(), &path.as_bytes()[..end]))
}

fn matches(pattern: &[u8], text: &[u8]) -> bool {
    match pattern.split_first() {
        None => text.is_empty(),
        Some((b'*', rest)) => (0..=text.len()).any(|skip| matches(rest, &text[skip..])),
        Some((byte, rest)) => text.first() == Some(byte) && matches(rest, &text[1..]),
    }
}

#[cfg(test)]
mod tests;
