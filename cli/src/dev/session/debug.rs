//! Debuggers: which port a function waits at, and how to attach.

use std::collections::BTreeMap;

use flint_local::Key;

use super::Session;
use crate::{
    dev::{load::Known, port, reload::Debug},
    languages::Language,
    output::{DIM, STRONG, WARN},
};

/// Where debugpy and editors expect each other.
const PYTHON: u16 = 5678;
/// Where Node and editors expect each other.
const NODE: u16 = 9229;

// === impl Session ===

impl Session {
    pub(super) async fn toggle_debugger(&mut self, function: Key) {
        let port = if self.debugged.remove(&function).is_some() {
            self.say(&format!("{DIM}{}: no debugger any more{DIM:#}", function.name));
            None
        } else {
            let language = self.loaded.functions.get(&function).and_then(|known| known.language);
            let Some(port) = language.and_then(|language| port_for(language, &self.debugged)) else {
                return self.say(&format!("{WARN}!{WARN:#} {}: {}", function.name, otherwise(language)));
            };
            self.say(&format!(
                "{DIM}{} starts with a debugger; its timeout is 15 minutes for now{DIM:#}",
                function.name
            ));
            self.debugged.insert(function.clone(), port);
            Some(port)
        };
        // The task lives as long as the session.
        let _ = self.reloading.wish.send(Debug { function, port }).await;
    }
}

/// The usual port of the language, or the next that nobody has; none where no debugger is known.
pub(super) fn port_for(language: Language, taken: &BTreeMap<Key, u16>) -> Option<u16> {
    let usual = match language {
        Language::Python => PYTHON,
        Language::Node => NODE,
        Language::Ruby
        | Language::Php
        | Language::Java
        | Language::Go
        | Language::Rust
        | Language::Bootstrap
        | Language::Process => return None,
    };
    (usual..usual.saturating_add(100))
        .find(|port| !taken.values().any(|taken| taken == port) && port::is_free(*port))
}

fn otherwise(language: Option<Language>) -> &'static str {
    match language {
        Some(Language::Go) => "attach with `dlv attach PID`; the page and `ps` show the process",
        Some(Language::Rust) => "attach with `rust-gdb -p PID` or `lldb -p PID`; `ps` shows the process",
        Some(Language::Java) => {
            "set JAVA_TOOL_OPTIONS=-agentlib:jdwp=transport=dt_socket,server=y,suspend=n,address=*:5005, and attach to it"
        }
        _ => "there is no debugger for this language here",
    }
}

/// How to attach.
pub(super) fn attach(function: &Key, port: u16, known: Option<&Known>) -> String {
    let how = match known.and_then(|known| known.language) {
        Some(Language::Node) => "chrome://inspect, or your editor's \"Attach to Node.js\"",
        _ => "your editor's \"Python: Remote Attach\" (debugpy)",
    };
    format!(
        "{} waits for a debugger at {STRONG}127.0.0.1:{port}{STRONG:#} {DIM}({how}){DIM:#}",
        function.name
    )
}
