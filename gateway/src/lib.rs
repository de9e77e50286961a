//! The gateway: routes requests to functions, holds them while instances start, balances, retries, and fires schedules.
//!
//! A request lives on one worker's thread from accept to the last byte: [`front`] finds its function in the [`table`],
//! [`live`] gives it a slot of an instance or a place in the line, [`dispatch`] brings it there. Beside the workers, one
//! thread keeps the [`index`] from which the table is made, and the stream to the operator ([`control`]).

pub mod access;
pub mod app;
pub mod args;
pub mod call;
pub mod clock;
pub mod control;
pub mod credentials;
pub mod dispatch;
pub mod exchange;
pub mod files;
pub mod front;
pub mod function;
pub mod hub;
pub mod ids;
pub mod index;
pub mod instance;
pub mod keeper;
pub mod live;
pub mod metrics;
pub mod names;
mod outcomes;
pub mod pace;
pub mod pool;
pub mod probe;
pub mod record;
pub mod refuse;
pub mod report;
pub mod scheduler;
mod signature;
pub mod source;
pub mod split;
pub mod table;
