//! What functions do on a real cluster. These tests leave the control plane alone and may run side by side.

mod builds;
mod burst;
mod cli;
mod compiled;
mod deletion;
mod frameworks;
mod golden;
mod hello;
mod images;
mod lambda;
mod misbehaviour;
mod network;
mod newcomer;
mod pools;
mod refusals;
mod samples;
mod schedules;
mod sdks;
mod sources;
mod streaming;
mod untried;
mod versions;
