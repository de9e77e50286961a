//! Pure decisions: functions of (state, event, now), without I/O, used by the cluster and the local platform alike.

pub mod admit;
pub mod balance;
pub mod build;
pub mod canary;
pub mod demand;
pub mod event;
pub mod event_stream;
pub mod firing;
pub mod json;
pub mod paths;
pub mod pool;
pub mod queue;
pub mod retry;
pub mod route;
pub mod scale;
pub mod schedule;
pub mod sigv4;
pub mod split;
pub mod trace;
pub mod wire;
