//! Histories from a server, with its texts as far as the token's role may read them.

use std::path::Path;

use duban_aggregates::ids::{ClockNo, VerdictNo};
use duban_history::as_of::AsOf;
use duban_proto::api::v1 as api;
use duban_proto::api::v1::history_service_client::HistoryServiceClient;
use jiff::Timestamp;
use tokio::runtime::Runtime;
use tonic::Status;
use uuid::Uuid;

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

    pub(super) fn ticket(&mut self, as_of: AsOf) -> Result<api::Ticket, Failure> {
        let api::Moment { revision, known_at, at } = asked(as_of);
        let ticket_id = self.ticket.to_string();
        let request = api::GetTicketRequest { ticket_id, revision, known_at, at, ..Default::default() };
        let answer = self.runtime.block_on(self.history.get_ticket(request)).map_err(refused)?;
        answer.into_inner().ticket.ok_or_else(|| Failure::broken("the server's answer holds no ticket"))
    }

    pub(super) fn difference(&mut self, from: AsOf, to: AsOf) -> Result<api::DiffTicketResponse, Failure> {
        let request = api::DiffTicketRequest {
            ticket_id: self.ticket.to_string(),
            min_position: String::new(),
            from: Some(asked(from)),
            to: Some(asked(to)),
        };
        let answer = self.runtime.block_on(self.history.diff_ticket(request)).map_err(refused)?;
        Ok(answer.into_inner())
    }

    pub(super) fn explain_clock(&mut self, clock: ClockNo) -> Result<api::ExplainClockResponse, Failure> {
        let (ticket_id, min_position) = (self.ticket.to_string(), String::new());
        let request = api::ExplainClockRequest { ticket_id, min_position, clock: clock.0 };
        let answer = self.runtime.block_on(self.history.explain_clock(request)).map_err(refused)?;
        Ok(answer.into_inner())
    }

    pub(super) fn explain_verdict(
        &mut self,
        verdict: VerdictNo,
    ) -> Result<api::ExplainVerdictResponse, Failure> {
        let (ticket_id, min_position) = (self.ticket.to_string(), String::new());
        let request = api::ExplainVerdictRequest { ticket_id, min_position, verdict: verdict.0 };
        let answer = self.runtime.block_on(self.history.explain_verdict(request)).map_err(refused)?;
        Ok(answer.into_inner())
    }

    /// All events of the ticket, page by page.
    pub(super) fn events(&mut self) -> Result<Vec<api::HistoryEvent>, Failure> {
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
