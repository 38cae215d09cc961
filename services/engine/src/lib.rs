//! How a command travels, without a network: the runner, reactions, timers, days, read models and what else happens by itself.
//!
//! One command's way is [`runner`]: load, dedupe, decide, append. What happens without a caller (a clock that falls due, one stream
//! that must do something because of another, a day that is over) sends ordinary commands through the same runner.

pub mod backup;
pub mod cluster;
pub mod data_directory;
pub mod days;
pub mod drain;
pub mod emergencies;
mod engine;
pub mod intake;
pub mod lease;
pub mod locks;
pub mod reactions;
pub mod retry;
pub mod rules;
pub mod runner;
pub mod sidecar;
pub mod storage;
pub mod tasks;
pub mod time;
pub mod timers;
pub mod transcode;
pub mod views;

pub use self::engine::{Engine, EngineConfig, EngineError};
