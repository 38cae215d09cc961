//! Boards 看板: worklists, custody, customers' histories, the chain, reconciliation, and how the read models stand.

use duban_aggregates::ids::{CustomerId, OrderNo, TicketId};
use duban_codec::Wire;
use duban_log::Position;
use duban_projections::{Counts, OpenOrder, Place, Row, Standing, Work};
use duban_proto::api::v1 as api;
use duban_proto::api::v1::board_service_server::BoardService;
use jiff::{SignedDuration, Timestamp};
use tonic::{Request, Response};

use super::command::{Answered, Api, uuid};
use super::error::{not_yours, refused, stopped};
use super::page::{At, digest, foreign, page_size, read_token, token};
use super::read::{Field, unit};
use crate::access::{Grant, Scope};
use duban_history::folded_ticket::order_status;
use duban_history::ticket_summary::ticket_summary;

/// Entries on a page where the caller says nothing, and at the most.
const ITEMS_DEFAULT: u32 = 50;
const ITEMS_MAX: u32 = 1_000;

/// Up to how many days old the tickets of the chain board are counted together.
const AGES_DAYS: [i64; 5] = [1, 3, 7, 15, 30];

/// Within how many days the same kind of case on the same service is a repeat (domain.md section 9).
const REPEATS_WITHIN: SignedDuration = SignedDuration::from_hours(30 * 24);

#[tonic::async_trait]
impl BoardService for Api {
    async fn get_worklist(
        &self,
        request: Request<api::GetWorklistRequest>,
    ) -> Answered<api::GetWorklistResponse> {
        let grant = Grant::of(&request)?.clone();
        let asked = request.into_inner();
        let unit = unit("unit", &asked.unit).map_err(refused)?;
        if grant.scope == Scope::OwnUnit && grant.actor.unit != unit {
            return Err(refused(not_yours(unit.as_str())));
        }
        self.wait_for(&asked.min_position).await?;
        let query = digest(unit.as_str().as_bytes());
        let after = (!asked.page_token.is_empty())
            .then(|| entry(&asked.page_token, query))
            .transpose()
            .map_err(refused)?;
        let limit = page_size(asked.page_size, ITEMS_DEFAULT, ITEMS_MAX);
        let (work, next) = self.views.tickets.worklist(unit.as_str(), after, limit).map_err(stopped)?;
        Ok(Response::new(api::GetWorklistResponse {
            items: work.iter().map(item).collect(),
            next_page_token: next.map(|next| entry_token(query, next)).unwrap_or_default(),
        }))
    }

    async fn get_custody_board(
        &self,
        request: Request<api::GetCustodyBoardRequest>,
    ) -> Answered<api::GetCustodyBoardResponse> {
        self.wait_for(&request.get_ref().min_position).await?;
        let now = self.runner.clock().now();
        let custody = self.views.tickets.custody(now).map_err(stopped)?;
        let holders = custody.into_iter().map(|(holder, has)| api::HolderView {
            holder,
            tickets: has.tickets,
            oldest_since: has.since.put(),
            seconds: has.seconds,
        });
        Ok(Response::new(api::GetCustodyBoardResponse { holders: holders.collect(), as_of: now.put() }))
    }

    async fn get_customer_history(
        &self,
        request: Request<api::GetCustomerHistoryRequest>,
    ) -> Answered<api::GetCustomerHistoryResponse> {
        let asked = request.into_inner();
        let customer = uuid("customer_id", &asked.customer_id).map(CustomerId).map_err(refused)?;
        self.wait_for(&asked.min_position).await?;
        let rows = self.views.tickets.of_customer(customer).map_err(stopped)?;
        let tickets: Vec<_> =
            rows.iter().enumerate().map(|(at, row)| of_customer(row, &rows[..at])).collect();
        let repeats =
            tickets.iter().map(|ticket| u32::from(ticket.repeats.is_some()) + ticket.reopened).sum();
        Ok(Response::new(api::GetCustomerHistoryResponse { tickets, repeats }))
    }

    async fn get_chain_board(
        &self,
        request: Request<api::GetChainBoardRequest>,
    ) -> Answered<api::GetChainBoardResponse> {
        self.wait_for(&request.get_ref().min_position).await?;
        let now = self.runner.clock().now();
        let ago =
            |days: i64| now.saturating_sub(SignedDuration::from_hours(24 * days)).unwrap_or(Timestamp::MIN);
        let board = self.views.tickets.chain_board(&AGES_DAYS.map(ago)).map_err(stopped)?;
        let stages = board.into_iter().map(|((stage, kind), cell)| api::StageView {
            stage: stage.put(),
            kind: kind.put(),
            tickets: cell.tickets,
            oldest_taken_in_at: cell.oldest.put(),
            waiting_since: cell.waiting_since.put(),
            by_age: cell.by_age,
        });
        Ok(Response::new(api::GetChainBoardResponse { stages: stages.collect(), as_of: now.put() }))
    }

    async fn get_reconciliation(
        &self,
        request: Request<api::GetReconciliationRequest>,
    ) -> Answered<api::GetReconciliationResponse> {
        self.wait_for(&request.get_ref().min_position).await?;
        let counts = self.views.tickets.counts().map_err(stopped)?;
        let adds_up = counts.add_up();
        let Counts { opened, reopened, closed, withdrawn, rejected, merged, open, rounds: _ } = counts;
        Ok(Response::new(api::GetReconciliationResponse {
            opened,
            reopened,
            closed,
            withdrawn,
            rejected,
            merged,
            open,
            adds_up,
        }))
    }

    async fn list_projections(
        &self,
        _: Request<api::ListProjectionsRequest>,
    ) -> Answered<api::ListProjectionsResponse> {
        let head = self.runner.log().head().position;
        let standings = [
            self.views.tickets.standing(),
            self.views.customers.standing(),
            self.views.conformance.standing(),
        ];
        let head_at = head.map(Position::get);
        Ok(Response::new(api::ListProjectionsResponse {
            projections: standings.into_iter().map(|standing| projection(standing, head_at)).collect(),
            head: head.map(|head| head.to_string()).unwrap_or_default(),
        }))
    }
}

fn item(work: &Work) -> api::WorkItem {
    let order = |order: &OpenOrder| api::OpenOrderView {
        order: order.order.0,
        part: order.part.put(),
        status: order_status(order.status).into(),
        issued_at: order.issued_at.put(),
        due: order.due.put(),
    };
    api::WorkItem { ticket: Some(ticket_summary(&work.row)), order: work.order.as_ref().map(order) }
}

fn of_customer(row: &Row, earlier: &[Row]) -> api::CustomerTicket {
    let same = |before: &&Row| {
        let since = before.ended_at.unwrap_or(before.taken_in_at).max(before.taken_in_at);
        before.kind == row.kind
            && before.number_hash == row.number_hash
            && row.taken_in_at.duration_since(since) <= REPEATS_WITHIN
    };
    api::CustomerTicket {
        ticket: Some(ticket_summary(row)),
        repeats: earlier.iter().rev().find(same).map(|before| before.ticket.to_string()),
        reopened: row.reopened,
    }
}

fn projection(standing: Standing, head: Option<u64>) -> api::ProjectionView {
    let position = standing.reached.map(Position::get);
    let lag = head.map_or(0, |head| head + 1).saturating_sub(position.map_or(0, |position| position + 1));
    let state = match standing.stopped {
        Some(_) => api::ProjectionState::Stopped,
        None if lag > 0 => api::ProjectionState::Behind,
        None => api::ProjectionState::Current,
    };
    api::ProjectionView {
        name: standing.name.to_owned(),
        version: standing.version,
        state: state.into(),
        position: standing.reached.map(|reached| reached.to_string()).unwrap_or_default(),
        written_position: standing.written.map(|written| written.to_string()).unwrap_or_default(),
        rows: standing.rows,
        unwritten: standing.unwritten,
        rebuilt_because: standing.rebuilt,
        stopped_by: standing.stopped,
        lag,
    }
}

fn entry_token(query: [u8; 8], ((due, ticket), order): (Place, OrderNo)) -> String {
    token(query, At { number: due.as_microsecond(), id: ticket.0, part: order.0 })
}

fn entry(text: &str, query: [u8; 8]) -> Field<(Place, OrderNo)> {
    let at = read_token(text, query)?;
    let due = Timestamp::from_microsecond(at.number).map_err(|_| foreign())?;
    Ok(((due, TicketId(at.id)), OrderNo(at.part)))
}
