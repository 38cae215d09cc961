//! The rules of duban: pure decisions and folds over one event-sourced ticket, and the streams around it.
//!
//! Read [`ticket::chain`] first. Every module is in one order: events, state, fold, commands, decisions. Nothing here
//! reads a clock, a file or a random number; the [`meta::Context`] carries what a decision may know.

pub mod actor;
pub mod area;
pub mod calendar;
mod checks;
pub mod customer;
pub mod edition;
pub mod emergency;
pub mod ids;
pub mod imported;
pub mod memory;
pub mod meta;
pub mod notice;
pub mod office;
pub mod policy;
pub mod problem;
pub mod rejection;
pub mod sealed;
pub mod ticket;
pub mod words;

pub use checks::{LIST_MAX, NAME_BYTES_MAX, TEXT_BYTES_MAX};
