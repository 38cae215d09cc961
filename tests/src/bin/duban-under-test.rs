//! The program under test: what `duban` is, built with these tests and therefore never older than they are.

use std::process::ExitCode;

fn main() -> ExitCode {
    duban::main()
}
