//! What can go wrong with a platform, and what its user can do about it.

use std::{io, net::SocketAddr};

/// Why a platform did not do what it was asked for.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The address cannot be listened on.
    #[error("cannot listen on {address}: another program has the port, or it is not yours to take")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// What the kernel says.
        #[source]
        source: anyhow::Error,
    },
    /// A part of the platform cannot be started.
    #[error("the platform cannot start: {what}")]
    Start {
        /// Which part.
        what: &'static str,
        /// Why not.
        #[source]
        source: anyhow::Error,
    },
    /// Two functions have one name.
    #[error("there are two functions {0}: give each its own name")]
    Twice(String),
    /// A route's path cannot be matched.
    #[error("the route {path} is not valid: {problem}")]
    Route {
        /// The path as it was written.
        path: String,
        /// What is wrong with it.
        problem: String,
    },
    /// A route leads to a function that is not there.
    #[error("the route {path} leads to {function}, which is not there")]
    RouteNowhere {
        /// The path as it was written.
        path: String,
        /// The function as it was written.
        function: String,
    },
    /// There is no such function.
    #[error("there is no function {0}")]
    UnknownFunction(String),
    /// The function has no such schedule.
    #[error("{function} has no schedule {schedule}")]
    UnknownSchedule {
        /// The function.
        function: String,
        /// The schedule.
        schedule: String,
    },
    /// The event is not there any more, or was no invocation.
    #[error("event {0} is no invocation, or too long ago")]
    UnknownEvent(u64),
    /// Its request was not recorded in full.
    #[error("the request of event {0} was not recorded in full: bodies over 64 KiB are not kept")]
    NotRecorded(u64),
    /// The platform has stopped.
    #[error("the platform has stopped")]
    Stopped,
    /// The gateway did not answer.
    #[error("the gateway did not answer")]
    Call(#[source] io::Error),
}
