//! The platform on a laptop: from `flint dev` to the first 200, from a save to the first answer of the new code, and what it holds at
//! rest with many functions.

use std::{
    fmt::Write as _,
    fs,
    net::SocketAddr,
    path::{Path, PathBuf},
    process::Stdio,
    time::Duration,
};

use anyhow::{Context, bail, ensure};
use clap::{Args, ValueEnum};
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use serde::Serialize;
use serde_json::Value;
use tempfile::TempDir;
use tokio::{
    io::{AsyncBufReadExt, BufReader},
    process::{Child, Command},
    time::{Instant, sleep, timeout},
};

use crate::{
    process::{family, memory},
    report::{Machine, Report, Times, now},
    wire::{Wire, get},
};

/// Starts, saves and rests, each with a `flint dev` of its own.
#[derive(Debug, Args)]
pub(crate) struct Dev {
    /// The program.
    #[arg(long, default_value = "flint")]
    flint: PathBuf,
    /// What functions are written in.
    #[arg(long, value_enum, default_values_t = [Code::Python, Code::Node])]
    languages: Vec<Code>,
    /// How often it is started, and how often saved.
    #[arg(long, short, default_value_t = 20)]
    n: usize,
    /// Functions of the platform at rest.
    #[arg(long, default_value_t = 50)]
    functions: usize,
    /// What one step may take, in seconds.
    #[arg(long, default_value_t = 60.0)]
    patience: f64,
    /// Where results are written.
    #[arg(long, default_value = "bench/results")]
    results: PathBuf,
}

#[derive(Clone, Copy, Debug, Serialize, ValueEnum)]
#[serde(rename_all = "camelCase")]
enum Code {
    Python,
    Node,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Results {
    languages: Vec<Row>,
    at_rest: Rest,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Row {
    language: Code,
    /// From the start of the program to the first 200, which starts the function from zero.
    start_to_first_200_ms: Times,
    /// From the save to the first answer of the new code, with requests one after the other all the while.
    save_to_new_answer_ms: Times,
    /// Requests that were answered meanwhile; with one that failed there is no result.
    answered: u64,
    start_samples_ms: Vec<f64>,
    save_samples_ms: Vec<f64>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Rest {
    functions: usize,
    /// Before any was called.
    new: Memory,
    /// After each was called and had gone to zero again.
    used: Memory,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Memory {
    resident_mib: f64,
    private_mib: f64,
    processes: usize,
}

/// A `flint dev` in a folder of its own.
struct Running {
    child: Child,
    address: SocketAddr,
    folder: TempDir,
}

/// Between two saves: random, so that they do not keep step with any clock of the platform's.
const PAUSE: std::ops::Range<u64> = 300..1500;
/// Between two requests while a new answer is waited for: often enough for the resolution, seldom enough for the machine.
const POLL: Duration = Duration::from_millis(2);
/// What a platform may take to settle before it counts as at rest.
const SETTLE: Duration = Duration::from_secs(5);

// === impl Dev ===

impl Dev {
    pub(crate) async fn run(self) -> anyhow::Result<()> {
        let machine = Machine::here();
        let mut languages = Vec::new();
        for language in &self.languages {
            let start_samples_ms = self.starts(*language).await?;
            let (save_samples_ms, answered) = self.saves(*language).await?;
            let row = Row {
                language: *language,
                start_to_first_200_ms: Times::of_samples(&start_samples_ms),
                save_to_new_answer_ms: Times::of_samples(&save_samples_ms),
                answered,
                start_samples_ms,
                save_samples_ms,
            };
            for (what, times) in [
                ("start to the first 200", row.start_to_first_200_ms),
                ("save to the new answer", row.save_to_new_answer_ms),
            ] {
                println!(
                    "{language:?}: {what}: p50 {:.0} ms, p95 {:.0} ms, max {:.0} ms",
                    times.p50, times.p95, times.max
                );
            }
            languages.push(row);
        }
        let at_rest = self.rest().await?;
        println!(
            "at rest with {} functions: {:.1} MiB new, {:.1} MiB used",
            at_rest.functions, at_rest.new.resident_mib, at_rest.used.resident_mib
        );
        let results = Results { languages, at_rest };
        Report { benchmark: "dev", date: now(), machine, results }.write(&self.results)
    }

    async fn starts(&self, language: Code) -> anyhow::Result<Vec<f64>> {
        let mut samples = Vec::new();
        for _ in 0..self.n {
            let folder = tempfile::tempdir()?;
            language.write(folder.path(), "hello", "first")?;
            manifest(folder.path(), language, 1)?;
            let start = Instant::now();
            let running = self.start(folder).await?;
            running.call("/function/f0", "first", self.patience()).await?;
            samples.push(start.elapsed().as_secs_f64() * 1000.0);
            running.stop(self.patience()).await?;
        }
        Ok(samples)
    }

    async fn saves(&self, language: Code) -> anyhow::Result<(Vec<f64>, u64)> {
        let folder = tempfile::tempdir()?;
        language.write(folder.path(), "hello", "answer-0")?;
        manifest(folder.path(), language, 1)?;
        let running = self.start(folder).await?;
        running.call("/function/f0", "answer-0", self.patience()).await?;
        let (mut samples, mut answered) = (Vec::new(), 0);
        for round in 1..=self.n {
            sleep(Duration::from_millis(rand::random_range(PAUSE))).await;
            let word = format!("answer-{round}.");
            let start = Instant::now();
            language.write(running.folder.path(), "hello", &word)?;
            answered += running.call("/function/f0", &word, self.patience()).await?;
            samples.push(start.elapsed().as_secs_f64() * 1000.0);
        }
        running.stop(self.patience()).await?;
        Ok((samples, answered))
    }

    async fn rest(&self) -> anyhow::Result<Rest> {
        let folder = tempfile::tempdir()?;
        Code::Python.write(folder.path(), "hello", "hello")?;
        manifest(folder.path(), Code::Python, self.functions)?;
        let running = self.start(folder).await?;
        sleep(SETTLE).await;
        let new = running.memory()?;
        for number in 0..self.functions {
            running.call(&format!("/function/f{number}"), "hello", self.patience()).await?;
        }
        let until = Instant::now() + self.patience();
        while running.memory()?.processes > 1 {
            ensure!(Instant::now() < until, "the functions do not go to zero");
            sleep(Duration::from_millis(200)).await;
        }
        sleep(SETTLE).await;
        let used = running.memory()?;
        running.stop(self.patience()).await?;
        Ok(Rest { functions: self.functions, new, used })
    }

    fn patience(&self) -> Duration {
        Duration::from_secs_f64(self.patience)
    }

    async fn start(&self, folder: TempDir) -> anyhow::Result<Running> {
        let mut child = Command::new(&self.flint)
            .args(["-o", "json", "dev", "--port", "0"])
            .arg(folder.path())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .with_context(|| format!("cannot start {}", self.flint.display()))?;
        let mut lines = BufReader::new(child.stdout.take().context("no standard output")?).lines();
        let line = timeout(self.patience(), lines.next_line()).await??;
        let ready: Value = serde_json::from_str(&line.context("it ended before it was ready")?)?;
        let url = ready["url"].as_str().context("it does not say where it is")?;
        let port: u16 = url.rsplit(':').next().unwrap_or_default().parse()?;
        // Read away, as a terminal does.
        tokio::spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
        Ok(Running { child, address: SocketAddr::from(([127, 0, 0, 1], port)), folder })
    }
}

// === impl Running ===

impl Running {
    /// Calls until the word is answered, and says how many answers that took; each has to be a 200.
    async fn call(&self, path: &str, word: &str, patience: Duration) -> anyhow::Result<u64> {
        let request = get("localhost", path);
        let calls = async {
            let mut wire = Wire::connect(self.address).await?;
            for count in 1_u64.. {
                let answer = wire.call(&request).await?;
                let text = String::from_utf8_lossy(wire.received()).into_owned();
                ensure!(answer.status == 200, "{path} was answered {text}");
                if text.contains(word) {
                    return Ok(count);
                }
                sleep(POLL).await;
            }
            bail!("it was called too often")
        };
        timeout(patience, calls).await.with_context(|| format!("{path} never answered {word}"))?
    }

    fn memory(&self) -> anyhow::Result<Memory> {
        let process = self.child.id().context("it has ended")?;
        let (resident, private) = memory(process)?;
        Ok(Memory {
            resident_mib: resident as f64 / 1024.0,
            private_mib: private as f64 / 1024.0,
            processes: family(process).len(),
        })
    }

    async fn stop(mut self, patience: Duration) -> anyhow::Result<()> {
        if let Some(process) = self.child.id().and_then(|process| i32::try_from(process).ok()) {
            kill(Pid::from_raw(process), Signal::SIGINT)?;
        }
        let status = timeout(patience, self.child.wait()).await.context("it does not end")??;
        ensure!(status.success(), "it ended with {status}");
        Ok(())
    }
}

// === impl Code ===

impl Code {
    fn write(self, folder: &Path, stem: &str, word: &str) -> anyhow::Result<()> {
        let (file, text) = match self {
            Self::Python => ("py", format!("def handler(event, context):\n    return '{word}'\n")),
            Self::Node => ("mjs", format!("export const handler = async () => '{word}';\n")),
        };
        Ok(fs::write(folder.join(format!("{stem}.{file}")), text)?)
    }

    fn runtime(self) -> &'static str {
        match self {
            Self::Python => "python3.11",
            Self::Node => "nodejs",
        }
    }
}

/// So many functions `f0`, `f1`, … with the same code.
fn manifest(folder: &Path, language: Code, functions: usize) -> anyhow::Result<()> {
    let mut text = "functions:\n".to_owned();
    for number in 0..functions {
        writeln!(
            text,
            "  f{number}: {{runtime: {}, handler: hello.handler, scaling: {{scaleToZeroAfter: {}}}}}",
            language.runtime(),
            if functions == 1 { "60s" } else { "1s" }
        )?;
    }
    Ok(fs::write(folder.join("flint.yaml"), text)?)
}
