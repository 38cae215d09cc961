//! Canonical proto3 JSON of an envelope: 64-bit integers as strings, enums by name, RFC 3339 in UTC, fields in the order
//! of their numbers. It is what KurrentDB, Kafka and exports hold.

use std::sync::LazyLock;

use duban_proto::event::v1::{Event, Metadata};
use prost::Message as _;
use prost_reflect::{
    DescriptorPool, DynamicMessage, FieldDescriptor, MessageDescriptor, SerializeOptions, Value,
};
use serde_json::Serializer;
use serde_json::ser::{CompactFormatter, Formatter, PrettyFormatter};

use crate::error::CodecError;
use crate::events;

/// The descriptors of the public contract.
///
/// # Panics
/// Never: tests read the descriptors that the build has written.
#[must_use]
pub fn descriptors() -> &'static DescriptorPool {
    static POOL: LazyLock<DescriptorPool> = LazyLock::new(|| {
        DescriptorPool::decode(duban_proto::FILE_DESCRIPTOR_SET)
            .expect("the build wrote a valid descriptor set")
    });
    &POOL
}

/// The envelope's descriptor.
fn envelope() -> MessageDescriptor {
    static EVENT: LazyLock<MessageDescriptor> = LazyLock::new(|| {
        descriptors().get_message_by_name("duban.event.v1.Event").expect("the contract has an envelope")
    });
    EVENT.clone()
}

/// The canonical JSON of an event, in one line.
///
/// # Errors
/// [`CodecError::Json`] for moments outside the years 1 to 9999, which JSON cannot say.
pub fn to_json(event: &Event) -> Result<String, CodecError> {
    write(event, CompactFormatter)
}

/// The same with line breaks, for people.
///
/// # Errors
/// As [`to_json`].
pub fn to_json_pretty(event: &Event) -> Result<String, CodecError> {
    write(event, PrettyFormatter::new())
}

fn write<F: Formatter>(event: &Event, formatter: F) -> Result<String, CodecError> {
    written(&dynamic(envelope(), event)?, formatter)
}

fn dynamic(of: MessageDescriptor, message: &impl prost::Message) -> Result<DynamicMessage, CodecError> {
    let mut dynamic = DynamicMessage::new(of);
    dynamic
        .transcode_from(message)
        .map_err(|source| CodecError::Undecodable { kind: "event".into(), source })?;
    Ok(dynamic)
}

fn written<F: Formatter>(message: &DynamicMessage, formatter: F) -> Result<String, CodecError> {
    let mut bytes = Vec::with_capacity(1024);
    message
        .serialize_with_options(
            &mut Serializer::with_formatter(&mut bytes, formatter),
            &SerializeOptions::new(),
        )
        .map_err(CodecError::Json)?;
    String::from_utf8(bytes).map_err(|error| CodecError::Json(serde::ser::Error::custom(error)))
}

/// Reads an event's JSON, canonical or not; what it writes again is canonical.
///
/// # Errors
/// [`CodecError::Json`] for anything else, also unknown fields and unknown names of enum values.
pub fn from_json(json: &str) -> Result<Event, CodecError> {
    transcoded(&read(envelope(), json)?)
}

fn read(of: MessageDescriptor, json: &str) -> Result<DynamicMessage, CodecError> {
    let mut reader = serde_json::Deserializer::from_str(json);
    let message = DynamicMessage::deserialize(of, &mut reader).map_err(CodecError::Json)?;
    reader.end().map_err(CodecError::Json)?;
    Ok(message)
}

fn transcoded<M: prost::Message + Default>(message: &DynamicMessage) -> Result<M, CodecError> {
    message.transcode_to().map_err(|source| CodecError::Undecodable { kind: "event".into(), source })
}

/// The envelope's field that holds the payload of a stored type.
fn payload_field(kind: &str) -> Result<FieldDescriptor, CodecError> {
    // A test holds the names of types and fields together.
    let name = kind.strip_suffix(".v1").unwrap_or(kind).replace('.', "_");
    let field = envelope().get_field_by_name(&name).filter(|field| field.containing_oneof().is_some());
    field.ok_or_else(|| CodecError::UnknownType(kind.to_owned()))
}

/// The canonical JSON of a stored payload alone, in one line.
///
/// # Errors
/// An unknown type, an unknown field, or bytes that are none of ours; as [`to_json`].
pub fn payload_to_json(kind: &str, payload: &[u8]) -> Result<String, CodecError> {
    let field = payload_field(kind)?;
    let event = Event { payload: Some(events::payload(kind, payload)?), ..Event::default() };
    let envelope = dynamic(envelope(), &event)?;
    match &*envelope.get_field(&field) {
        Value::Message(payload) => written(payload, CompactFormatter),
        _ => Err(CodecError::UnknownType(kind.to_owned())),
    }
}

/// The stored payload of a type, from its JSON.
///
/// # Errors
/// As [`from_json`]; an unknown type.
pub fn payload_from_json(kind: &str, json: &str) -> Result<Vec<u8>, CodecError> {
    let field = payload_field(kind)?;
    let Some(of) = field.kind().as_message().cloned() else {
        return Err(CodecError::UnknownType(kind.to_owned()));
    };
    let mut message = DynamicMessage::new(envelope());
    message.set_field(&field, Value::Message(read(of, json)?));
    let event: Event = transcoded(&message)?;
    let payload = event.payload.ok_or_else(|| CodecError::UnknownType(kind.to_owned()))?;
    Ok(events::stored_payload(&payload).1)
}

/// The canonical JSON of stored metadata alone, in one line.
///
/// # Errors
/// Bytes that are none of ours.
pub fn metadata_to_json(metadata: &[u8]) -> Result<String, CodecError> {
    let metadata: Metadata = events::message("metadata", metadata)?;
    written(&dynamic(metadata_descriptor(), &metadata)?, CompactFormatter)
}

/// Stored metadata, from its JSON.
///
/// # Errors
/// As [`from_json`].
pub fn metadata_from_json(json: &str) -> Result<Vec<u8>, CodecError> {
    let metadata: Metadata = transcoded(&read(metadata_descriptor(), json)?)?;
    Ok(metadata.encode_to_vec())
}

fn metadata_descriptor() -> MessageDescriptor {
    static METADATA: LazyLock<MessageDescriptor> = LazyLock::new(|| {
        descriptors().get_message_by_name("duban.event.v1.Metadata").expect("the contract has metadata")
    });
    METADATA.clone()
}
