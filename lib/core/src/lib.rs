//! Pure decisions: functions of (state, event, now), without I/O, used by the cluster and the local platform alike.

pub mod wire;
