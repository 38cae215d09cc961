use async_trait::async_trait;

use crate::tree::Hash;
use crate::{
    Appended, Direction, Error, Expected, Filter, Head, NewEvent, Page, Position, READ_BYTES_MAX, Recorded,
    StreamName,
};

/// An append-only log of events in streams, with one order over all of them.
///
/// Every engine passes the same suite, [`crate::contract`].
#[async_trait]
pub trait EventLog: Send + Sync {
    /// Appends events to one stream, all or none, and returns once they are durable. Nobody sees them before that.
    ///
    /// Dropping the future does not undo an append that was handed over: it may or may not have been written.
    ///
    /// # Errors
    /// [`Error::WrongExpected`], [`Error::TooLarge`], [`Error::Invalid`] (also for no events) and [`Error::Full`] leave nothing
    /// behind. After [`Error::Closed`] the events may or may not have been written.
    async fn append(
        &self,
        stream: &StreamName,
        expected: Expected,
        events: Vec<NewEvent>,
    ) -> Result<Appended, Error>;

    /// Reads up to `limit` events of a stream from `from_revision` on, which is included. Backward, a revision beyond the last one
    /// (`u64::MAX`) means the last one. A stream that does not exist is empty.
    ///
    /// An answer holds about [`crate::READ_BYTES_MAX`] at most, so it may be shorter than `limit` before the end: [`ends_stream`] tells.
    ///
    /// # Errors
    /// [`Error::Damaged`], [`Error::Io`].
    async fn read_stream(
        &self,
        stream: &StreamName,
        from_revision: u64,
        direction: Direction,
        limit: usize,
    ) -> Result<Vec<Recorded>, Error>;

    /// Reads up to `limit` events that pass the filter, beyond `from` in the given direction; `from` itself is not included, and
    /// none means from the very edge. Engines bound how much they look at for one page, so a page may hold less than `limit`
    /// events, or none, before the end: go on from [`Page::next`] until [`Page::end`].
    ///
    /// # Errors
    /// [`Error::Damaged`], [`Error::Io`].
    async fn read_all(
        &self,
        from: Option<Position>,
        direction: Direction,
        filter: &Filter,
        limit: usize,
    ) -> Result<Page, Error>;

    /// Follows the log after a position, or from its beginning: first what is there, then what comes, without gap or copy.
    ///
    /// # Errors
    /// [`Error::Invalid`] when the log does not reach up to that position, which means that the caller has seen another log.
    async fn subscribe(&self, after: Option<Position>, filter: Filter) -> Result<Subscription, Error>;

    /// The last whole, durable group.
    fn head(&self) -> Head;

    /// Root of the tree when it had this many leaves.
    ///
    /// # Errors
    /// [`Error::Invalid`] when the log is smaller, [`Error::Damaged`], [`Error::Io`].
    async fn root_at(&self, size: u64) -> Result<Hash, Error>;

    /// RFC 6962 audit path of the event with this leaf index in the tree of this size; see [`crate::tree::verify_inclusion`].
    ///
    /// # Errors
    /// [`Error::Invalid`] unless `leaf < size <= head().size`, [`Error::Damaged`], [`Error::Io`].
    async fn inclusion_proof(&self, leaf: u64, size: u64) -> Result<Vec<Hash>, Error>;

    /// RFC 6962 proof that the tree of the smaller size is the beginning of the other; see [`crate::tree::verify_consistency`].
    ///
    /// # Errors
    /// [`Error::Invalid`] unless `old <= size <= head().size`, [`Error::Damaged`], [`Error::Io`].
    async fn consistency_proof(&self, old: u64, size: u64) -> Result<Vec<Hash>, Error>;

    /// Writes what was handed over, then refuses appends and ends subscriptions with [`Error::Closed`]. Reads go on. Closing again
    /// does nothing.
    ///
    /// # Errors
    /// None in the engines here; a remote engine may fail to say good-bye.
    async fn close(&self) -> Result<(), Error>;
}

/// Whether an answer of [`EventLog::read_stream`] to a read of so many events is the end of the stream (or, backward, its beginning):
/// whether it is shorter for no other reason. Where it is not, go on after its last event.
#[must_use]
pub fn ends_stream(answer: &[Recorded], limit: usize) -> bool {
    answer.len() < limit && answer.iter().map(Recorded::weight).sum::<usize>() < READ_BYTES_MAX
}

/// What a subscription brings.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Delivery {
    /// Events that pass the filter, in order, at most about 64 KiB of them.
    Events(Vec<Recorded>),
    /// Everything up to here was delivered; from now on events come as they are written. None: the log is empty.
    CaughtUp(Option<Position>),
    /// The subscriber was slower than the writer and out of the buffer: it reads from the disk again until the next `CaughtUp`.
    FellBehind,
    /// Nothing up to here passes the filter; resume from here.
    Checkpoint(Position),
}

/// Where a subscription's deliveries come from; each engine has its own.
#[async_trait]
pub trait Feed: Send {
    /// Waits for the next delivery; cancel safe.
    ///
    /// # Errors
    /// See [`Subscription::next`].
    async fn next(&mut self) -> Result<Delivery, Error>;

    /// The last position that was delivered or passed over.
    fn position(&self) -> Option<Position>;
}

/// Events as they come. It holds no buffer of its own: a slow one costs nobody anything.
pub struct Subscription(Box<dyn Feed>);

impl Subscription {
    /// Wraps an engine's feed.
    #[must_use]
    pub fn new(feed: impl Feed + 'static) -> Self {
        Self(Box::new(feed))
    }

    /// Waits for the next delivery. Cancel safe: a call that is dropped loses nothing.
    ///
    /// # Errors
    /// [`Error::Closed`] when the log is closed and everything was delivered; [`Error::Damaged`] and [`Error::Io`] when the past
    /// cannot be read.
    pub async fn next(&mut self) -> Result<Delivery, Error> {
        self.0.next().await
    }

    /// The last position that was delivered or passed over by the filter: what a heartbeat tells the other side to resume from.
    #[must_use]
    pub fn position(&self) -> Option<Position> {
        self.0.position()
    }
}

impl std::fmt::Debug for Subscription {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Subscription").field("position", &self.position()).finish_non_exhaustive()
    }
}
