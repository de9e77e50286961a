//! Lines as people read them, and as scripts do.

use std::fmt::Write as _;

use jiff::{civil::Date, tz::TimeZone};
use serde_json::{Value, json};

use super::line::{Entry, Level, Line, Report};
use crate::output::{BAD, DIM, STRONG, WARN};

/// Renders lines for people: time, instance, request, level, message; the date where it changes.
#[derive(Clone, Debug)]
pub struct Text {
    zone: TimeZone,
    day: Option<Date>,
}

/// Of a request's id, so much is shown beside each line; the report has all of it.
const SHORT_ID: usize = 8;

// === impl Text ===

impl Text {
    /// Times are shown in this zone.
    #[must_use]
    pub fn new(zone: TimeZone) -> Self {
        Self { zone, day: None }
    }

    /// A line, styled, without a line end.
    pub fn render(&mut self, line: &Line) -> String {
        let time = line.time.to_zoned(self.zone.clone());
        let mut text = String::new();
        if self.day != Some(time.date()) {
            self.day = Some(time.date());
            let _ = writeln!(text, "{DIM}{}{DIM:#}", time.date());
        }
        // Instances of a function differ in the last part of their names.
        let instance = line.origin.pod.rsplit('-').next().unwrap_or_default();
        let request = line.request().unwrap_or("-");
        let request = request.get(..SHORT_ID).unwrap_or(request);
        let _ = write!(text, "{DIM}{} {instance} {request:SHORT_ID$}{DIM:#} ", time.strftime("%H:%M:%S%.3f"));
        match &line.entry {
            Some(Entry { report: Some(report), .. }) => push_report(&mut text, line, report),
            Some(entry) => push_entry(&mut text, entry),
            None => text.push_str(&line.text),
        }
        text.truncate(text.trim_end().len());
        text
    }
}

fn push_entry(text: &mut String, entry: &Entry) {
    // Continued lines stand out from the next line's time.
    let message = entry.message.trim_end().replace('\n', "\n    ");
    let _ = match entry.level {
        Level::Debug => write!(text, "{DIM}DEBUG {message}{DIM:#}"),
        Level::Info => write!(text, "INFO  {message}"),
        Level::Warn => write!(text, "{WARN}WARN  {message}{WARN:#}"),
        Level::Error => write!(text, "{BAD}ERROR {message}{BAD:#}"),
    };
    for (name, value) in &entry.fields {
        let value = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        let _ = write!(text, " {DIM}{name}={value}{DIM:#}");
    }
}

fn push_report(text: &mut String, line: &Line, report: &Report) {
    let style = if report.is_success() { STRONG } else { BAD };
    let _ = write!(text, "{style}{:.2} ms", report.duration);
    if !report.is_success() {
        let _ = write!(text, " {}", report.status);
    }
    let _ = write!(text, "{style:#}");
    if let Some(init) = report.init {
        let _ = write!(text, " cold={init:.0}ms");
    }
    match (report.used, report.limit) {
        (Some(used), Some(limit)) => drop(write!(text, " {used}/{limit} MiB")),
        (Some(used), None) => drop(write!(text, " {used} MiB")),
        _ => {}
    }
    if let Some(revision) = line.entry.as_ref().and_then(|entry| entry.revision.as_ref()) {
        let _ = write!(text, " {revision}");
    }
    if let Some(request) = line.request() {
        let _ = write!(text, " req={request}");
    }
}

/// A line as JSON: what was written, with the pod and the container it came from.
#[must_use]
pub fn value(line: &Line) -> Value {
    let written = line.entry.as_ref().and_then(|_| serde_json::from_str(&line.text).ok());
    let mut value = written.unwrap_or_else(|| json!({ "message": line.text }));
    if value.get("time").is_none() {
        value["time"] = line.time.to_string().into();
    }
    value["pod"] = line.origin.pod.as_str().into();
    value["container"] = line.origin.container.as_str().into();
    value
}

#[cfg(test)]
mod tests {
    use super::{super::line::tests::line, *};

    fn lines() -> Vec<Line> {
        [
            r#"2026-11-21T22:59:58.100Z {"time":"2026-11-21T22:59:58.100Z","level":"info","function":"hello","namespace":"shop","revision":"hello-3f9c2a71","message":"announced"}"#,
            r#"2026-11-21T22:59:59.200Z {"level":"info","requestId":"8f5e21aa-7c1d-4c55","message":"resizing","width":640}"#,
            r#"2026-11-21T22:59:59.300Z {"level":"warn","requestId":"8f5e21aa-7c1d-4c55","message":"slow disk","stream":"stderr"}"#,
            r#"2026-11-21T23:00:00.400Z {"level":"error","requestId":"8f5e21aa-7c1d-4c55","message":"[ERROR] KeyError: 'x'\nTraceback\n  line 3","nested":{"a":[1]}}"#,
            r#"2026-11-21T23:00:00.500Z {"level":"debug","requestId":"7","message":"cache miss"}"#,
            r#"2026-11-21T23:00:00.600Z {"level":"info","revision":"hello-3f9c2a71","requestId":"8f5e21aa-7c1d-4c55","message":"REPORT","durationMs":12.34,"billedDurationMs":74,"memorySizeMB":128,"maxMemoryUsedMB":39,"initDurationMs":61.50,"status":"success"}"#,
            r#"2026-11-21T23:00:00.700Z {"level":"info","revision":"hello-3f9c2a71","requestId":"7","message":"REPORT","durationMs":3000.01,"billedDurationMs":3001,"maxMemoryUsedMB":39,"status":"timeout"}"#,
            "2026-11-21T23:00:00.800Z listening on :8080 ",
            "2026-11-21T23:00:00.900Z ",
        ]
        .map(|raw| line("hello-3f9c2a71-x2x4z", raw))
        .to_vec()
    }

    #[test]
    fn lines_as_people_read_them() {
        let mut renderer = Text::new(TimeZone::fixed(jiff::tz::offset(1)));
        let text: Vec<_> = lines().iter().map(|line| renderer.render(line)).collect();
        let styled = text.join("\n");
        insta::assert_snapshot!(anstream::adapter::strip_str(&styled).to_string());
        insta::assert_snapshot!(styled.replace('\u{1b}', "^"));
    }

    #[test]
    fn lines_as_scripts_read_them() {
        let text: Vec<_> = lines().iter().map(|line| value(line).to_string()).collect();
        insta::assert_snapshot!(text.join("\n"));
    }
}
