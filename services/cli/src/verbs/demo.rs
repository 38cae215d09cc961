//! `duban demo`: two cases and a week of a small city, played through gRPC and checked.

use std::path::PathBuf;

use duban_demo::demo::{DemoError, demo};

use crate::args::Output;
use crate::failure::{Done, Failure};
use crate::output;

/// What may be typed.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  duban demo\n  duban demo --data ./demo && duban verify --data ./demo\n\nExit status: 0 everything came out as the rules say, 1 something was off, 2 wrong use.\nJSON: {\"ok\", \"tickets\", \"events\", \"closed\", \"rounds\", \"commands\", \"refusals_checked\", \"watched\", \"head\": {\"size\", \"root\"}}"
)]
pub(crate) struct Args {
    /// Where to keep what it writes; an empty or new directory. A temporary one, where absent
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
}

/// The directory is in use.
#[derive(Debug, thiserror::Error)]
#[error("{0} is not empty: the demo wants a directory of its own")]
struct NotEmpty(PathBuf);

/// Runs it.
pub(crate) fn run(args: &Args, output: Output) -> Result<Done, Failure> {
    let temporary;
    let data = match &args.data {
        Some(data) => {
            std::fs::create_dir_all(data).map_err(Failure::misuse)?;
            if std::fs::read_dir(data).map_err(Failure::misuse)?.next().is_some() {
                return Err(Failure::misuse(NotEmpty(data.clone())));
            }
            data.as_path()
        }
        None => {
            temporary = tempfile::tempdir().map_err(Failure::broken)?;
            temporary.path()
        }
    };
    let runtime = tokio::runtime::Runtime::new().map_err(Failure::broken)?;
    let mut said = Ok(());
    // In JSON the story goes to stderr, so that stdout is one object.
    let mut say = |line: &str| match output {
        Output::Text if said.is_ok() => said = output::text(line),
        Output::Text => {}
        Output::Json => eprintln!("{line}"),
    };
    let outcome = runtime.block_on(demo(data, &mut say));
    said?;
    let outcome = outcome.map_err(|error| match error {
        DemoError::Directory { .. } => Failure::misuse(error),
        other => Failure::broken(other),
    })?;
    match output {
        Output::Json => output::json(&outcome)?,
        Output::Text => output::text(&format!(
            "{} tickets, {} closed, {} events, {} rounds, {} commands, {} refusals as the rules say\nthe monitor was cut off three times and told {} events, all of them once\nhead: {} events, root {}\nok",
            outcome.tickets,
            outcome.closed,
            outcome.events,
            outcome.rounds,
            outcome.commands,
            outcome.refusals_checked,
            outcome.watched,
            outcome.head.size,
            outcome.head.root
        ))?,
    }
    Ok(Done::holds(outcome.ok))
}
