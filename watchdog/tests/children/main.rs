//! The watchdog's program with real children: the published runtime clients, servers, shell scripts.

mod crashes;
mod drain;
mod go;
mod http;
mod lambda;
mod node;
mod package;
mod process;
mod python;
mod rust;
mod shell;
mod start;
mod support;
