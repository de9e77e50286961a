//! The published runtime clients, installed or built once.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

/// Python with awslambdaric as it is published.
pub(crate) fn python_with_awslambdaric() -> String {
    static PYTHON: OnceLock<String> = OnceLock::new();
    PYTHON
        .get_or_init(|| {
            let folder = cache().join("awslambdaric-4.2.2");
            let python = folder.join("bin/python3");
            let installed = folder.join("installed");
            if !installed.exists() {
                run(Command::new("python3").args(["-m", "venv"]).arg(&folder));
                run(Command::new(&python).args(["-m", "pip", "install", "--quiet", "awslambdaric==4.2.2"]));
                std::fs::write(installed, "").unwrap();
            }
            text(&python)
        })
        .clone()
}

/// Flint's client for Node.
pub(crate) fn node_client() -> String {
    text(
        &Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("../runtimes/nodejs/client/index.mjs")
            .canonicalize()
            .unwrap(),
    )
}

/// A function over aws-lambda-go.
pub(crate) fn go_client() -> String {
    static GO: OnceLock<String> = OnceLock::new();
    GO.get_or_init(|| {
        let program = cache().join("go-bootstrap");
        run(Command::new("go")
            .current_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/clients/go"))
            .env("CGO_ENABLED", "0")
            .args(["build", "-tags", "lambda.norpc", "-o"])
            .arg(&program)
            .arg("."));
        text(&program)
    })
    .clone()
}

/// A function over the `lambda_runtime` crate: an example of this package, which cargo builds with the tests.
pub(crate) fn rust_client() -> String {
    let tests = std::env::current_exe().unwrap();
    text(&tests.ancestors().nth(2).unwrap().join("examples/lambda_runtime_function"))
}

fn cache() -> PathBuf {
    PathBuf::from(env!("CARGO_TARGET_TMPDIR"))
}

fn run(command: &mut Command) {
    let output = command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
}

fn text(path: &Path) -> String {
    path.to_str().unwrap().to_owned()
}
