//! The logs of a function's instances: read through the API server, put in the order of time, and shown.
//!
//! First comes what was written already ([`history`]), merged exactly, because each log has an end. Then, where the user
//! follows, what is being written ([`follow`]): there a line is held for a moment ([`merge`]), so that a slower stream's older
//! line still comes first. Between the two, and after a stream that broke, each container's [`Resume`](source::Resume) says
//! which of its lines were shown, so that none comes twice and none is lost.

pub mod filter;
pub mod follow;
pub mod history;
pub mod line;
pub mod merge;
pub mod pods;
pub mod render;
pub mod source;

#[cfg(test)]
mod tests;
