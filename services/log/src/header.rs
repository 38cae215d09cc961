//! The binary header, the same bytes on every engine: it is what the tree hashes, together with the payload.
//!
//! Filters run on it before anything is copied or decoded. It holds no position, so that an event's leaf does not depend on where
//! an engine put it.
//!
//! | bytes | field |
//! |---|---|
//! | 1 | format, 1 |
//! | 1 | length of the stream name |
//! | 1 | length of the type name |
//! | 1 | number of tags |
//! | 4 | length of the metadata |
//! | 4 | length of the payload |
//! | 16 | id |
//! | 8 | revision |
//! | 8 | occurred_at, microseconds |
//! | 8 | recorded_at, microseconds |
//! | … | stream name, type name, tags (length of key, length of value, key, value), metadata |
//!
//! Integers are little-endian. The payload follows.

use std::sync::Arc;

use bytes::Bytes;
use uuid::Uuid;

use crate::tree::{self, Hash};
use crate::{NewEvent, Position, Recorded, StreamName};

const FORMAT: u8 = 1;
const FIXED: usize = 52;

/// An event as it lies in a buffer: nothing copied, nothing allocated.
#[derive(Debug, Clone, Copy)]
pub struct View<'a> {
    /// Place in the whole log.
    pub position: Position,
    /// Stream it belongs to.
    pub stream: &'a str,
    /// Place in its stream.
    pub revision: u64,
    /// Identity of the event.
    pub id: Uuid,
    /// Stored type name.
    pub kind: &'a str,
    /// When it happened, in microseconds since 1970-01-01T00:00:00Z.
    pub occurred_at: i64,
    /// When it was recorded, in microseconds since 1970-01-01T00:00:00Z.
    pub recorded_at: i64,
    tags: &'a [u8],
    /// Envelope, opaque to the log.
    pub metadata: &'a [u8],
    /// Payload, opaque to the log.
    pub payload: &'a [u8],
    /// Header and payload together.
    body: &'a [u8],
}

impl<'a> View<'a> {
    /// The event's leaf in the tree, as [`leaf_hash`] of the same event.
    #[must_use]
    pub fn leaf_hash(&self) -> Hash {
        tree::leaf_hash(self.body)
    }

    /// Tags, in the order in which they were given.
    pub fn tags(&self) -> impl Iterator<Item = (&'a str, &'a str)> + use<'a> {
        Tags(self.tags)
    }

    /// A copy that outlives the buffer.
    ///
    /// # Errors
    /// Says what is wrong with the stream's name.
    pub fn to_recorded(&self) -> Result<Recorded, crate::Error> {
        // One allocation for both blobs: most of a replay's time would otherwise go to the allocator.
        let mut blob = Vec::with_capacity(self.metadata.len() + self.payload.len());
        blob.extend_from_slice(self.metadata);
        blob.extend_from_slice(self.payload);
        let mut metadata = Bytes::from(blob);
        let payload = metadata.split_off(self.metadata.len());
        Ok(Recorded {
            position: self.position,
            stream: StreamName::new(self.stream)?,
            revision: self.revision,
            id: self.id,
            kind: Arc::from(self.kind),
            occurred_at: self.occurred_at,
            recorded_at: self.recorded_at,
            tags: self.tags().map(|(k, v)| (Arc::from(k), Arc::from(v))).collect(),
            metadata,
            payload,
        })
    }
}

struct Tags<'a>(&'a [u8]);

impl<'a> Iterator for Tags<'a> {
    type Item = (&'a str, &'a str);

    fn next(&mut self) -> Option<Self::Item> {
        // `decode` has walked over these bytes, so nothing here can be short or not UTF-8.
        let (pair, rest) = tag(self.0)?;
        self.0 = rest;
        Some(pair)
    }
}

fn tag(bytes: &[u8]) -> Option<((&str, &str), &[u8])> {
    let (&[key, value], rest) = bytes.split_first_chunk::<2>()?;
    let (key, rest) = rest.split_at_checked(usize::from(key))?;
    let (value, rest) = rest.split_at_checked(usize::from(value))?;
    Some(((std::str::from_utf8(key).ok()?, std::str::from_utf8(value).ok()?), rest))
}

/// Bytes of header and payload together.
pub(crate) fn encoded_len(stream: &StreamName, event: &NewEvent) -> usize {
    let tags: usize = event.tags.iter().map(|(k, v)| 2 + k.len() + v.len()).sum();
    FIXED + stream.as_str().len() + event.kind.len() + tags + event.metadata.len() + event.payload.len()
}

/// Writes header and payload. The event was checked, so every length fits its field.
#[allow(clippy::cast_possible_truncation, reason = "NewEvent::check and StreamName bound every length")]
pub(crate) fn encode(stream: &StreamName, revision: u64, event: &NewEvent, out: &mut Vec<u8>) {
    let name = stream.as_str();
    out.extend_from_slice(&[FORMAT, name.len() as u8, event.kind.len() as u8, event.tags.len() as u8]);
    out.extend_from_slice(&(event.metadata.len() as u32).to_le_bytes());
    out.extend_from_slice(&(event.payload.len() as u32).to_le_bytes());
    out.extend_from_slice(event.id.as_bytes());
    out.extend_from_slice(&revision.to_le_bytes());
    out.extend_from_slice(&event.occurred_at.to_le_bytes());
    out.extend_from_slice(&event.recorded_at.to_le_bytes());
    out.extend_from_slice(name.as_bytes());
    out.extend_from_slice(event.kind.as_bytes());
    for (key, value) in &event.tags {
        out.extend_from_slice(&[key.len() as u8, value.len() as u8]);
        out.extend_from_slice(key.as_bytes());
        out.extend_from_slice(value.as_bytes());
    }
    out.extend_from_slice(&event.metadata);
    out.extend_from_slice(&event.payload);
}

/// Reads header and payload, which must fill `bytes` exactly.
pub(crate) fn decode(position: u64, bytes: &[u8]) -> Result<View<'_>, &'static str> {
    let (fixed, rest) = bytes.split_first_chunk::<FIXED>().ok_or("the header is cut short")?;
    let at = |n: usize| -> [u8; 8] {
        let mut word = [0; 8];
        word.copy_from_slice(&fixed[n..n + 8]);
        word
    };
    if fixed[0] != FORMAT {
        return Err("the header has an unknown format");
    }
    let lengths = at(4);
    let metadata_len = u32::from_le_bytes([lengths[0], lengths[1], lengths[2], lengths[3]]) as usize;
    let payload_len = u32::from_le_bytes([lengths[4], lengths[5], lengths[6], lengths[7]]) as usize;
    let mut id = [0; 16];
    id.copy_from_slice(&fixed[12..28]);
    let cut = "the header's lengths do not add up";
    let (stream, rest) = rest.split_at_checked(usize::from(fixed[1])).ok_or(cut)?;
    let (kind, rest) = rest.split_at_checked(usize::from(fixed[2])).ok_or(cut)?;
    let mut after_tags = rest;
    for _ in 0..fixed[3] {
        (_, after_tags) = tag(after_tags).ok_or("a tag is cut short or not UTF-8")?;
    }
    let tags = &rest[..rest.len() - after_tags.len()];
    let (metadata, payload) = after_tags.split_at_checked(metadata_len).ok_or(cut)?;
    if payload.len() != payload_len {
        return Err(cut);
    }
    Ok(View {
        position: Position::new(position),
        stream: std::str::from_utf8(stream).map_err(|_| "the stream name is not UTF-8")?,
        revision: u64::from_le_bytes(at(28)),
        id: Uuid::from_bytes(id),
        kind: std::str::from_utf8(kind).map_err(|_| "the type name is not UTF-8")?,
        occurred_at: i64::from_le_bytes(at(36)),
        recorded_at: i64::from_le_bytes(at(44)),
        tags,
        metadata,
        payload,
        body: bytes,
    })
}

/// The stream's name alone: what splitting a replay over threads needs of a record that is not its own.
pub(crate) fn stream_of(bytes: &[u8]) -> Option<&[u8]> {
    bytes.get(FIXED..)?.get(..usize::from(*bytes.get(1)?))
}

/// Gives an event another revision.
pub(crate) fn renumber(bytes: &mut [u8], revision: u64) {
    if let Some(field) = bytes.get_mut(28..36) {
        field.copy_from_slice(&revision.to_le_bytes());
    }
}

/// The leaf of an event in the tree: what anyone who was given the event can compute.
#[must_use]
pub fn leaf_hash(event: &Recorded) -> Hash {
    let new = NewEvent {
        id: event.id,
        kind: Arc::clone(&event.kind),
        occurred_at: event.occurred_at,
        recorded_at: event.recorded_at,
        tags: event.tags.clone(),
        metadata: event.metadata.clone(),
        payload: event.payload.clone(),
    };
    let mut bytes = Vec::with_capacity(encoded_len(&event.stream, &new));
    encode(&event.stream, event.revision, &new, &mut bytes);
    tree::leaf_hash(&bytes)
}
