//! A log in memory, for tests and for rehearsals: the same contract, and the same tree, as on disk.

use std::collections::HashMap;
use std::sync::Arc;

use async_trait::async_trait;
use parking_lot::RwLock;

use crate::hub::{Bounds, Hub, Scanned, Source};
use crate::tree::{self, Frontier, Hash};
use crate::{
    APPEND_BYTES_MAX, Appended, Direction, Error, EventLog, Expected, Filter, Head, NewEvent, Page, Position,
    READ_BYTES_MAX, Recorded, StreamName, Subscription, header,
};

#[derive(Default)]
struct Inner {
    events: Vec<Recorded>,
    streams: HashMap<StreamName, Vec<usize>>,
    leaves: Vec<Hash>,
    frontier: Frontier,
    closed: bool,
}

struct Shared(RwLock<Inner>);

/// A log in memory.
pub struct MemoryLog {
    shared: Arc<Shared>,
    hub: Arc<Hub>,
}

impl MemoryLog {
    /// An empty log.
    #[must_use]
    pub fn new() -> Self {
        Self::with_bounds(Bounds::default())
    }

    pub(crate) fn with_bounds(bounds: Bounds) -> Self {
        Self { shared: Arc::new(Shared(RwLock::new(Inner::default()))), hub: Arc::new(Hub::new(0, bounds)) }
    }
}

impl Default for MemoryLog {
    fn default() -> Self {
        Self::new()
    }
}

impl Source for Shared {
    const BLOCKS: bool = false;

    fn run(&self, from: u64, filter: &Filter, events: usize, bytes: usize) -> Result<Scanned, Error> {
        let inner = self.0.read();
        let (mut run, mut weight) = (Scanned { events: Vec::new(), next: from }, 0);
        for event in inner.events.iter().skip(usize::try_from(from).unwrap_or(usize::MAX)) {
            run.next += 1;
            if filter.matches(event) {
                weight += event.weight();
                run.events.push(event.clone());
                if run.events.len() >= events || weight >= bytes {
                    break;
                }
            }
        }
        Ok(run)
    }
}

impl Inner {
    fn range(&self, start: u64, end: u64) -> Hash {
        let index = |n: u64| usize::try_from(n).unwrap_or(usize::MAX);
        let leaves = |a, b| Ok::<_, std::convert::Infallible>(self.leaves[index(a)..index(b)].to_vec());
        match tree::subtree(start, end, &|_| None, &leaves) {
            Ok(hash) => hash,
            Err(never) => match never {},
        }
    }
}

/// Checks the bounds of a proof.
pub(crate) fn proof_bounds(part: u64, size: u64, head: u64) -> Result<(), Error> {
    if part > size || size > head {
        let reason = format!("{part} of {size} is not within the log, which holds {head} events");
        return Err(Error::invalid("tree size", reason));
    }
    Ok(())
}

/// Checks an append as far as that needs no log; answers its size as stored.
pub(crate) fn check_append(stream: &StreamName, events: &[NewEvent]) -> Result<usize, Error> {
    if events.is_empty() {
        return Err(Error::invalid("append", "holds no events"));
    }
    let mut bytes = 0;
    for event in events {
        event.check()?;
        bytes += header::encoded_len(stream, event) + 16;
    }
    if bytes > APPEND_BYTES_MAX {
        return Err(Error::TooLarge { what: "append", bytes, max: APPEND_BYTES_MAX });
    }
    Ok(bytes)
}

#[async_trait]
impl EventLog for MemoryLog {
    async fn append(
        &self,
        stream: &StreamName,
        expected: Expected,
        events: Vec<NewEvent>,
    ) -> Result<Appended, Error> {
        check_append(stream, &events)?;
        let mut guard = self.shared.0.write();
        let inner = &mut *guard;
        if inner.closed {
            return Err(Error::Closed);
        }
        let actual = inner.streams.get(stream).and_then(|s| (s.len() as u64).checked_sub(1));
        if actual != expected.last() {
            return Err(Error::WrongExpected { stream: stream.clone(), expected, actual });
        }
        let first_revision = expected.next_revision();
        let before = inner.events.len();
        for (event, revision) in events.into_iter().zip(first_revision..) {
            let at = inner.events.len();
            let event = Recorded::new(at as u64, stream.clone(), revision, event);
            let leaf = header::leaf_hash(&event);
            inner.leaves.push(leaf);
            inner.frontier.push(leaf);
            inner.events.push(event);
            inner.streams.entry(stream.clone()).or_default().push(at);
        }
        let added = inner.events[before..].to_vec();
        let size = inner.events.len() as u64;
        let last_revision = first_revision + (added.len() as u64 - 1);
        // Still under the lock: two appends must be published in their order.
        self.hub.publish(added, size);
        drop(guard);
        Ok(Appended { first_revision, last_revision, position: Position::new(size - 1) })
    }

    async fn read_stream(
        &self,
        stream: &StreamName,
        from_revision: u64,
        direction: Direction,
        limit: usize,
    ) -> Result<Vec<Recorded>, Error> {
        let inner = self.shared.0.read();
        let Some(places) = inner.streams.get(stream) else { return Ok(Vec::new()) };
        let from = usize::try_from(from_revision).unwrap_or(usize::MAX);
        let mut bytes = 0;
        let room = |event: &&Recorded| {
            let room = bytes < READ_BYTES_MAX;
            bytes += event.weight();
            room
        };
        let pick = |&at: &usize| &inner.events[at];
        Ok(match direction {
            Direction::Forward => {
                places.iter().skip(from).take(limit).map(pick).take_while(room).cloned().collect()
            }
            Direction::Backward => places[..places.len().min(from.saturating_add(1))]
                .iter()
                .rev()
                .take(limit)
                .map(pick)
                .take_while(room)
                .cloned()
                .collect(),
        })
    }

    async fn read_all(
        &self,
        from: Option<Position>,
        direction: Direction,
        filter: &Filter,
        limit: usize,
    ) -> Result<Page, Error> {
        let inner = self.shared.0.read();
        let size = inner.events.len();
        let mut page = Page { events: Vec::new(), next: from, end: false };
        let from = from.map(|p| usize::try_from(p.get()).unwrap_or(usize::MAX));
        let mut events: Box<dyn Iterator<Item = &Recorded>> = match direction {
            Direction::Forward => {
                Box::new(inner.events[from.map_or(0, |p| p.saturating_add(1)).min(size)..].iter())
            }
            Direction::Backward => Box::new(inner.events[..from.unwrap_or(size).min(size)].iter().rev()),
        };
        while page.events.len() < limit {
            let Some(event) = events.next() else {
                page.end = true;
                break;
            };
            page.next = Some(event.position);
            if filter.matches(event) {
                page.events.push(event.clone());
            }
        }
        page.end |= events.next().is_none();
        Ok(page)
    }

    async fn subscribe(&self, after: Option<Position>, filter: Filter) -> Result<Subscription, Error> {
        self.hub.subscribe(Arc::clone(&self.shared), after, filter)
    }

    fn head(&self) -> Head {
        let inner = self.shared.0.read();
        let size = inner.frontier.size();
        Head { position: size.checked_sub(1).map(Position::new), size, root: inner.frontier.root() }
    }

    async fn root_at(&self, size: u64) -> Result<Hash, Error> {
        let inner = self.shared.0.read();
        proof_bounds(size, size, inner.frontier.size())?;
        Ok(inner.range(0, size))
    }

    async fn inclusion_proof(&self, leaf: u64, size: u64) -> Result<Vec<Hash>, Error> {
        let inner = self.shared.0.read();
        proof_bounds(leaf.saturating_add(1), size, inner.frontier.size())?;
        tree::inclusion(leaf, size, &|a, b| Ok(inner.range(a, b)))
    }

    async fn consistency_proof(&self, old: u64, size: u64) -> Result<Vec<Hash>, Error> {
        let inner = self.shared.0.read();
        proof_bounds(old, size, inner.frontier.size())?;
        tree::consistency(old, size, &|a, b| Ok(inner.range(a, b)))
    }

    async fn close(&self) -> Result<(), Error> {
        self.shared.0.write().closed = true;
        self.hub.close();
        Ok(())
    }
}
