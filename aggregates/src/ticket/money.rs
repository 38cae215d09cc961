//! Money owed to customers, in fen: accrued → approved → paid or credited (domain.md section 7).

use crate::checks::{listed, named};
use crate::ids::{DueNo, EventId};
use crate::meta::Meta;
use crate::rejection::{Problem, Rejection};
use crate::ticket::draft::Draft;
use crate::ticket::state::{Ticket, index, next_number};

// Where this was before; until every user names where it is.
pub use crate::words::{DueReason, Settlement};

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
}

/// Money owed, and how far it got.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Due {
    /// Why.
    pub reason: DueReason,
    /// How much, in fen.
    pub amount_fen: u64,
    /// Assessment approved it.
    pub approved: bool,
    /// The event by which the customer had it.
    pub settled: Option<EventId>,
}

pub(crate) fn apply(ticket: &mut Ticket, event: &Event, meta: &Meta) {
    match event {
        Event::Accrued { reason, amount_fen, .. } => {
            ticket.dues.push(Due {
                reason: *reason,
                amount_fen: *amount_fen,
                approved: false,
                settled: None,
            });
        }
        Event::Approved { due } => change(ticket, *due, |due| due.approved = true),
        Event::Settled { due, .. } => change(ticket, *due, |due| due.settled = Some(meta.id)),
    }
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
            if !find(draft, due)?.approved {
                draft.push(Event::Approved { due });
            }
        }
        Command::Settle { due, settlement, reference } => {
            named("reference", &reference)?;
            let found = find(draft, due)?;
            if !found.approved {
                return Err(Rejection::DueNotApproved { due });
            }
            if found.settled.is_none() {
                draft.push(Event::Settled { due, settlement, reference });
            }
        }
    }
    Ok(())
}

fn find<'s>(draft: &'s Draft<'_>, due: DueNo) -> Result<&'s Due, Rejection> {
    index(due.0).and_then(|index| draft.ticket.dues.get(index)).ok_or(Rejection::UnknownDue { due })
}
