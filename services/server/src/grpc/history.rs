//! Histories 履历: tickets as they stand and stood, their events, lists, the head; the difference between two moments, and verdicts
//! explained.

mod list;

use duban_aggregates::ids::{ClockNo, TicketId, VerdictNo};
use duban_aggregates::rejection::Rejection;
use duban_aggregates::ticket::Ticket;
use duban_engine::runner::RunError;
use duban_history::as_of::AsOf;
use duban_history::difference::difference;
use duban_history::explain::Versions;
use duban_history::explanation::{explain_clock, explain_verdict};
use duban_history::text_opener::TextOpener;
use duban_log::{Direction, Recorded};
use duban_proto::api::v1 as api;
use duban_proto::api::v1::history_service_server::HistoryService;
use tonic::{Request, Response, Status};
use uuid::Uuid;

use super::command::{Api, uuid, works_on};
use super::error::{refused, unshown};
use super::page::page_size;
use super::read::{Field, given, moment, read, under};
use crate::access::{Grant, Scope, reads_personal_data};

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
        let (id, as_of) = asked_for(&asked).map_err(refused)?;
        self.wait_for(&asked.min_position).await?;
        let (events, opener) = self.whole(&grant, TicketId(id)).await.map_err(refused)?;
        let ticket = as_of.ticket(&events, &opener, self.runner.clock().now()).map_err(unshown)?;
        let ticket = ticket.ok_or_else(unknown).map_err(refused)?;
        Ok(Response::new(api::GetTicketResponse { ticket: Some(ticket) }))
    }

    async fn diff_ticket(
        &self,
        request: Request<api::DiffTicketRequest>,
    ) -> Result<Response<api::DiffTicketResponse>, Status> {
        let grant = Grant::of(&request)?.clone();
        let asked = request.into_inner();
        let (id, from, to) = asked_between(&asked).map_err(refused)?;
        self.wait_for(&asked.min_position).await?;
        let (events, opener) = self.whole(&grant, TicketId(id)).await.map_err(refused)?;
        let now = self.runner.clock().now();
        let difference = difference(&events, (from, to), &opener, now).map_err(unshown)?;
        Ok(Response::new(difference.ok_or_else(unknown).map_err(refused)?))
    }

    async fn explain_clock(
        &self,
        request: Request<api::ExplainClockRequest>,
    ) -> Result<Response<api::ExplainClockResponse>, Status> {
        let grant = Grant::of(&request)?.clone();
        let asked = request.into_inner();
        let (id, clock) = (uuid("ticket_id", &asked.ticket_id).map_err(refused)?, ClockNo(asked.clock));
        self.wait_for(&asked.min_position).await?;
        let (events, opener) = self.whole(&grant, TicketId(id)).await.map_err(refused)?;
        let explained = explain_clock(&events, clock, &self.versions(), &opener).map_err(unshown)?;
        let explained =
            explained.ok_or_else(|| RunError::from(Rejection::UnknownClock { clock })).map_err(refused)?;
        Ok(Response::new(explained))
    }

    async fn explain_verdict(
        &self,
        request: Request<api::ExplainVerdictRequest>,
    ) -> Result<Response<api::ExplainVerdictResponse>, Status> {
        let grant = Grant::of(&request)?.clone();
        let asked = request.into_inner();
        let (id, verdict) = (uuid("ticket_id", &asked.ticket_id).map_err(refused)?, VerdictNo(asked.verdict));
        self.wait_for(&asked.min_position).await?;
        let (events, opener) = self.whole(&grant, TicketId(id)).await.map_err(refused)?;
        let explained = explain_verdict(&events, verdict, &self.versions(), &opener).map_err(unshown)?;
        let explained = explained
            .ok_or_else(|| RunError::from(Rejection::UnknownVerdict { verdict }))
            .map_err(refused)?;
        Ok(Response::new(explained))
    }

    async fn list_events(
        &self,
        request: Request<api::ListEventsRequest>,
    ) -> Result<Response<api::ListEventsResponse>, Status> {
        let grant = Grant::of(&request)?.clone();
        let asked = request.into_inner();
        let ticket = uuid("ticket_id", &asked.ticket_id).map(TicketId).map_err(refused)?;
        self.wait_for(&asked.min_position).await?;
        let stream = self
            .runner
            .locate(ticket)
            .await
            .map_err(refused)?
            .ok_or_else(|| RunError::from(Rejection::TicketUnknown))
            .map_err(refused)?;
        let from = list::next_revision(&asked.page_token, ticket).map_err(refused)?;
        let size = page_size(asked.page_size, EVENTS_DEFAULT, EVENTS_MAX);
        let read = self.runner.log().read_stream(&stream, from, Direction::Forward, size + 1).await;
        let mut events = read.map_err(RunError::from).map_err(refused)?;
        let more = !duban_log::ends_stream(&events, size + 1);
        events.truncate(size);
        let opener = self.opener_of(&grant, ticket).await.map_err(refused)?;
        let next = events.last().filter(|_| more).map(|last| list::events_token(ticket, last.revision + 1));
        let events =
            events.iter().map(|event| opener.event(event)).collect::<Result<_, _>>().map_err(unshown)?;
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

fn unknown() -> RunError {
    RunError::from(Rejection::TicketUnknown)
}

fn asked_for(asked: &api::GetTicketRequest) -> Field<(Uuid, AsOf)> {
    read! {
        id: uuid("ticket_id", &asked.ticket_id);
        known_at: moment("known_at", asked.known_at);
        at: moment("at", asked.at);
    }
    Ok((id, AsOf { revision: asked.revision, known_at, at }))
}

fn asked_between(asked: &api::DiffTicketRequest) -> Field<(Uuid, AsOf, AsOf)> {
    read! {
        id: uuid("ticket_id", &asked.ticket_id);
        from: given("from", &asked.from).and_then(|from| as_of("from", from));
        to: as_of("to", &asked.to.unwrap_or_default());
    }
    Ok((id, from, to))
}

/// A moment that a caller gives.
fn as_of(name: &'static str, from: &api::Moment) -> Field<AsOf> {
    let inside = |error| under(name, error);
    Ok(AsOf {
        revision: from.revision,
        known_at: moment("known_at", from.known_at).map_err(inside)?,
        at: moment("at", from.at).map_err(inside)?,
    })
}

impl Api {
    /// All events of a ticket, and what opens their texts.
    async fn whole(&self, grant: &Grant, ticket: TicketId) -> Result<(Vec<Recorded>, TextOpener), RunError> {
        let stream = self.runner.locate(ticket).await?.ok_or_else(unknown)?;
        let mut events = Vec::new();
        loop {
            let from = events.last().map_or(0, |last: &Recorded| last.revision + 1);
            let page = self.runner.log().read_stream(&stream, from, Direction::Forward, READ_EVENTS).await?;
            let more = !duban_log::ends_stream(&page, READ_EVENTS);
            events.extend(page);
            if !more {
                return Ok((events, self.opener_of(grant, ticket).await?));
            }
        }
    }

    /// The versions by which verdicts are computed again.
    fn versions(&self) -> Versions {
        let rules = self.runner.rules();
        Versions { policies: rules.policy.editions(), calendars: vec![rules.calendar.clone()] }
    }

    /// Opens a ticket's texts as it stands now: whoever works on it may read what was written before.
    async fn opener_of(&self, grant: &Grant, ticket: TicketId) -> Result<TextOpener, RunError> {
        let opener = |seen: Option<&Ticket>| seen.map(|seen| self.opener(grant, seen));
        self.runner.view(ticket.0, opener).await?.ok_or_else(unknown)
    }

    /// Opens texts for those who may read them; a unit's member reads those of tickets that its unit works on.
    fn opener(&self, grant: &Grant, ticket: &Ticket) -> TextOpener {
        let theirs = match grant.scope {
            Scope::Any => true,
            Scope::OwnUnit => works_on(ticket, &grant.actor.unit),
        };
        let may = theirs && reads_personal_data(grant.actor.role);
        TextOpener::new(Some(self.sealer.clone()), may)
    }
}
