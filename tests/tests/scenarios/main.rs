//! All scenarios, in one test binary: it links the server once.

use std::path::Path;

mod access;
mod always_end;
mod architecture;
mod backups;
mod bad_input;
mod boards;
mod clocks;
mod conformance;
mod days;
mod erase;
mod history;
mod import;
mod migrate;
mod policies;
mod proof;
mod repeats;
mod restart;
mod sealed;
mod streams;
mod survival;
mod together;
mod turns;

/// The program under test.
fn binary() -> &'static Path {
    Path::new(env!("CARGO_BIN_EXE_duban-under-test"))
}
