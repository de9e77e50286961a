//! What functions do on a real cluster. These tests leave the control plane alone and may run side by side.

mod builds;
mod burst;
mod cli;
mod compiled;
mod deletion;
mod golden;
mod hello;
mod images;
mod misbehaviour;
mod network;
mod newcomer;
mod pools;
mod refusals;
mod schedules;
mod sources;
mod streaming;
mod versions;
