//! `check(given, when, then)` for every success, refusal and repeat; the two traces of domain.md section 11; and
//! properties over random histories.

#![expect(clippy::unwrap_used, reason = "what is missing fails its test")]

mod always_end;
mod chain;
mod clocks;
mod ends;
mod ends_keep;
mod facts;
mod imported;
mod judging;
mod ladder;
mod modules;
mod office;
mod orders;
mod policies;
mod properties;
mod refusals;
mod streams;
mod tables;
mod traces;
