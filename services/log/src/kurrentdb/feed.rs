//! A subscriber's way through the log: from the servers until it is near the end, then out of the buffer that all share.

use std::sync::Arc;

use async_trait::async_trait;
use tokio::sync::watch;

use super::engine::Engine;
use super::follow::{Follow, Item};
use super::state::{Looked, Published};
use super::wire::from_server;
use crate::hub::{BATCH_BYTES, CHECKPOINT_EVERY};
use crate::{Damage, Delivery, Error, Feed, Filter, Position};

/// Events of the past that are read at once. They are decoded where the subscriber waits, so they are few.
const PAST_EVENTS: u64 = 128;

pub(super) struct KurrentFeed {
    engine: Arc<Engine>,
    filter: Filter,
    published: watch::Receiver<Published>,
    /// The last event looked at.
    cursor: Option<Position>,
    /// Where the past comes from.
    past: Option<Follow>,
    /// Events passed over since the subscriber last heard where it is.
    untold: u64,
    /// Whether the subscriber was told that it has caught up, and not that it fell behind since.
    live: bool,
}

impl KurrentFeed {
    pub(super) fn new(engine: Arc<Engine>, after: Option<Position>, filter: Filter) -> Self {
        let published = engine.shared.listen();
        Self { engine, filter, published, cursor: after, past: None, untold: 0, live: false }
    }

    /// Looks at the next events of the past, up to the head and not beyond it. None when there are none, up to there.
    async fn past(&mut self, head: Option<Position>) -> Result<Option<Looked>, Error> {
        let engine = &self.engine;
        let past = self.past.get_or_insert_with(|| {
            Follow::new(Arc::clone(&engine.nodes), Arc::clone(&engine.names.prefixes), self.cursor)
        });
        // From here on nothing waits: a subscriber that gives up waiting loses nothing.
        let mut next = Some(past.next().await);
        let (mut run, mut bytes) = (None, 0);
        while let Some(item) = next {
            match item {
                Item::Event(position, _) if Some(position) > head => {
                    // Not in the tree yet: it comes out of the buffer in a moment.
                    self.past = None;
                    break;
                }
                Item::Event(position, raw) => {
                    let (event, _) = from_server(raw, position, &engine.names.namespace, &*engine.transcode)?;
                    let run =
                        run.get_or_insert_with(|| Looked { events: Vec::new(), last: position, looked: 0 });
                    run.last = position;
                    run.looked += 1;
                    if self.filter.matches(&event) {
                        bytes += event.weight();
                        run.events.push(event);
                    }
                    if bytes >= BATCH_BYTES || run.looked >= PAST_EVENTS {
                        break;
                    }
                }
                Item::Passed(_) | Item::CaughtUp => {}
            }
            next = past.ready();
        }
        Ok(run)
    }
}

#[async_trait]
impl Feed for KurrentFeed {
    // Cancel safe: nothing of `self` changes before an await that it would be wrong to see afterwards.
    async fn next(&mut self) -> Result<Delivery, Error> {
        loop {
            let Published { head, damage, closed } = self.published.borrow_and_update().clone();
            if self.cursor >= head {
                self.past = None;
                if !self.live {
                    self.live = true;
                    self.untold = 0;
                    return Ok(Delivery::CaughtUp(self.cursor));
                }
                if let Some(damage) = damage {
                    return Err(Error::Damaged(Damage::clone(&damage)));
                }
                if closed || self.published.changed().await.is_err() {
                    return Err(Error::Closed);
                }
                continue;
            }
            let run = match self.engine.shared.recent(self.cursor, &self.filter) {
                Some(run) => {
                    self.past = None;
                    run
                }
                None if self.live => {
                    self.live = false;
                    return Ok(Delivery::FellBehind);
                }
                None => match self.past(head).await? {
                    Some(run) => run,
                    None => continue,
                },
            };
            self.cursor = Some(run.last);
            self.untold += run.looked;
            if !run.events.is_empty() {
                self.untold = 0;
                return Ok(Delivery::Events(run.events));
            }
            if self.untold >= CHECKPOINT_EVERY {
                self.untold = 0;
                return Ok(Delivery::Checkpoint(run.last));
            }
        }
    }

    fn position(&self) -> Option<Position> {
        self.cursor
    }
}
