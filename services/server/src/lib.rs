//! The edge: gRPC, identity, who may what, limits, streams, health, configuration and telemetry.

pub mod access;
pub mod config;
pub mod grpc;
pub mod identity;
pub mod serve;
pub mod shutdown;
pub mod stream;
pub mod telemetry;
pub mod tls;
