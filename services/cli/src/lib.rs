//! The command line, and what its verbs share: the departments as callers, the walk of a ticket to its certificate, and
//! the demo.
//!
//! It is a library so that the tests drive departments through the same client, and start the same program as their own:
//! cargo builds a package's binaries for that package's tests alone.

mod afar;
mod args;
mod data;
mod departments;
mod failure;
mod output;
mod progress;
mod verbs;

use std::process::ExitCode;

use clap::Parser;

use args::{Cli, Verb};
use verbs::{
    backup, bench, check_export, conformance, demo, drive, erase, export, generate, history, import, keys,
    migrate, policy, projections, replay, serve, verify, watch,
};

/// Does what was typed.
#[must_use]
pub fn main() -> ExitCode {
    let Cli { output, verb } = Cli::parse();
    let outcome = match &verb {
        Verb::Serve(args) => serve::run(args, output),
        Verb::Demo(args) => demo::run(args, output),
        Verb::Drive(args) => drive::run(args, output),
        Verb::Import(args) => import::run(args, output),
        Verb::Verify(args) => verify::run(args, output),
        Verb::Export(args) => export::run(args, output),
        Verb::CheckExport(args) => check_export::run(args, output),
        Verb::Replay(args) => replay::run(args, output),
        Verb::Generate(args) => generate::run(args, output),
        Verb::History(args) => history::run(args, output),
        Verb::Watch(args) => watch::run(args, output),
        Verb::Conformance(args) => conformance::run(args, output),
        Verb::Backup(args) => backup::run(args, output),
        Verb::Restore(args) => backup::run_restore(args, output),
        Verb::Keys(args) => keys::run(args, output),
        Verb::Erase(args) => erase::run(args, output),
        Verb::Projections(args) => projections::run(args, output),
        Verb::Migrate(args) => migrate::run(args, output),
        Verb::Policy(args) => policy::run(args, output),
        Verb::Bench(args) => bench::run(args, output),
    };
    failure::exit(&outcome)
}
