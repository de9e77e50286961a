//! What the terminal shows of events: a line for each request, the functions' own lines, errors with the source they came from.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    fmt::Write as _,
    path::PathBuf,
};

use anstyle::{AnsiColor, Style};
use flint_local::{Caller, Ended, Event, Invocation, Key, Log, Reason, Told};

use super::{
    frame,
    load::{Known, Loaded, Remark},
};
use crate::{
    languages,
    output::{BAD, DIM, GOOD, STRONG, WARN},
};

/// Turns events into lines.
#[derive(Debug)]
pub(super) struct Screen {
    level: Level,
    root: PathBuf,
    functions: BTreeMap<Key, Known>,
    /// Those that have been served before.
    served: BTreeSet<Key>,
    /// Errors whose source was just shown: a failed start tells of the same twice.
    shown: VecDeque<String>,
}

/// The least that a line must matter to be shown.
#[derive(Clone, Copy, Debug, Default, Eq, Ord, PartialEq, PartialOrd)]
pub enum Level {
    /// The platform's own doings too.
    Debug,
    /// Requests, and what functions write.
    #[default]
    Info,
    /// Warnings and errors.
    Warn,
    /// Errors alone.
    Error,
}

/// Errors of code that cannot be loaded.
const AT_START: [&str; 4] = [
    "Runtime.HandlerNotFound",
    "Runtime.ImportModuleError",
    "Runtime.MalformedHandlerName",
    "Runtime.UserCodeSyntaxError",
];
/// Errors that are remembered.
const SHOWN: usize = 16;
/// What a failure means to those who call.
const BEFORE: &str = "the version before serves on";
/// What an id is known by: enough to search for.
const ID: usize = 8;

// === impl Screen ===

impl Screen {
    /// For this project.
    #[must_use]
    pub(super) fn new(level: Level) -> Self {
        Self {
            level,
            root: PathBuf::new(),
            functions: BTreeMap::new(),
            served: BTreeSet::new(),
            shown: VecDeque::new(),
        }
    }

    /// What is known of the functions from here on.
    pub(super) fn know(&mut self, loaded: &Loaded) {
        self.root.clone_from(&loaded.root);
        self.functions.clone_from(&loaded.functions);
    }

    /// The next level: from everything to errors alone, and around.
    pub(super) fn next_level(&mut self) -> Level {
        self.level = match self.level {
            Level::Info => Level::Warn,
            Level::Warn => Level::Error,
            Level::Error => Level::Debug,
            Level::Debug => Level::Info,
        };
        self.level
    }

    /// The event as the terminal shows it; nothing where it does not matter enough.
    pub(super) fn show(&mut self, told: &Told) -> Option<String> {
        let (level, text) = self.render(&told.event)?;
        if level < self.level {
            return None;
        }
        let time = told.time.to_zoned(jiff::tz::TimeZone::system()).strftime("%H:%M:%S");
        Some(format!("{DIM}{time}{DIM:#} {text}"))
    }

    fn render(&mut self, event: &Event) -> Option<(Level, String)> {
        Some(match event {
            Event::Invocation(invocation) => (level_of(invocation), request(invocation)),
            Event::Log(log) => self.log(log)?,
            Event::InstanceStarting { instance, .. } => {
                (Level::Debug, format!("{DIM}{instance} starts{DIM:#}"))
            }
            Event::InstanceReady { instance, init, .. } => {
                (Level::Debug, format!("{DIM}{instance} is ready after {} ms{DIM:#}", init.as_millis()))
            }
            Event::InstanceEnded { function, instance, reason, .. } => self.ended(function, instance, reason),
            Event::ScheduleFired { function, schedule, status, .. } => {
                let style = if *status < 400 { GOOD } else { BAD };
                (Level::Debug, format!("◷ {} fired {schedule} {style}{status}{style:#}", function.name))
            }
            Event::FunctionUpdated { function, took, .. } => (
                // That it is there at the start is no news.
                if self.served.insert(function.clone()) { Level::Debug } else { Level::Info },
                format!("{GOOD}↻{GOOD:#} {} is up to date after {} ms", function.name, took.as_millis()),
            ),
            // What to do about it stood there with the remark.
            Event::FunctionFailed { function, reason, older_serves, .. }
                if self.was_said(function, reason) =>
            {
                let name = &function.name;
                (Level::Error, older_serves.then(|| format!("{DIM}{name}: {BEFORE}{DIM:#}"))?)
            }
            Event::FunctionFailed { function, reason, older_serves, .. } => {
                (Level::Error, self.failed(function, reason, *older_serves))
            }
            Event::FunctionRemoved { function } => (Level::Info, format!("{} is gone", function.name)),
            Event::Notice { function, message } => {
                let whose =
                    function.as_ref().map_or_else(String::new, |function| format!("{}: ", function.name));
                (Level::Warn, format!("{WARN}!{WARN:#} {whose}{message}"))
            }
        })
    }

    fn log(&mut self, log: &Log) -> Option<(Level, String)> {
        let level = Level::of(&log.level);
        if log.fields.get("source").is_some_and(|source| source == "watchdog") {
            return self.watchdogs(level, log);
        }
        let message = tidy(&log.message);
        if message.trim().is_empty() {
            return None;
        }
        let colour = match level {
            Level::Error => BAD,
            Level::Warn => WARN,
            Level::Info => Style::new(),
            Level::Debug => DIM,
        };
        let name = name_style(&log.function.name);
        let mut text = String::new();
        for (number, line) in message.split('\n').enumerate() {
            if number > 0 {
                text.push_str("\n         ");
            }
            let _ =
                write!(text, "{name}{}{name:#} {DIM}│{DIM:#} {colour}{line}{colour:#}", log.function.name);
        }
        if level == Level::Error {
            self.explain(&log.function, &message, &mut text);
        }
        Some((level, text))
    }

    /// What the watchdog has to say; a failure that the function's own client or an event tells is not told twice.
    fn watchdogs(&self, level: Level, log: &Log) -> Option<(Level, String)> {
        let line = format!("{DIM}{} watchdog: {}{DIM:#}", log.function.name, tidy(&log.message));
        match level {
            Level::Error if log.request_id.is_none() => Some((Level::Debug, line)),
            Level::Warn | Level::Error => Some((level, line)),
            Level::Info | Level::Debug => Some((Level::Debug, line)),
        }
    }

    /// Whether it is among what was remarked about the function when it was read.
    fn was_said(&self, function: &Key, reason: &Reason) -> bool {
        self.functions.get(function).is_some_and(|known| {
            known
                .remarks
                .iter()
                .any(|remark| matches!(remark, Remark::Problem(what, _) if *what == reason.message))
        })
    }

    fn failed(&mut self, function: &Key, reason: &Reason, older_serves: bool) -> String {
        let mut text = format!("{BAD}✗{BAD:#} {} does not start: {BAD}{reason}{BAD:#}", function.name);
        let all = format!("{reason}\n{}", reason.stack_trace.join("\n"));
        self.explain(function, &all, &mut text);
        if let Some(known) = self.functions.get(function)
            && let Some(language) = known.language
            && let Some(hint) = languages::hint(language, &known.folder, &reason.error_type, &reason.message)
        {
            let _ = write!(text, "\n  {GOOD}try:{GOOD:#} {hint}");
        }
        if older_serves {
            let _ = write!(text, "\n  {DIM}{BEFORE}{DIM:#}");
        }
        text
    }

    fn ended(&self, function: &Key, instance: &str, reason: &Ended) -> (Level, String) {
        match reason {
            Ended::ScaledDown => (Level::Debug, format!("{DIM}{instance} ended: nothing to do{DIM:#}")),
            Ended::Replaced => (Level::Debug, format!("{DIM}{instance} ended: replaced{DIM:#}")),
            Ended::Stopped => (Level::Debug, format!("{DIM}{instance} ended{DIM:#}")),
            // The function as a whole is told to have failed, with the same words.
            Ended::Failed(reason) if AT_START.contains(&reason.error_type.as_str()) => {
                (Level::Debug, format!("{DIM}{instance} ended: {reason}{DIM:#}"))
            }
            Ended::Failed(reason) => {
                (Level::Warn, format!("{WARN}!{WARN:#} an instance of {} ended: {reason}", function.name))
            }
        }
    }

    /// Adds the source that an error came from.
    fn explain(&mut self, function: &Key, message: &str, text: &mut String) {
        let Some(known) = self.functions.get(function) else { return };
        let folder = known.folder.canonicalize().unwrap_or_else(|_| known.folder.clone());
        let found = frame::find(message, &known.folder).or_else(|| frame::find(message, &folder));
        let Some(spot) = found else { return };
        let first = message.lines().next().unwrap_or_default();
        let what = first.trim_start_matches("[ERROR] ").split(':').next().unwrap_or_default();
        let name = format!("{function} {what} {}:{}", spot.file.display(), spot.line);
        // The same error again is worth showing again, but not the failed start right after its log line.
        if !first.starts_with("[ERROR]") && self.shown.contains(&name) {
            self.shown.retain(|shown| *shown != name);
            return;
        }
        if let Some(drawn) = frame::draw(&spot, &self.root) {
            let _ = write!(text, "\n{drawn}");
            self.shown.retain(|shown| *shown != name);
            self.shown.push_front(name);
            self.shown.truncate(SHOWN);
        }
    }
}

/// `POST /x 200 12 ms cold=61ms hello req=3f2a91c0`
fn request(invocation: &Invocation) -> String {
    let status = match invocation.status {
        200..=299 => GOOD,
        300..=399 => AnsiColor::Cyan.on_default(),
        400..=499 => WARN,
        _ => BAD,
    };
    let mut line = String::new();
    let _ = match invocation.caller {
        Caller::Schedule => write!(line, "◷ schedule"),
        Caller::Client(_) => write!(line, "{STRONG}{}{STRONG:#} {}", invocation.method, invocation.target),
    };
    let took = invocation.duration.as_secs_f64() * 1000.0;
    let _ = write!(line, " {status}{}{status:#} {} ms", invocation.status, brief(took));
    if invocation.cold {
        let cold = AnsiColor::Blue.on_default();
        let _ = write!(line, " {cold}cold={}ms{cold:#}", invocation.queued.as_millis());
    }
    if invocation.attempts > 1 {
        let _ = write!(line, " {WARN}attempts={}{WARN:#}", invocation.attempts);
    }
    if let Some(function) = &invocation.function {
        let style = name_style(&function.name);
        let _ = write!(line, " {style}{}{style:#}", function.name);
    }
    if let Some(code) = &invocation.code {
        let _ = write!(line, " {BAD}{code}{BAD:#}");
    }
    let id = invocation.request_id.get(..ID).unwrap_or(&invocation.request_id);
    let _ = write!(line, " {DIM}req={id}{DIM:#}");
    line
}

fn brief(millis: f64) -> String {
    if millis < 10.0 { format!("{millis:.1}") } else { format!("{millis:.0}") }
}

fn level_of(invocation: &Invocation) -> Level {
    match invocation.status {
        500.. => Level::Error,
        400..=499 => Level::Warn,
        _ => Level::Info,
    }
}

/// A colour for each function, the same in each run.
fn name_style(name: &str) -> Style {
    const COLOURS: [AnsiColor; 5] =
        [AnsiColor::Cyan, AnsiColor::Magenta, AnsiColor::Blue, AnsiColor::Yellow, AnsiColor::Green];
    let sum = name.bytes().fold(0_usize, |sum, byte| sum.wrapping_mul(31).wrapping_add(byte.into()));
    COLOURS[sum % COLOURS.len()].on_default()
}

/// Lines out of the carriage returns that stand in for them, without what the clients put before a message, and without
/// control characters: a function's output must not steer the terminal.
fn tidy(message: &str) -> String {
    let message = message.replace("\r\n", "\n").replace('\r', "\n");
    let message = message.trim_end();
    let message = logged_by_python(message).unwrap_or_else(|| message.to_owned());
    without_controls(&message)
}

/// Colours pass; whatever else steers a terminal does not.
fn without_controls(text: &str) -> String {
    let mut kept = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find(|c: char| c.is_control() && c != '\n' && c != '\t') {
        kept.push_str(&rest[..at]);
        rest = &rest[at..];
        let sequence = rest.strip_prefix("\u{1b}[").map(|after| {
            let length = after.find(|c: char| !c.is_ascii_digit() && c != ';').unwrap_or(after.len());
            (length + 2, after[length..].chars().next())
        });
        match sequence {
            Some((length, Some('m'))) => {
                kept.push_str(&rest[..=length]);
                rest = &rest[length + 1..];
            }
            Some((length, end)) => rest = &rest[length + end.map_or(0, char::len_utf8)..],
            None => rest = &rest[rest.chars().next().map_or(0, char::len_utf8)..],
        }
    }
    kept + rest
}

/// `[INFO]\t2026-11-21T15:43:19.000Z\tID\tmessage` without time and id, which the line has anyway.
fn logged_by_python(message: &str) -> Option<String> {
    let mut parts = message.splitn(4, '\t');
    let level = parts.next().filter(|level| level.starts_with('[') && level.ends_with(']'))?;
    parts.next().filter(|time| time.ends_with('Z'))?;
    parts.next()?;
    Some(format!("{level} {}", parts.next()?))
}

// === impl Level ===

impl Level {
    fn of(name: &str) -> Self {
        match name {
            "debug" => Self::Debug,
            "warn" => Self::Warn,
            "error" => Self::Error,
            _ => Self::Info,
        }
    }
}

impl std::fmt::Display for Level {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Debug => "everything",
            Self::Info => "requests and what functions write",
            Self::Warn => "warnings and errors",
            Self::Error => "errors",
        })
    }
}

#[cfg(test)]
mod tests;
