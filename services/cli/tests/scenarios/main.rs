//! Scenarios that start the program, in one test binary: its servers, its verbs, and kills.

use std::path::Path;

mod backups;
mod days;
mod erase;
mod history;
mod import;
mod migrate;
mod proof;
mod restart;
mod sealed;
mod survival;

/// The program under test, which cargo builds before.
fn program() -> &'static Path {
    Path::new(env!("CARGO_BIN_EXE_duban"))
}
