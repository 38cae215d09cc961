//! `duban history`: what happened to a ticket, one event a line, and how it stands or stood; what lies between two moments; and what
//! a verdict rests on.

mod custody;
mod explained;
mod local;
pub(crate) mod moment;
mod remote;
mod state;
pub(crate) mod text;
mod texts;

use std::path::PathBuf;

use duban_aggregates::ids::{ClockNo, VerdictNo};
use duban_proto::api::v1 as api;
use duban_server::history::AsOf;
use jiff::Timestamp;
use serde::Serialize;
use serde_json::Value;
use uuid::Uuid;

use self::explained::Explained;
use self::local::Local;
use self::moment::{When, moment};
use self::remote::Remote;
use self::state::State;
use crate::args::Output;
use crate::failure::{Done, Failure};
use crate::output;

/// What may be typed.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  duban history 0b7c1f6e-2d55-4f3a-9a53-6f8f1a0c2b11 --data ./data\n  duban history TICKET --data ./data --revision 12\n  duban history TICKET --data ./data --known-at 2026-03-03T18:00\n  duban history TICKET --data ./data --diff 12 30\n  duban history TICKET --data ./data --diff known:2026-03-03 at:2026-03-03\n  duban history TICKET --data ./data --explain clock:3\n  duban history TICKET --server http://127.0.0.1:7110 --tokens tokens.txt --explain verdict:1\n\nMoments are RFC 3339, or local in Asia/Shanghai: 2026-03-03T18:00, 2026-03-03. What was true at a moment (--at, at:T) is folded from\neverything that had occurred by then, as it is known now; what was known (--known-at, known:T) from everything that had been recorded.\nThe two ends of --diff are revisions, moments (known:T, at:T; T alone is known:T) or `now`; the first is the one that sees less.\nA past state counts custody up to the moment that was asked for, after a revision up to when its event was recorded.\n--explain computes the verdict of a clock or on a unit again, from the events and the versions of policy and calendar that it names.\nTexts are opened with the keys of the data directory, or as far as the token's role may read them; erased ones read null.\nExit status: 0 done, 1 what was explained does not agree with what is stored, 2 wrong use.\nJSON: every event as one object in a line, with its texts opened and its `cause`; then {\"state\": {…}}, or {\"difference\": {\"from\", \"to\",\n\"words\", \"changes\": [{\"field\", \"before\", \"after\"}]}}, or {\"clock\": {…, \"agrees\", \"differences\"}} or {\"verdict\": {…}}."
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
    /// What lies between two moments
    #[arg(long, num_args = 2, value_names = ["FROM", "TO"], conflicts_with_all = ["revision", "at", "known_at", "explain"])]
    diff: Option<Vec<When>>,
    /// What the verdict of a clock, or on a unit, rests on: `clock:N` or `verdict:N`
    #[arg(long, value_name = "WHAT", value_parser = what, conflicts_with_all = ["revision", "at", "known_at"])]
    explain: Option<What>,
}

/// What is explained.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum What {
    Clock(ClockNo),
    Verdict(VerdictNo),
}

fn what(text: &str) -> Result<What, String> {
    let number = |text: &str| text.parse::<u32>().ok().filter(|number| *number > 0);
    let found = match text.split_once(':') {
        Some(("clock", text)) => number(text).map(|number| What::Clock(ClockNo(number))),
        Some(("verdict", text)) => number(text).map(|number| What::Verdict(VerdictNo(number))),
        _ => None,
    };
    found.ok_or_else(|| "is neither clock:N nor verdict:N, numbered from 1".to_owned())
}

/// Why there is no history.
#[derive(Debug, thiserror::Error)]
enum HistoryError {
    #[error("there is no ticket {0} here")]
    NoTicket(Uuid),
    #[error("ticket {0} has no event up to there: ask for a later moment or revision")]
    Nothing(Uuid),
    #[error("ticket {0} has no clock {1}")]
    NoClock(Uuid, ClockNo),
    #[error("ticket {0} has no verdict {1}")]
    NoVerdict(Uuid, VerdictNo),
    #[error("the server's answer cannot be read: {0}")]
    Answer(&'static str),
}

/// What led to an event.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
struct Cause {
    /// The command behind it; events of one command happened together.
    command: Uuid,
    /// The event that the command answers to, where it was no person's: in this stream by its revision, too.
    #[serde(skip_serializing_if = "Option::is_none")]
    event: Option<Uuid>,
    #[serde(skip_serializing_if = "Option::is_none")]
    revision: Option<u64>,
    /// What started the whole line of events.
    #[serde(skip_serializing_if = "Option::is_none")]
    correlation: Option<Uuid>,
}

/// An event, its texts opened.
struct Entry {
    id: Uuid,
    revision: u64,
    position: Option<u64>,
    occurred_at: Timestamp,
    recorded_at: Timestamp,
    /// The stored type.
    kind: String,
    /// Who, in which department, as what.
    actor: String,
    unit: String,
    role: String,
    cause: Cause,
    /// The envelope, as in canonical JSON but for the order of its fields.
    json: Value,
}

impl Entry {
    /// The line of JSON: the envelope, and what led to it.
    fn line(&self) -> Value {
        let mut line = self.json.clone();
        if let (Some(fields), Ok(cause)) = (line.as_object_mut(), serde_json::to_value(&self.cause)) {
            fields.insert("cause".to_owned(), cause);
        }
        line
    }
}

/// Reads the events of an answer. A cause in this ticket's own stream is named by its revision.
fn entries(events: Vec<api::HistoryEvent>, known: &[(Uuid, u64)]) -> Result<Vec<Entry>, HistoryError> {
    let mut entries = events.into_iter().map(texts::entry).collect::<Result<Vec<_>, _>>()?;
    for entry in &mut entries {
        let caused_by = entry.cause.event;
        entry.cause.revision =
            known.iter().find(|(id, _)| Some(*id) == caused_by).map(|(_, revision)| *revision);
    }
    Ok(entries)
}

/// What was found.
struct History {
    entries: Vec<Entry>,
    state: State,
}

/// What lies between two moments.
struct Difference {
    entries: Vec<Entry>,
    answer: api::DiffTicketResponse,
}

/// Where histories are read.
enum Source {
    Directory(Local),
    Server(Box<Remote>),
}

impl Source {
    fn open(args: &Args) -> Result<Self, Failure> {
        match (&args.data, &args.server, &args.tokens) {
            (Some(data), _, _) => {
                Ok(Self::Directory(Local::open(data, args.master_key.as_deref(), args.ticket)?))
            }
            (None, Some(server), Some(tokens)) => {
                Ok(Self::Server(Box::new(Remote::open(server, tokens, args.ticket)?)))
            }
            (None, _, _) => Err(Failure::misuse(Nowhere)),
        }
    }

    fn history(&mut self, as_of: AsOf) -> Result<History, Failure> {
        match self {
            Self::Directory(local) => local.history(as_of),
            Self::Server(remote) => remote.history(as_of),
        }
    }

    fn difference(&mut self, from: AsOf, to: AsOf) -> Result<Difference, Failure> {
        match self {
            Self::Directory(local) => local.difference(from, to),
            Self::Server(remote) => remote.difference(from, to),
        }
    }

    /// Whether the customer's key was erased.
    fn erased(&mut self) -> Result<bool, Failure> {
        Ok(self.history(AsOf::default())?.state.erased)
    }

    fn explain(&mut self, what: What) -> Result<Explained, Failure> {
        match self {
            Self::Directory(local) => local.explain(what),
            Self::Server(remote) => remote.explain(what),
        }
    }
}

/// Neither a directory nor a server.
#[derive(Debug, thiserror::Error)]
#[error("name a data directory with --data, or a server with --server and --tokens")]
struct Nowhere;

/// Runs it.
pub(crate) fn run(args: &Args, output: Output) -> Result<Done, Failure> {
    let mut source = Source::open(args)?;
    if let Some(what) = args.explain {
        let explained = source.explain(what)?;
        let erased = source.erased()?;
        let lines = || explained::lines(&explained);
        tell(output, (&explained.entries, erased), &explained.json(), &lines)?;
        return Ok(Done::holds(explained.agrees()));
    }
    if let Some([from, to]) = args.diff.as_deref() {
        let difference = source.difference(from.as_of(), to.as_of())?;
        let json = explained::difference_json(&difference);
        let erased = source.erased()?;
        tell(output, (&difference.entries, erased), &json, &|| explained::difference_lines(&difference))?;
        return Ok(Done::Ok);
    }
    let as_of = AsOf { revision: args.revision, at: args.at, known_at: args.known_at };
    let history = source.history(as_of)?;
    let json = serde_json::json!({ "state": history.state });
    let erased = history.state.erased;
    tell(output, (&history.entries, erased), &json, &|| text::state_lines(&history.state))?;
    Ok(Done::Ok)
}

/// The events, one a line, then the rest.
fn tell(
    output: Output,
    (entries, erased): (&[Entry], bool),
    json: &Value,
    lines: &dyn Fn() -> Vec<String>,
) -> Result<(), Failure> {
    match output {
        Output::Json => {
            for entry in entries {
                output::json(&entry.line())?;
            }
            output::json(json)
        }
        Output::Text => {
            for line in text::event_lines(entries, erased).into_iter().chain([String::new()]).chain(lines()) {
                output::text(&line)?;
            }
            Ok(())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_explained_is_a_clock_or_a_verdict_by_its_number() {
        assert_eq!(what("clock:3"), Ok(What::Clock(ClockNo(3))));
        assert_eq!(what("verdict:1"), Ok(What::Verdict(VerdictNo(1))));
        for wrong in ["", "clock", "clock:0", "clock:x", "order:1", "verdict:-1"] {
            assert!(what(wrong).is_err(), "{wrong}");
        }
    }
}
