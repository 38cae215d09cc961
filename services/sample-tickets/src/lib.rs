//! Tickets to try the rules with, by whoever needs some: `duban generate`, benches, and the tests of every crate.
//!
//! Everything goes through the decisions of `duban-aggregates`, so a history is one that a server could have written. Nothing
//! here reads a clock or a random number: a seed decides the story, and the caller seals the texts.

pub mod nonsense;
pub mod scripted;
pub mod walker;
