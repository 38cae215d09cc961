//! `duban generate`: seeded histories, written into a log.

use duban_demo::generate::{GenerateError, generate};
use duban_engine::data_directory::WritableDirectory;

use crate::args::{Data, Master, Output};
use crate::failure::{Done, Failure};
use crate::output::{self, Progress, count, rate};

/// What may be typed.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  duban generate --data ./gen --tickets 20000 --seed 1\n\nThe same seed and number give the same tickets: ids, times and texts. Only the sealing differs.\n`bytes` counts what the log keeps of each event: metadata and payload.\nJSON: {\"tickets\", \"events\", \"bytes\"}"
)]
pub(crate) struct Args {
    #[command(flatten)]
    data: Data,
    #[command(flatten)]
    master: Master,
    /// How many tickets
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..=10_000_000))]
    tickets: u64,
    /// Which tickets
    #[arg(long, value_name = "S")]
    seed: u64,
}

/// Runs it.
pub(crate) fn run(args: &Args, output: Output) -> Result<Done, Failure> {
    let WritableDirectory { log, sealer } =
        WritableDirectory::open(&args.data.data, args.master.master_key.as_deref())?;
    let progress = Progress::new("generate", "tickets", args.tickets);
    let showing = |done, total| progress.set(done, total);
    let generated =
        generate(&log, &sealer, args.tickets, args.seed, &showing).map_err(|error| match error {
            GenerateError::SeedUsed(_) => Failure::misuse(error),
            GenerateError::Log(error) => error.into(),
            GenerateError::Keys(_) | GenerateError::Runtime(_) => Failure::broken(error),
        })?;
    let took = progress.elapsed();
    drop(progress);
    match output {
        Output::Json => output::json(&generated)?,
        Output::Text => output::text(&format!(
            "{} tickets, {} events, {} bytes, {} events/s",
            count(generated.tickets),
            count(generated.events),
            count(generated.bytes),
            count(rate(generated.events, took))
        ))?,
    }
    Ok(Done::Ok)
}
