//! The one binary.

mod args;
mod bench;
mod check;
mod data;
mod demo_verb;
mod drive_verb;
mod failure;
mod generate;
mod history;
mod import;
mod output;
mod readonly;
mod replay;
mod serve;

use std::process::ExitCode;

use clap::Parser;

use args::{Cli, Verb};

fn main() -> ExitCode {
    let Cli { output, verb } = Cli::parse();
    let outcome = match &verb {
        Verb::Serve(args) => serve::run(args, output),
        Verb::Demo(args) => demo_verb::run(args, output),
        Verb::Drive(args) => drive_verb::run(args, output),
        Verb::Import(args) => import::run(args, output),
        Verb::Verify(args) => check::run(args, output),
        Verb::Replay(args) => replay::run(args, output),
        Verb::Generate(args) => generate::run(args, output),
        Verb::History(args) => history::run(args, output),
        Verb::Bench(args) => bench::run(args, output),
    };
    failure::exit(&outcome)
}
