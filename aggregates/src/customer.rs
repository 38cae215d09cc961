//! Customers: tier, segment and the tickets they have; their keys hang on the id (domain.md sections 8 to 10).

use crate::ids::{CustomerId, TicketId};
use crate::intake::{Segment, Tier};

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
        /// Evidence: receipts or dues still owed on the customer's ended tickets.
        still_owed: bool,
    },
}
