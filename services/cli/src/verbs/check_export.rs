//! `duban check-export`: checks a ticket's file with nothing but a public key. What it runs is listed in `services/history/README.md`.

use std::path::PathBuf;

use duban_history::proof::check_export;
use duban_history::proof::check_export::CheckedExport;
use duban_vault::public_key::PublicKey;

use super::export::failed;
use crate::args::Output;
use crate::failure::{Done, Failure};
use crate::output::{self, count};

/// What may be typed.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  duban check-export ticket.json --key signing.pub\n  duban check-export ticket.json --key signing.pub --events events.jsonl\n\nNeeds the file and the public key, and nothing else. Every event is hashed again, and the signed root made of it; the stream must end as\nthe signed root over all streams says; the certificate must be the one that the events hold; one character that is another fails.\nExit status: 0 every event is unaltered and none is left out, 1 it is not so, 2 wrong use.\nJSON: {\"ok\", \"ticket\", \"events\", \"head\", \"certified\", \"problems\": [{\"event\", \"reason\"}]}; `event` is a revision."
)]
pub(crate) struct Args {
    /// The file that was exported
    file: PathBuf,
    /// The public key with which its head must be signed, in PEM; any number of them
    #[arg(long, value_name = "PUB", required = true)]
    key: Vec<PathBuf>,
    /// Writes the events here, in canonical JSON, one a line
    #[arg(long, value_name = "OUT")]
    events: Option<PathBuf>,
}

/// Checks.
pub(crate) fn run(args: &Args, output: Output) -> Result<Done, Failure> {
    let keys = args.key.iter().map(|path| PublicKey::read(path)).collect::<Result<Vec<_>, _>>();
    let keys = keys.map_err(Failure::misuse)?;
    let bytes = std::fs::read(&args.file).map_err(failed("read", &args.file)).map_err(Failure::misuse)?;
    // What is not UTF-8 is no export, which is for the check to say.
    let checked = check_export(&String::from_utf8_lossy(&bytes), &keys);
    if let Some(out) = &args.events {
        let lines: String = checked.canonical.iter().flat_map(|event| [event, "\n"]).collect();
        std::fs::write(out, lines).map_err(failed("write", out)).map_err(Failure::misuse)?;
    }
    match output {
        Output::Json => output::json(&checked)?,
        Output::Text => show(&checked)?,
    }
    Ok(Done::holds(checked.ok))
}

fn show(checked: &CheckedExport) -> Result<(), Failure> {
    if let (Some(ticket), Some(head)) = (&checked.ticket, &checked.head) {
        let certified = if checked.certified { ", closed with a certificate" } else { "" };
        output::text(&format!("ticket {ticket}: {} events{certified}", count(checked.events)))?;
        output::text(&format!("head of {}, {} events, key {}", head.day, count(head.size), head.key))?;
    }
    for problem in &checked.problems {
        match problem.event {
            Some(event) => output::text(&format!("event {event} {}", problem.reason))?,
            None => output::text(&problem.reason)?,
        }
    }
    output::text(if checked.ok { "ok" } else { "not ok" })
}
