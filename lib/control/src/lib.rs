//! The control protocol: the gRPC stream on which gateways tell the operator of demand, and it tells them of instances.

/// Messages, client and server, generated from `proto/control.proto`.
#[allow(missing_docs, clippy::all, unreachable_pub)]
pub mod v1 {
    tonic::include_proto!("flint.control.v1");
}
