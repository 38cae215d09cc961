//! Lists of tickets, page by page.

use std::collections::BTreeSet;

use duban_aggregates::ids::{CustomerId, TicketId};
use duban_aggregates::words::{Channel, Kind, Segment, Stage, Tier};
use duban_engine::runner::RunError;
use duban_projections::{Among, Order, Place, Query, Row};
use duban_proto::api::v1 as api;
use jiff::Timestamp;
use prost::Message;
use tonic::{Code, Status};

use crate::access::{Grant, reads_personal_data};
use crate::grpc::command::{Api, uuid};
use crate::grpc::error::{informed, refused, stopped};
use crate::grpc::page::{At, digest, foreign, page_size, read_token, token};
use crate::grpc::read::{Field, moment, read, take};
use duban_history::ticket_summary::{ticket_state, ticket_summary};

/// Tickets on a page where the caller says nothing, and at the most.
const TICKETS_DEFAULT: u32 = 50;
const TICKETS_MAX: u32 = 1_000;

impl Api {
    /// A page of tickets. Whoever may not read personal data may not look for a phone number either.
    pub(super) fn page(
        &self,
        grant: &Grant,
        asked: &api::ListTicketsRequest,
    ) -> Result<api::ListTicketsResponse, Status> {
        let filter = asked.filter.clone().unwrap_or_default();
        if filter.phone.is_some() && !reads_personal_data(grant.actor.role) {
            let told = "only who reads personal data may look for a phone number".to_owned();
            return Err(informed(Code::PermissionDenied, told, "PERSONAL_DATA_NOT_ALLOWED", None));
        }
        let order = order(&asked.order_by).map_err(refused)?;
        let digest = query_digest(asked, order);
        let after = (!asked.page_token.is_empty())
            .then(|| ticket_key(&asked.page_token, digest))
            .transpose()
            .map_err(refused)?;
        let limit = page_size(asked.page_size, TICKETS_DEFAULT, TICKETS_MAX);
        let now = self.runner.clock().now();
        let Some(wanted) = self.wanted(&filter, now)? else {
            let total = asked.with_total.then_some(0);
            return Ok(api::ListTicketsResponse { total, ..api::ListTicketsResponse::default() });
        };
        let query = Query { after, limit, order, ..wanted.query() };
        let wants = |row: &Row| wanted.wants(row);
        let listed = self.views.tickets.list(&query, &wants).map_err(stopped)?;
        let total = asked
            .with_total
            .then(|| self.views.tickets.count(&query, &wants))
            .transpose()
            .map_err(stopped)?;
        Ok(api::ListTicketsResponse {
            tickets: listed.rows.iter().map(ticket_summary).collect(),
            next_page_token: listed.next.map(|place| tickets_token(digest, place)).unwrap_or_default(),
            total,
        })
    }

    /// A filter, read; none where it names a phone that nobody has.
    fn wanted(&self, filter: &api::TicketFilter, now: Timestamp) -> Result<Option<Wanted>, Status> {
        let mut wanted = Wanted::read(filter, now).map_err(refused)?;
        if let Some(number) = &filter.outside_number {
            wanted.outside = Some(self.views.tickets.with_outside_number(number).map_err(stopped)?);
        }
        let Some(phone) = &filter.phone else { return Ok(Some(wanted)) };
        let phone_hash = self.sealer.keys().phone_hash(phone);
        match self.views.customers.by_phone(&phone_hash).map_err(stopped)? {
            Some(customer) if wanted.customer.is_none_or(|asked| asked == customer) => {
                wanted.customer = Some(customer);
                Ok(Some(wanted))
            }
            Some(_) | None => Ok(None),
        }
    }
}

fn order(order_by: &str) -> Field<Order> {
    match order_by {
        "" | "taken_in_at" | "taken_in_at asc" => Ok(Order::OldestFirst),
        "taken_in_at desc" => Ok(Order::NewestFirst),
        "next_due" | "next_due asc" => Ok(Order::DueFirst),
        _ => Err(RunError::field("order_by", "must be `taken_in_at`, `taken_in_at desc` or `next_due`")),
    }
}

/// A filter, read.
struct Wanted {
    filter: api::TicketFilter,
    now: Timestamp,
    kinds: Vec<Kind>,
    stages: Vec<Stage>,
    tiers: Vec<Tier>,
    channels: Vec<Channel>,
    segments: Vec<Segment>,
    customer: Option<CustomerId>,
    outside: Option<BTreeSet<TicketId>>,
    taken_in: Between,
    ended: Between,
    due_before: Option<Timestamp>,
}

/// From a moment on, and before another.
#[derive(Clone, Copy, Default)]
struct Between {
    from: Option<Timestamp>,
    before: Option<Timestamp>,
}

impl Between {
    fn holds(self, at: Option<Timestamp>) -> bool {
        let after = self.from.is_none_or(|from| at.is_some_and(|at| at >= from));
        after && self.before.is_none_or(|before| at.is_some_and(|at| at < before))
    }
}

impl Wanted {
    fn read(filter: &api::TicketFilter, now: Timestamp) -> Field<Self> {
        let known = |state: &i32| {
            api::TicketState::try_from(*state).is_ok_and(|state| state != api::TicketState::Unspecified)
        };
        if !filter.states.iter().all(known) {
            return Err(RunError::field("filter.states", "has an unknown value"));
        }
        read! {
            kinds: take("filter.kinds", filter.kinds.clone());
            stages: take("filter.stages", filter.stages.clone());
            tiers: take("filter.tiers", filter.tiers.clone());
            channels: take("filter.channels", filter.channels.clone());
            segments: take("filter.segments", filter.segments.clone());
            customer: filter.customer_id.as_deref().map(|id| uuid("filter.customer_id", id).map(CustomerId)).transpose();
            taken_in_from: moment("filter.taken_in_from", filter.taken_in_from);
            taken_in_before: moment("filter.taken_in_before", filter.taken_in_before);
            ended_from: moment("filter.ended_from", filter.ended_from);
            ended_before: moment("filter.ended_before", filter.ended_before);
            due_before: moment("filter.due_before", filter.due_before);
        }
        Ok(Self {
            filter: filter.clone(),
            now,
            kinds,
            stages,
            tiers,
            channels,
            segments,
            customer,
            outside: None,
            taken_in: Between { from: taken_in_from, before: taken_in_before },
            ended: Between { from: ended_from, before: ended_before },
            due_before,
        })
    }

    fn query(&self) -> Query {
        let among = self.customer.map_or(Among::All, Among::Customer);
        Query { from: self.taken_in.from, to: self.taken_in.before, ..Query::of(among) }
    }

    fn wants(&self, row: &Row) -> bool {
        self.wants_how_it_stands(row) && self.wants_what_it_is(row) && self.wants_where_it_is(row)
    }

    fn wants_how_it_stands(&self, row: &Row) -> bool {
        let Self { filter, .. } = self;
        let unit = |unit: &String| row.units.iter().any(|its| its.as_str() == unit);
        any(&filter.states, &i32::from(ticket_state(row.ended.as_ref())))
            && any(&self.stages, &row.stage)
            && filter.holder.as_ref().is_none_or(|holder| *holder == row.holder)
            && filter.unit.as_ref().is_none_or(unit)
            && filter.overdue.is_none_or(|overdue| overdue == row.is_overdue(self.now))
            && Between { from: None, before: self.due_before }.holds(row.next_due)
            && self.ended.holds(row.ended_at)
    }

    fn wants_what_it_is(&self, row: &Row) -> bool {
        any(&self.kinds, &row.kind)
            && any(&self.tiers, &row.tier)
            && any(&self.channels, &row.channel)
            && any(&self.segments, &row.segment)
            && self.customer.is_none_or(|customer| customer == row.customer)
            && self.outside.as_ref().is_none_or(|tickets| tickets.contains(&row.ticket))
            && self.filter.category.as_ref().is_none_or(|path| within(&row.category, path))
            && self.taken_in.holds(Some(row.taken_in_at))
    }

    fn wants_where_it_is(&self, row: &Row) -> bool {
        let is = |asked: &Option<String>, place: &str| asked.as_ref().is_none_or(|asked| asked == place);
        is(&self.filter.province, &row.area.province)
            && is(&self.filter.city, &row.area.city)
            && is(&self.filter.district, &row.area.district)
            && self.filter.rural.is_none_or(|rural| rural == row.area.rural)
    }
}

/// Whether a value is one of those asked for; any is, where none is named.
fn any<T: PartialEq>(asked: &[T], value: &T) -> bool {
    asked.is_empty() || asked.contains(value)
}

/// Whether a category is this one, or one below it.
fn within(category: &str, path: &str) -> bool {
    category.strip_prefix(path).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
}

/// A digest of what makes two queries the same: filter and order. Pages of different sizes go together.
fn query_digest(asked: &api::ListTicketsRequest, order: Order) -> [u8; 8] {
    let mut bytes = asked.filter.as_ref().map(Message::encode_to_vec).unwrap_or_default();
    bytes.push(match order {
        Order::OldestFirst => 0,
        Order::NewestFirst => 1,
        Order::DueFirst => 2,
    });
    digest(&bytes)
}

fn tickets_token(query: [u8; 8], (at, ticket): Place) -> String {
    token(query, At { number: at.as_microsecond(), id: ticket.0, part: 0 })
}

fn ticket_key(text: &str, query: [u8; 8]) -> Field<Place> {
    let at = read_token(text, query)?;
    let moment = Timestamp::from_microsecond(at.number).map_err(|_| foreign())?;
    Ok((moment, TicketId(at.id)))
}

/// The token of the events from a revision on.
pub(super) fn events_token(ticket: TicketId, revision: u64) -> String {
    let number = i64::try_from(revision).unwrap_or(i64::MAX);
    token(digest(ticket.0.as_bytes()), At { number, id: ticket.0, part: 0 })
}

/// From which revision a page of events begins.
pub(super) fn next_revision(text: &str, ticket: TicketId) -> Field<u64> {
    if text.is_empty() {
        return Ok(0);
    }
    let at = read_token(text, digest(ticket.0.as_bytes()))?;
    u64::try_from(at.number).map_err(|_| foreign())
}
