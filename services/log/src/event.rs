//! What goes into a log and what comes out of it.

use std::fmt;
use std::sync::Arc;

use bytes::Bytes;
use uuid::Uuid;

use crate::Error;
use crate::tree::Frontier;

/// Longest stream name, in bytes.
pub const STREAM_NAME_BYTES_MAX: usize = 128;
/// Longest stored type name, in bytes.
pub const KIND_BYTES_MAX: usize = 128;
/// Most tags on one event.
pub const TAGS_MAX: usize = 8;
/// Longest tag key, in bytes.
pub const TAG_KEY_BYTES_MAX: usize = 64;
/// Longest tag value, in bytes.
pub const TAG_VALUE_BYTES_MAX: usize = 255;
/// Largest metadata of one event, in bytes.
pub const METADATA_BYTES_MAX: usize = 64 * 1024;
/// Largest payload of one event, in bytes: as base64, in an append to a cluster that takes a mebibyte, it still fits.
pub const PAYLOAD_BYTES_MAX: usize = 704 * 1024;
/// Largest append, all its events together as stored, in bytes.
pub const APPEND_BYTES_MAX: usize = 1024 * 1024;

/// Bytes of events after which the answer to a read of a stream ends, whatever was asked for; a single event may be larger than what is
/// left of them.
pub const READ_BYTES_MAX: usize = 16 * 1024 * 1024;

/// The name of a stream: 1 to 128 bytes of printable ASCII without spaces, such as `complaint-<uuid>` or `office`.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct StreamName(Arc<str>);

impl StreamName {
    /// Checks and takes a name.
    ///
    /// # Errors
    /// [`Error::Invalid`] when it is empty, longer than 128 bytes, or holds anything but printable ASCII.
    pub fn new(name: impl Into<Arc<str>>) -> Result<Self, Error> {
        let name = name.into();
        if name.is_empty() || name.len() > STREAM_NAME_BYTES_MAX {
            return Err(Error::invalid(
                "stream name",
                format!("{} bytes long, 1 to {STREAM_NAME_BYTES_MAX} allowed", name.len()),
            ));
        }
        if !name.bytes().all(|b| b.is_ascii_graphic()) {
            return Err(Error::invalid(
                "stream name",
                format!("{name:?} holds something else than printable ASCII"),
            ));
        }
        Ok(Self(name))
    }

    /// The name as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl std::borrow::Borrow<str> for StreamName {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl AsRef<str> for StreamName {
    fn as_ref(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for StreamName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for StreamName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&*self.0, f)
    }
}

impl TryFrom<&str> for StreamName {
    type Error = Error;

    fn try_from(name: &str) -> Result<Self, Error> {
        Self::new(name)
    }
}

impl TryFrom<String> for StreamName {
    type Error = Error;

    fn try_from(name: String) -> Result<Self, Error> {
        Self::new(name)
    }
}

/// Where an event stands in the whole log. Ordered; not necessarily dense; its number means nothing to callers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Position(u64);

impl Position {
    /// A position that was once given out, from a resume token or a checkpoint.
    #[must_use]
    pub const fn new(raw: u64) -> Self {
        Self(raw)
    }

    /// The number to put into a resume token or a checkpoint.
    #[must_use]
    pub const fn get(self) -> u64 {
        self.0
    }
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

/// What an append requires of its stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Expected {
    /// The stream has no event yet.
    NoStream,
    /// The stream's last event has exactly this revision.
    Revision(u64),
}

impl Expected {
    /// What an append must expect of a stream whose last revision is known.
    #[must_use]
    pub const fn after(last_revision: Option<u64>) -> Self {
        match last_revision {
            None => Self::NoStream,
            Some(revision) => Self::Revision(revision),
        }
    }

    /// The last revision that this requires; none for a stream that must not exist.
    #[must_use]
    pub const fn last(self) -> Option<u64> {
        match self {
            Self::NoStream => None,
            Self::Revision(revision) => Some(revision),
        }
    }

    /// The revision that the first event of such an append gets.
    #[must_use]
    pub const fn next_revision(self) -> u64 {
        match self {
            Self::NoStream => 0,
            Self::Revision(revision) => revision.saturating_add(1),
        }
    }
}

/// An event to append. All its text is UTF-8; the log reads neither metadata nor payload.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewEvent {
    /// Identity of the event. The log does not look for duplicates: whoever appends derives ids and dedupes.
    pub id: Uuid,
    /// Stored type name, 1 to 128 bytes, such as `order.replied.v1`.
    pub kind: Arc<str>,
    /// When it happened, in microseconds since 1970-01-01T00:00:00Z.
    pub occurred_at: i64,
    /// When it was recorded, in microseconds since 1970-01-01T00:00:00Z.
    pub recorded_at: i64,
    /// At most eight `key=value` pairs on which reads and subscriptions filter.
    pub tags: Vec<(Arc<str>, Arc<str>)>,
    /// Envelope, opaque to the log, at most 64 KiB.
    pub metadata: Bytes,
    /// Payload, opaque to the log, at most 704 KiB.
    pub payload: Bytes,
}

impl NewEvent {
    pub(crate) fn check(&self) -> Result<(), Error> {
        let within = |what, bytes: usize, max| {
            if bytes > max { Err(Error::TooLarge { what, bytes, max }) } else { Ok(()) }
        };
        if self.kind.is_empty() {
            return Err(Error::invalid("event type", "is empty"));
        }
        within("event type", self.kind.len(), KIND_BYTES_MAX)?;
        within("number of tags", self.tags.len(), TAGS_MAX)?;
        for (key, value) in &self.tags {
            if key.is_empty() {
                return Err(Error::invalid("tag", "has an empty key"));
            }
            within("tag key", key.len(), TAG_KEY_BYTES_MAX)?;
            within("tag value", value.len(), TAG_VALUE_BYTES_MAX)?;
        }
        within("metadata", self.metadata.len(), METADATA_BYTES_MAX)?;
        within("payload", self.payload.len(), PAYLOAD_BYTES_MAX)
    }
}

/// An event as the log keeps it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Recorded {
    /// Place in the whole log.
    pub position: Position,
    /// Stream it belongs to.
    pub stream: StreamName,
    /// Place in its stream, counted from 0 without gaps.
    pub revision: u64,
    /// Identity of the event.
    pub id: Uuid,
    /// Stored type name.
    pub kind: Arc<str>,
    /// When it happened, in microseconds since 1970-01-01T00:00:00Z.
    pub occurred_at: i64,
    /// When it was recorded, in microseconds since 1970-01-01T00:00:00Z.
    pub recorded_at: i64,
    /// Tags, in the order in which they were given.
    pub tags: Vec<(Arc<str>, Arc<str>)>,
    /// Envelope, opaque to the log.
    pub metadata: Bytes,
    /// Payload, opaque to the log.
    pub payload: Bytes,
}

impl Recorded {
    pub(crate) fn new(position: u64, stream: StreamName, revision: u64, event: NewEvent) -> Self {
        let NewEvent { id, kind, occurred_at, recorded_at, tags, metadata, payload } = event;
        Self {
            position: Position(position),
            stream,
            revision,
            id,
            kind,
            occurred_at,
            recorded_at,
            tags,
            metadata,
            payload,
        }
    }

    /// Bytes that this event roughly holds in memory; buffers are bounded by it.
    pub(crate) fn weight(&self) -> usize {
        self.payload.len() + self.metadata.len() + self.stream.as_str().len() + 64 * (1 + self.tags.len())
    }
}

/// Where appended events landed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Appended {
    /// Revision of the first event.
    pub first_revision: u64,
    /// Revision of the last event.
    pub last_revision: u64,
    /// Position of the last event.
    pub position: Position,
}

/// Which way a read goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Direction {
    /// Oldest first.
    Forward,
    /// Newest first.
    Backward,
}

/// The last whole group that is synced, not merely written: how many events there are and what they hash to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Head {
    /// Position of the last event; none in an empty log.
    pub position: Option<Position>,
    /// Number of events, which is the size of the tree.
    pub size: u64,
    /// RFC 6962 root over all events in log order.
    pub root: [u8; 32],
}

impl Head {
    /// Of the log that has this tree.
    #[must_use]
    pub fn of(tree: &Frontier) -> Self {
        let size = tree.size();
        Self { position: size.checked_sub(1).map(Position::new), size, root: tree.root() }
    }
}

/// A part of the log, in the order in which it was asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Page {
    /// Events that pass the filter.
    pub events: Vec<Recorded>,
    /// The last position looked at, matching or not: the bound to go on from. None only when nothing was looked at and no bound was given.
    pub next: Option<Position>,
    /// Whether the end of the log (or, backward, its beginning) was reached. A page may be empty and not be the last.
    pub end: bool,
}
