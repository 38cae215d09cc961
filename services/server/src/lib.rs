//! The gRPC server: runner, reactions, sealing, identity.

pub mod access;
pub mod config;
pub mod drain;
pub mod identity;
pub mod keys;
pub mod seal;
pub mod telemetry;
pub mod time;
pub mod tls;
