//! The end-to-end harness: a real cluster, a namespace per test, functions built in a line, and clients that talk to them.

pub mod asked;
pub mod cli;
pub mod cluster;
pub(crate) mod describe;
pub mod examples;
pub mod files;
pub mod functions;
pub mod load;
pub mod namespace;
pub mod node;
pub mod packages;
pub mod pools;
pub mod sdks;
pub mod terminal;
pub mod wait;

pub use cluster::Cluster;
pub use functions::FunctionBuilder;
pub use load::{Load, LoadReport};
pub use namespace::Namespace;
pub use wait::eventually;

/// The gRPC test service.
#[allow(missing_docs, clippy::all, unreachable_pub)]
pub mod echo {
    tonic::include_proto!("flint.e2e.v1");
}
