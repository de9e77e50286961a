//! Calling a function: what is sent, and what came back.

pub mod answer;
pub mod payload;
pub mod show;
