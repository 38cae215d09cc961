//! What outsiders can hold against a log: signed heads, the audit of a whole log by them, and exports of single tickets that prove
//! themselves.

pub(crate) mod afar;
pub mod audit;
pub mod export;
pub mod heads;
mod lines;
pub mod offline;
