//! A log that is only read: for read models beside a running server, up to the last whole group at the time of opening.

use std::sync::Arc;

use async_trait::async_trait;
use duban_log::tree::Hash;
use duban_log::{
    Appended, Delivery, Direction, Error, EventLog, Expected, Feed, Filter, Head, NewEvent, Page, Position,
    Reader, Recorded, StreamName, Subscription,
};

/// Events read at a time.
const PAGE: usize = 1024;

/// Told that so many more events were read.
pub type OnEventsRead = Box<dyn Fn(u64) + Send + Sync>;

/// A directory's events behind the trait. Subscriptions end where the log did when it was opened.
pub struct ReadOnlyLog {
    reader: Arc<Reader>,
    progress: Arc<dyn Fn(u64) + Send + Sync>,
}

impl ReadOnlyLog {
    /// A reader's events; whoever follows them is told how many more were read.
    #[must_use]
    pub fn new(reader: Arc<Reader>, progress: OnEventsRead) -> Self {
        Self { reader, progress: Arc::from(progress) }
    }
}

struct Pages {
    reader: Arc<Reader>,
    progress: Arc<dyn Fn(u64) + Send + Sync>,
    filter: Filter,
    at: Option<Position>,
    end: bool,
}

#[async_trait]
impl Feed for Pages {
    async fn next(&mut self) -> Result<Delivery, Error> {
        while !self.end {
            let page = self.reader.read_all(self.at, Direction::Forward, &self.filter, PAGE)?;
            self.end = page.end;
            self.at = page.next.or(self.at);
            if !page.events.is_empty() {
                (self.progress)(page.events.len() as u64);
                return Ok(Delivery::Events(page.events));
            }
        }
        Err(Error::Closed)
    }

    fn position(&self) -> Option<Position> {
        self.at
    }
}

#[async_trait]
impl EventLog for ReadOnlyLog {
    async fn append(&self, _: &StreamName, _: Expected, _: Vec<NewEvent>) -> Result<Appended, Error> {
        Err(Error::Closed)
    }

    async fn read_stream(
        &self,
        stream: &StreamName,
        from_revision: u64,
        direction: Direction,
        limit: usize,
    ) -> Result<Vec<Recorded>, Error> {
        self.reader.read_stream(stream, from_revision, direction, limit)
    }

    async fn read_all(
        &self,
        from: Option<Position>,
        direction: Direction,
        filter: &Filter,
        limit: usize,
    ) -> Result<Page, Error> {
        self.reader.read_all(from, direction, filter, limit)
    }

    async fn subscribe(&self, after: Option<Position>, filter: Filter) -> Result<Subscription, Error> {
        let (reader, progress) = (Arc::clone(&self.reader), Arc::clone(&self.progress));
        Ok(Subscription::new(Pages { reader, progress, filter, at: after, end: false }))
    }

    fn head(&self) -> Head {
        self.reader.head()
    }

    async fn root_at(&self, size: u64) -> Result<Hash, Error> {
        self.reader.root_at(size)
    }

    async fn inclusion_proof(&self, leaf: u64, size: u64) -> Result<Vec<Hash>, Error> {
        self.reader.inclusion_proof(leaf, size)
    }

    async fn consistency_proof(&self, old: u64, size: u64) -> Result<Vec<Hash>, Error> {
        self.reader.consistency_proof(old, size)
    }

    async fn close(&self) -> Result<(), Error> {
        Ok(())
    }
}
