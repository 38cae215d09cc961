//! `duban history`: what happened to a ticket, one event a line, and how it stands or stood; what lies between two moments; and what
//! a verdict rests on.

pub(crate) mod moment;
mod remote;

use std::path::PathBuf;

use duban_aggregates::ids::{ClockNo, VerdictNo};
use duban_engine::runner::Rules;
use duban_engine::time::{Clock, SystemClock};
use duban_history::as_of::AsOf;
use duban_history::render::{self, Rendered, UnreadableAnswer};
use duban_history::text_opener::TextOpener;
use duban_history::ticket_history::{TicketHistory, TicketHistoryError};
use duban_proto::api::v1 as api;
use jiff::Timestamp;
use uuid::Uuid;

use self::moment::{When, moment};
use self::remote::Remote;
use crate::args::Output;
use crate::data;
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
    #[arg(long, value_name = "WHAT", value_parser = subject, conflicts_with_all = ["revision", "at", "known_at"])]
    explain: Option<Subject>,
}

/// What is explained.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Subject {
    Clock(ClockNo),
    Verdict(VerdictNo),
}

fn subject(text: &str) -> Result<Subject, String> {
    let number = |text: &str| text.parse::<u32>().ok().filter(|number| *number > 0);
    let found = match text.split_once(':') {
        Some(("clock", text)) => number(text).map(|number| Subject::Clock(ClockNo(number))),
        Some(("verdict", text)) => number(text).map(|number| Subject::Verdict(VerdictNo(number))),
        _ => None,
    };
    found.ok_or_else(|| "is neither clock:N nor verdict:N, numbered from 1".to_owned())
}

/// Where histories are read.
enum Source {
    Directory(Box<TicketHistory>, Rules),
    Server(Box<Remote>),
}

fn failed(error: TicketHistoryError) -> Failure {
    if error.is_misuse() { Failure::misuse(error) } else { Failure::broken(error) }
}

impl Source {
    fn open(args: &Args) -> Result<Self, Failure> {
        match (&args.data, &args.server, &args.tokens) {
            (Some(data), _, _) => {
                let reader = data::reader(data)?;
                let opener = TextOpener::new(data::opener(data, args.master_key.as_deref())?, true);
                let now = SystemClock::default().now();
                let history = TicketHistory::read(&reader, args.ticket, opener, now).map_err(failed)?;
                Ok(Self::Directory(Box::new(history), data::rules_of(&reader)?))
            }
            (None, Some(server), Some(tokens)) => {
                Ok(Self::Server(Box::new(Remote::open(server, tokens, args.ticket)?)))
            }
            (None, _, _) => Err(Failure::misuse(Nowhere)),
        }
    }

    fn ticket(&mut self, as_of: AsOf) -> Result<api::Ticket, Failure> {
        match self {
            Self::Directory(history, _) => history.ticket(as_of).map_err(failed),
            Self::Server(remote) => remote.ticket(as_of),
        }
    }

    fn events(&mut self) -> Result<Vec<api::HistoryEvent>, Failure> {
        match self {
            Self::Directory(history, _) => history.events().map_err(failed),
            Self::Server(remote) => remote.events(),
        }
    }

    fn difference(&mut self, from: AsOf, to: AsOf) -> Result<api::DiffTicketResponse, Failure> {
        match self {
            Self::Directory(history, _) => history.difference(from, to).map_err(failed),
            Self::Server(remote) => remote.difference(from, to),
        }
    }

    fn explain_clock(&mut self, clock: ClockNo) -> Result<api::ExplainClockResponse, Failure> {
        match self {
            Self::Directory(history, Rules { policy, calendar }) => {
                history.explain_clock(clock, policy, calendar).map_err(failed)
            }
            Self::Server(remote) => remote.explain_clock(clock),
        }
    }

    fn explain_verdict(&mut self, verdict: VerdictNo) -> Result<api::ExplainVerdictResponse, Failure> {
        match self {
            Self::Directory(history, Rules { policy, calendar }) => {
                history.explain_verdict(verdict, policy, calendar).map_err(failed)
            }
            Self::Server(remote) => remote.explain_verdict(verdict),
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
    let unreadable = |error: UnreadableAnswer| Failure::broken(error);
    let (rendered, erased) = if let Some(subject) = args.explain {
        let rendered = match subject {
            Subject::Clock(clock) => {
                let answer = source.explain_clock(clock)?;
                render::explained_clock(answer, &source.events()?)
            }
            Subject::Verdict(verdict) => {
                let answer = source.explain_verdict(verdict)?;
                render::explained_verdict(answer, &source.events()?)
            }
        };
        (rendered.map_err(unreadable)?, erased(&source.ticket(AsOf::default())?))
    } else if let Some([from, to]) = args.diff.as_deref() {
        let answer = source.difference(from.as_of(), to.as_of())?;
        let rendered = render::difference(answer, &source.events()?).map_err(unreadable)?;
        (rendered, erased(&source.ticket(AsOf::default())?))
    } else {
        let as_of = AsOf { revision: args.revision, at: args.at, known_at: args.known_at };
        let ticket = source.ticket(as_of)?;
        (render::history(&ticket, source.events()?, as_of).map_err(unreadable)?, erased(&ticket))
    };
    show(&rendered, erased, output)?;
    Ok(Done::holds(rendered.agrees))
}

/// Whether the customer's key was erased.
fn erased(ticket: &api::Ticket) -> bool {
    ticket.customer.as_ref().is_some_and(|customer| customer.erased)
}

fn show(rendered: &Rendered, erased: bool, output: Output) -> Result<(), Failure> {
    match output {
        Output::Json => rendered.json_lines().iter().try_for_each(output::json),
        Output::Text => rendered.text_lines(erased).iter().try_for_each(|line| output::text(line)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_explained_is_a_clock_or_a_verdict_by_its_number() {
        assert_eq!(subject("clock:3"), Ok(Subject::Clock(ClockNo(3))));
        assert_eq!(subject("verdict:1"), Ok(Subject::Verdict(VerdictNo(1))));
        for wrong in ["", "clock", "clock:0", "clock:x", "order:1", "verdict:-1"] {
            assert!(subject(wrong).is_err(), "{wrong}");
        }
    }
}
