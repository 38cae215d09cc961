//! What the binary's verbs share: the departments as callers, the walk of a ticket to its certificate, and the demo.

pub mod demo;
pub mod departments;
pub mod drive;
pub mod walk;
