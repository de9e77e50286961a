//! The platform on one machine: the real gateway, the real scaler's decisions and the real watchdog, with processes in the
//! place of pods and memory in the place of the API server.
//!
//! [`Platform::start`] takes a [`Project`] (functions and routes, already resolved: commands, folders, values) and serves
//! it; [`Platform::update`] puts another in its place without losing a request. What happens is told as [`Event`]s. A program
//! that starts a platform is also the program of its instances: it calls [`instance::main`] when it is started with the
//! arguments of [`Config::program`].

mod client;
pub mod config;
mod environment;
pub mod error;
pub mod event;
mod home;
pub mod instance;
pub mod invocation;
mod limits;
mod log;
pub mod platform;
mod process;
mod record;
mod scaling;
mod served;
pub mod snapshot;
mod strays;
mod tell;
mod told;
mod world;

pub use flint_gateway::function::{Blocked, Key};

pub use self::{
    config::{Config, FunctionSpec, Program, Project, Route},
    error::Error,
    event::{Ended, Event, Events, Log, Reason, Told},
    invocation::{Answer, Caller, Invocation, Recorded},
    platform::Platform,
    snapshot::{Firing, Function, Instance, State},
};
