//! The watchdog: the first process in every function pod, between the gateway's requests and the function's code.
//!
//! It fetches the code, starts the child, serves its requests in one of three modes, ends work at its deadline, carries the
//! child's log, and shows in the pod's status why something ended. One thread, no Kubernetes client.

mod admin;
pub mod announce;
pub mod answer;
mod beside;
pub mod child;
pub mod config;
pub mod gate;
pub mod home;
pub mod instance;
pub mod logs;
pub mod memory;
pub mod metrics;
pub mod mode;
pub mod package;
pub mod pool;
pub mod report;
pub mod restart;
pub mod run;
pub mod server;
pub mod termination;
pub mod ticket;
