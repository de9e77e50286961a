//! The build commands of the chart's Runtimes (`runtimes/*/build`), with tools in their place that note what they are told: indexes,
//! mirrors, proxies and credentials of the environment reach each tool in the form that it reads.

#![allow(clippy::unwrap_used)]

use std::{
    fs,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    process::Command,
};

use tempfile::TempDir;

/// A build's place: its source, its cache, and tools.
struct Build {
    place: TempDir,
    variables: Vec<(String, String)>,
}

/// What a tool was told.
struct Told {
    arguments: String,
    environment: String,
}

// === impl Build ===

impl Build {
    fn new() -> Self {
        let place = tempfile::tempdir().unwrap();
        for folder in ["source", "cache", "home", "tools"] {
            fs::create_dir(place.path().join(folder)).unwrap();
        }
        Self { place, variables: Vec::new() }
    }

    fn path(&self, rest: &str) -> PathBuf {
        self.place.path().join(rest)
    }

    fn var(mut self, name: &str, value: &str) -> Self {
        self.variables.push((name.to_owned(), value.to_owned()));
        self
    }

    /// A file of the source.
    fn file(self, name: &str, text: &str) -> Self {
        fs::write(self.path("source").join(name), text).unwrap();
        self
    }

    /// A tool that notes its arguments and its environment, and does `then`.
    fn tool(self, name: &str, then: &str) -> Self {
        let (tool, notes) = (self.path("tools").join(name), self.path(name));
        let text = format!(
            "#!/bin/sh\necho \"$*\" >>'{0}.arguments'\nenv >'{0}.environment'\n{then}\n",
            notes.display()
        );
        fs::write(&tool, text).unwrap();
        fs::set_permissions(&tool, fs::Permissions::from_mode(0o755)).unwrap();
        self
    }

    /// Runs one of `runtimes/`; gives what it says.
    fn run(&self, script: &str) -> String {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../runtimes").join(script);
        let tools = format!("{}:{}", self.path("tools").display(), std::env::var("PATH").unwrap());
        let output = Command::new(script)
            .current_dir(self.path("source"))
            .env_clear()
            .env("PATH", tools)
            .env("HOME", self.path("home"))
            .env("FLINT_BUILD_CACHE", self.path("cache"))
            .envs(self.variables.iter().map(|(name, value)| (name, value)))
            .output()
            .unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    }

    fn told(&self, tool: &str) -> Told {
        let read = |kind: &str| fs::read_to_string(self.path(&format!("{tool}.{kind}"))).unwrap();
        Told { arguments: read("arguments"), environment: read("environment") }
    }
}

#[test]
fn pip_is_told_the_index_and_the_proxy_of_the_environment() {
    let build = Build::new()
        .file("requirements.txt", "six")
        .var("FLINT_BUILD_MANIFEST", "requirements.txt")
        .var("PIP_INDEX_URL", "https://index/simple")
        .var("https_proxy", "http://proxy:3128")
        .tool("python3.11", "");
    build.run("python3.11/build/build");
    let told = build.told("python3.11");
    assert!(
        told.arguments.contains("-m pip install --target")
            && told.arguments.contains("--requirement requirements.txt"),
        "{}",
        told.arguments
    );
    assert!(told.environment.contains("PIP_INDEX_URL=https://index/simple\n"), "{}", told.environment);
    assert!(told.environment.contains("https_proxy=http://proxy:3128\n"), "{}", told.environment);
    assert!(told.environment.contains("PIP_CACHE_DIR="), "its cache is kept: {}", told.environment);
}

#[test]
fn npm_is_told_the_registry_and_goes_by_the_lock() {
    let build = Build::new()
        .file("package.json", "{}")
        .file("package-lock.json", "{}")
        .var("npm_config_registry", "https://npm.example.com/")
        .tool("npm", "");
    build.run("nodejs/build/build");
    let told = build.told("npm");
    assert_eq!(told.arguments, "ci --omit=dev\n");
    assert!(
        told.environment.contains("npm_config_registry=https://npm.example.com/\n"),
        "{}",
        told.environment
    );
}

#[test]
fn go_is_told_the_proxy_of_modules() {
    let build = Build::new()
        .file("main.go", "package main")
        .var("GOPROXY", "https://modules.example.com")
        .tool("go", "mkdir -p \"$GOMODCACHE\"");
    build.run("provided/build/go/build");
    let told = build.told("go");
    assert!(told.environment.contains("GOPROXY=https://modules.example.com\n"), "{}", told.environment);
    assert!(
        told.arguments.starts_with("build ") && told.arguments.contains("-o bootstrap"),
        "{}",
        told.arguments
    );
}

#[test]
fn cargo_has_the_mirror_in_its_configuration_and_the_token_in_its_environment() {
    let compiles = "mkdir -p \"$CARGO_TARGET_DIR/release\" && printf x >\"$CARGO_TARGET_DIR/release/bootstrap\" && chmod +x \"$CARGO_TARGET_DIR/release/bootstrap\"";
    let build = Build::new().file("Cargo.toml", "").file("Cargo.lock", "").tool("cargo", compiles);
    let build = build
        .var("CARGO_MIRROR_URL", "sparse+https://crates.example.com/index/")
        .var("CARGO_REGISTRIES_MIRROR_TOKEN", "secret");
    build.run("provided/build/rust/build");
    let configuration = fs::read_to_string(build.path("cache/cargo/config.toml")).unwrap();
    assert_eq!(
        configuration,
        "[source.crates-io]\nreplace-with = \"mirror\"\n[registries.mirror]\nindex = \"sparse+https://crates.example.com/index/\"\n"
    );
    let told = build.told("cargo");
    assert!(told.environment.contains("CARGO_REGISTRIES_MIRROR_TOKEN=secret\n"), "{}", told.environment);
    assert_eq!(told.arguments, "build --release --locked\n");
    assert!(build.path("source/bootstrap").exists());
}

#[test]
fn cargo_without_a_mirror_forgets_the_one_that_the_cache_remembers() {
    let compiles = "mkdir -p \"$CARGO_TARGET_DIR/release\" && printf x >\"$CARGO_TARGET_DIR/release/bootstrap\" && chmod +x \"$CARGO_TARGET_DIR/release/bootstrap\"";
    let build = Build::new().file("Cargo.toml", "").tool("cargo", compiles);
    fs::create_dir_all(build.path("cache/cargo")).unwrap();
    fs::write(build.path("cache/cargo/config.toml"), "[source.crates-io]").unwrap();
    build.run("provided/build/rust/build");
    assert!(!build.path("cache/cargo/config.toml").exists());
}

#[test]
fn maven_has_mirror_credentials_and_proxies_in_its_settings() {
    let build = Build::new()
        .var("MAVEN_MIRROR_URL", "https://repo.example.com/maven?a&b")
        .var("MAVEN_MIRROR_USERNAME", "anna")
        .var("MAVEN_MIRROR_PASSWORD", "a<b&c")
        .var("http_proxy", "http://user:word@proxy:3128")
        .var("https_proxy", "http://other:1/")
        .var("no_proxy", ".svc,example.com,10.0.0.1");
    let direct = "<nonProxyHosts>*.svc|example.com|*.example.com|10.0.0.1</nonProxyHosts>";
    assert_eq!(
        build.run("java17/build/settings"),
        format!(
            "<settings>\n\
            <mirrors><mirror><id>mirror</id><mirrorOf>external:*</mirrorOf><url>https://repo.example.com/maven?a&amp;b</url></mirror></mirrors>\n\
            <servers><server><id>mirror</id><username>anna</username><password>a&lt;b&amp;c</password></server></servers>\n\
            <proxies>\n\
            <proxy><id>http</id><active>true</active><protocol>http</protocol><host>proxy</host><port>3128</port>\
            <username>user</username><password>word</password>{direct}</proxy>\n\
            <proxy><id>https</id><active>true</active><protocol>https</protocol><host>other</host><port>1</port>{direct}</proxy>\n\
            </proxies></settings>\n"
        )
    );
}

#[test]
fn maven_without_anything_asks_whom_it_always_asks() {
    assert_eq!(Build::new().run("java17/build/settings"), "<settings>\n<proxies>\n</proxies></settings>\n");
}
