//! `flint dev`, the real program: what it serves, what it does when files are saved, and how it ends.

#![allow(clippy::unwrap_used)]

mod support;

mod ends;
mod faults;
mod languages;
mod page;
mod reloads;
