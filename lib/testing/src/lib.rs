//! Doubles for tests: what stands in for the outside, in memory and under a paused clock.

pub mod apiserver;
pub mod git;
pub mod https;
pub mod registry;
pub mod s3;
pub mod upstream;
mod whole;
