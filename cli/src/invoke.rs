//! Calling a function: what is sent, and what came back.

pub mod answer;
pub mod local;
pub mod payload;
pub mod show;
