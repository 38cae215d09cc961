//! `duban export`: one ticket in one file that proves itself, without this server or its directory; or all histories, for
//! process-mining tools.

use std::io::Write as _;
use std::path::{Path, PathBuf};

use clap::ValueEnum;
use duban_history::process_mining::{
    ExportFormat, ExportedHistories, HistorySelection, ProcessMiningError, export_histories,
};
use duban_history::proof::export::{ExportError, ExportedTicket};
use duban_history::proof::export_ticket;
use duban_history::proof::signed_head::SignedHeadJson;
use serde::Serialize;
use uuid::Uuid;

use crate::args::{Data, Output};
use crate::data;
use crate::failure::{Done, Failure};
use crate::output::{self, Progress, count};
use crate::progress::Bars;

/// What may be typed.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  duban export 0b7c1f6e-2d55-4f3a-9a53-6f8f1a0c2b11 --data ./data --out ticket.json\n  duban check-export ticket.json --key signing.pub\n  duban export --all --format xes --data ./data --out histories.xes\n  duban export --all --format ocel --streams imported --data ./data --out histories.json\n\nOf one ticket, the file holds every event of the ticket up to the last day that was closed, its certificate, the signed head of that day, and the proofs\nthat these events are in the log and that none is left out. Texts stay sealed. It is read beside a running server, too.\nJSON: {\"file\", \"bytes\", \"events\", \"later\", \"head\"}; `later` counts events after that day, which are not in it.\n\nWith --all, the file holds every event of every history, ours and imported, as process-mining tools read it: a case is named by its stream,\nor by its source and what that calls it. Texts are left out, and a customer is an id.\nJSON: {\"file\", \"format\", \"bytes\", \"cases\", \"events\"}, of ocel also \"objects\"."
)]
pub(crate) struct Args {
    /// The ticket's id
    #[arg(required_unless_present = "all")]
    ticket: Option<Uuid>,
    /// All histories, for process-mining tools
    #[arg(long, conflicts_with = "ticket", requires = "format")]
    all: bool,
    /// What the tools read
    #[arg(long, value_enum, value_name = "FORMAT", requires = "all")]
    format: Option<Format>,
    /// Which histories; all of them, where nothing is said
    #[arg(long, value_enum, value_name = "WHICH", requires = "all")]
    streams: Option<Streams>,
    #[command(flatten)]
    data: Data,
    /// The file to write
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
}

/// How histories are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Format {
    /// XES, IEEE 1849: a trace a history
    Xes,
    /// OCEL 2.0 in JSON: events about tickets, orders, customers and units
    Ocel,
}

/// Which histories are written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
enum Streams {
    /// Tickets of ours
    Ours,
    /// Foreign histories
    Imported,
    /// Both
    #[default]
    All,
}

/// Why a file cannot be written or read.
#[derive(Debug, thiserror::Error)]
#[error("cannot {what} {path}")]
pub(super) struct FileError {
    what: &'static str,
    path: PathBuf,
    source: std::io::Error,
}

pub(super) fn failed(what: &'static str, path: &Path) -> impl FnOnce(std::io::Error) -> FileError {
    let path = path.to_owned();
    move |source| FileError { what, path, source }
}

#[derive(Serialize)]
struct Answer {
    file: PathBuf,
    bytes: u64,
    events: u64,
    later: u64,
    head: SignedHeadJson,
}

/// Exports.
pub(crate) fn run(args: &Args, output: Output) -> Result<Done, Failure> {
    match (args.ticket, args.format) {
        (Some(ticket), _) => one(args, ticket, output),
        (None, Some(format)) => all(args, format, output),
        // clap asks for one of the two.
        (None, None) => Err(Failure::misuse("name a ticket, or --all and a --format")),
    }
}

fn one(args: &Args, ticket: Uuid, output: Output) -> Result<Done, Failure> {
    let reader = data::reader(&args.data.data)?;
    let total = reader.head().size;
    let progress = Progress::new("export", "events", total);
    let exported =
        export_ticket(&reader, ticket, |done| progress.set(done, total)).map_err(|error| match error {
            ExportError::NoTicket(_) | ExportError::NoHead(_) => Failure::misuse(error),
            other => Failure::broken(other),
        })?;
    drop(progress);
    let ExportedTicket { text, head, events, later } = exported;
    let writing =
        |path: &Path| std::fs::File::create(path).and_then(|mut file| file.write_all(text.as_bytes()));
    writing(&args.out).map_err(failed("write", &args.out)).map_err(Failure::misuse)?;
    let answer = Answer { file: args.out.clone(), bytes: text.len() as u64, events, later, head };
    match output {
        Output::Json => output::json(&answer)?,
        Output::Text => {
            output::text(&format!(
                "{} events in {} bytes, proven by the head of {}, which is of {} events",
                count(events),
                count(answer.bytes),
                answer.head.day,
                count(answer.head.size)
            ))?;
            if later > 0 {
                output::text(&format!(
                    "{} later events are in no head yet, and not in the file",
                    count(later)
                ))?;
            }
        }
    }
    Ok(Done::Ok)
}

#[derive(Serialize)]
struct AllAnswer<'a> {
    file: &'a Path,
    format: &'static str,
    #[serde(flatten)]
    written: ExportedHistories,
}

/// All histories, for process-mining tools.
fn all(args: &Args, format: Format, output: Output) -> Result<Done, Failure> {
    let reader = data::reader(&args.data.data)?;
    let bars = Bars::default();
    let (name, format) = match format {
        Format::Xes => ("xes", ExportFormat::Xes),
        Format::Ocel => ("ocel", ExportFormat::Ocel),
    };
    let selection = match args.streams.unwrap_or_default() {
        Streams::Ours => HistorySelection::Ours,
        Streams::Imported => HistorySelection::Imported,
        Streams::All => HistorySelection::All,
    };
    let progress = |what, done, total| bars.show_unit(what, "histories", done, total);
    let written =
        export_histories(&reader, &args.out, format, selection, &progress).map_err(|error| match error {
            ProcessMiningError::Write { .. } => Failure::misuse(error),
            other => Failure::broken(other),
        })?;
    match output {
        Output::Json => output::json(&AllAnswer { file: &args.out, format: name, written })?,
        Output::Text => {
            let ExportedHistories { bytes, cases, events, objects } = written;
            let objects = objects.map(|objects| format!(" about {} objects", count(objects)));
            output::text(&format!(
                "{} events of {} histories{} in {} bytes",
                count(events),
                count(cases),
                objects.unwrap_or_default(),
                count(bytes)
            ))?;
        }
    }
    Ok(Done::Ok)
}
