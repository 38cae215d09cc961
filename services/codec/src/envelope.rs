//! What surrounds an event: the metadata that is stored beside it, and the envelope that is streamed and published.

use std::sync::Arc;

use bytes::Bytes;
use duban_aggregates::actor::Actor;
use duban_aggregates::ids::{CommandId, EmployeeId, EventId, UnitId};
use duban_aggregates::meta::Meta;
use duban_proto::event::v1 as pb;
use jiff::Timestamp;
use prost::Message as _;
use uuid::Uuid;

use crate::error::{CodecError, Malformed, Problem};
use crate::events::{self, message};
use crate::wire::Wire;

/// What led to a command. By default nothing did: a person asked, by a client without tracing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Lineage {
    /// What started the whole line of events; absent where nothing came before this command.
    pub correlation: Option<Uuid>,
    /// The event that a reaction or timer answers to.
    pub causation: Option<EventId>,
    /// W3C traceparent of the request; may be empty.
    pub trace_context: String,
}

/// Everything that the stored metadata of an event says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Metadata {
    /// Who, from the proven identity.
    pub actor: Actor,
    /// The command behind the event.
    pub command: CommandId,
    /// Keyed hash of the command's request.
    pub fingerprint: [u8; 16],
    /// What led to the command.
    pub lineage: Lineage,
    /// The version of the policy in force; may be empty.
    pub policy_version: String,
}

/// An event as a log keeps it, whichever log it is.
#[derive(Clone, Copy, Debug)]
pub struct StoredEvent<'a> {
    /// Its id.
    pub id: Uuid,
    /// The stream's name.
    pub stream: &'a str,
    /// Its place in the stream, from 0.
    pub revision: u64,
    /// Its place in the whole log, where that is known.
    pub position: Option<u64>,
    /// The stored type.
    pub kind: &'a str,
    /// When it happened, in microseconds since 1970.
    pub occurred_at: i64,
    /// When it was recorded, in microseconds since 1970.
    pub recorded_at: i64,
    /// Tags.
    pub tags: &'a [(Arc<str>, Arc<str>)],
    /// Stored metadata.
    pub metadata: &'a [u8],
    /// Stored payload.
    pub payload: &'a [u8],
}

/// An envelope taken apart into what a log keeps.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Parts {
    /// Its id.
    pub id: Uuid,
    /// The stream's name.
    pub stream: String,
    /// Its place in the stream, from 0.
    pub revision: u64,
    /// Its place in the whole log it came from, where the envelope says it.
    pub position: Option<u64>,
    /// The stored type.
    pub kind: &'static str,
    /// When it happened, in microseconds since 1970.
    pub occurred_at: i64,
    /// When it was recorded, in microseconds since 1970.
    pub recorded_at: i64,
    /// Tags.
    pub tags: Vec<(Arc<str>, Arc<str>)>,
    /// Metadata to store.
    pub metadata: Bytes,
    /// Payload to store.
    pub payload: Bytes,
}

impl Parts {
    /// The same, borrowed.
    #[must_use]
    pub fn as_stored(&self) -> StoredEvent<'_> {
        StoredEvent {
            id: self.id,
            stream: &self.stream,
            revision: self.revision,
            position: self.position,
            kind: self.kind,
            occurred_at: self.occurred_at,
            recorded_at: self.recorded_at,
            tags: &self.tags,
            metadata: &self.metadata,
            payload: &self.payload,
        }
    }
}

/// The stored metadata of an event.
#[must_use]
pub fn encode_metadata(meta: &Meta, lineage: &Lineage, policy_version: &str) -> Bytes {
    let metadata = pb::Metadata {
        actor_id: meta.actor.id.0.clone(),
        role: meta.actor.role.put(),
        unit: meta.actor.unit.0.clone(),
        command_id: meta.command.0.as_bytes().to_vec(),
        fingerprint: meta.fingerprint.to_vec(),
        correlation: lineage.correlation.map(|id| id.as_bytes().to_vec()),
        causation: lineage.causation.map(|id| id.0.as_bytes().to_vec()),
        trace_context: lineage.trace_context.clone(),
        policy_version: policy_version.to_owned(),
    };
    metadata.encode_to_vec().into()
}

/// Reads stored metadata.
///
/// # Errors
/// Unknown fields, missing ones, or bytes that are none of ours.
pub fn decode_metadata(bytes: &[u8]) -> Result<Metadata, CodecError> {
    take_metadata(message(METADATA, bytes)?)
        .map_err(|malformed| CodecError::Malformed { kind: METADATA.into(), malformed })
}

const METADATA: &str = "metadata";

fn take_metadata(from: pb::Metadata) -> Result<Metadata, Malformed> {
    let id = |bytes: Vec<u8>, field| <[u8; 16]>::take(bytes, field).map(Uuid::from_bytes);
    Ok(Metadata {
        actor: Actor {
            id: EmployeeId(from.actor_id),
            role: Wire::take(from.role, "role")?,
            unit: UnitId(from.unit),
        },
        command: CommandId(id(from.command_id, "command_id")?),
        fingerprint: Wire::take(from.fingerprint, "fingerprint")?,
        lineage: Lineage {
            correlation: from.correlation.map(|bytes| id(bytes, "correlation")).transpose()?,
            causation: from.causation.map(|bytes| id(bytes, "causation").map(EventId)).transpose()?,
            trace_context: from.trace_context,
        },
        policy_version: from.policy_version,
    })
}

/// What folds need of everything around an event.
///
/// # Errors
/// As [`decode_metadata`]; moments that do not exist.
pub fn decode_meta(event: &StoredEvent<'_>) -> Result<Meta, CodecError> {
    let (actor, command, fingerprint) = match read_actor(event.metadata) {
        Some(read) => read,
        None => {
            let Metadata { actor, command, fingerprint, .. } = decode_metadata(event.metadata)?;
            (actor, command, fingerprint)
        }
    };
    Ok(Meta {
        id: EventId(event.id),
        revision: event.revision,
        recorded_at: moment(event.recorded_at, "recorded_at")?,
        occurred_at: moment(event.occurred_at, "occurred_at")?,
        actor,
        command,
        fingerprint,
    })
}

/// Reads [`pb::Metadata`] as this version writes it, without what folds have no use for. Every event is read through here
/// on replay, and prost would allocate nine times for it. None where anything is unusual: the slow way says what.
fn read_actor(mut bytes: &[u8]) -> Option<(Actor, CommandId, [u8; 16])> {
    const TEXT: u8 = 2;
    let id = read_field(&mut bytes, 1 << 3 | TEXT)?;
    let role = match bytes {
        [key, role, rest @ ..] if *key == 2 << 3 && *role < 0x80 => {
            bytes = rest;
            i32::from(*role)
        }
        _ => return None,
    };
    let unit = read_field(&mut bytes, 3 << 3 | TEXT)?;
    let command: [u8; 16] = read_field(&mut bytes, 4 << 3 | TEXT)?.try_into().ok()?;
    let fingerprint = read_field(&mut bytes, 5 << 3 | TEXT)?.try_into().ok()?;
    // Correlation, causation, trace, policy: no more than these, each once, in order.
    for (field, length) in [(6, Some(16)), (7, Some(16)), (8, None), (9, None)] {
        if bytes.first() == Some(&(field << 3 | TEXT)) {
            let value = read_field(&mut bytes, field << 3 | TEXT)?;
            let as_written = match length {
                Some(length) => value.len() == length,
                None => !value.is_empty() && std::str::from_utf8(value).is_ok(),
            };
            if !as_written {
                return None;
            }
        }
    }
    if !bytes.is_empty() {
        return None;
    }
    let text = |bytes: &[u8]| std::str::from_utf8(bytes).ok().map(str::to_owned);
    let actor =
        Actor { id: EmployeeId(text(id)?), role: Wire::take(role, "role").ok()?, unit: UnitId(text(unit)?) };
    Some((actor, CommandId(Uuid::from_bytes(command)), fingerprint))
}

/// A field of less than 128 bytes, as long as it is the next one.
fn read_field<'a>(bytes: &mut &'a [u8], key: u8) -> Option<&'a [u8]> {
    let [found, length, rest @ ..] = *bytes else { return None };
    if *found != key || *length >= 0x80 {
        return None;
    }
    let (value, rest) = rest.split_at_checked(usize::from(*length))?;
    *bytes = rest;
    Some(value)
}

/// The envelope of a stored event: what is streamed, published and exported. The payload is not upcast: readers see what
/// is stored.
///
/// # Errors
/// An unknown type, an unknown field, or bytes that are none of ours.
pub fn to_event(event: &StoredEvent<'_>) -> Result<pb::Event, CodecError> {
    let metadata: pb::Metadata = message(METADATA, event.metadata)?;
    let tag = |(key, value): &(Arc<str>, Arc<str>)| pb::Tag {
        key: (**key).to_owned(),
        value: (**value).to_owned(),
    };
    Ok(pb::Event {
        id: event.id.to_string(),
        stream: event.stream.to_owned(),
        revision: event.revision,
        position: event.position,
        r#type: event.kind.to_owned(),
        occurred_at: moment(event.occurred_at, "occurred_at")?.put(),
        recorded_at: moment(event.recorded_at, "recorded_at")?.put(),
        metadata: Some(metadata),
        tags: event.tags.iter().map(tag).collect(),
        payload: Some(events::payload(event.kind, event.payload)?),
    })
}

/// Takes an envelope apart, for a log to keep.
///
/// # Errors
/// [`CodecError::TypeMismatch`] where type and payload differ; [`CodecError::Malformed`] for missing fields, and for moments
/// finer than the log keeps.
pub fn from_event(event: pb::Event) -> Result<Parts, CodecError> {
    let envelope = |malformed| CodecError::Malformed { kind: "event".into(), malformed };
    let missing = |field| envelope(Malformed::new(field, Problem::Missing));
    let metadata = event.metadata.ok_or_else(|| missing("metadata"))?;
    let (kind, payload) = events::stored_payload(event.payload.as_ref().ok_or_else(|| missing("payload"))?);
    if kind != event.r#type {
        return Err(CodecError::TypeMismatch { said: event.r#type, held: kind });
    }
    let stored_metadata = metadata.encode_to_vec();
    // What is missing in it must not reach the log.
    take_metadata(metadata).map_err(envelope)?;
    Ok(Parts {
        id: EventId::take(event.id, "id").map_err(envelope)?.0,
        stream: event.stream,
        revision: event.revision,
        position: event.position,
        kind,
        occurred_at: microseconds(event.occurred_at, "occurred_at").map_err(envelope)?,
        recorded_at: microseconds(event.recorded_at, "recorded_at").map_err(envelope)?,
        tags: event.tags.into_iter().map(|tag| (tag.key.into(), tag.value.into())).collect(),
        metadata: stored_metadata.into(),
        payload: payload.into(),
    })
}

fn moment(microseconds: i64, field: &'static str) -> Result<Timestamp, CodecError> {
    Timestamp::from_microsecond(microseconds).map_err(|_| CodecError::Malformed {
        kind: "event".into(),
        malformed: Malformed::new(field, Problem::NotAMoment),
    })
}

fn microseconds(at: Option<prost_types::Timestamp>, field: &'static str) -> Result<i64, Malformed> {
    let at = Timestamp::take(at, field)?;
    if at.subsec_nanosecond() % 1_000 == 0 {
        Ok(at.as_microsecond())
    } else {
        Err(Malformed::new(field, Problem::TooFine))
    }
}
