//! The newest events in memory, shared by all subscriptions: one bounded buffer a log, none a subscriber, so that the writer never
//! waits for anybody. Whoever is out of the buffer reads from the engine again.

use std::collections::VecDeque;
use std::sync::Arc;

use async_trait::async_trait;
use parking_lot::RwLock;
use tokio::sync::watch;

use crate::{Delivery, Error, Feed, Filter, Position, Recorded, Subscription};

/// Most events in one delivery.
pub(crate) const BATCH_EVENTS: usize = 512;
/// Bytes after which a delivery is full.
pub(crate) const BATCH_BYTES: usize = 64 * 1024;
/// Events passed over by a filter before the subscriber is told where to resume.
pub(crate) const CHECKPOINT_EVERY: u64 = 4096;

/// Bounds of the shared buffer.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Bounds {
    pub(crate) events: usize,
    pub(crate) bytes: usize,
}

impl Default for Bounds {
    fn default() -> Self {
        Self { events: 16 * 1024, bytes: 16 * 1024 * 1024 }
    }
}

/// What subscribers wait for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Published {
    size: u64,
    closed: bool,
}

/// A run of events that was looked at, from a given position on.
#[derive(Debug)]
pub(crate) struct Scanned {
    /// Those that pass the filter.
    pub(crate) events: Vec<Recorded>,
    /// The first position that was not looked at.
    pub(crate) next: u64,
}

/// The past of an engine, as far as it is published.
pub(crate) trait Source: Send + Sync + 'static {
    /// Whether reading may wait for a disk.
    const BLOCKS: bool;

    /// Looks at events from a position on, until so many events or about so many bytes pass, or a bounded number was looked at.
    fn run(&self, from: u64, filter: &Filter, events: usize, bytes: usize) -> Result<Scanned, Error>;
}

#[derive(Debug)]
struct Ring {
    /// Position of the first event held; events lie without gaps.
    first: u64,
    events: VecDeque<Recorded>,
    bytes: usize,
}

#[derive(Debug)]
pub(crate) struct Hub {
    bounds: Bounds,
    ring: RwLock<Ring>,
    published: watch::Sender<Published>,
}

impl Hub {
    pub(crate) fn new(size: u64, bounds: Bounds) -> Self {
        Self {
            bounds,
            ring: RwLock::new(Ring { first: size, events: VecDeque::new(), bytes: 0 }),
            published: watch::Sender::new(Published { size, closed: false }),
        }
    }

    /// Shows events to subscribers. They must follow on those shown before, and be readable from the engine already.
    pub(crate) fn publish(&self, events: impl IntoIterator<Item = Recorded>, size: u64) {
        let mut evicted = Vec::new();
        {
            let mut ring = self.ring.write();
            if self.published.receiver_count() == 0 {
                // Nobody listens: whoever comes later reads from the engine.
                evicted.extend(ring.events.drain(..));
                ring.bytes = 0;
                ring.first = size;
            } else {
                for event in events {
                    ring.bytes += event.weight();
                    ring.events.push_back(event);
                }
                while ring.events.len() > self.bounds.events || ring.bytes > self.bounds.bytes {
                    let Some(old) = ring.events.pop_front() else { break };
                    ring.bytes -= old.weight();
                    ring.first += 1;
                    evicted.push(old);
                }
            }
        }
        self.published.send_modify(|p| p.size = size);
    }

    pub(crate) fn close(&self) {
        self.published.send_modify(|p| p.closed = true);
    }

    /// Events from a position on out of the buffer; none when the buffer does not reach back that far.
    fn recent(&self, from: u64, filter: &Filter) -> Option<Scanned> {
        let ring = self.ring.read();
        let skip = usize::try_from(from.checked_sub(ring.first)?).ok()?;
        if skip >= ring.events.len() {
            return None;
        }
        let (mut events, mut bytes, mut next) = (Vec::new(), 0, from);
        for event in ring.events.range(skip..) {
            next += 1;
            if filter.matches(event) {
                bytes += event.weight();
                events.push(event.clone());
                if events.len() >= BATCH_EVENTS || bytes >= BATCH_BYTES {
                    break;
                }
            }
        }
        Some(Scanned { events, next })
    }

    /// Follows the log after a position.
    pub(crate) fn subscribe<S: Source>(
        self: &Arc<Self>,
        source: Arc<S>,
        after: Option<Position>,
        filter: Filter,
    ) -> Result<Subscription, Error> {
        let published = self.published.subscribe();
        let cursor = after.map_or(0, |p| p.get().saturating_add(1));
        let size = published.borrow().size;
        if cursor > size {
            let reason = format!("{} is beyond the log, which holds {size} events", cursor - 1);
            return Err(Error::invalid("position", reason));
        }
        let feed =
            HubFeed { hub: Arc::clone(self), source, filter, published, cursor, told: cursor, live: false };
        Ok(Subscription::new(feed))
    }
}

struct HubFeed<S> {
    hub: Arc<Hub>,
    source: Arc<S>,
    filter: Filter,
    published: watch::Receiver<Published>,
    /// The first position not looked at yet.
    cursor: u64,
    /// The cursor when the subscriber last heard where it is.
    told: u64,
    /// Whether the subscriber was told that it has caught up, and not that it fell behind since.
    live: bool,
}

impl<S: Source> HubFeed<S> {
    async fn past(&self) -> Result<Scanned, Error> {
        if !S::BLOCKS {
            return self.source.run(self.cursor, &self.filter, BATCH_EVENTS, BATCH_BYTES);
        }
        let (source, filter, cursor) = (Arc::clone(&self.source), self.filter.clone(), self.cursor);
        tokio::task::spawn_blocking(move || source.run(cursor, &filter, BATCH_EVENTS, BATCH_BYTES))
            .await
            .map_err(|e| Error::io("read the log for a subscription")(std::io::Error::other(e)))?
    }
}

#[async_trait]
impl<S: Source> Feed for HubFeed<S> {
    // Cancel safe: nothing of `self` changes between an await and the return.
    async fn next(&mut self) -> Result<Delivery, Error> {
        loop {
            let Published { size, closed } = *self.published.borrow_and_update();
            if self.cursor >= size {
                if !self.live {
                    self.live = true;
                    self.told = self.cursor;
                    return Ok(Delivery::CaughtUp(self.position()));
                }
                if closed || self.published.changed().await.is_err() {
                    return Err(Error::Closed);
                }
                continue;
            }
            let run = match self.hub.recent(self.cursor, &self.filter) {
                Some(run) => run,
                None if self.live => {
                    self.live = false;
                    return Ok(Delivery::FellBehind);
                }
                None => self.past().await?,
            };
            self.cursor = run.next;
            if !run.events.is_empty() {
                self.told = self.cursor;
                return Ok(Delivery::Events(run.events));
            }
            if self.cursor - self.told >= CHECKPOINT_EVERY {
                self.told = self.cursor;
                return Ok(Delivery::Checkpoint(Position::new(self.cursor - 1)));
            }
        }
    }

    fn position(&self) -> Option<Position> {
        self.cursor.checked_sub(1).map(Position::new)
    }
}
