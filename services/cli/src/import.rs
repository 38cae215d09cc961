//! `duban import`: the rows of any table become tickets, or steps of foreign histories, once.
//!
//! Ids come from the source's name and the row's key, so a run that was cut short goes on where it was, and a second run adds
//! nothing. A row that cannot be taken in costs itself only: it is reported with its line and why.

mod histories;
mod lines;
mod mapping;
mod moment;
mod row;
mod rule;
mod run;
mod steps;
#[cfg(test)]
mod tests;

use std::path::PathBuf;

use duban_engine::runner::Rules;
use serde::Serialize;

use crate::args::{Data, Master, Output};
use crate::data;
use crate::failure::{Done, Failure};
use crate::output::{self, count};
use mapping::{Mapping, MappingError, Rows};
use steps::StepMapping;

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

/// A rejected row.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Rejected {
    /// Its line in the input, from 1.
    pub(crate) line: u64,
    /// Why.
    pub(crate) reason: String,
}

/// What an import did.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub(crate) struct Answer {
    /// Rows read.
    pub(crate) read: u64,
    /// Tickets or steps added; in a dry run, that would be.
    pub(crate) added: u64,
    /// Rows whose tickets or steps were there already.
    pub(crate) known: u64,
    /// Rows rejected.
    pub(crate) rejected: u64,
    /// Each of them, by line.
    pub(crate) errors: Vec<Rejected>,
    /// Foreign histories that the rows belong to, where they are steps.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) histories: Option<u64>,
}

/// Why an import did not begin.
#[derive(Debug, thiserror::Error)]
enum ImportError {
    #[error("cannot read the input {path}")]
    Input { path: PathBuf, source: std::io::Error },
    #[error(transparent)]
    Mapping(#[from] MappingError),
}

/// Runs it.
pub(crate) fn run(args: &Args, output: Output) -> Result<Done, Failure> {
    let Rules { policy, calendar } = data::rules_in(&args.data.data)?;
    let text = mapping::text(&args.mapping).map_err(Failure::misuse)?;
    let bytes = std::fs::read(&args.input)
        .map_err(|source| Failure::misuse(ImportError::Input { path: args.input.clone(), source }))?;
    let rules = run::Rules { policy: &policy, calendar: &calendar };
    let (data, master_key) = (&args.data.data, args.master.master_key.as_deref());
    let answer = match mapping::rows(&args.mapping, &text).map_err(Failure::misuse)? {
        Rows::Tickets => {
            let mapping = Mapping::parse(&args.mapping, &text, &policy).map_err(Failure::misuse)?;
            let table = row::read(&bytes, &mapping, &policy).map_err(Failure::misuse)?;
            drop(bytes);
            if args.dry_run {
                run::dry(data, &mapping, table, rules)?
            } else {
                run::import(data, master_key, &mapping, table, rules)?
            }
        }
        Rows::Steps => {
            let mapping = StepMapping::parse(&args.mapping, &text).map_err(Failure::misuse)?;
            let table = steps::read(&bytes, &mapping).map_err(Failure::misuse)?;
            drop(bytes);
            if args.dry_run {
                histories::dry(data, table, rules)?
            } else {
                histories::import(data, master_key, &mapping, table, rules)?
            }
        }
    };
    match output {
        Output::Json => output::json(&answer)?,
        Output::Text => show(&answer, args.dry_run)?,
    }
    Ok(Done::holds(answer.rejected == 0))
}

fn show(answer: &Answer, dry_run: bool) -> Result<(), Failure> {
    let Answer { read, added, known, rejected, errors, histories } = answer;
    let verb = if dry_run { "to add (dry run, nothing was written)" } else { "added" };
    output::text(&format!(
        "{} rows read{}: {} {verb}, {} known, {} rejected",
        count(*read),
        histories.map(|histories| format!(", of {} histories", count(histories))).unwrap_or_default(),
        count(*added),
        count(*known),
        count(*rejected)
    ))?;
    for Rejected { line, reason } in errors.iter().take(SHOWN) {
        output::text(&format!("line {line}: {reason}"))?;
    }
    if errors.len() > SHOWN {
        output::text(&format!("and {} more: `--output json` lists them all", errors.len() - SHOWN))?;
    }
    Ok(())
}
