//! The gateway as a whole, over real sockets, between scripted clients and scripted instances.

mod control;
mod draining;
mod retries;
mod routing;
mod streams;
mod support;
mod waiting;
