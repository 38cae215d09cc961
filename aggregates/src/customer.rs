//! Customers: tier, segment and the tickets they have; their keys hang on the id (domain.md sections 8 to 10).

use std::collections::BTreeSet;

use jiff::Timestamp;

use crate::checks::described;
use crate::ids::{CustomerId, TicketId};
use crate::memory::Memory;
use crate::meta::{Context, Meta};
use crate::rejection::{Missing, Rejection};
use crate::words::{Segment, Tier};

/// What happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// A customer became known.
    Registered {
        /// The id; random.
        customer: CustomerId,
        /// Keyed hash of the phone number.
        phone_hash: [u8; 16],
        /// Tier.
        tier: Tier,
        /// Segment.
        segment: Segment,
    },
    /// Tier or segment changed; tickets taken in from now on follow it.
    TierChanged {
        /// Tier.
        tier: Tier,
        /// Segment.
        segment: Segment,
        /// Why; no personal data.
        reason: String,
    },
    /// A ticket of this customer was taken in or reopened.
    TicketOpened {
        /// The ticket.
        ticket: TicketId,
    },
    /// A ticket of this customer ended.
    TicketEnded {
        /// The ticket.
        ticket: TicketId,
    },
    /// The key was erased (PIPL 47).
    Erased {
        /// On whose word; no personal data.
        reason: String,
    },
}

/// A customer, folded from its events.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Customer {
    /// The id; random.
    pub id: CustomerId,
    /// Keyed hash of the phone number.
    pub phone_hash: [u8; 16],
    /// Tier.
    pub tier: Tier,
    /// Segment.
    pub segment: Segment,
    /// Tickets that are open.
    pub open: BTreeSet<TicketId>,
    /// The key was erased.
    pub erased: bool,
    /// The last event's revision.
    pub revision: u64,
    /// The last event's recorded moment.
    pub last_recorded_at: Timestamp,
    /// Commands and what they did.
    pub commands: Memory,
}

/// Folds one event. Nothing comes of an event before `Registered`.
#[must_use]
pub fn evolve(customer: Option<Customer>, event: &Event, meta: &Meta) -> Option<Customer> {
    let mut customer = match (customer, event) {
        (Some(customer), _) => customer,
        (None, Event::Registered { customer, phone_hash, tier, segment }) => Customer {
            id: *customer,
            phone_hash: *phone_hash,
            tier: *tier,
            segment: *segment,
            open: BTreeSet::new(),
            erased: false,
            revision: meta.revision,
            last_recorded_at: meta.recorded_at,
            commands: Memory::default(),
        },
        (None, _) => return None,
    };
    match event {
        Event::Registered { .. } => {}
        Event::TierChanged { tier, segment, .. } => {
            customer.tier = *tier;
            customer.segment = *segment;
        }
        Event::TicketOpened { ticket } => {
            customer.open.insert(*ticket);
        }
        Event::TicketEnded { ticket } => {
            customer.open.remove(ticket);
        }
        Event::Erased { .. } => customer.erased = true,
    }
    customer.revision = meta.revision;
    customer.last_recorded_at = meta.recorded_at;
    customer.commands.note(meta);
    Some(customer)
}

/// What may be asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Command {
    /// Register a customer.
    Register {
        /// The id; random.
        customer: CustomerId,
        /// Keyed hash of the phone number.
        phone_hash: [u8; 16],
        /// Tier.
        tier: Tier,
        /// Segment.
        segment: Segment,
    },
    /// Change tier or segment.
    ChangeTier {
        /// Tier.
        tier: Tier,
        /// Segment.
        segment: Segment,
        /// Why; required.
        reason: String,
    },
    /// Note that a ticket was taken in or reopened (a reaction).
    NoteTicketOpened {
        /// The ticket.
        ticket: TicketId,
    },
    /// Note that a ticket ended (a reaction).
    NoteTicketEnded {
        /// The ticket.
        ticket: TicketId,
    },
    /// Erase; refused while a ticket, receipt or due is open.
    Erase {
        /// On whose word; required.
        reason: String,
        /// How the customer's tickets stand.
        evidence: ErasureEvidence,
    },
}

/// What the customer's tickets themselves say: this stream hears of their ends a little later.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ErasureEvidence {
    /// Tickets that have ended, whether or not this stream knows.
    pub ended: BTreeSet<TicketId>,
    /// What is open: tickets, receipts, dues.
    pub open: Vec<Missing>,
}

/// Decides a command: the events it adds, none where what it asks for already holds.
///
/// # Errors
/// A [`Rejection`] that states the fact against it.
pub fn decide(
    customer: Option<&Customer>,
    _context: &Context<'_>,
    command: Command,
) -> Result<Vec<Event>, Rejection> {
    let Some(known) = customer else {
        let Command::Register { customer, phone_hash, tier, segment } = command else {
            return Err(Rejection::DoesNotExist);
        };
        return Ok(vec![Event::Registered { customer, phone_hash, tier, segment }]);
    };
    let events = match command {
        Command::Register { customer, phone_hash, .. } => {
            // Tier and segment change by their own command.
            if known.id != customer || known.phone_hash != phone_hash {
                return Err(Rejection::AlreadyExists);
            }
            None
        }
        Command::ChangeTier { tier, segment, reason } => {
            described("reason", &reason)?;
            not_erased(known)?;
            let changed = (known.tier, known.segment) != (tier, segment);
            changed.then_some(Event::TierChanged { tier, segment, reason })
        }
        Command::NoteTicketOpened { ticket } => {
            not_erased(known)?;
            (!known.open.contains(&ticket)).then_some(Event::TicketOpened { ticket })
        }
        Command::NoteTicketEnded { ticket } => {
            known.open.contains(&ticket).then_some(Event::TicketEnded { ticket })
        }
        Command::Erase { reason, evidence } => {
            described("reason", &reason)?;
            if known.erased {
                return Ok(Vec::new());
            }
            let ErasureEvidence { ended, open: mut missing } = evidence;
            let open = known.open.difference(&ended).map(|ticket| Missing::EndOf(*ticket));
            missing.extend(open.filter(|end| !missing.contains(end)).collect::<Vec<_>>());
            if !missing.is_empty() {
                return Err(Rejection::CustomerHasOpenCases { missing });
            }
            Some(Event::Erased { reason })
        }
    };
    Ok(events.into_iter().collect())
}

fn not_erased(customer: &Customer) -> Result<(), Rejection> {
    if customer.erased { Err(Rejection::AlreadyEnded) } else { Ok(()) }
}
