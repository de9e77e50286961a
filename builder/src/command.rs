//! The build command: started with the user's environment and none of ours, its log passed on line by line.

use std::{collections::VecDeque, fs, io, path::Path, process::Stdio};

use tokio::{
    io::{AsyncBufReadExt as _, AsyncRead, AsyncReadExt as _, BufReader},
    process::Command,
    sync::mpsc,
};

use crate::{config::Config, error::Error, line};

/// Lines that are looked at for the one that matters.
const LINES: usize = 400;
/// A line is cut there: a progress bar without ends may never come to one.
const LINE: u64 = 16 << 10;
/// The usual authorities' file, in Debian and Alpine, and in Fedora's family.
const USUAL: &[&str] = &["/etc/ssl/certs/ca-certificates.crt", "/etc/pki/tls/certs/ca-bundle.crt"];
/// What tools call the file of authorities that they believe.
const AUTHORITIES: &[&str] = &[
    "SSL_CERT_FILE",
    "PIP_CERT",
    "REQUESTS_CA_BUNDLE",
    "CURL_CA_BUNDLE",
    "NODE_EXTRA_CA_CERTS",
    "CARGO_HTTP_CAINFO",
    "GIT_SSL_CAINFO",
];

/// Runs the command to its end.
///
/// # Errors
/// When it cannot be started, or fails: with the line that matters.
pub(crate) async fn run(config: &Config) -> Result<(), Error> {
    let (program, arguments) =
        config.command.split_first().ok_or_else(|| io::Error::other("there is no build command"))?;
    let mut command = Command::new(program);
    command
        .args(arguments)
        .current_dir(config.source_folder())
        .env_clear()
        .envs(config.environment.iter().map(|(name, value)| (name, value)))
        .env("HOME", config.home_folder())
        .env("XDG_CACHE_HOME", config.cache_folder())
        .env("FLINT_BUILD_CACHE", config.cache_folder())
        .env("FLINT_BUILD_MANIFEST", &config.manifest)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true);
    if let Some(own) = config.own_authorities() {
        let all = config.work.join("authorities.pem");
        bundle(own, &all)?;
        for name in AUTHORITIES.iter().filter(|name| !config.environment.iter().any(|(has, _)| has == **name))
        {
            command.env(name, &all);
        }
    }
    let mut child = command.spawn().map_err(|error| Error::Start(program.clone(), error))?;
    // A few lines on their way between the pipes and the log.
    let (sender, mut lines) = mpsc::channel(64);
    if let Some(output) = child.stdout.take() {
        tokio::spawn(read(output, sender.clone()));
    }
    if let Some(output) = child.stderr.take() {
        tokio::spawn(read(output, sender.clone()));
    }
    drop(sender);
    let mut last = VecDeque::new();
    while let Some(line) = lines.recv().await {
        println!("{line}");
        if last.len() == LINES {
            last.pop_front();
        }
        last.push_back(line);
    }
    let status = child.wait().await?;
    if status.success() {
        return Ok(());
    }
    let last = Vec::from(last);
    let said = line::telling(&last).unwrap_or_else(|| "it said nothing".to_owned());
    Err(Error::Command {
        line: format!("{said} (the build command ended with {status})"),
        heals: line::heals(&last),
    })
}

/// Passes on lines until the pipe is closed. A long one comes in parts.
async fn read(output: impl AsyncRead + Unpin, lines: mpsc::Sender<String>) {
    let mut output = BufReader::new(output);
    let mut line = Vec::new();
    loop {
        line.clear();
        match (&mut output).take(LINE).read_until(b'\n', &mut line).await {
            Ok(1..) => {}
            Ok(0) | Err(_) => return,
        }
        while line.last().is_some_and(|byte| matches!(byte, b'\n' | b'\r')) {
            line.pop();
        }
        if lines.send(String::from_utf8_lossy(&line).into_owned()).await.is_err() {
            return;
        }
    }
}

/// The usual authorities and the installation's own, in one file.
fn bundle(own: &Path, all: &Path) -> io::Result<()> {
    let usual = USUAL.iter().find_map(|path| fs::read(path).ok()).unwrap_or_default();
    let mut text = usual;
    text.push(b'\n');
    text.extend(fs::read(own)?);
    fs::write(all, text)
}

#[cfg(test)]
mod tests {
    use std::{ffi::OsString, path::PathBuf};

    use super::*;

    fn config(work: &Path, command: &str, environment: &[(&str, &str)]) -> Config {
        for folder in ["source", "cache", "home"] {
            fs::create_dir_all(work.join(folder)).unwrap();
        }
        let variable = |(name, value): &(&str, &str)| (OsString::from(name), OsString::from(value));
        Config {
            namespace: "shop".into(),
            build: "flint-build-1".into(),
            home: "http://home:8082".into(),
            key: "secret".into(),
            source: "sha256:00".into(),
            manifest: "pom.xml".into(),
            command: ["sh", "-c", command].map(str::to_owned).into(),
            unpacked: 1000,
            cache: 1000,
            work: work.to_owned(),
            authorities: work.join("ca.crt"),
            termination_log: PathBuf::from("/dev/null"),
            environment: environment.iter().map(variable).collect(),
        }
    }

    fn told(work: &Path) -> String {
        fs::read_to_string(work.join("source/told")).unwrap()
    }

    #[tokio::test]
    async fn every_tool_is_told_the_installations_authorities_beside_the_public_ones_unless_the_user_names_others()
     {
        let place = tempfile::tempdir().unwrap();
        fs::write(place.path().join("ca.crt"), "-----OURS-----").unwrap();
        let path = std::env::var("PATH").unwrap();
        let environment =
            [("PATH", path.as_str()), ("NODE_EXTRA_CA_CERTS", "/mine"), ("GOPROXY", "https://modules")];
        let config = config(place.path(), "env >told; cat \"$SSL_CERT_FILE\" >pem", &environment);
        run(&config).await.unwrap();
        let (told, all) = (told(place.path()), place.path().join("authorities.pem"));
        for name in AUTHORITIES.iter().filter(|name| **name != "NODE_EXTRA_CA_CERTS") {
            assert!(told.lines().any(|line| line == format!("{name}={}", all.display())), "{name}: {told}");
        }
        assert!(
            told.contains("NODE_EXTRA_CA_CERTS=/mine\n") && told.contains("GOPROXY=https://modules\n"),
            "{told}"
        );
        let pem = fs::read_to_string(place.path().join("source/pem")).unwrap();
        assert!(pem.ends_with("-----OURS-----"));
        let public = USUAL.iter().find_map(|path| fs::read_to_string(path).ok()).unwrap_or_default();
        assert!(pem.starts_with(&public));
    }

    #[tokio::test]
    async fn without_authorities_of_its_own_a_build_has_those_of_its_image() {
        let place = tempfile::tempdir().unwrap();
        let path = std::env::var("PATH").unwrap();
        run(&config(place.path(), "env >told", &[("PATH", path.as_str())])).await.unwrap();
        let told = told(place.path());
        assert!(AUTHORITIES.iter().all(|name| !told.contains(&format!("{name}="))), "{told}");
        assert!(!told.contains("secret") && told.contains("FLINT_BUILD_MANIFEST=pom.xml\n"), "{told}");
    }
}
