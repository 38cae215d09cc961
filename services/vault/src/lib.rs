//! Customers' keys, the master key, sealing and the signing key: kept, rotated, copied, erased.
//!
//! Everything personal in the log is sealed under a key of the customer whom it is about, and every day's head is signed. This crate
//! knows keys, files and registers; it knows nothing of tickets.

pub mod erasures;
pub mod keys;
pub mod own_ids;
pub mod public_key;
pub mod seal;
pub mod signing;
