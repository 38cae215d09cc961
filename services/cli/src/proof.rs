//! What outsiders can hold against a log: signed heads, and the audit of a whole log by them.

pub mod audit;
pub mod heads;
