//! From what the log keeps to what the rules fold, and the names of streams.

use duban_aggregates::ids::{CustomerId, HistoryId, TicketId};
use duban_aggregates::meta::Meta;
use duban_aggregates::words::Kind;
use duban_aggregates::{customer, imported, ticket};
use duban_codec::{CodecError, StoredEvent};
use duban_log::{Position, Recorded, StreamName, View};

/// A stored event that cannot be read. Readers stop here, loudly: an unknown type or field is never passed over.
#[derive(Debug, thiserror::Error)]
#[error("event {revision} of {stream} ({kind}) cannot be read")]
pub struct Undecodable {
    /// Stream.
    pub stream: String,
    /// Revision.
    pub revision: u64,
    /// Place in the whole log, where that is known.
    pub position: Option<Position>,
    /// Stored type name.
    pub kind: String,
    /// Why.
    pub source: Box<CodecError>,
}

fn undecodable<'e>(event: &'e StoredEvent<'_>) -> impl Fn(CodecError) -> Undecodable + 'e {
    |source| Undecodable {
        stream: event.stream.to_owned(),
        revision: event.revision,
        position: event.position.map(Position::new),
        kind: event.kind.to_owned(),
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

/// An event where it lies in the log's buffer, as the codec reads it. Tags are left out: folds have no use for them.
#[must_use]
pub fn viewed<'v>(view: &View<'v>) -> StoredEvent<'v> {
    StoredEvent {
        id: view.id,
        stream: view.stream,
        revision: view.revision,
        position: Some(view.position.get()),
        kind: view.kind,
        occurred_at: view.occurred_at,
        recorded_at: view.recorded_at,
        tags: &[],
        metadata: view.metadata,
        payload: view.payload,
    }
}

/// What folds need of everything around an event.
///
/// # Errors
/// [`Undecodable`].
pub fn meta(recorded: &Recorded) -> Result<Meta, Undecodable> {
    meta_of(&stored(recorded))
}

fn meta_of(event: &StoredEvent<'_>) -> Result<Meta, Undecodable> {
    duban_codec::decode_meta(event).map_err(undecodable(event))
}

/// A stored event of a ticket.
///
/// # Errors
/// [`Undecodable`].
pub fn ticket_event(recorded: &Recorded) -> Result<ticket::Event, Undecodable> {
    ticket_event_of(&stored(recorded))
}

pub(crate) fn ticket_event_of(event: &StoredEvent<'_>) -> Result<ticket::Event, Undecodable> {
    duban_codec::decode_ticket(event.kind, event.payload).map_err(undecodable(event))
}

/// What happened to a ticket, and everything around it.
///
/// # Errors
/// [`Undecodable`].
pub(crate) fn happened(event: &StoredEvent<'_>) -> Result<(ticket::Event, Meta), Undecodable> {
    Ok((ticket_event_of(event)?, meta_of(event)?))
}

/// The ticket that an event is about, by its stream's name.
#[must_use]
pub fn ticket_of(recorded: &Recorded) -> Option<TicketId> {
    ticket_named(recorded.stream.as_str())
}

/// The stream of a ticket.
///
/// # Errors
/// Never: a kind's name and an id are a stream's name.
pub fn ticket_stream(kind: Kind, ticket: TicketId) -> Result<StreamName, duban_log::Error> {
    StreamName::new(format!("{}-{ticket}", kind.name()))
}

/// The streams in which a ticket of this id may be: an id is one ticket's, whatever its kind.
///
/// # Errors
/// As [`ticket_stream`].
pub fn ticket_streams(ticket: TicketId) -> Result<[StreamName; 3], duban_log::Error> {
    let stream = |kind| ticket_stream(kind, ticket);
    Ok([stream(Kind::Complaint)?, stream(Kind::Fault)?, stream(Kind::Install)?])
}

pub(crate) fn ticket_named(stream: &str) -> Option<TicketId> {
    let (prefix, id) = stream.split_once('-')?;
    let kinds = [Kind::Complaint, Kind::Fault, Kind::Install];
    kinds.iter().find(|kind| kind.name() == prefix)?;
    uuid::Uuid::parse_str(id).ok().map(TicketId)
}

/// A stored event of a customer.
///
/// # Errors
/// [`Undecodable`].
pub(crate) fn customer_event(event: &StoredEvent<'_>) -> Result<customer::Event, Undecodable> {
    duban_codec::decode_customer(event.kind, event.payload).map_err(undecodable(event))
}

/// The customer that a stream is about.
pub(crate) fn customer_named(stream: &str) -> Option<CustomerId> {
    let id = stream.strip_prefix("customer-")?;
    uuid::Uuid::parse_str(id).ok().map(CustomerId)
}

/// A stored step of a foreign history.
///
/// # Errors
/// [`Undecodable`].
pub(crate) fn imported_event(event: &StoredEvent<'_>) -> Result<imported::Event, Undecodable> {
    duban_codec::decode_imported(event.kind, event.payload).map_err(undecodable(event))
}

/// The foreign history that a stream is.
pub(crate) fn imported_named(stream: &str) -> Option<HistoryId> {
    let id = stream.strip_prefix("imported-")?;
    uuid::Uuid::parse_str(id).ok().map(HistoryId)
}
