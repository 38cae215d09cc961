//! Canonical proto3 JSON of an envelope: 64-bit integers as strings, enums by name, RFC 3339 in UTC, fields in the order
//! of their numbers. It is what KurrentDB, Kafka and exports hold.

use std::sync::LazyLock;

use duban_proto::event::v1::Event;
use prost_reflect::{DescriptorPool, DynamicMessage, MessageDescriptor, SerializeOptions};
use serde_json::Serializer;
use serde_json::ser::{CompactFormatter, Formatter, PrettyFormatter};

use crate::error::CodecError;

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
    let mut message = DynamicMessage::new(envelope());
    message
        .transcode_from(event)
        .map_err(|source| CodecError::Undecodable { kind: "event".into(), source })?;
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
    let mut reader = serde_json::Deserializer::from_str(json);
    let message = DynamicMessage::deserialize(envelope(), &mut reader).map_err(CodecError::Json)?;
    reader.end().map_err(CodecError::Json)?;
    message.transcode_to().map_err(|source| CodecError::Undecodable { kind: "event".into(), source })
}
