//! `duban history`: what happened to a ticket, one event a line, and how it stands or stood.

mod local;
mod remote;
mod state;
mod text;
mod texts;

use std::path::PathBuf;

use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::tz::Offset;
use serde_json::Value;
use uuid::Uuid;

use crate::args::Output;
use crate::failure::{Done, Failure};
use crate::output;
use state::State;

/// What may be typed.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  duban history 0b7c1f6e-2d55-4f3a-9a53-6f8f1a0c2b11 --data ./data\n  duban history TICKET --data ./data --revision 12\n  duban history TICKET --data ./data --known-at 2026-03-03T18:00\n  duban history TICKET --server http://127.0.0.1:7110 --tokens tokens.txt\n\nMoments are RFC 3339, or local in Asia/Shanghai: 2026-03-03T18:00, 2026-03-03.\nTexts are opened with the keys of the data directory, or as far as the token's role may read them; erased ones read null.\nJSON: every event as one object in a line, with its texts opened, then the state as {\"state\": {…}}."
)]
pub(crate) struct Args {
    /// The ticket's id
    ticket: Uuid,
    /// The data directory to read
    #[arg(long, value_name = "DIR", required_unless_present = "server", conflicts_with = "server")]
    data: Option<PathBuf>,
    /// The master key's file, where it is not kept in the data directory
    #[arg(long, value_name = "FILE", requires = "data")]
    master_key: Option<PathBuf>,
    /// The server to ask
    #[arg(long, value_name = "URL", requires = "tokens")]
    server: Option<String>,
    /// Tokens, one `ROLE UNIT TOKEN` a line; the auditor's is used
    #[arg(long, value_name = "FILE", requires = "server")]
    tokens: Option<PathBuf>,
    /// As it stood after the event of this revision
    #[arg(long, value_name = "N")]
    revision: Option<u64>,
    /// As it stood at this moment, by everything known now
    #[arg(long, value_name = "T", value_parser = moment, conflicts_with = "revision")]
    at: Option<Timestamp>,
    /// As it stood at this moment, by what was recorded up to then
    #[arg(long, value_name = "T", value_parser = moment)]
    known_at: Option<Timestamp>,
}

/// Why there is no history.
#[derive(Debug, thiserror::Error)]
enum HistoryError {
    #[error("there is no ticket {0} here")]
    NoTicket(Uuid),
    #[error("ticket {0} has no event up to there: ask for a later moment or revision")]
    Nothing(Uuid),
    #[error("event {revision} of ticket {ticket} cannot be read")]
    Undecodable { ticket: Uuid, revision: u64, source: duban_codec::CodecError },
    #[error("the server's answer cannot be read: {0}")]
    Answer(&'static str),
}

/// What part of a history is asked for.
#[derive(Clone, Copy, Debug, Default)]
struct Bound {
    revision: Option<u64>,
    at: Option<Timestamp>,
    known_at: Option<Timestamp>,
}

impl Bound {
    fn holds(&self, revision: u64, occurred_at: Timestamp, recorded_at: Timestamp) -> bool {
        self.revision.is_none_or(|last| revision <= last)
            && self.at.is_none_or(|at| occurred_at <= at)
            && self.known_at.is_none_or(|at| recorded_at <= at)
    }
}

/// An event, its texts opened.
struct Entry {
    revision: u64,
    occurred_at: Timestamp,
    recorded_at: Timestamp,
    /// The stored type.
    kind: String,
    /// The envelope, as in canonical JSON but for the order of its fields.
    json: Value,
}

/// What was found.
struct History {
    entries: Vec<Entry>,
    state: State,
    /// The customer's key was erased.
    erased: bool,
}

/// Runs it.
pub(crate) fn run(args: &Args, output: Output) -> Result<Done, Failure> {
    let bound = Bound { revision: args.revision, at: args.at, known_at: args.known_at };
    let history = match (&args.data, &args.server, &args.tokens) {
        (Some(data), _, _) => local::read(data, args.master_key.as_deref(), args.ticket, bound)?,
        (None, Some(server), Some(tokens)) => remote::read(server, tokens, args.ticket, bound)?,
        (None, _, _) => {
            return Err(Failure::misuse(
                "name a data directory with --data, or a server with --server and --tokens",
            ));
        }
    };
    match output {
        Output::Json => {
            for entry in &history.entries {
                output::json(&entry.json)?;
            }
            output::json(&serde_json::json!({ "state": history.state }))?;
        }
        Output::Text => {
            for line in text::lines(&history) {
                output::text(&line)?;
            }
        }
    }
    Ok(Done::Ok)
}

/// The office's zone; it has kept the same offset since 1991.
fn office() -> Offset {
    Offset::constant(8)
}

fn moment(text: &str) -> Result<Timestamp, String> {
    if let Ok(at) = text.parse::<Timestamp>() {
        return Ok(at);
    }
    let local = text.parse::<DateTime>().map_err(|_| {
        "is no moment: write one like 2026-03-03T18:00:00+08:00, 2026-03-03T18:00 or 2026-03-03".to_owned()
    })?;
    office().to_timestamp(local).map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_are_rfc_3339_or_local_in_shanghai() {
        for text in ["2026-03-03T18:00:00+08:00", "2026-03-03T18:00", "2026-03-03T10:00:00Z"] {
            assert_eq!(moment(text).unwrap().to_string(), "2026-03-03T10:00:00Z", "{text}");
        }
        assert_eq!(moment("2026-03-03").unwrap().to_string(), "2026-03-02T16:00:00Z");
        assert!(moment("yesterday").is_err());
    }
}
