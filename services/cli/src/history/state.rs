//! A ticket as it stands, in short: the same from a data directory and from a server.

use duban_aggregates::clock;
use duban_aggregates::gate::{self, Gate};
use duban_aggregates::state::End;
use duban_aggregates::ticket::Ticket;
use duban_proto::api::v1 as api;
use duban_proto::event::v1 as pb;
use jiff::Timestamp;
use serde::Serialize;

/// How a ticket stands.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(super) struct State {
    pub(super) ticket: String,
    pub(super) revision: u64,
    pub(super) kind: String,
    pub(super) category: String,
    /// `open`, or how it ended.
    pub(super) state: String,
    pub(super) stage: String,
    pub(super) round: u32,
    pub(super) holder: String,
    pub(super) taken_in_at: Option<Timestamp>,
    pub(super) ended_at: Option<Timestamp>,
    pub(super) orders: Vec<Order>,
    pub(super) clocks: Vec<Clock>,
    pub(super) gates: Vec<GateState>,
    /// Who had it; the seconds add up to the open time.
    pub(super) custody: Vec<Stretch>,
}

/// An order.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(super) struct Order {
    pub(super) order: u32,
    pub(super) round: u32,
    pub(super) part: String,
    pub(super) unit: String,
    pub(super) status: String,
}

/// A clock.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(super) struct Clock {
    pub(super) clock: u32,
    pub(super) kind: String,
    pub(super) status: String,
    pub(super) due: Option<Timestamp>,
}

/// A gate.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(super) struct GateState {
    pub(super) gate: String,
    pub(super) holds: bool,
    pub(super) waived: bool,
    pub(super) missing: Vec<String>,
}

/// A stretch of custody.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(super) struct Stretch {
    pub(super) holder: String,
    pub(super) from: Option<Timestamp>,
    /// Absent for the last.
    pub(super) until: Option<Timestamp>,
    pub(super) seconds: u64,
}

impl State {
    /// Of a folded ticket, as of a moment.
    pub(super) fn of(ticket: &Ticket, now: Timestamp) -> Self {
        let state = ticket.ended.as_ref().map_or("open", |ended| match ended.how {
            End::Closed => "closed",
            End::Withdrawn => "withdrawn",
            End::Rejected => "rejected",
            End::Merged(_) => "merged",
        });
        let orders = ticket.orders.iter().map(|order| Order {
            order: order.number.0,
            round: order.round,
            part: snake(&format!("{:?}", order.part)),
            unit: order.unit.to_string(),
            status: snake(&format!("{:?}", order.status)),
        });
        let clocks = (1..).zip(&ticket.clocks).map(|(number, clock)| Clock {
            clock: number,
            kind: clock.start.kind.name().to_owned(),
            status: clock_status(&clock.status).to_owned(),
            due: Some(clock.start.due),
        });
        let gates = Gate::ALL.map(|gate| {
            let missing = gate::missing(ticket, gate);
            GateState {
                gate: gate.name().to_owned(),
                holds: missing.is_empty(),
                waived: ticket.waived.contains_key(&gate),
                missing: missing.iter().map(ToString::to_string).collect(),
            }
        });
        Self {
            ticket: ticket.id().to_string(),
            revision: ticket.revision,
            kind: ticket.kind().name().to_owned(),
            category: ticket.intake.category.clone(),
            state: state.to_owned(),
            stage: ticket.stage.name().to_owned(),
            round: ticket.round.number,
            holder: ticket.custody.holder().name().to_owned(),
            taken_in_at: Some(ticket.intake.taken_in_at),
            ended_at: ticket.ended.as_ref().map(|ended| ended.at),
            orders: orders.collect(),
            clocks: clocks.collect(),
            gates: gates.into(),
            custody: custody(ticket, now),
        }
    }

    /// Of a server's answer.
    pub(super) fn answered(ticket: &api::Ticket) -> Option<Self> {
        let summary = ticket.summary.as_ref()?;
        let orders = ticket.orders.iter().map(|order| Order {
            order: order.order,
            round: order.round,
            part: lower(order.part().as_str_name(), "ORDER_PART_"),
            unit: order.unit.clone(),
            status: lower(order.status().as_str_name(), "ORDER_STATUS_"),
        });
        let clocks = ticket.clocks.iter().map(|clock| Clock {
            clock: clock.clock,
            kind: lower(clock.kind().as_str_name(), "CLOCK_KIND_"),
            status: lower(clock.status().as_str_name(), "CLOCK_STATUS_"),
            due: moment(clock.due.as_ref()),
        });
        let gates = ticket.gates.iter().map(|gate| GateState {
            gate: lower(gate.gate().as_str_name(), "GATE_"),
            holds: gate.holds,
            waived: gate.waived,
            missing: gate.missing.clone(),
        });
        let custody = ticket.custody.iter().map(|stretch| Stretch {
            holder: stretch.holder.clone(),
            from: moment(stretch.from.as_ref()),
            until: moment(stretch.until.as_ref()),
            seconds: stretch.seconds,
        });
        Some(Self {
            ticket: summary.ticket_id.clone(),
            revision: summary.revision,
            kind: lower(summary.kind().as_str_name(), "TICKET_KIND_"),
            category: summary.category.clone(),
            state: lower(summary.state().as_str_name(), "TICKET_STATE_"),
            stage: lower(summary.stage().as_str_name(), "STAGE_"),
            round: summary.round,
            holder: summary.holder.clone(),
            taken_in_at: moment(summary.taken_in_at.as_ref()),
            ended_at: moment(summary.ended_at.as_ref()),
            orders: orders.collect(),
            clocks: clocks.collect(),
            gates: gates.collect(),
            custody: custody.collect(),
        })
    }
}

fn custody(ticket: &Ticket, now: Timestamp) -> Vec<Stretch> {
    let stretches = ticket.custody.stretches();
    let ends = stretches.iter().skip(1).map(|next| Some(next.from_second));
    let second = |second| Timestamp::from_second(second).ok();
    stretches
        .iter()
        .zip(ends.chain([None]))
        .map(|(stretch, end)| Stretch {
            holder: stretch.holder.name().to_owned(),
            from: second(stretch.from_second),
            until: end.and_then(second),
            seconds: u64::try_from(end.unwrap_or(now.as_second()) - stretch.from_second).unwrap_or(0),
        })
        .collect()
}

fn clock_status(status: &clock::Status) -> &'static str {
    match status {
        clock::Status::Running => "running",
        clock::Status::Paused { .. } => "paused",
        clock::Status::Met { .. } => "met",
        clock::Status::Breached { withdrawn: false } => "breached",
        clock::Status::Breached { withdrawn: true } => "breach_withdrawn",
        clock::Status::Cancelled => "cancelled",
    }
}

/// `ReturnAsked` as `return_asked`.
fn snake(name: &str) -> String {
    let mut snake = String::with_capacity(name.len() + 4);
    for letter in name.chars() {
        if letter.is_ascii_uppercase() && !snake.is_empty() {
            snake.push('_');
        }
        snake.push(letter.to_ascii_lowercase());
    }
    snake
}

fn lower(name: &str, prefix: &str) -> String {
    name.strip_prefix(prefix).unwrap_or(name).to_ascii_lowercase()
}

/// A moment of a message.
pub(super) fn moment(from: Option<&prost_types::Timestamp>) -> Option<Timestamp> {
    from.and_then(|from| Timestamp::new(from.seconds, from.nanos).ok())
}

/// The moments of an envelope: occurred, recorded.
pub(super) fn moments(event: &pb::Event) -> Option<(Timestamp, Timestamp)> {
    moment(event.occurred_at.as_ref()).zip(moment(event.recorded_at.as_ref()))
}
