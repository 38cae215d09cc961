//! A ticket as it stands, in short: the same from a data directory and from a server.

use duban_proto::api::v1 as api;
use duban_proto::event::v1 as pb;
use jiff::Timestamp;
use serde::Serialize;

/// How a ticket stands.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(super) struct TicketState {
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
    /// The moment that this is of: custody is counted up to it.
    pub(super) as_of: Option<Timestamp>,
    /// An auditor's finding that is not answered by a reopening: its event.
    pub(super) open_finding: Option<String>,
    /// The customer's key was erased: no text can be opened any more.
    pub(super) erased: bool,
    pub(super) orders: Vec<Order>,
    pub(super) clocks: Vec<Clock>,
    pub(super) gates: Vec<GateState>,
    pub(super) verdicts: Vec<Verdict>,
    /// Who had it; the seconds add up to the open time.
    pub(super) custody: Vec<CustodyStretch>,
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

impl Clock {
    /// Of an answer.
    pub(super) fn of(view: &api::ClockView) -> Self {
        Self {
            clock: view.clock,
            kind: lower(view.kind().as_str_name(), "CLOCK_KIND_"),
            status: lower(view.status().as_str_name(), "CLOCK_STATUS_"),
            due: moment(view.due.as_ref()),
        }
    }
}

/// A gate.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(super) struct GateState {
    pub(super) gate: String,
    pub(super) holds: bool,
    pub(super) waived: bool,
    pub(super) missing: Vec<String>,
}

/// A verdict on a unit.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(super) struct Verdict {
    pub(super) verdict: u32,
    pub(super) unit: String,
    pub(super) status: String,
    pub(super) at_fault: bool,
    pub(super) points: u32,
    pub(super) penalty_fen: u64,
}

/// A stretch of custody.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(super) struct CustodyStretch {
    pub(super) holder: String,
    pub(super) from: Option<Timestamp>,
    /// For the one that goes on the moment up to which it is counted.
    pub(super) until: Option<Timestamp>,
    /// Nobody's time counts nothing.
    pub(super) seconds: u64,
    /// It goes on.
    pub(super) open: bool,
}

impl TicketState {
    /// Of an answer; none of one without a summary.
    pub(super) fn of(ticket: &api::Ticket) -> Option<Self> {
        let summary = ticket.summary.as_ref()?;
        let orders = ticket.orders.iter().map(|order| Order {
            order: order.order,
            round: order.round,
            part: lower(order.part().as_str_name(), "ORDER_PART_"),
            unit: order.unit.clone(),
            status: lower(order.status().as_str_name(), "ORDER_STATUS_"),
        });
        let clocks = ticket.clocks.iter().map(Clock::of);
        let gates = ticket.gates.iter().map(|gate| GateState {
            gate: lower(gate.gate().as_str_name(), "GATE_"),
            holds: gate.holds,
            waived: gate.waived,
            missing: gate.missing.clone(),
        });
        let custody = ticket.custody.iter().map(|stretch| CustodyStretch {
            holder: stretch.holder.clone(),
            from: moment(stretch.from.as_ref()),
            until: moment(stretch.until.as_ref().or(ticket.as_of.as_ref())),
            seconds: stretch.seconds,
            open: stretch.until.is_none(),
        });
        let verdicts = ticket.verdicts.iter().map(|verdict| Verdict {
            verdict: verdict.verdict,
            unit: verdict.unit.clone(),
            status: lower(verdict.status().as_str_name(), "VERDICT_STATUS_"),
            at_fault: verdict.at_fault,
            points: verdict.points,
            penalty_fen: verdict.penalty_fen,
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
            as_of: moment(ticket.as_of.as_ref()),
            open_finding: ticket.open_finding.clone(),
            erased: ticket.customer.as_ref().is_some_and(|customer| customer.erased),
            orders: orders.collect(),
            clocks: clocks.collect(),
            gates: gates.collect(),
            verdicts: verdicts.collect(),
            custody: custody.collect(),
        })
    }
}

pub(super) fn lower(name: &str, prefix: &str) -> String {
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
