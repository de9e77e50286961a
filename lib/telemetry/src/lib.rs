//! What every part of Flint says about itself: logs, readiness, metrics, and the small server that tells them.

pub mod admin;
pub mod logs;
pub mod readiness;

pub use admin::Admin;
pub use logs::{Format, init_logs};
pub use readiness::{Part, Readiness};

/// What can go wrong while telemetry is set up.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The log level is no filter that `tracing` understands.
    #[error(
        "the log level {level:?} is not understood: write error, warn, info, debug, trace, or target=level pairs"
    )]
    Level {
        /// What was written.
        level: String,
        /// Why it was refused.
        #[source]
        source: tracing_subscriber::filter::ParseError,
    },
    /// Another subscriber is installed already.
    #[error("logging was set up twice")]
    Twice(#[source] tracing_subscriber::util::TryInitError),
    /// The admin port cannot be bound.
    #[error("cannot listen on {address} for health and metrics")]
    Bind {
        /// The address asked for.
        address: std::net::SocketAddr,
        /// Why it was refused.
        #[source]
        source: std::io::Error,
    },
    /// A collector was refused by the registry.
    #[error("cannot register a metric")]
    Register(#[source] prometheus::Error),
}
