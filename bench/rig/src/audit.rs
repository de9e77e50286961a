//! The API server's audit log, followed while a benchmark runs: it is cut off at its size, and what was in it is gone a while later.

use std::{
    fs::{self, File},
    io::{self, BufRead, BufReader, Seek, SeekFrom},
    os::unix::fs::MetadataExt,
    path::PathBuf,
    sync::Arc,
    time::Duration,
};

use anyhow::Context;
use parking_lot::Mutex;
use tokio::task::AbortHandle;

/// What the lines of the log come to.
pub(crate) trait Gathered: Send + 'static {
    /// Takes one line, whole and without its end.
    fn line(&mut self, line: &str);
}

/// Follows the log from some moment on, whatever becomes of its file.
pub(crate) struct Audit<G> {
    reader: Arc<Mutex<Reader<G>>>,
    reading: AbortHandle,
}

struct Reader<G> {
    log: PathBuf,
    file: BufReader<File>,
    /// A line that is not whole yet.
    line: String,
    gathered: G,
}

/// How often the log is read: the API server cuts it off at 64 MiB and keeps two such files, which is seconds of its work.
const EVERY: Duration = Duration::from_millis(250);

// === impl Audit ===

impl<G: Gathered> Audit<G> {
    /// From now on.
    pub(crate) fn follow(log: PathBuf, gathered: G) -> anyhow::Result<Self> {
        let mut file = File::open(&log).with_context(|| format!("cannot read {}", log.display()))?;
        file.seek(SeekFrom::End(0))?;
        let reader = Reader { log, file: BufReader::new(file), line: String::new(), gathered };
        let reader = Arc::new(Mutex::new(reader));
        let shared = Arc::clone(&reader);
        let reading = tokio::spawn(async move {
            // An error is told to whoever asks what was gathered.
            while shared.lock().read().is_ok() {
                tokio::time::sleep(EVERY).await;
            }
        });
        Ok(Self { reader, reading: reading.abort_handle() })
    }

    /// What was gathered up to now.
    pub(crate) fn with<R>(&self, then: impl FnOnce(&mut G) -> R) -> anyhow::Result<R> {
        let mut reader = self.reader.lock();
        reader.read().context("cannot read the audit log")?;
        Ok(then(&mut reader.gathered))
    }
}

impl<G> Drop for Audit<G> {
    fn drop(&mut self) {
        self.reading.abort();
    }
}

// === impl Reader ===

impl<G: Gathered> Reader<G> {
    fn read(&mut self) -> io::Result<()> {
        loop {
            while self.file.read_line(&mut self.line)? > 0 {
                let Some(line) = self.line.strip_suffix('\n') else { break };
                self.gathered.line(line);
                self.line.clear();
            }
            let now = match fs::metadata(&self.log) {
                Ok(now) => now.ino(),
                // Between the old file's new name and the new file.
                Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
                Err(error) => return Err(error),
            };
            if now == self.file.get_ref().metadata()?.ino() {
                return Ok(());
            }
            self.file = BufReader::new(File::open(&self.log)?);
            self.line.clear();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    impl Gathered for Vec<String> {
        fn line(&mut self, line: &str) {
            self.push(line.to_owned());
        }
    }

    #[tokio::test]
    async fn a_log_that_is_cut_off_is_read_to_its_end_and_then_the_new_one() {
        let folder = tempfile::tempdir().unwrap();
        let log = folder.path().join("audit.log");
        fs::write(&log, "before\n").unwrap();
        let audit = Audit::follow(log.clone(), Vec::<String>::new()).unwrap();
        let append = |text: &str| {
            use io::Write;
            let mut file = fs::OpenOptions::new().append(true).create(true).open(&log).unwrap();
            file.write_all(text.as_bytes()).unwrap();
        };
        append("on");
        assert!(audit.with(std::mem::take).unwrap().is_empty());
        append("e\n");
        append("two\n");
        fs::rename(&log, folder.path().join("audit-1.log")).unwrap();
        append("three\n");
        assert_eq!(audit.with(std::mem::take).unwrap(), ["one", "two", "three"]);
        assert!(audit.with(std::mem::take).unwrap().is_empty());
    }
}
