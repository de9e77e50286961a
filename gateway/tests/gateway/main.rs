//! The gateway as a whole, over real sockets, between scripted clients and scripted instances.

#![allow(
    clippy::unwrap_used,
    reason = "a test that cannot go on fails; the lint sees tests only where they are marked"
)]

mod control;
mod draining;
mod pools;
mod retries;
mod routing;
mod signatures;
mod streams;
mod support;
mod waiting;
