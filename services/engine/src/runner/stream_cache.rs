//! Hot streams: folded, in a bounded cache, one lock each.

use duban_log::{Position, StreamName};
use uuid::Uuid;

use crate::locks::KeyedLocks;

/// A stream as far as it was folded.
#[derive(Debug)]
pub(super) struct FoldedStream<A> {
    /// Its name; none while it does not exist.
    pub(super) stream: Option<StreamName>,
    /// What it is.
    pub(super) state: Option<A>,
    /// Position of its last event.
    pub(super) position: Option<Position>,
}

/// The hot streams of one kind of aggregate, by id; nothing where a stream has to be read again.
pub(super) type StreamCache<A> = KeyedLocks<Uuid, Option<FoldedStream<A>>>;
