//! A ticket in the read model: all that lists, boards and worklists show of it, folded from its events alone.

use std::collections::{BTreeMap, BTreeSet};

use duban_aggregates::area::Area;
use duban_aggregates::ids::{CustomerId, OrderNo, TicketId, UnitId};
use duban_aggregates::ticket::Ticket;
use duban_aggregates::ticket::clock::{DueStep, Subject};
use duban_aggregates::ticket::custody::Holder;
use duban_aggregates::ticket::money::Due;
use duban_aggregates::ticket::order::Status;
use duban_aggregates::ticket::state::End;
use duban_aggregates::words::{Channel, Kind, Part, Segment, Severity, Stage, Tier};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// An order that waits for its reply.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OpenOrder {
    /// Its number.
    pub order: OrderNo,
    /// Whose it is.
    pub unit: UnitId,
    /// Lead or assist.
    pub part: Part,
    /// How it stands.
    pub status: Status,
    /// When it was issued.
    pub issued_at: Timestamp,
    /// Its clock's due moment, while that runs.
    pub due: Option<Timestamp>,
}

/// What an outside body calls the case.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Outside {
    /// The body.
    pub body: Channel,
    /// Its number.
    pub number: String,
}

/// How often a ticket ended in which way; a reopened one may end again.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ends {
    /// Closings.
    pub closed: u32,
    /// Withdrawals.
    pub withdrawn: u32,
    /// Rejections.
    pub rejected: u32,
    /// Merges.
    pub merged: u32,
}

/// What a row knows and a ticket does not keep: it follows from the events between.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Kept {
    /// How often it ended.
    pub ends: Ends,
    /// Since when it is in its stage.
    pub stage_since: Timestamp,
}

/// What is compared before and after an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Milestones {
    stage: Stage,
    reopened: u32,
    ends: u32,
}

impl Milestones {
    pub(super) fn of(ticket: &Ticket) -> Self {
        Self { stage: ticket.stage, reopened: ticket.reopened, ends: ticket.ends }
    }
}

impl Kept {
    /// Before the first event.
    pub const NEW: Self = Self {
        ends: Ends { closed: 0, withdrawn: 0, rejected: 0, merged: 0 },
        stage_since: Timestamp::UNIX_EPOCH,
    };

    /// Follows one event, of which the ticket came to be what it is.
    pub(super) fn follow(&mut self, before: Option<Milestones>, ticket: &Ticket) {
        let now = Milestones::of(ticket);
        if before.is_none_or(|before| (before.stage, before.reopened) != (now.stage, now.reopened)) {
            self.stage_since = ticket.last_recorded_at;
        }
        if before.is_some_and(|before| now.ends > before.ends) {
            match ticket.ended.as_ref().map(|ended| &ended.how) {
                Some(End::Closed) | None => self.ends.closed += 1,
                Some(End::Withdrawn) => self.ends.withdrawn += 1,
                Some(End::Rejected) => self.ends.rejected += 1,
                Some(End::Merged(_)) => self.ends.merged += 1,
            }
        }
    }
}

/// A ticket in a list.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Row {
    /// Its id.
    pub ticket: TicketId,
    /// Complaint, fault or install.
    pub kind: Kind,
    /// Where it came in.
    pub channel: Channel,
    /// Urgency.
    pub severity: Severity,
    /// The customer's tier at intake.
    pub tier: Tier,
    /// Public customer or large account.
    pub segment: Segment,
    /// Where it stands on the chain.
    pub stage: Stage,
    /// How it ended, while it has.
    pub ended: Option<End>,
    /// When it ended last.
    pub ended_at: Option<Timestamp>,
    /// The round.
    pub round: u32,
    /// How often it was reopened.
    pub reopened: u32,
    /// Who has it: a unit, a department, `customer`, `nobody`.
    pub holder: String,
    /// Since when.
    pub held_since: Timestamp,
    /// Whole seconds that others had it before, by holder.
    pub held_seconds: BTreeMap<String, i64>,
    /// Units with an order in this round.
    pub units: BTreeSet<UnitId>,
    /// Orders that wait for their reply.
    pub orders: Vec<OpenOrder>,
    /// Category path.
    pub category: String,
    /// The customer.
    pub customer: CustomerId,
    /// Keyed hash of the service number.
    pub number_hash: [u8; 16],
    /// Where it is.
    pub area: Area,
    /// Outside bodies and their numbers.
    pub outside: Vec<Outside>,
    /// The nearest due moment of its running clocks.
    pub next_due: Option<Timestamp>,
    /// Clocks that breached, without withdrawn breaches.
    pub breaches: u32,
    /// Whether it is paused.
    pub paused: bool,
    /// Receipts to outside bodies, or money to the customer, that are owed still.
    pub owes: bool,
    /// When it was taken in.
    pub taken_in_at: Timestamp,
    /// The last event's revision.
    pub revision: u64,
    /// What follows from the events between.
    pub kept: Kept,
    /// The first thing that happens to it by itself.
    pub next_step: Option<DueStep>,
}

impl Row {
    /// The row of a ticket as it stands.
    #[must_use]
    pub fn of(ticket: &Ticket, kept: Kept, next_step: Option<DueStep>) -> Self {
        let round_units = ticket.orders.iter().filter(|order| order.round == ticket.round.number);
        let running = ticket.clocks.iter().filter(|clock| clock.is_running());
        let breached = ticket.clocks.iter().filter(|clock| clock.is_breached()).count();
        let (held_since, held_seconds) = custody(ticket);
        let outside = ticket.requests.iter().map(|request| &request.outside);
        Self {
            ticket: ticket.id(),
            kind: ticket.kind(),
            channel: ticket.intake.channel,
            severity: ticket.intake.severity,
            tier: ticket.intake.tier(),
            segment: ticket.intake.segment(),
            stage: ticket.stage,
            ended: ticket.ended.as_ref().map(|ended| ended.how.clone()),
            ended_at: ticket.ended.as_ref().map(|ended| ended.at),
            round: ticket.round.number,
            reopened: ticket.reopened,
            holder: ticket.custody.holder().name().to_owned(),
            held_since,
            held_seconds,
            units: round_units.map(|order| order.unit.clone()).collect(),
            orders: open_orders(ticket),
            category: ticket.intake.category.clone(),
            customer: ticket.intake.person(),
            number_hash: ticket.intake.number_hash(),
            area: ticket.intake.area.clone(),
            outside: outside.map(|it| Outside { body: it.body, number: it.number.clone() }).collect(),
            next_due: running.map(|clock| clock.start.due).min(),
            breaches: u32::try_from(breached).unwrap_or(u32::MAX),
            paused: ticket.pause.is_some(),
            owes: !ticket.receipts_owed().is_empty() || ticket.dues.iter().any(Due::is_owed),
            taken_in_at: ticket.intake.taken_in_at,
            revision: ticket.revision,
            kept,
            next_step,
        }
    }

    /// Whether it is open.
    #[must_use]
    pub fn is_open(&self) -> bool {
        self.ended.is_none()
    }

    /// Whether it is open and late: a clock of it has breached, or passes its due moment at this one.
    #[must_use]
    pub fn is_overdue(&self, now: Timestamp) -> bool {
        self.is_open() && (self.breaches > 0 || self.next_due.is_some_and(|due| due < now))
    }
}

fn open_orders(ticket: &Ticket) -> Vec<OpenOrder> {
    if !ticket.is_open() {
        return Vec::new();
    }
    let due_of = |order: OrderNo| {
        let clocks = ticket.clocks.iter().filter(|clock| clock.is_running());
        clocks.filter(|clock| clock.start.subject == Subject::Order(order)).map(|clock| clock.start.due).min()
    };
    let open = ticket.orders.iter().filter(|order| order.is_open());
    open.map(|order| OpenOrder {
        order: order.number,
        unit: order.unit.clone(),
        part: order.part,
        status: order.status,
        issued_at: order.issued_at,
        due: due_of(order.number),
    })
    .collect()
}

/// Since when the holder has it, and how long others had it before.
fn custody(ticket: &Ticket) -> (Timestamp, BTreeMap<String, i64>) {
    let stretches = ticket.custody.stretches();
    let since = stretches.last().map_or(0, |last| last.from_second);
    let mut seconds = BTreeMap::new();
    for (stretch, next) in stretches.iter().zip(stretches.iter().skip(1)) {
        if stretch.holder != Holder::Nobody {
            *seconds.entry(stretch.holder.name().to_owned()).or_insert(0) +=
                next.from_second - stretch.from_second;
        }
    }
    (Timestamp::from_second(since).unwrap_or(Timestamp::UNIX_EPOCH), seconds)
}
