//! From what the log keeps to what the rules fold.

use duban_aggregates::customer;
use duban_aggregates::ids::{CustomerId, TicketId};
use duban_aggregates::intake::Kind;
use duban_aggregates::meta::Meta;
use duban_aggregates::ticket::{self, Ticket};
use duban_codec::{CodecError, StoredEvent};
use duban_log::Recorded;

/// A stored event that cannot be read. Readers stop here, loudly: an unknown type or field is never passed over.
#[derive(Debug, thiserror::Error)]
#[error("event {revision} of {stream} ({kind}) cannot be read")]
pub struct Undecodable {
    /// Stream.
    pub stream: String,
    /// Revision.
    pub revision: u64,
    /// Stored type name.
    pub kind: String,
    /// Why.
    pub source: Box<CodecError>,
}

fn undecodable(recorded: &Recorded) -> impl Fn(CodecError) -> Undecodable + '_ {
    |source| Undecodable {
        stream: recorded.stream.to_string(),
        revision: recorded.revision,
        kind: recorded.kind.to_string(),
        source: Box::new(source),
    }
}

/// A recorded event as the codec reads it.
#[must_use]
pub fn stored(recorded: &Recorded) -> StoredEvent<'_> {
    StoredEvent {
        id: recorded.id,
        stream: recorded.stream.as_str(),
        revision: recorded.revision,
        position: Some(recorded.position.get()),
        kind: &recorded.kind,
        occurred_at: recorded.occurred_at,
        recorded_at: recorded.recorded_at,
        tags: &recorded.tags,
        metadata: &recorded.metadata,
        payload: &recorded.payload,
    }
}

/// What folds need of everything around an event.
///
/// # Errors
/// [`Undecodable`].
pub fn meta(recorded: &Recorded) -> Result<Meta, Undecodable> {
    duban_codec::decode_meta(&stored(recorded)).map_err(undecodable(recorded))
}

/// A stored event of a ticket.
///
/// # Errors
/// [`Undecodable`].
pub fn ticket_event(recorded: &Recorded) -> Result<ticket::Event, Undecodable> {
    duban_codec::decode_ticket(&recorded.kind, &recorded.payload).map_err(undecodable(recorded))
}

/// Folds one stored event of a ticket.
///
/// # Errors
/// [`Undecodable`].
pub fn fold_ticket(ticket: Option<Ticket>, recorded: &Recorded) -> Result<Option<Ticket>, Undecodable> {
    Ok(ticket::evolve(ticket, &ticket_event(recorded)?, &meta(recorded)?))
}

/// The ticket that an event is about, by its stream's name.
#[must_use]
pub fn ticket_of(recorded: &Recorded) -> Option<TicketId> {
    let (prefix, id) = recorded.stream.as_str().split_once('-')?;
    let kinds = [Kind::Complaint, Kind::Fault, Kind::Install];
    kinds.iter().find(|kind| kind.name() == prefix)?;
    uuid::Uuid::parse_str(id).ok().map(TicketId)
}

/// A stored event of a customer.
///
/// # Errors
/// [`Undecodable`].
pub fn customer_event(recorded: &Recorded) -> Result<customer::Event, Undecodable> {
    duban_codec::decode_customer(&recorded.kind, &recorded.payload).map_err(undecodable(recorded))
}

/// The customer that an event is about, by its stream's name.
#[must_use]
pub fn customer_of(recorded: &Recorded) -> Option<CustomerId> {
    let id = recorded.stream.as_str().strip_prefix("customer-")?;
    uuid::Uuid::parse_str(id).ok().map(CustomerId)
}
