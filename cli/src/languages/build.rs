//! Compiling a function: the compiler's own words when it fails, and never half a program in the place of the last good one.

use std::{
    io,
    path::{Path, PathBuf},
    process::Stdio,
};

use tokio::process::Command;

/// What to compile.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Build {
    program: PathBuf,
    arguments: Vec<String>,
    /// Variables beside those of this process.
    env: Vec<(String, String)>,
    folder: PathBuf,
    result: Product,
}

/// Where the program is afterwards.
#[derive(Clone, Debug, Eq, PartialEq)]
enum Product {
    /// It was told to write it here.
    At(PathBuf),
    /// Cargo says where, one per binary; this is the name of the one that is wanted, if there are several.
    CargoSays(String),
}

/// Why there is no program.
#[derive(Debug, thiserror::Error)]
pub enum Broken {
    /// The compiler found mistakes; these are its words.
    #[error("it does not compile:\n{0}")]
    Mistakes(String),
    /// The compiler cannot be run.
    #[error("{0} cannot be run: {1}")]
    NoCompiler(PathBuf, #[source] io::Error),
    /// There is nowhere to put the result.
    #[error("the program cannot be put at {0}: {1}")]
    Place(PathBuf, #[source] io::Error),
    /// Cargo built no such binary.
    #[error("the package has no binary of its own to run as the function (looked for {0})")]
    NoBinary(String),
}

// === impl Build ===

impl Build {
    pub(super) fn go(go: &Path, folder: &Path, package: &str, target: PathBuf) -> Self {
        let arguments = vec!["build".to_owned(), "-o".to_owned(), fresh(&target), package.to_owned()];
        Self::new(go, arguments, folder, Product::At(target))
    }

    pub(super) fn cargo(cargo: &Path, folder: &Path, binary: &str) -> Self {
        let arguments = ["build", "--quiet", "--message-format=json-render-diagnostics"];
        Self::new(cargo, arguments.map(str::to_owned).to_vec(), folder, Product::CargoSays(binary.to_owned()))
    }

    /// For the cluster: small, and without anything of this machine in it.
    pub(super) fn go_for_cluster(go: &Path, folder: &Path, package: &str, target: PathBuf) -> Self {
        // Lambda's client without the protocol of the old go1.x runtime: a third of its size.
        let options = ["build", "-trimpath", "-ldflags", "-s -w", "-tags", "lambda.norpc", "-o"];
        let mut arguments = options.map(str::to_owned).to_vec();
        arguments.extend([fresh(&target), package.to_owned()]);
        let build = Self::new(go, arguments, folder, Product::At(target));
        build.with([("GOOS", "linux"), ("GOARCH", "amd64"), ("CGO_ENABLED", "0")])
    }

    /// For the cluster, by `cargo` or what cross-compiles in its place, for a target of Rust's.
    pub(super) fn cargo_for_cluster(
        cargo: &Path,
        verb: &str,
        folder: &Path,
        binary: &str,
        target: &str,
    ) -> Self {
        let arguments =
            [verb, "--release", "--quiet", "--message-format=json-render-diagnostics", "--target", target];
        let build = Self::new(
            cargo,
            arguments.map(str::to_owned).to_vec(),
            folder,
            Product::CargoSays(binary.to_owned()),
        );
        // The C library of the runtime's image may be older than this machine's: it is put into the program.
        let flags = std::env::var("RUSTFLAGS").unwrap_or_default();
        let flags = format!("{flags} -C target-feature=+crt-static");
        // Symbols are most of what a cold start would have to fetch.
        build.with([("RUSTFLAGS", flags.trim()), ("CARGO_PROFILE_RELEASE_STRIP", "symbols")])
    }

    /// TypeScript and what it imports, as one file that the cluster's Node.js reads.
    pub(super) fn esbuild(esbuild: &Path, folder: &Path, entry: &str, module: bool, target: PathBuf) -> Self {
        let mut arguments = vec![
            entry.to_owned(),
            "--bundle".to_owned(),
            "--platform=node".to_owned(),
            "--target=node18".to_owned(),
        ];
        if module {
            // Packages that still call `require` find it.
            let banner =
                "import{createRequire}from'node:module';const require=createRequire(import.meta.url);";
            arguments.extend(["--format=esm".to_owned(), format!("--banner:js={banner}")]);
        } else {
            arguments.push("--format=cjs".to_owned());
        }
        arguments.extend(["--log-level=warning".to_owned(), format!("--outfile={}", fresh(&target))]);
        Self::new(esbuild, arguments, folder, Product::At(target))
    }

    /// A program that runs what Java has compiled, beside its libraries in this place.
    pub(super) fn java(
        maven: &Path,
        java: &Path,
        client: &Path,
        jars: &Path,
        folder: &Path,
        place: &Path,
    ) -> Self {
        let target = place.join("bootstrap");
        let text = |path: &Path| path.to_string_lossy().into_owned();
        let script = ["-c", include_str!("java/build.sh"), "build.sh"].map(str::to_owned);
        let mut arguments = script.to_vec();
        arguments.extend([maven, java, client, jars, &place.join("lib")].map(text));
        arguments.push(fresh(&target));
        Self::new(Path::new("/bin/sh"), arguments, folder, Product::At(target))
    }

    fn new(program: &Path, arguments: Vec<String>, folder: &Path, result: Product) -> Self {
        Self { program: program.to_owned(), arguments, env: Vec::new(), folder: folder.to_owned(), result }
    }

    fn with<const N: usize>(mut self, env: [(&str, &str); N]) -> Self {
        self.env.extend(env.map(|(name, value)| (name.to_owned(), value.to_owned())));
        self
    }

    /// Compiles. Dropped before its end, it ends the compiler.
    ///
    /// # Errors
    /// The compiler's words, or why there are none.
    pub async fn run(&self) -> Result<PathBuf, Broken> {
        if let Product::At(target) = &self.result {
            let folder = target.parent().unwrap_or(target);
            std::fs::create_dir_all(folder).map_err(|error| Broken::Place(target.clone(), error))?;
        }
        let output = Command::new(&self.program)
            .args(&self.arguments)
            .envs(self.env.iter().map(|(name, value)| (name, value)))
            .current_dir(&self.folder)
            .stdin(Stdio::null())
            .kill_on_drop(true)
            .output()
            .await
            .map_err(|error| Broken::NoCompiler(self.program.clone(), error))?;
        if !output.status.success() {
            let words = String::from_utf8_lossy(&output.stderr);
            return Err(Broken::Mistakes(words.trim_end().to_owned()));
        }
        match &self.result {
            Product::At(target) => {
                let fresh = PathBuf::from(fresh(target));
                // The same program stays as it is: whoever looks at its time sees that nothing has changed.
                let put = if is_same(&fresh, target) {
                    std::fs::remove_file(&fresh)
                } else {
                    // In one step: whoever is started meanwhile gets the old program or the new one.
                    std::fs::rename(&fresh, target)
                };
                put.map_err(|error| Broken::Place(target.clone(), error))?;
                Ok(target.clone())
            }
            Product::CargoSays(name) => {
                executable(&output.stdout, name).ok_or_else(|| Broken::NoBinary(name.clone()))
            }
        }
    }
}

fn fresh(target: &Path) -> String {
    let mut name = target.as_os_str().to_owned();
    name.push(format!(".{}", std::process::id()));
    name.to_string_lossy().into_owned()
}

fn is_same(one: &Path, other: &Path) -> bool {
    let length = |path: &Path| path.metadata().ok().map(|metadata| metadata.len());
    length(one).is_some()
        && length(one) == length(other)
        && matches!((std::fs::read(one), std::fs::read(other)), (Ok(one), Ok(other)) if one == other)
}

/// The binary that cargo's messages tell of: the one of this name, or the only one, or `bootstrap`.
fn executable(messages: &[u8], name: &str) -> Option<PathBuf> {
    let built: Vec<(String, PathBuf)> = messages
        .split(|byte| *byte == b'\n')
        .filter_map(|line| serde_json::from_slice::<serde_json::Value>(line).ok())
        .filter(|message| message["reason"] == "compiler-artifact")
        .filter_map(|message| {
            let path = message["executable"].as_str()?.into();
            Some((message["target"]["name"].as_str()?.to_owned(), path))
        })
        .collect();
    let named = |wanted: &str| built.iter().find(|(name, _)| name == wanted);
    let only = if let [only] = built.as_slice() { Some(only) } else { None };
    named(name).or(only).or_else(|| named("bootstrap")).map(|(_, path)| path.clone())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_several_binaries_the_handlers_is_run() {
        let messages = br#"{"reason":"compiler-artifact","target":{"name":"serde"},"executable":null}
{"reason":"compiler-artifact","target":{"name":"one"},"executable":"/t/one"}
{"reason":"compiler-artifact","target":{"name":"two"},"executable":"/t/two"}
{"reason":"build-finished","success":true}"#;
        assert_eq!(executable(messages, "two"), Some("/t/two".into()));
        assert_eq!(executable(messages, "three"), None);
    }

    #[test]
    fn the_only_binary_is_run_whatever_the_handler_says() {
        let messages = br#"{"reason":"compiler-artifact","target":{"name":"one"},"executable":"/t/one"}"#;
        assert_eq!(executable(messages, "anything"), Some("/t/one".into()));
    }
}
