//! Histories 履历: tickets as they stand and stood, their events, lists, the head.

mod list;
mod texts;
mod view;

pub(super) use self::view::{order_status, summary};

use duban_aggregates::ids::TicketId;
use duban_aggregates::rejection::Rejection;
use duban_aggregates::ticket::Ticket;
use duban_log::{Direction, Recorded};
use duban_proto::api::v1 as api;
use duban_proto::api::v1::history_service_server::HistoryService;
use jiff::Timestamp;
use tonic::{Request, Response, Status};

use self::texts::Opener;
use self::view::Shown;
use super::command::{Api, uuid, works_on};
use super::page::page_size;
use super::read::{moment, read};
use crate::access::{Grant, Scope, reads_personal_data};
use crate::runner::RunError;

/// Events read from the log at a time.
const READ_EVENTS: usize = 512;

/// Events on a page where the caller says nothing, and at the most.
const EVENTS_DEFAULT: u32 = 100;
const EVENTS_MAX: u32 = 1_000;

#[tonic::async_trait]
impl HistoryService for Api {
    async fn get_ticket(
        &self,
        request: Request<api::GetTicketRequest>,
    ) -> Result<Response<api::GetTicketResponse>, Status> {
        let grant = Grant::of(&request)?.clone();
        let asked = request.into_inner();
        read! {
            id: uuid("ticket_id", &asked.ticket_id);
            known_at: moment("known_at", asked.known_at);
            at: moment("at", asked.at);
        }
        self.wait_for(&asked.min_position).await?;
        let as_of = AsOf { revision: asked.revision, known_at, at };
        let shown = self.shown(TicketId(id), as_of).await?;
        let opener = self.opener(&grant, &shown.ticket);
        let now = known_at.or(at).unwrap_or_else(|| self.runner.clock().now());
        Ok(Response::new(api::GetTicketResponse { ticket: Some(shown.view(&opener, now)) }))
    }

    async fn list_events(
        &self,
        request: Request<api::ListEventsRequest>,
    ) -> Result<Response<api::ListEventsResponse>, Status> {
        let grant = Grant::of(&request)?.clone();
        let asked = request.into_inner();
        let ticket = uuid("ticket_id", &asked.ticket_id).map(TicketId)?;
        self.wait_for(&asked.min_position).await?;
        let stream =
            self.runner.locate(ticket).await?.ok_or_else(|| RunError::from(Rejection::TicketUnknown))?;
        let from = list::next_revision(&asked.page_token, ticket)?;
        let size = page_size(asked.page_size, EVENTS_DEFAULT, EVENTS_MAX);
        let read = self.runner.log().read_stream(&stream, from, Direction::Forward, size + 1).await;
        let mut events = read.map_err(RunError::from)?;
        let more = events.len() > size;
        events.truncate(size);
        let opener = |seen: Option<&Ticket>| seen.map(|seen| self.opener(&grant, seen));
        let Some(opener) = self.runner.view(ticket.0, opener).await? else {
            return Err(RunError::from(Rejection::TicketUnknown).into());
        };
        let next = events.last().filter(|_| more).map(|last| list::events_token(ticket, last.revision + 1));
        let events = events.iter().map(|event| opener.event(event)).collect::<Result<_, _>>()?;
        Ok(Response::new(api::ListEventsResponse { events, next_page_token: next.unwrap_or_default() }))
    }

    async fn list_tickets(
        &self,
        request: Request<api::ListTicketsRequest>,
    ) -> Result<Response<api::ListTicketsResponse>, Status> {
        let grant = Grant::of(&request)?.clone();
        let asked = request.into_inner();
        self.wait_for(&asked.min_position).await?;
        Ok(Response::new(self.page(&grant, &asked)?))
    }

    async fn get_head(
        &self,
        request: Request<api::GetHeadRequest>,
    ) -> Result<Response<api::GetHeadResponse>, Status> {
        self.wait_for(&request.get_ref().min_position).await?;
        let head = self.runner.log().head();
        Ok(Response::new(api::GetHeadResponse {
            position: head.position.map(|position| position.to_string()).unwrap_or_default(),
            size: head.size,
            root: head.root.to_vec(),
        }))
    }
}

/// As it stood when.
#[derive(Clone, Copy, Debug, Default)]
struct AsOf {
    revision: Option<u64>,
    known_at: Option<Timestamp>,
    at: Option<Timestamp>,
}

impl AsOf {
    fn sees(&self, event: &Recorded) -> bool {
        let by = |limit: Option<Timestamp>, moment: i64| {
            limit.is_none_or(|limit| moment <= limit.as_microsecond())
        };
        self.revision.is_none_or(|revision| event.revision <= revision)
            && by(self.known_at, event.recorded_at)
            && by(self.at, event.occurred_at)
    }
}

impl Api {
    /// Folds a ticket from the log, with what its state does not keep.
    async fn shown(&self, ticket: TicketId, as_of: AsOf) -> Result<Shown, Status> {
        let unknown = || Status::from(RunError::from(Rejection::TicketUnknown));
        let stream = self.runner.locate(ticket).await?.ok_or_else(unknown)?;
        let mut shown = None;
        let mut from = 0;
        loop {
            let read = self.runner.log().read_stream(&stream, from, Direction::Forward, READ_EVENTS).await;
            let page = read.map_err(RunError::from)?;
            for event in page.iter().filter(|event| as_of.sees(event)) {
                shown = Shown::after(shown, event)?;
            }
            match page.last() {
                Some(last) if page.len() == READ_EVENTS => from = last.revision + 1,
                _ => return shown.ok_or_else(unknown),
            }
        }
    }

    /// Opens texts for those who may read them; a unit's member reads those of tickets that its unit works on.
    fn opener(&self, grant: &Grant, ticket: &Ticket) -> Opener {
        let theirs = match grant.scope {
            Scope::Any => true,
            Scope::OwnUnit => works_on(ticket, &grant.actor.unit),
        };
        let may = theirs && reads_personal_data(grant.actor.role);
        Opener::new(self.sealer.clone(), may)
    }
}
