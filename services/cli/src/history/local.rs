//! Histories from a data directory, beside whoever writes to it.

use std::path::Path;
use std::sync::Arc;

use duban_aggregates::explain::Versions;
use duban_aggregates::ids::TicketId;
use duban_aggregates::intake::Kind;
use duban_engine::runner::{Rules, RunError};
use duban_engine::time::{Clock, SystemClock};
use duban_log::{Direction, Reader, Recorded};
use duban_server::history::{AsOf, Opener, difference, explain_clock, explain_verdict};
use jiff::Timestamp;
use uuid::Uuid;

use super::explained::{Answer, Explained};
use super::state::State;
use super::{Difference, History, HistoryError, What, entries};
use crate::data;
use crate::failure::Failure;

/// Events read at a time.
const PAGE: usize = 512;

/// A ticket's events as they lie in a directory, and what opens their texts.
pub(super) struct Local {
    ticket: Uuid,
    events: Vec<Recorded>,
    opener: Opener,
    rules: Rules,
    /// A log written under a virtual clock may be ahead of this machine.
    now: Timestamp,
}

/// What cannot be asked is wrong use; what cannot be read is broken.
fn failed(error: RunError) -> Failure {
    match error {
        RunError::Fields { .. } => Failure::misuse(error),
        other => Failure::broken(other),
    }
}

impl Local {
    pub(super) fn open(data: &Path, master_key: Option<&Path>, ticket: Uuid) -> Result<Self, Failure> {
        let reader = data::reader(data)?;
        let opener = Opener::new(data::opener(data, master_key)?, true);
        let events = events(&reader, ticket)?;
        let Some(last) = events.last() else { return Err(Failure::misuse(HistoryError::NoTicket(ticket))) };
        let last = Timestamp::from_microsecond(last.recorded_at).map_err(Failure::broken)?;
        let rules = data::rules_of(&reader)?;
        Ok(Self { ticket, events, opener, rules, now: SystemClock::starting_at(last).now() })
    }

    pub(super) fn history(&self, as_of: AsOf) -> Result<History, Failure> {
        let nothing = || Failure::misuse(HistoryError::Nothing(self.ticket));
        let ticket = as_of.ticket(&self.events, &self.opener, self.now).map_err(failed)?;
        let ticket = ticket.ok_or_else(nothing)?;
        let state = State::answered(&ticket).ok_or_else(nothing)?;
        let seen = self.events.iter().filter(|event| as_of.sees(event));
        let events = seen.map(|event| self.opener.event(event)).collect::<Result<_, _>>().map_err(failed)?;
        Ok(History { entries: entries(events, &self.known()).map_err(Failure::broken)?, state })
    }

    pub(super) fn difference(&self, from: AsOf, to: AsOf) -> Result<Difference, Failure> {
        let answer = difference(&self.events, (from, to), &self.opener, self.now).map_err(failed)?;
        let mut answer = answer.ok_or_else(|| Failure::misuse(HistoryError::Nothing(self.ticket)))?;
        let events = std::mem::take(&mut answer.events);
        Ok(Difference { entries: entries(events, &self.known()).map_err(Failure::broken)?, answer })
    }

    pub(super) fn explain(&self, what: What) -> Result<Explained, Failure> {
        let Rules { policy, calendar } = &self.rules;
        let versions = Versions { policies: policy.editions(), calendars: vec![Arc::clone(calendar)] };
        let answer = match what {
            What::Clock(clock) => {
                let answer = explain_clock(&self.events, clock, &versions, &self.opener).map_err(failed)?;
                answer.map(Answer::Clock).ok_or(HistoryError::NoClock(self.ticket, clock))
            }
            What::Verdict(verdict) => {
                let answer =
                    explain_verdict(&self.events, verdict, &versions, &self.opener).map_err(failed)?;
                answer.map(Answer::Verdict).ok_or(HistoryError::NoVerdict(self.ticket, verdict))
            }
        };
        Explained::read(answer.map_err(Failure::misuse)?, &self.known()).map_err(Failure::broken)
    }

    fn known(&self) -> Vec<(Uuid, u64)> {
        self.events.iter().map(|event| (event.id, event.revision)).collect()
    }
}

fn events(reader: &Reader, id: Uuid) -> Result<Vec<Recorded>, Failure> {
    let mut events = Vec::new();
    for kind in [Kind::Complaint, Kind::Fault, Kind::Install] {
        let stream = data::ticket_stream(kind, TicketId(id))?;
        loop {
            let page = reader.read_stream(&stream, events.len() as u64, Direction::Forward, PAGE)?;
            let more = page.len() == PAGE;
            events.extend(page);
            if !more {
                break;
            }
        }
        if !events.is_empty() {
            break;
        }
    }
    Ok(events)
}
