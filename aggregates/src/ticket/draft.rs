//! A decision in the making: events are folded as they are added, and clocks follow each of them.

use jiff::Timestamp;

use crate::checks::{named, registered};
use crate::ids::{EventId, OrderNo};
use crate::meta::{Context, Meta};
use crate::rejection::{Missing, Problem, Rejection};
use crate::ticket::intake::Attachment;
use crate::ticket::order::Order;
use crate::ticket::state::Ticket;
use crate::ticket::{self, Event, chain, clock};
use crate::words::{Role, Stage};

/// A decision in the making, on one ticket.
#[derive(Debug)]
pub struct Draft<'a> {
    /// The ticket after the events so far.
    pub ticket: Ticket,
    /// What may be known beside it.
    pub context: &'a Context<'a>,
    events: Vec<Event>,
    /// Events that happen by themselves before the command: what fell due, and an import's clocks.
    fallen_due: usize,
}

impl<'a> Draft<'a> {
    /// Begins a decision on a ticket with what has fallen due by now.
    #[must_use]
    pub fn begin(ticket: Ticket, context: &'a Context<'a>) -> Self {
        let mut draft = Self { ticket, context, events: Vec::new(), fallen_due: 0 };
        clock::fall_due(&mut draft);
        if draft.ticket.dormant && context.actor.role.is_department() && draft.ticket.is_open() {
            clock::wake(&mut draft);
        }
        draft.fallen_due = draft.events.len();
        draft
    }

    /// Begins a ticket with its first event.
    #[must_use]
    pub fn first(ticket: Ticket, event: &Event, meta: &Meta, context: &'a Context<'a>) -> Self {
        let mut draft = Self { ticket, context, events: Vec::new(), fallen_due: 0 };
        ticket::apply(&mut draft.ticket, event, meta);
        draft.events.push(event.clone());
        clock::follow(&mut draft, event, None);
        draft
    }

    /// The events. A command that changed nothing by itself leaves what fell due to the timer.
    pub(crate) fn finish(self) -> Vec<Event> {
        if self.changes_nothing() { Vec::new() } else { self.events }
    }

    /// The ticket after the events, and the events; nothing where nothing changed.
    pub(crate) fn advanced(self) -> Option<(Ticket, Vec<Event>)> {
        if self.changes_nothing() { None } else { Some((self.ticket, self.events)) }
    }

    fn changes_nothing(&self) -> bool {
        self.events.len() == self.fallen_due && self.context.actor.role != Role::Timer
    }

    /// Adds an event, folds it, and lets the clocks follow.
    pub fn push(&mut self, event: impl Into<Event>) {
        let event = event.into();
        let index = u32::try_from(self.events.len()).unwrap_or(u32::MAX);
        let meta = Meta {
            id: ticket::event_id(self.ticket.id(), self.context.command, index),
            revision: self.ticket.revision + 1,
            recorded_at: self.context.at,
            occurred_at: event.occurred_at().unwrap_or(self.context.at),
            actor: self.context.actor.clone(),
            command: self.context.command,
            fingerprint: self.context.fingerprint,
        };
        let stage = self.ticket.stage;
        ticket::apply(&mut self.ticket, &event, &meta);
        self.events.push(event.clone());
        clock::follow(self, &event, Some(stage));
    }

    /// Folds an event that has happened, as it was recorded, and lets the clocks follow.
    pub fn replay(&mut self, event: &Event, meta: &Meta) {
        let stage = self.ticket.stage;
        ticket::apply(&mut self.ticket, event, meta);
        clock::follow(self, event, Some(stage));
    }

    /// The server's time.
    #[must_use]
    pub fn at(&self) -> Timestamp {
        self.context.at
    }

    /// The ticket is open.
    pub(crate) fn open(&self) -> Result<(), Rejection> {
        if self.ticket.is_open() { Ok(()) } else { Err(Rejection::TicketEnded) }
    }

    /// The ticket is open, not paused, and at this stage.
    pub(crate) fn at_stage(&self, needed: Stage) -> Result<(), Rejection> {
        self.between(needed, needed)
    }

    /// The ticket is open, not paused, and between these stages, both included.
    pub(crate) fn between(&self, first: Stage, last: Stage) -> Result<(), Rejection> {
        self.open()?;
        let now = self.ticket.stage;
        if now < first {
            Err(out_of_turn(now, first))
        } else if now > last {
            Err(out_of_turn(now, last))
        } else if self.ticket.pause.is_some() {
            Err(Rejection::TicketPaused)
        } else {
            Ok(())
        }
    }

    /// The actor belongs to the order's unit.
    pub(crate) fn own_order(&self, order: OrderNo) -> Result<&Order, Rejection> {
        let order = self.order(order)?;
        self.own_unit(&order.unit)?;
        Ok(order)
    }

    /// The actor belongs to the unit.
    pub(crate) fn own_unit(&self, unit: &crate::ids::UnitId) -> Result<(), Rejection> {
        if self.context.actor.unit == *unit {
            Ok(())
        } else {
            Err(Rejection::NotYours { whose: unit.to_string() })
        }
    }

    /// The order exists.
    pub(crate) fn order(&self, order: OrderNo) -> Result<&Order, Rejection> {
        self.ticket.order(order).ok_or(Rejection::UnknownOrder { order })
    }

    /// What a verdict or a due rests on happened on this ticket.
    pub(crate) fn own_events(&self, events: &[EventId]) -> Result<(), Rejection> {
        match self.ticket.commands.foreign(self.ticket.id().0, events) {
            Some(event) => Err(Rejection::ForeignEvent { event }),
            None => Ok(()),
        }
    }

    /// The unit stands in the policy's register.
    pub(crate) fn registered(&self, field: &'static str, unit: &str) -> Result<(), Rejection> {
        registered(self.context, field, unit)
    }

    /// The actor handled nothing on this ticket; the server's own identities handle nothing.
    pub(crate) fn not_own_work(&self) -> Result<(), Rejection> {
        self.no_part(crate::ticket::state::Part::handled)
    }

    /// The actor had no part in this ticket at all.
    pub(crate) fn no_part_at_all(&self) -> Result<(), Rejection> {
        self.no_part(|part| part.handled() || part.judged)
    }

    fn no_part(&self, counts: impl Fn(&crate::ticket::state::Part) -> bool) -> Result<(), Rejection> {
        let actor = &self.context.actor;
        if !actor.role.is_system() && self.ticket.people.get(&actor.id.folded()).is_some_and(counts) {
            return Err(Rejection::OwnWork);
        }
        Ok(())
    }

    /// A fact's moment: now, or earlier with evidence; not before the intake, never in the future.
    pub(crate) fn fact_time(
        &self,
        occurred_at: Option<Timestamp>,
        evidence: bool,
    ) -> Result<Timestamp, Rejection> {
        let now = self.at();
        let at = occurred_at.unwrap_or(now);
        let wrong = |problem| Err(Rejection::invalid("occurred_at", problem));
        if at > now {
            return wrong(Problem::InFuture);
        }
        if at < self.ticket.intake.taken_in_at && self.context.actor.role != Role::Import {
            return wrong(Problem::BeforeIntake);
        }
        if at < now && !evidence {
            return wrong(Problem::NeedsEvidence);
        }
        Ok(at)
    }
}

/// The refusal of a command that comes too early or too late on the chain.
#[must_use]
pub fn out_of_turn(now: Stage, needed: Stage) -> Rejection {
    let missing = if now < needed {
        let between = chain::table::TABLE.iter().filter(|row| (now..needed).contains(&row.stage));
        between.map(|row| Missing::Completion(row.stage, row.department)).collect()
    } else {
        vec![Missing::NewRound]
    };
    Rejection::OutOfTurn { now, needed, missing }
}

/// A recording or document is kept somewhere.
pub(crate) fn attachment(field: &'static str, attachment: &Attachment) -> Result<(), Rejection> {
    named(field, &attachment.reference)
}
