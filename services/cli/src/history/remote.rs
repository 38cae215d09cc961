//! Histories from a server, with its texts as far as the token's role may read them.

use std::path::Path;

use duban_proto::api::v1 as api;
use duban_proto::api::v1::history_service_client::HistoryServiceClient;
use duban_server::history::AsOf;
use jiff::Timestamp;
use tokio::runtime::Runtime;
use tonic::Status;
use uuid::Uuid;

use super::explained::{Answer, Explained};
use super::state::State;
use super::{Difference, Entry, History, HistoryError, What, entries};
use crate::departments::{Authed, CallError, Tokens};
use crate::failure::Failure;
use crate::{data, departments};

/// Events asked for at a time.
const PAGE: u32 = 500;

/// A server that knows the ticket.
pub(super) struct Remote {
    ticket: Uuid,
    runtime: Runtime,
    history: HistoryServiceClient<Authed>,
}

/// What cannot work however often it is asked is wrong use.
fn failed(error: CallError) -> Failure {
    match &error {
        CallError::Refused(refusal)
            if !matches!(refusal.code, tonic::Code::NotFound | tonic::Code::InvalidArgument) =>
        {
            Failure::broken(error)
        }
        _ => Failure::misuse(error),
    }
}

fn refused(status: Status) -> Failure {
    failed(status.into())
}

fn put(at: Timestamp) -> prost_types::Timestamp {
    prost_types::Timestamp { seconds: at.as_second(), nanos: at.subsec_nanosecond() }
}

fn asked(as_of: AsOf) -> api::Moment {
    let AsOf { revision, known_at, at } = as_of;
    api::Moment { revision, known_at: known_at.map(put), at: at.map(put) }
}

impl Remote {
    pub(super) fn open(server: &str, tokens: &Path, ticket: Uuid) -> Result<Self, Failure> {
        let tokens = Tokens::read(tokens).map_err(failed)?;
        let runtime = data::runtime()?;
        let office = runtime.block_on(departments::connect(server, tokens)).map_err(failed)?;
        let history = office.history().map_err(failed)?;
        Ok(Self { ticket, runtime, history })
    }

    pub(super) fn history(&mut self, as_of: AsOf) -> Result<History, Failure> {
        let api::Moment { revision, known_at, at } = asked(as_of);
        let ticket_id = self.ticket.to_string();
        let request = api::GetTicketRequest { ticket_id, revision, known_at, at, ..Default::default() };
        let answer = self.runtime.block_on(self.history.get_ticket(request)).map_err(refused)?;
        let ticket = answer.into_inner().ticket.ok_or(HistoryError::Answer("it holds no ticket"));
        let state = ticket
            .and_then(|ticket| State::answered(&ticket).ok_or(HistoryError::Answer("it holds no summary")));
        let events = self.events()?;
        let known = known(&events);
        let mut entries = entries(events, &known).map_err(Failure::broken)?;
        let seen = |entry: &Entry| {
            as_of.revision.is_none_or(|last| entry.revision <= last)
                && as_of.at.is_none_or(|at| entry.occurred_at <= at)
                && as_of.known_at.is_none_or(|at| entry.recorded_at <= at)
        };
        entries.retain(seen);
        Ok(History { entries, state: state.map_err(Failure::broken)? })
    }

    pub(super) fn difference(&mut self, from: AsOf, to: AsOf) -> Result<Difference, Failure> {
        let request = api::DiffTicketRequest {
            ticket_id: self.ticket.to_string(),
            min_position: String::new(),
            from: Some(asked(from)),
            to: Some(asked(to)),
        };
        let answer = self.runtime.block_on(self.history.diff_ticket(request)).map_err(refused)?;
        let mut answer = answer.into_inner();
        let events = std::mem::take(&mut answer.events);
        let known = known(&self.events()?);
        Ok(Difference { entries: entries(events, &known).map_err(Failure::broken)?, answer })
    }

    pub(super) fn explain(&mut self, what: What) -> Result<Explained, Failure> {
        let (ticket_id, min_position) = (self.ticket.to_string(), String::new());
        let answer = match what {
            What::Clock(clock) => {
                let request = api::ExplainClockRequest { ticket_id, min_position, clock: clock.0 };
                let answer = self.runtime.block_on(self.history.explain_clock(request));
                Answer::Clock(answer.map_err(refused)?.into_inner())
            }
            What::Verdict(verdict) => {
                let request = api::ExplainVerdictRequest { ticket_id, min_position, verdict: verdict.0 };
                let answer = self.runtime.block_on(self.history.explain_verdict(request));
                Answer::Verdict(answer.map_err(refused)?.into_inner())
            }
        };
        let known = known(&self.events()?);
        Explained::read(answer, &known).map_err(Failure::broken)
    }

    /// All events of the ticket, page by page.
    fn events(&mut self) -> Result<Vec<api::HistoryEvent>, Failure> {
        let mut events = Vec::new();
        let mut page_token = String::new();
        loop {
            let request = api::ListEventsRequest {
                ticket_id: self.ticket.to_string(),
                page_size: PAGE,
                page_token,
                ..Default::default()
            };
            let page = self.runtime.block_on(self.history.list_events(request)).map_err(refused)?;
            let page = page.into_inner();
            events.extend(page.events);
            if page.next_page_token.is_empty() {
                return Ok(events);
            }
            page_token = page.next_page_token;
        }
    }
}

fn known(events: &[api::HistoryEvent]) -> Vec<(Uuid, u64)> {
    let events = events.iter().filter_map(|event| event.event.as_ref());
    events.filter_map(|event| Some((event.id.parse().ok()?, event.revision))).collect()
}
