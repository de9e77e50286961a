//! A platform with real processes: shell and Python, nothing else.

#![allow(clippy::unwrap_used)]

mod actions;
mod life;
mod reload;
mod support;
