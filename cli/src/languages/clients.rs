//! The runtime clients that the program carries: written once into the cache, in a folder named by their content.

use std::{
    io,
    path::{Path, PathBuf},
};

use sha2::{Digest as _, Sha256};

use super::Cache;

/// Where the clients are on this machine.
#[derive(Clone, Debug)]
pub struct Clients {
    cache: Cache,
    folder: PathBuf,
}

macro_rules! client {
    ($folder:literal in $runtime:literal, $($name:literal),*) => {
        [$((concat!($folder, "/", $name), include_str!(concat!("../../../runtimes/", $runtime, "/client/", $name)))),*]
    };
}

const NODE: [(&str, &str); 8] = client!(
    "node" in "nodejs",
    "console.mjs",
    "context.mjs",
    "errors.mjs",
    "handler.mjs",
    "index.mjs",
    "invoke.mjs",
    "runtime-api.mjs",
    "stream.mjs"
);
const RUBY: [(&str, &str); 5] =
    client!("ruby" in "ruby", "main.rb", "handler.rb", "context.rb", "errors.rb", "runtime_api.rb");
const PHP: [(&str, &str); 6] = client!("php" in "php", "main.php", "RuntimeFault.php", "Handler.php", "Context.php", "Errors.php", "RuntimeApi.php");
const OTHERS: [(&str, &str); 3] = [
    // AWS's own, which Maven fetches where it is wanted.
    ("java/pom.xml", include_str!("../../../runtimes/java17/pom.xml")),
    ("node/debug.mjs", include_str!("node/debug.mjs")),
    ("python/client.py", include_str!("python/client.py")),
];

// === impl Clients ===

impl Clients {
    /// Writes what is not there yet.
    ///
    /// # Errors
    /// When the cache cannot be written.
    pub fn install(cache: Cache) -> io::Result<Self> {
        let mut digest = Sha256::new();
        for (name, text) in all() {
            digest.update(name);
            digest.update([0]);
            digest.update(text);
            digest.update([0]);
        }
        let folder = cache.join("clients").join(&hex::encode(digest.finalize())[..16]);
        if !folder.is_dir() {
            write(&folder)?;
        }
        Ok(Self { cache, folder })
    }

    pub(super) fn cache(&self) -> &Cache {
        &self.cache
    }

    /// The path of a client's file.
    pub(super) fn path(&self, name: &str) -> String {
        self.folder.join(name).to_string_lossy().into_owned()
    }
}

fn all() -> impl Iterator<Item = &'static (&'static str, &'static str)> {
    NODE.iter().chain(&RUBY).chain(&PHP).chain(&OTHERS)
}

/// All or nothing: another run may look for it at the same time.
fn write(folder: &Path) -> io::Result<()> {
    let parent = folder.parent().unwrap_or(folder);
    std::fs::create_dir_all(parent)?;
    let fresh = tempfile::Builder::new().prefix(".new").tempdir_in(parent)?;
    for (name, text) in all() {
        let path = fresh.path().join(name);
        std::fs::create_dir_all(path.parent().unwrap_or(fresh.path()))?;
        std::fs::write(path, text)?;
    }
    match std::fs::rename(fresh.path(), folder) {
        Err(_) if folder.is_dir() => Ok(()),
        done => done,
    }
}
