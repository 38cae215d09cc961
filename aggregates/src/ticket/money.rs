//! Money owed to customers, in fen: accrued → approved → paid or credited, or cancelled before that (domain.md section 7).

use crate::checks::{listed, named, required};
use crate::ids::{DueNo, EmployeeId, EventId};
use crate::meta::Meta;
use crate::rejection::{Problem, Rejection};
use crate::sealed::Sealed;
use crate::ticket::draft::Draft;
use crate::ticket::state::{Ticket, index, next_number};
use crate::words::{DueReason, Settlement};

/// What happened to dues.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// Money is owed.
    Accrued {
        /// Its number.
        due: DueNo,
        /// Why.
        reason: DueReason,
        /// How much, in fen.
        amount_fen: u64,
        /// The events it rests on.
        because: Vec<EventId>,
    },
    /// Assessment approved it.
    Approved {
        /// Which.
        due: DueNo,
    },
    /// The customer has it.
    Settled {
        /// Which.
        due: DueNo,
        /// Paid or credited.
        settlement: Settlement,
        /// The payment's own number.
        reference: String,
    },
    /// It is not owed after all; somebody else than who had it accrued or approved said so.
    Cancelled {
        /// Which.
        due: DueNo,
        /// Why.
        reason: Sealed,
    },
}

/// What may be asked of dues.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Command {
    /// Record that money is owed.
    Accrue {
        /// Why.
        reason: DueReason,
        /// How much, in fen; more than nothing.
        amount_fen: u64,
        /// The events it rests on; at least one of this ticket's.
        because: Vec<EventId>,
    },
    /// Approve.
    Approve {
        /// Which.
        due: DueNo,
    },
    /// Record that the customer has it.
    Settle {
        /// Which.
        due: DueNo,
        /// Paid or credited.
        settlement: Settlement,
        /// The payment's own number; required.
        reference: String,
    },
    /// Cancel, before the customer has it.
    Cancel {
        /// Which.
        due: DueNo,
        /// Why; required.
        reason: Sealed,
    },
}

/// Money owed, and how far it got.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Due {
    /// Why.
    pub reason: DueReason,
    /// How much, in fen.
    pub amount_fen: u64,
    /// Who had it accrued; none where it accrued by itself.
    pub accrued_by: Option<EmployeeId>,
    /// Assessment approved it.
    pub approved: bool,
    /// Who approved it.
    pub approved_by: Option<EmployeeId>,
    /// The event by which the customer had it.
    pub settled: Option<EventId>,
    /// The event by which it was cancelled.
    pub cancelled: Option<EventId>,
}

impl Due {
    /// It is owed still.
    #[must_use]
    pub fn is_owed(&self) -> bool {
        self.settled.is_none() && self.cancelled.is_none()
    }
}

pub(crate) fn apply(ticket: &mut Ticket, event: &Event, meta: &Meta) {
    match event {
        Event::Accrued { reason, amount_fen, .. } => {
            ticket.dues.push(Due {
                reason: *reason,
                amount_fen: *amount_fen,
                accrued_by: person(meta),
                approved: false,
                approved_by: None,
                settled: None,
                cancelled: None,
            });
        }
        Event::Approved { due } => change(ticket, *due, |due| {
            due.approved = true;
            due.approved_by = person(meta);
        }),
        Event::Cancelled { due, .. } => change(ticket, *due, |due| due.cancelled = Some(meta.id)),
        Event::Settled { due, .. } => change(ticket, *due, |due| due.settled = Some(meta.id)),
    }
}

/// The event's actor, where that is a person.
fn person(meta: &Meta) -> Option<EmployeeId> {
    (!meta.actor.role.is_system()).then(|| meta.actor.id.clone())
}

fn change(ticket: &mut Ticket, due: DueNo, change: impl FnOnce(&mut Due)) {
    if let Some(due) = index(due.0).and_then(|index| ticket.dues.get_mut(index)) {
        change(due);
    }
}

pub(crate) fn decide(draft: &mut Draft<'_>, command: Command) -> Result<(), Rejection> {
    match command {
        Command::Accrue { reason, amount_fen, because } => {
            // An end stops accrual; what accrued stays owed.
            draft.open()?;
            if draft.ticket.intake.customer.is_none() {
                return Err(Rejection::NoCustomer);
            }
            if amount_fen == 0 {
                return Err(Rejection::invalid("amount_fen", Problem::Required));
            }
            if because.is_empty() {
                return Err(Rejection::invalid("because", Problem::Required));
            }
            listed("because", &because)?;
            draft.own_events(&because)?;
            let due = DueNo(next_number(draft.ticket.dues.len()));
            draft.push(Event::Accrued { due, reason, amount_fen, because });
        }
        Command::Approve { due } => {
            if !not_cancelled(draft, due)?.approved {
                draft.push(Event::Approved { due });
            }
        }
        Command::Settle { due, settlement, reference } => {
            named("reference", &reference)?;
            let found = not_cancelled(draft, due)?;
            if !found.approved {
                return Err(Rejection::DueNotApproved { due });
            }
            if found.settled.is_none() {
                draft.push(Event::Settled { due, settlement, reference });
            }
        }
        Command::Cancel { due, reason } => {
            required("reason", &reason)?;
            let found = find(draft, due)?;
            if found.cancelled.is_some() {
                return Ok(());
            }
            if found.settled.is_some() {
                return Err(Rejection::DueSettled { due });
            }
            let actor = &draft.context.actor.id;
            if [&found.accrued_by, &found.approved_by].into_iter().flatten().any(|other| other.is_same(actor))
            {
                return Err(Rejection::OwnWork);
            }
            draft.push(Event::Cancelled { due, reason });
        }
    }
    Ok(())
}

fn not_cancelled<'s>(draft: &'s Draft<'_>, due: DueNo) -> Result<&'s Due, Rejection> {
    let found = find(draft, due)?;
    if found.cancelled.is_some() { Err(Rejection::DueCancelled { due }) } else { Ok(found) }
}

fn find<'s>(draft: &'s Draft<'_>, due: DueNo) -> Result<&'s Due, Rejection> {
    draft.ticket.due(due).ok_or(Rejection::UnknownDue { due })
}
