//! Whether a package names modules that it does not bring: those that somebody would have to fetch.

use std::io::{Read, Seek, Write};

use serde_json::Value;

use crate::{Draft, Error, draft::Entry};

/// A manifest that is longer has dependencies.
const LONGEST: u64 = 1 << 20;

// === impl Draft ===

impl<S: Read + Write + Seek> Draft<S> {
    /// The files that name dependencies which are not in the package, the one that says most exactly which first; none when all of
    /// them are, or nobody asks for any.
    ///
    /// Brought along means: a `*.dist-info` folder, as `pip install --target` leaves it; a `node_modules`; a `bootstrap` that has
    /// been compiled; a class or a jar.
    ///
    /// # Errors
    /// When the spool cannot be read.
    pub fn missing_dependencies(&mut self) -> Result<Vec<&'static str>, Error> {
        type Brings = fn(&str) -> bool;
        let python: Brings = |name| name.ends_with(".dist-info") || name.ends_with(".egg-info");
        let node: Brings = |name| name.starts_with("node_modules/");
        let compiled: Brings = |name| name == "bootstrap";
        let java: Brings = |name| name.ends_with(".class") || name.ends_with(".jar");
        let manifests = [
            ("uv.lock", python),
            ("pylock.toml", python),
            ("poetry.lock", python),
            ("requirements.txt", python),
            ("Pipfile.lock", python),
            ("Pipfile", python),
            ("package.json", node),
            ("go.mod", compiled),
            ("Cargo.toml", compiled),
            ("pom.xml", java),
            ("build.gradle", java),
            ("build.gradle.kts", java),
        ];
        let mut missing = Vec::new();
        for (manifest, brings) in manifests {
            if !matches!(self.entries().get(manifest), Some(Entry::File { size: 1.., .. })) {
                continue;
            }
            let asks = wants(manifest, &self.content(manifest, LONGEST).map_err(Error::Spool)?);
            if asks && !self.entries().keys().any(|name| brings(name)) {
                missing.push(manifest);
            }
        }
        Ok(missing)
    }
}

fn wants(manifest: &str, content: &[u8]) -> bool {
    match manifest {
        "requirements.txt" => {
            let text = String::from_utf8_lossy(content);
            text.lines().map(str::trim).any(|line| !line.is_empty() && !line.starts_with('#'))
        }
        "package.json" => match serde_json::from_slice::<Value>(content) {
            Ok(json) => json["dependencies"].as_object().is_some_and(|wanted| !wanted.is_empty()),
            Err(_) => content.len() as u64 >= LONGEST,
        },
        _ => true,
    }
}
