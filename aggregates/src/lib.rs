//! The rules of duban: pure decisions and folds over one event-sourced ticket, and the streams around it.
//!
//! Read [`chain`] first. Every module is in one order: events, state, fold, commands, decisions. Nothing here
//! reads a clock, a file or a random number; the [`meta::Context`] carries what a decision may know.

pub mod actor;
pub mod calendar;
pub mod chain;
pub mod clock;
pub mod contact;
pub mod custody;
pub mod customer;
pub mod deadline;
pub mod edition;
pub mod emergency;
pub mod explain;
pub mod fault;
pub mod gate;
pub mod ids;
pub mod imported;
pub mod install;
pub mod intake;
pub mod memory;
pub mod meta;
pub mod money;
pub mod notice;
pub mod office;
pub mod order;
pub mod policy;
pub mod problem;
pub mod rejection;
pub mod sample;
pub mod sealed;
pub mod state;
mod steps;
pub mod ticket;
pub mod trial;
pub mod verdict;

pub use steps::{LIST_MAX, NAME_BYTES_MAX, TEXT_BYTES_MAX};

#[cfg(test)]
mod tests;
