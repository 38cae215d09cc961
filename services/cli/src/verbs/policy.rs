//! `duban policy`: reads a draft before it comes into force, and tries it on what has happened.

mod check;
mod files;
mod trial;

use crate::args::Output;
use crate::failure::{Done, Failure};

/// What may be typed.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, clap::Subcommand)]
enum What {
    /// Read a policy file, and hold it against the law
    Check(check::Args),
    /// Replay a period of a log under a draft, and show each clock whose verdict differs
    Try(trial::Args),
}

/// Runs it.
pub(crate) fn run(args: &Args, output: Output) -> Result<Done, Failure> {
    match &args.what {
        What::Check(args) => check::run(args, output),
        What::Try(args) => trial::run(args, output),
    }
}
