//! The harness around the scenarios: servers inside this process and outside of it, callers that may send anything, and
//! the long harnesses' own work.
//!
//! - [`wire`] sends any bytes to any method as anybody; [`refusal`] reads what comes back.
//! - [`script`] and [`commands`] are the departments' commands, one after the other, from intake to certificate.
//! - [`inside`] starts a server in this process on a clock moved by hand; [`outside`] starts the built program.
//! - [`place`] says which program that is, and where a harness keeps what is its own.
//! - [`histories`] reads everything that happened, to be compared with what was read before.
//! - [`survival`], [`together`], [`backups`], [`load`], [`reads`], [`pasts`] and [`kafka`] are what the binaries of the same names do.

#![allow(
    clippy::missing_panics_doc,
    reason = "a harness panics where the program under test is not as the scenario needs it, and says so"
)]

pub mod backups;
pub mod commands;
pub mod histories;
pub mod inside;
pub mod kafka;
pub mod load;
pub mod outside;
pub mod pasts;
pub mod place;
pub mod reads;
pub mod refusal;
pub mod repository;
pub mod script;
pub mod survival;
pub mod together;
pub mod wire;
