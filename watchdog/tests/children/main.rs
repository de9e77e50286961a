//! The watchdog's program with real children: the published runtime clients, servers, shell scripts.

// Helpers of tests are tests: what they cannot do, the test cannot do.
#![allow(clippy::unwrap_used)]

mod beside;
mod crashes;
mod drain;
mod go;
mod http;
mod lambda;
mod node;
mod package;
mod pool;
mod process;
mod python;
mod rust;
mod shell;
mod start;
mod support;
