//! What ships with duban to try it out and to measure it.
//!
//! - [`demo`] plays two cases and a week of a small city through gRPC, on a clock moved by hand, and checks everything.
//! - [`walk`] takes a ticket to its certificate as the departments would; [`drive`] does so with all that are open.
//! - [`generate`] writes seeded histories into a log, through the same decisions as a server's.
//! - [`fanout`] and [`tamper`] are what `duban bench` runs beside the log's own figures: many subscribers, and many attempts at
//!   altering a signed log.
//!
//! Everything here is real: no server, log or client is faked, and nothing of other products is measured.

pub mod demo;
pub mod drive;
pub mod fanout;
pub mod generate;
pub mod identities;
pub mod tamper;
pub mod walk;
