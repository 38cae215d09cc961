//! A ticket's history under another policy: the same facts at the same moments, with the clocks that they would have had
//! (`duban policy try`).
//!
//! What people did stays as it was, though another deadline might have moved them; what clocks did is decided anew. A
//! deadline that somebody set (dispatch, an outside body, a promised date) stays theirs.

use jiff::Timestamp;

use duban_aggregates::actor::Actor;
use duban_aggregates::calendar::{Calendar, Target};
use duban_aggregates::ids::CommandId;
use duban_aggregates::meta::{Context, Meta};
use duban_aggregates::policy::Policy;
use duban_aggregates::ticket::draft::Draft;
use duban_aggregates::ticket::state::Ticket;
use duban_aggregates::ticket::{Event, clock, intake, order};
use duban_aggregates::words::{ClockKind, Role};

#[cfg(test)]
mod tests;

/// The rules on trial.
#[derive(Clone, Copy, Debug)]
pub struct Under<'r> {
    /// The policy.
    pub policy: &'r Policy,
    /// The calendar.
    pub calendar: &'r Calendar,
}

impl<'r> Under<'r> {
    fn context(self, meta: &Meta) -> Context<'r> {
        Context {
            at: meta.recorded_at,
            actor: meta.actor.clone(),
            command: meta.command,
            fingerprint: meta.fingerprint,
            policy: self.policy,
            calendar: self.calendar,
        }
    }
}

/// A ticket as it would have been.
#[derive(Clone, Debug, Default)]
pub struct Trial {
    ticket: Option<Ticket>,
}

impl Trial {
    /// The ticket, once it was taken in.
    #[must_use]
    pub fn ticket(&self) -> Option<&Ticket> {
        self.ticket.as_ref()
    }

    /// Takes in the next event of the history. Nothing comes of one before the intake.
    pub fn take(&mut self, event: &Event, meta: &Meta, under: Under<'_>) {
        let context = under.context(meta);
        let draft = match (self.ticket.take(), event) {
            (Some(ticket), _) => {
                let mut draft = Draft::begin(ticket, &context);
                happen(&mut draft, event, meta);
                draft
            }
            (None, Event::Intake(intake::Event::TakenIn(taken))) => {
                Draft::first(intake::begin(taken, meta), event, meta, &context)
            }
            (None, _) => return,
        };
        self.ticket = Some(draft.ticket);
    }

    /// Lets everything happen that falls due up to a moment.
    pub fn until(&mut self, at: Timestamp, under: Under<'_>) {
        let Some(ticket) = self.ticket.take() else { return };
        let context = Context {
            at: at.max(ticket.last_recorded_at),
            actor: Actor { id: "timer".into(), role: Role::Timer, unit: "timer".into() },
            command: CommandId(uuid::Uuid::nil()),
            fingerprint: [0; 16],
            policy: under.policy,
            calendar: under.calendar,
        };
        self.ticket = Some(Draft::begin(ticket, &context).ticket);
    }
}

fn happen(draft: &mut Draft<'_>, event: &Event, meta: &Meta) {
    match event {
        Event::Clock(event) => on_clock(draft, event, meta),
        Event::Order(order::Event::ExtensionGranted { order, until }) => {
            draft.replay(event, meta);
            let extended = draft.ticket.clock(ClockKind::Order, clock::Subject::Order(*order));
            let extended = extended.filter(|clock| clock.is_live() && clock.start.due < *until);
            if let Some(restated) = extended.map(|clock| clock::restated(clock, *until)) {
                draft.push(restated);
            }
        }
        _ => draft.replay(event, meta),
    }
}

/// Clocks follow what happened; only what people did to them is taken from the history.
fn on_clock(draft: &mut Draft<'_>, event: &clock::Event, meta: &Meta) {
    match event {
        // An order's clock starts with the command that issues the order, and no other event tells dispatch's deadline.
        clock::Event::Started(start) if start.kind == ClockKind::Order => {
            let theirs = matches!(start.target, Target::Day(_) | Target::Moment(_)).then_some(start.target);
            let now = draft.at();
            clock::start(draft, ClockKind::Order, start.subject, now, theirs);
        }
        clock::Event::TicketPaused { code, .. } => {
            draft.replay(&event.clone().into(), meta);
            let stops = |clock: &&clock::Clock| clock.is_running() && clock.start.pauses.contains(code);
            let stopped: Vec<_> =
                draft.ticket.clocks.iter().filter(stops).map(|clock| clock.start.clock).collect();
            for clock in stopped {
                draft.push(clock::Event::Paused { clock });
            }
        }
        clock::Event::TicketResumed { at, by_itself } => {
            if draft.ticket.pause.is_some() {
                clock::resume(draft, *at, *by_itself);
            }
        }
        clock::Event::Started(_)
        | clock::Event::Warned { .. }
        | clock::Event::Met { .. }
        | clock::Event::Breached { .. }
        | clock::Event::BreachWithdrawn { .. }
        | clock::Event::Cancelled { .. }
        | clock::Event::Paused { .. }
        | clock::Event::Resumed { .. }
        | clock::Event::Restated { .. }
        | clock::Event::Urged { .. }
        | clock::Event::Escalated { .. }
        | clock::Event::EscalationProposed { .. }
        | clock::Event::EscalationIssued { .. }
        | clock::Event::EscalationDeclined { .. } => {}
    }
}
