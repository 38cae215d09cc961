//! `duban import`: the rows of any table become tickets, or steps of foreign histories, once.

use std::path::PathBuf;

use duban_import::{Import, ImportError, ImportReport, RejectedRow, import};

use crate::args::{Data, Master, Output};
use crate::failure::{Done, Failure};
use crate::output::{self, count};
use crate::progress::Bars;

/// Rejected rows that people are shown; programs get all of them.
const SHOWN: usize = 20;

/// What may be typed.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  duban import --data ./data --mapping deploy/mappings/telecom-complaints.toml complaints.tsv\n  duban import --data ./data --mapping deploy/mappings/helpdesk.toml helpdesk-events.csv\n  duban import --data ./data --mapping my.toml --dry-run rows.csv\n\nA row that is in already is known, not added: a second run adds nothing, and a run cut short goes on.\nExit status: 0 all rows are in or known, 1 some were rejected, 2 wrong use.\nJSON: {\"read\", \"added\", \"known\", \"rejected\", \"errors\": [{\"line\", \"reason\"}]}, all of them rows; of foreign histories also\n\"histories\", how many cases these rows belong to."
)]
pub(crate) struct Args {
    #[command(flatten)]
    data: Data,
    #[command(flatten)]
    master: Master,
    /// How the input's rows become tickets or steps of foreign histories; see deploy/mappings/README.md
    #[arg(long, value_name = "FILE")]
    mapping: PathBuf,
    /// Check every row against the mapping and the rules, and write nothing
    #[arg(long)]
    dry_run: bool,
    /// The table, CSV or TSV
    input: PathBuf,
}

/// Runs it.
pub(crate) fn run(args: &Args, output: Output) -> Result<Done, Failure> {
    let bars = Bars::default();
    let what = Import {
        data: &args.data.data,
        master_key: args.master.master_key.as_deref(),
        mapping: &args.mapping,
        input: &args.input,
        dry_run: args.dry_run,
    };
    let name = if args.dry_run { "check" } else { "import" };
    let report = import(what, &|done, total| bars.show_unit(name, "rows", done, total)).map_err(failed)?;
    match output {
        Output::Json => output::json(&report)?,
        Output::Text => show(&report, args.dry_run)?,
    }
    Ok(Done::holds(report.rejected == 0))
}

fn failed(error: ImportError) -> Failure {
    if error.is_misuse() { Failure::misuse(error) } else { Failure::broken(error) }
}

fn show(report: &ImportReport, dry_run: bool) -> Result<(), Failure> {
    let ImportReport { read, added, known, rejected, errors, histories } = report;
    let verb = if dry_run { "to add (dry run, nothing was written)" } else { "added" };
    output::text(&format!(
        "{} rows read{}: {} {verb}, {} known, {} rejected",
        count(*read),
        histories.map(|histories| format!(", of {} histories", count(histories))).unwrap_or_default(),
        count(*added),
        count(*known),
        count(*rejected)
    ))?;
    for RejectedRow { line, reason } in errors.iter().take(SHOWN) {
        output::text(&format!("line {line}: {reason}"))?;
    }
    if errors.len() > SHOWN {
        output::text(&format!("and {} more: `--output json` lists them all", errors.len() - SHOWN))?;
    }
    Ok(())
}
