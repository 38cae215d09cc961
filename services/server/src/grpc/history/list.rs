//! Lists of tickets, page by page. A page's token belongs to its query: it carries a digest of it.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use duban_aggregates::chain::Stage;
use duban_aggregates::ids::{CustomerId, TicketId};
use duban_aggregates::intake::Kind;
use duban_aggregates::state::End;
use duban_projections::{Key, Order, Row, Tickets};
use duban_proto::api::v1 as api;
use jiff::Timestamp;
use prost::Message;
use tonic::Status;
use uuid::Uuid;

use super::page_size;
use super::view::summary;
use crate::grpc::command::uuid;
use crate::grpc::read::{Field, take};
use crate::runner::RunError;

/// Tickets on a page where the caller says nothing, and at the most.
const TICKETS_DEFAULT: u32 = 50;
const TICKETS_MAX: u32 = 1_000;

/// Length of a token before it is written in base64: digest, moment, ticket.
const TOKEN_LEN: usize = 8 + 8 + 16;

pub(super) fn tickets(
    tickets: &Tickets,
    asked: &api::ListTicketsRequest,
) -> Result<api::ListTicketsResponse, Status> {
    let filter = Wanted::read(asked.filter.as_ref())?;
    let order = match asked.order_by.as_str() {
        "" | "taken_in_at" | "taken_in_at asc" => Order::OldestFirst,
        "taken_in_at desc" => Order::NewestFirst,
        _ => return Err(RunError::field("order_by", "must be `taken_in_at` or `taken_in_at desc`").into()),
    };
    let query = query_digest(asked, order);
    let after = (!asked.page_token.is_empty()).then(|| ticket_key(&asked.page_token, query)).transpose()?;
    let size = page_size(asked.page_size, TICKETS_DEFAULT, TICKETS_MAX);
    let (rows, next) = tickets.list(&|row| filter.wants(row), order, after, size);
    Ok(api::ListTicketsResponse {
        tickets: rows.iter().map(summary).collect(),
        next_page_token: next.map(|key| tickets_token(query, key)).unwrap_or_default(),
    })
}

/// A filter, read.
struct Wanted {
    states: Vec<i32>,
    kinds: Vec<Kind>,
    stages: Vec<Stage>,
    holder: Option<String>,
    unit: Option<String>,
    customer: Option<CustomerId>,
    category: Option<String>,
}

impl Wanted {
    fn read(filter: Option<&api::TicketFilter>) -> Field<Self> {
        let filter = filter.cloned().unwrap_or_default();
        let known = |state: &i32| {
            api::TicketState::try_from(*state).is_ok_and(|state| state != api::TicketState::Unspecified)
        };
        if !filter.states.iter().all(known) {
            return Err(RunError::field("filter.states", "has an unknown value"));
        }
        Ok(Self {
            states: filter.states,
            kinds: take("filter.kinds", filter.kinds)?,
            stages: take("filter.stages", filter.stages)?,
            holder: filter.holder,
            unit: filter.unit,
            customer: filter
                .customer_id
                .map(|id| uuid("filter.customer_id", &id).map(CustomerId))
                .transpose()?,
            category: filter.category,
        })
    }

    fn wants(&self, row: &Row) -> bool {
        let any = |list_empty: bool, holds: bool| list_empty || holds;
        any(self.states.is_empty(), self.states.contains(&state(row.ended.as_ref()).into()))
            && any(self.kinds.is_empty(), self.kinds.contains(&row.kind))
            && any(self.stages.is_empty(), self.stages.contains(&row.stage))
            && self.holder.as_ref().is_none_or(|holder| *holder == row.holder)
            && self.unit.as_ref().is_none_or(|unit| row.units.iter().any(|its| its.as_str() == unit))
            && self.customer.is_none_or(|customer| customer == row.customer)
            && self.category.as_ref().is_none_or(|path| within(&row.category, path))
    }
}

/// Whether a category is this one, or one below it.
fn within(category: &str, path: &str) -> bool {
    category.strip_prefix(path).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
}

pub(super) fn state(ended: Option<&End>) -> api::TicketState {
    match ended {
        None => api::TicketState::Open,
        Some(End::Closed) => api::TicketState::Closed,
        Some(End::Withdrawn) => api::TicketState::Withdrawn,
        Some(End::Rejected) => api::TicketState::Rejected,
        Some(End::Merged(_)) => api::TicketState::Merged,
    }
}

/// A digest of what makes two queries the same: filter and order. Pages of different sizes go together.
fn query_digest(asked: &api::ListTicketsRequest, order: Order) -> [u8; 8] {
    let mut bytes = asked.filter.as_ref().map(Message::encode_to_vec).unwrap_or_default();
    bytes.push(u8::from(order == Order::NewestFirst));
    digest(&bytes)
}

fn digest(bytes: &[u8]) -> [u8; 8] {
    let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, bytes);
    let mut short = [0; 8];
    short.copy_from_slice(&digest.as_ref()[..8]);
    short
}

fn tickets_token(query: [u8; 8], (taken_in_at, ticket): Key) -> String {
    token(query, taken_in_at.as_microsecond(), ticket.0)
}

fn ticket_key(text: &str, query: [u8; 8]) -> Field<Key> {
    let (moment, ticket) = parts(text, query)?;
    let taken_in_at = Timestamp::from_microsecond(moment).map_err(|_| foreign())?;
    Ok((taken_in_at, TicketId(ticket)))
}

/// The token of the events from a revision on.
pub(super) fn events_token(ticket: TicketId, revision: u64) -> String {
    token(digest(ticket.0.as_bytes()), i64::try_from(revision).unwrap_or(i64::MAX), ticket.0)
}

/// From which revision a page of events begins.
pub(super) fn next_revision(text: &str, ticket: TicketId) -> Field<u64> {
    if text.is_empty() {
        return Ok(0);
    }
    let (revision, _) = parts(text, digest(ticket.0.as_bytes()))?;
    u64::try_from(revision).map_err(|_| foreign())
}

fn token(query: [u8; 8], number: i64, ticket: Uuid) -> String {
    let mut bytes = Vec::with_capacity(TOKEN_LEN);
    bytes.extend(query);
    bytes.extend(number.to_be_bytes());
    bytes.extend(ticket.as_bytes());
    URL_SAFE_NO_PAD.encode(bytes)
}

fn parts(text: &str, query: [u8; 8]) -> Field<(i64, Uuid)> {
    let bytes = URL_SAFE_NO_PAD.decode(text).map_err(|_| foreign())?;
    let bytes: [u8; TOKEN_LEN] = bytes.try_into().map_err(|_| foreign())?;
    let (asked, rest) = bytes.split_at(8);
    let (number, ticket) = rest.split_at(8);
    if asked != query {
        return Err(foreign());
    }
    let number = number.try_into().map(i64::from_be_bytes).map_err(|_| foreign())?;
    Ok((number, Uuid::from_slice(ticket).map_err(|_| foreign())?))
}

fn foreign() -> RunError {
    RunError::field("page_token", "does not belong to this query: begin at the first page")
}
