//! Who asked the API server for what, by its audit log.

use std::{
    collections::BTreeMap,
    fs::{self, File},
    io::{self, BufRead, BufReader, Seek, SeekFrom},
    os::unix::fs::MetadataExt,
    path::PathBuf,
    sync::Arc,
    time::Duration,
};

use anyhow::Context;
use parking_lot::Mutex;
use serde::Deserialize;
use tokio::task::AbortHandle;

/// Follows the log from some moment on, whatever becomes of its file.
pub(super) struct Audit {
    reader: Arc<Mutex<Reader>>,
    reading: AbortHandle,
}

struct Reader {
    log: PathBuf,
    file: BufReader<File>,
    /// A line that is not whole yet.
    line: String,
    /// Requests of Flint's own programs, by program, verb and kind. A watch counts when it begins.
    counts: BTreeMap<String, f64>,
}

/// How often the log is read: the API server cuts it off at 64 MiB and keeps two such files, which is seconds of its work.
const EVERY: Duration = Duration::from_millis(250);

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Entry {
    stage: String,
    verb: String,
    #[serde(default)]
    user_agent: String,
    object_ref: Option<Object>,
}

#[derive(Deserialize)]
struct Object {
    resource: String,
    #[serde(default)]
    subresource: String,
}

// === impl Audit ===

impl Audit {
    /// From now on.
    pub(super) fn follow(log: PathBuf) -> anyhow::Result<Self> {
        let mut file = File::open(&log).with_context(|| format!("cannot read {}", log.display()))?;
        file.seek(SeekFrom::End(0))?;
        let reader = Reader { log, file: BufReader::new(file), line: String::new(), counts: BTreeMap::new() };
        let reader = Arc::new(Mutex::new(reader));
        let shared = Arc::clone(&reader);
        let reading = tokio::spawn(async move {
            // An error is told to whoever takes the counts.
            while shared.lock().read().is_ok() {
                tokio::time::sleep(EVERY).await;
            }
        });
        Ok(Self { reader, reading: reading.abort_handle() })
    }

    /// What was asked for since this was asked last.
    pub(super) fn take(&self) -> anyhow::Result<BTreeMap<String, f64>> {
        let mut reader = self.reader.lock();
        reader.read().context("cannot read the audit log")?;
        Ok(std::mem::take(&mut reader.counts))
    }
}

impl Drop for Audit {
    fn drop(&mut self) {
        self.reading.abort();
    }
}

// === impl Reader ===

impl Reader {
    fn read(&mut self) -> io::Result<()> {
        loop {
            while self.file.read_line(&mut self.line)? > 0 {
                if !self.line.ends_with('\n') {
                    break;
                }
                let entry = serde_json::from_str::<Entry>(&self.line).ok();
                if let Some(what) = entry.and_then(|entry| entry.what()) {
                    *self.counts.entry(what).or_insert(0.0) += 1.0;
                }
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

// === impl Entry ===

impl Entry {
    fn what(&self) -> Option<String> {
        let Self { stage, verb, user_agent, object_ref } = self;
        let program = user_agent.split([' ', '/']).next().filter(|name| name.starts_with("flint-"))?;
        let counts = if verb == "watch" { stage == "ResponseStarted" } else { stage == "ResponseComplete" };
        let object = object_ref.as_ref();
        let kind = object.map_or("", |object| &object.resource);
        let part = object.map(|object| object.subresource.as_str()).filter(|part| !part.is_empty());
        let part = part.map(|part| format!("/{part}")).unwrap_or_default();
        counts.then(|| format!("{program} {verb} {kind}{part}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_log_that_is_cut_off_is_read_to_its_end_and_then_the_new_one() {
        let folder = tempfile::tempdir().unwrap();
        let log = folder.path().join("audit.log");
        let line = |verb: &str| {
            format!(
                "{{\"stage\":\"ResponseComplete\",\"verb\":\"{verb}\",\"userAgent\":\"flint-operator/1\",\"objectRef\":{{\"resource\":\"functions\"}}}}\n"
            )
        };
        fs::write(&log, line("before")).unwrap();
        let audit = Audit::follow(log.clone()).unwrap();
        let append = |text: &str| {
            use io::Write;
            fs::OpenOptions::new()
                .append(true)
                .create(true)
                .open(&log)
                .unwrap()
                .write_all(text.as_bytes())
                .unwrap();
        };
        let whole = line("get");
        append(&whole[..20]);
        assert!(audit.take().unwrap().is_empty());
        append(&whole[20..]);
        append(&line("list"));
        fs::rename(&log, folder.path().join("audit-1.log")).unwrap();
        append(&line("patch"));
        let names: Vec<_> = audit.take().unwrap().into_keys().collect();
        assert_eq!(names, ["get", "list", "patch"].map(|verb| format!("flint-operator {verb} functions")));
        assert!(audit.take().unwrap().is_empty());
    }

    #[test]
    fn requests_of_ours_are_told_by_what_they_ask() {
        let entry = |text: &str| serde_json::from_str::<Entry>(text).unwrap().what();
        let ours = r#"{"stage":"ResponseComplete","verb":"patch","userAgent":"flint-operator/0.1.0","objectRef":{"resource":"functions","subresource":"status"}}"#;
        assert_eq!(entry(ours).as_deref(), Some("flint-operator patch functions/status"));
        let others = r#"{"stage":"ResponseComplete","verb":"get","userAgent":"kubelet/v1.33"}"#;
        assert_eq!(entry(others), None);
        let ends = r#"{"stage":"ResponseComplete","verb":"watch","userAgent":"flint-gateway/0.1.0"}"#;
        assert_eq!(entry(ends), None);
    }
}
