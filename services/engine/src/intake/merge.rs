//! What is compared before one ticket takes another over.

use duban_aggregates::ids::{CustomerId, TicketId};
use duban_aggregates::ticket::Ticket;
use duban_aggregates::ticket::chain::MergeEvidence;

/// What a merge compares of each side.
pub(super) struct MergeSide {
    ticket: TicketId,
    open: bool,
    customer: Option<CustomerId>,
    service: Option<[u8; 16]>,
}

impl MergeSide {
    pub(super) fn of(ticket: &Ticket) -> Self {
        let customer = ticket.intake.customer.as_ref().map(|customer| customer.id);
        let service = ticket.intake.service.as_ref().map(|service| service.number_hash);
        Self { ticket: ticket.id(), open: ticket.is_open(), customer, service }
    }
}

/// What is known of the ticket that is to take over; nothing speaks for one that does not exist, or for itself.
pub(super) fn merge_evidence(of: &MergeSide, into: TicketId, target: Option<&MergeSide>) -> MergeEvidence {
    let another = target.filter(|_| of.ticket != into);
    MergeEvidence {
        open: another.is_some_and(|target| target.open),
        same_customer: another.is_some_and(|target| of.customer.is_some() && target.customer == of.customer),
        same_service: another.is_some_and(|target| of.service.is_some() && target.service == of.service),
    }
}
