//! The ticket: complaint, fault and install on one chain. This file joins the modules that hold the rules;
//! [`crate::ticket::chain`] is the place to start reading.

use jiff::Timestamp;

use crate::ids::{CommandId, EventId, TicketId};
use crate::meta::{Context, Meta};
use crate::rejection::Rejection;
pub mod chain;
pub mod clock;
pub mod contact;
pub mod custody;
pub mod draft;
pub mod fault;
pub mod gate;
pub mod install;
pub mod intake;
pub mod money;
pub mod order;
pub mod state;
pub mod verdict;

use crate::ids::stream_event_id;
use draft::Draft;
pub use state::Ticket;

/// What happened to a ticket.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// Around the chain.
    Intake(intake::Event),
    /// Talk with the customer and outside bodies.
    Contact(contact::Event),
    /// On the chain.
    Chain(chain::Event),
    /// To orders.
    Order(order::Event),
    /// To clocks.
    Clock(clock::Event),
    /// To gates and measures.
    Gate(gate::Event),
    /// To verdicts.
    Verdict(verdict::Event),
    /// To dues.
    Money(money::Event),
    /// Faults only.
    Fault(fault::Event),
    /// Installs, and appointments.
    Install(install::Event),
}

/// What may be asked of a ticket.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Command {
    /// Around the chain.
    Intake(intake::Command),
    /// Talk with the customer and outside bodies.
    Contact(contact::Command),
    /// On the chain.
    Chain(chain::Command),
    /// To orders.
    Order(order::Command),
    /// To clocks.
    Clock(clock::Command),
    /// To gates and measures.
    Gate(gate::Command),
    /// To verdicts.
    Verdict(verdict::Command),
    /// To dues.
    Money(money::Command),
    /// Faults only.
    Fault(fault::Command),
    /// Installs, and appointments.
    Install(install::Command),
}

macro_rules! wrap {
    ($($module:ident => $variant:ident),* $(,)?) => {$(
        impl From<$module::Event> for Event {
            fn from(event: $module::Event) -> Self {
                Self::$variant(event)
            }
        }

        impl From<$module::Command> for Command {
            fn from(command: $module::Command) -> Self {
                Self::$variant(command)
            }
        }
    )*};
}

wrap! {
    intake => Intake, contact => Contact, chain => Chain, order => Order, clock => Clock, gate => Gate,
    verdict => Verdict, money => Money, fault => Fault, install => Install,
}

impl Event {
    /// When it happened, where that is not when it was recorded: facts with evidence, and clocks that fell due.
    #[must_use]
    pub fn occurred_at(&self) -> Option<Timestamp> {
        match self {
            Self::Intake(event) => event.occurred_at(),
            Self::Contact(event) => event.occurred_at(),
            Self::Clock(event) => event.occurred_at(),
            Self::Fault(fault::Event::FactRecorded { occurred_at, .. })
            | Self::Install(install::Event::FactRecorded { occurred_at, .. }) => Some(*occurred_at),
            Self::Chain(_)
            | Self::Order(_)
            | Self::Gate(_)
            | Self::Verdict(_)
            | Self::Money(_)
            | Self::Install(
                install::Event::AppointmentMade { .. } | install::Event::AppointmentRescheduled { .. },
            ) => None,
        }
    }
}

/// The id of the `index`-th event that a command adds to a ticket: the same however often it is decided.
#[must_use]
pub fn event_id(ticket: TicketId, command: CommandId, index: u32) -> EventId {
    stream_event_id(ticket.0, command, index)
}

/// Folds one event. Nothing comes of an event before the intake: a stream begins with it.
#[must_use]
pub fn evolve(ticket: Option<Ticket>, event: &Event, meta: &Meta) -> Option<Ticket> {
    let mut ticket = match (ticket, event) {
        (Some(ticket), _) => ticket,
        (None, Event::Intake(intake::Event::TakenIn(intake))) => intake::begin(intake, meta),
        (None, _) => return None,
    };
    apply(&mut ticket, event, meta);
    Some(ticket)
}

pub(crate) fn apply(ticket: &mut Ticket, event: &Event, meta: &Meta) {
    match event {
        Event::Intake(event) => intake::apply(ticket, event, meta),
        Event::Contact(event) => contact::apply(ticket, event, meta),
        Event::Chain(event) => chain::apply(ticket, event, meta),
        Event::Order(event) => order::apply(ticket, event, meta),
        Event::Clock(event) => clock::apply(ticket, event, meta),
        Event::Gate(event) => gate::apply(ticket, event, meta),
        Event::Verdict(event) => verdict::apply(ticket, event, meta),
        Event::Money(event) => money::apply(ticket, event, meta),
        Event::Fault(event) => fault::apply(ticket, event, meta),
        Event::Install(event) => install::apply(ticket, event, meta),
    }
    ticket.revision = meta.revision;
    ticket.last_recorded_at = meta.recorded_at;
    ticket.commands.note(meta);
    ticket.custody.observe(custody::holder(ticket), meta.recorded_at);
}

/// Decides a command: the events it adds, none where what it asks for already holds.
///
/// What fell due before this moment is decided first, so that a late command finds the breach there.
///
/// # Errors
/// A [`Rejection`] that states the fact against it; the ticket is as it was.
pub fn decide(
    ticket: Option<&Ticket>,
    context: &Context<'_>,
    command: Command,
) -> Result<Vec<Event>, Rejection> {
    let Some(ticket) = ticket else {
        return match command {
            Command::Intake(intake::Command::TakeIn { intake, open_twin, reopenable_twin }) => {
                intake::take_in(*intake, open_twin, reopenable_twin, context)
            }
            _ => Err(Rejection::TicketUnknown),
        };
    };
    let mut draft = Draft::begin(ticket.clone(), context);
    take(&mut draft, command)?;
    Ok(draft.finish())
}

/// Decides and folds at once, without a copy of the ticket; nothing where it was refused or changes nothing.
#[must_use]
pub fn advance(
    ticket: Ticket,
    context: &Context<'_>,
    command: Command,
) -> Option<(Option<Ticket>, Vec<Event>)> {
    let mut draft = Draft::begin(ticket, context);
    take(&mut draft, command).ok()?;
    draft.advanced().map(|(ticket, events)| (Some(ticket), events))
}

fn take(draft: &mut Draft<'_>, command: Command) -> Result<(), Rejection> {
    match command {
        Command::Intake(command) => intake::decide(draft, command),
        Command::Contact(command) => contact::decide(draft, command),
        Command::Chain(command) => chain::decide(draft, command),
        Command::Order(command) => order::decide(draft, command),
        Command::Clock(command) => clock::decide(draft, command),
        Command::Gate(command) => gate::decide(draft, command),
        Command::Verdict(command) => verdict::decide(draft, command),
        Command::Money(command) => money::decide(draft, command),
        Command::Fault(command) => fault::decide(draft, command),
        Command::Install(command) => install::decide(draft, command),
    }
}
