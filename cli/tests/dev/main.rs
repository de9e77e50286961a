//! `flint dev`, the real program: what it serves, what it does when files are saved, and how it ends.

#![allow(clippy::unwrap_used)]

mod screen;
mod support;

mod browser;
mod ends;
mod faults;
mod keys;
mod languages;
mod page;
mod reloads;
mod unread;
