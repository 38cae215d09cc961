//! The gRPC server: runner, reactions, sealing, identity.

pub mod access;
pub mod backup;
pub mod beside;
pub mod config;
pub mod days;
pub mod drain;
pub mod grpc;
pub mod history;
pub mod identity;
pub mod lease;
pub mod reactions;
pub mod rules;
pub mod runner;
pub mod serve;
pub mod stream;
pub mod telemetry;
pub mod time;
pub mod timers;
pub mod tls;
pub mod transcode;
pub mod views;
