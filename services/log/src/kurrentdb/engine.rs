//! The trait on a cluster.

use std::collections::HashMap;
use std::sync::Arc;

use async_trait::async_trait;
use tokio::sync::Notify;
use tokio::task::AbortHandle;
use tokio::time::{Instant, timeout};

use super::feed::KurrentFeed;
use super::follow::{Follow, Item};
use super::names::Names;
use super::nodes::Nodes;
use super::reads::PAGE;
use super::side_streams::SideStreams;
use super::state::{Missing, Published, Shared};
use super::wire::{Raw, from_server, from_server_all};
use super::{Options, Transcode, tls};
use crate::hub::Bounds;
use crate::memory::proof_bounds;
use crate::tree::{self, Frontier, Hash, TILE};
use crate::{
    Appended, Damage, Direction, Error, EventLog, Expected, Filter, Head, NewEvent, Page, Position,
    READ_BYTES_MAX, Recorded, StreamName, Subscription,
};

/// Events that one page of everything looks at.
const LOOKED_MAX: usize = 8 * PAGE;
/// Events that are taken into the tree together.
const BATCH: usize = 512;
/// Events of a long log between two words about how far it is read.
const PROGRESS_EVERY: u64 = 100_000;

/// What the log, its follower and its subscriptions share.
pub(super) struct Engine {
    pub(super) nodes: Arc<Nodes>,
    pub(super) names: Names,
    pub(super) transcode: Arc<dyn Transcode>,
    pub(super) shared: Shared,
    /// Lets the follower look whether it misses something.
    pub(super) nudge: Arc<Notify>,
}

/// A log on an EventStoreDB or KurrentDB cluster. Several may be open on the same cluster, in any number of processes.
pub struct KurrentLog {
    engine: Arc<Engine>,
    follower: AbortHandle,
}

impl KurrentLog {
    /// Opens a log and follows it from its beginning to its end: `esdb://` or `kurrentdb://`, as the servers' other clients take it, with
    /// the nodes' addresses, or with `+discover` one name for them all. The leader is preferred, whatever the address says.
    ///
    /// Nodes that cannot be reached yet are waited for.
    ///
    /// # Errors
    /// [`Error::Invalid`] for an address or prefixes that make no sense, and see [`super::install_tls_provider`];
    /// [`Error::Unavailable`] when no more of the log could be read for [`Options::connect_max`]; [`Error::Damaged`] for an event in one of
    /// the log's streams that is none of its own.
    pub async fn connect(uri: &str, options: Options, transcode: Arc<dyn Transcode>) -> Result<Self, Error> {
        tls::install_tls_provider()?;
        let names = Names::new(&options)?;
        let bounds = Bounds { events: options.buffer_events, bytes: options.buffer_bytes };
        let patience = options.connect_max;
        let nodes = Arc::new(Nodes::new(uri, options)?);
        let mut follow = Follow::new(Arc::clone(&nodes), Arc::clone(&names.prefixes), None);
        let nudge = follow.nudge();
        let engine = Arc::new(Engine { nodes, names, transcode, shared: Shared::new(bounds), nudge });
        let started = Instant::now();
        let mut told = 0;
        loop {
            let Ok(caught_up) = timeout(patience, engine.take_in(&mut follow)).await else {
                let size = engine.shared.state.read().head().size;
                let trouble = follow.trouble().unwrap_or("no node could be reached");
                let reason =
                    format!("after {size} events nothing came for {} ms: {trouble}", patience.as_millis());
                return Err(Error::Unavailable { doing: "open the log".to_owned(), reason });
            };
            if caught_up? {
                break;
            }
            let size = engine.shared.state.read().head().size;
            if size >= told + PROGRESS_EVERY {
                told = size;
                tracing::info!(events = size, seconds = started.elapsed().as_secs(), "reading the log");
            }
        }
        let following = Arc::clone(&engine);
        let follower = tokio::spawn(async move {
            loop {
                if let Err(error) = following.take_in(&mut follow).await {
                    following.stop(error);
                    return;
                }
            }
        });
        Ok(Self { engine, follower: follower.abort_handle() })
    }

    /// Streams on the same cluster that are not in the log.
    #[must_use]
    pub fn side_streams(&self) -> SideStreams {
        SideStreams::new(Arc::clone(&self.engine.nodes), self.engine.names.clone())
    }
}

impl Drop for KurrentLog {
    fn drop(&mut self) {
        self.follower.abort();
        self.engine.shared.close();
    }
}

impl Engine {
    /// Waits for what comes next and takes it in, with what else has come. Says whether everything that there was has been brought.
    async fn take_in(&self, follow: &mut Follow) -> Result<bool, Error> {
        let (mut next, mut raws, mut caught_up) = (Some(follow.next().await), Vec::new(), false);
        while let Some(item) = next {
            match item {
                Item::Event(position, raw) => raws.push((raw, position)),
                Item::Passed(_) => {}
                Item::CaughtUp => caught_up = true,
            }
            next = if raws.len() < BATCH { follow.ready() } else { None };
        }
        if !raws.is_empty() {
            self.shared.push(from_server_all(raws, &self.names.namespace, &self.transcode).await?);
        }
        Ok(caught_up)
    }

    fn stop(&self, error: Error) {
        tracing::error!(%error, "the log cannot be followed any further");
        let position = self.shared.state.read().head().position.unwrap_or(Position::new(0));
        self.shared.stop(match error {
            Error::Damaged(damage) => damage,
            other => Damage {
                segment: "$all".to_owned(),
                offset: position.get(),
                position,
                reason: other.to_string(),
            },
        });
    }

    fn read(&self, raw: Raw, position: Position) -> Result<(Recorded, Hash), Error> {
        from_server(raw, position, &self.names.namespace, &*self.transcode)
    }

    /// Reads events of a stream, wherever they are in the log.
    async fn placed(&self, stream: &StreamName, raws: Vec<Raw>) -> Result<Vec<Recorded>, Error> {
        let unplaced: Vec<_> =
            raws.iter().filter(|raw| raw.commit.is_none()).map(|raw| raw.revision).collect();
        let places =
            if unplaced.is_empty() { HashMap::new() } else { self.positions(stream, &unplaced).await? };
        let place = |raw: &Raw| raw.commit.map(Position::new).or_else(|| places.get(&raw.revision).copied());
        let lost = || Error::invalid("event", "has no position");
        raws.into_iter()
            .map(|raw| place(&raw).ok_or_else(lost).and_then(|at| self.read(raw, at)).map(|(event, _)| event))
            .collect()
    }

    /// Positions of events of a stream that was read from servers that do not say them.
    async fn positions(
        &self,
        stream: &StreamName,
        revisions: &[u64],
    ) -> Result<HashMap<u64, Position>, Error> {
        let mut known = self.shared.positions(stream);
        let Some(&last) = revisions.iter().filter(|revision| !known.contains_key(revision)).max() else {
            return Ok(known);
        };
        // Not among the newest: the servers look through everything for this one stream.
        let name = self.names.full(stream);
        let mut follow = Follow::new(Arc::clone(&self.nodes), [name.clone()].into(), None);
        let search = async {
            loop {
                match follow.next().await {
                    Item::Event(position, raw) if raw.stream == name => {
                        known.insert(raw.revision, position);
                        if raw.revision >= last {
                            break;
                        }
                    }
                    Item::Event(..) | Item::Passed(_) | Item::CaughtUp => {}
                }
            }
        };
        if timeout(self.nodes.options.connect_max, search).await.is_err() {
            let reason = format!("event {last} of {stream} could not be found among all");
            return Err(Error::Unavailable { doing: "read a stream".to_owned(), reason });
        }
        Ok(known)
    }

    /// What `hash` makes of the tree, its leaves read from the servers where they are not in memory.
    async fn prove<T>(
        &self,
        hash: impl Fn(&dyn Fn(u64, u64) -> Result<Hash, Missing>) -> Result<T, Missing> + Send + Sync,
    ) -> Result<T, Error> {
        let mut read = HashMap::new();
        loop {
            let missing = {
                let state = self.shared.state.read();
                match hash(&|a, b| state.range(a, b, &read)) {
                    Ok(proof) => return Ok(proof),
                    Err(Missing(tile)) => tile,
                }
            };
            read.insert(missing, self.tile(missing).await?);
        }
    }

    /// The leaves of a tile, which must be those that the tree was made of.
    async fn tile(&self, number: u64) -> Result<Vec<Hash>, Error> {
        let known = self.shared.state.read().tile(number);
        let Some((before, root)) = known else {
            return Err(Error::invalid("tree size", "is not within the log"));
        };
        let (mut from, mut leaves, mut frontier) = (before, Vec::new(), Frontier::default());
        while (leaves.len() as u64) < TILE {
            let page = self.nodes.all_page(from, Direction::Forward, PAGE).await?;
            for (position, raw) in page.events {
                from = Some(position);
                if let Some(raw) = raw.filter(|raw| self.names.ours(&raw.stream))
                    && (leaves.len() as u64) < TILE
                {
                    let (_, leaf) = self.read(raw, position)?;
                    leaves.push(leaf);
                    frontier.push(leaf);
                }
            }
            if page.end {
                break;
            }
        }
        if root.is_some_and(|root| root != frontier.root()) {
            let position = before.unwrap_or(Position::new(0));
            return Err(Error::Damaged(Damage {
                segment: "$all".to_owned(),
                offset: position.get(),
                position,
                reason: format!("the {TILE} events from here on are not those that were here"),
            }));
        }
        Ok(leaves)
    }

    /// Whether the cluster has been at this position: its own events count.
    async fn reaches(&self, position: Position) -> Result<bool, Error> {
        let end = self.nodes.all_page(None, Direction::Backward, 1).await?;
        Ok(end.events.first().is_some_and(|(end, _)| *end >= position))
    }
}

/// Refuses what needs a log that goes on.
pub(super) fn damaged(published: &Published) -> Result<(), Error> {
    published.damage.as_ref().map_or(Ok(()), |damage| Err(Error::Damaged(Damage::clone(damage))))
}

#[async_trait]
impl EventLog for KurrentLog {
    async fn append(
        &self,
        stream: &StreamName,
        expected: Expected,
        events: Vec<NewEvent>,
    ) -> Result<Appended, Error> {
        self.engine.append(stream, expected, events).await
    }

    async fn read_stream(
        &self,
        stream: &StreamName,
        from_revision: u64,
        direction: Direction,
        limit: usize,
    ) -> Result<Vec<Recorded>, Error> {
        let engine = &self.engine;
        let name = engine.names.full(stream);
        let beyond = i64::try_from(from_revision).is_err();
        if (direction == Direction::Forward && beyond) || !engine.names.ours(&name) {
            return Ok(Vec::new());
        }
        let mut from = Some(from_revision).filter(|_| !beyond);
        let (mut events, mut bytes, mut ended) = (Vec::new(), 0, false);
        // JSON is larger than what is made of it, so several rounds may fit into one answer.
        while !ended && events.len() < limit && bytes < READ_BYTES_MAX {
            let (mut raws, mut raw_bytes) = (Vec::new(), 0);
            while !ended && events.len() + raws.len() < limit && raw_bytes < READ_BYTES_MAX {
                let count = PAGE.min(limit - events.len() - raws.len());
                let (page, cut) = engine.nodes.stream_page(&name, from, direction, count).await?;
                let last = page.last().map(|raw| raw.revision);
                from = match direction {
                    Direction::Forward => last.map(|last| last + 1),
                    Direction::Backward => last.and_then(|last| last.checked_sub(1)),
                };
                ended = (page.len() < count && !cut) || from.is_none();
                raw_bytes += page.iter().map(Raw::bytes).sum::<usize>();
                raws.extend(page);
            }
            for event in engine.placed(stream, raws).await? {
                bytes += event.weight();
                events.push(event);
            }
        }
        Ok(events)
    }

    async fn read_all(
        &self,
        from: Option<Position>,
        direction: Direction,
        filter: &Filter,
        limit: usize,
    ) -> Result<Page, Error> {
        let engine = &self.engine;
        let mut page = Page { events: Vec::new(), next: from, end: false };
        let (mut bound, mut looked) = (from, 0);
        // The client crate cannot have a read filtered by the servers, only a subscription.
        while page.events.len() < limit && looked < LOOKED_MAX {
            let count = PAGE.min((limit - page.events.len()).max(PAGE / 8));
            let read = engine.nodes.all_page(bound, direction, count).await?;
            looked += read.events.len();
            let mut whole = true;
            for (position, raw) in read.events {
                if page.events.len() >= limit {
                    whole = false;
                    break;
                }
                bound = Some(position);
                if let Some(raw) = raw.filter(|raw| engine.names.ours(&raw.stream)) {
                    page.next = bound;
                    let (event, _) = engine.read(raw, position)?;
                    page.events.extend(Some(event).filter(|event| filter.matches(event)));
                }
            }
            if read.end && whole {
                page.end = true;
                return Ok(page);
            }
        }
        // More may come: go on after what was looked at, be it the log's or not.
        page.next = bound;
        Ok(page)
    }

    async fn subscribe(&self, after: Option<Position>, filter: Filter) -> Result<Subscription, Error> {
        let head = self.head().position;
        if let Some(after) = after
            && Some(after) > head
            && !self.engine.reaches(after).await?
        {
            let reason = match head {
                Some(head) => format!("{after} is beyond the log, which ends at {head}"),
                None => format!("{after} is beyond the log, which is empty"),
            };
            return Err(Error::invalid("position", reason));
        }
        Ok(Subscription::new(KurrentFeed::new(Arc::clone(&self.engine), after, filter)))
    }

    fn head(&self) -> Head {
        self.engine.shared.state.read().head()
    }

    async fn root_at(&self, size: u64) -> Result<Hash, Error> {
        proof_bounds(size, size, self.head().size)?;
        if size == 0 {
            return Ok(tree::empty_root());
        }
        self.engine.prove(|hash| hash(0, size)).await
    }

    async fn inclusion_proof(&self, leaf: u64, size: u64) -> Result<Vec<Hash>, Error> {
        proof_bounds(leaf.saturating_add(1), size, self.head().size)?;
        self.engine.prove(|hash| tree::inclusion(leaf, size, &hash)).await
    }

    async fn consistency_proof(&self, old: u64, size: u64) -> Result<Vec<Hash>, Error> {
        proof_bounds(old, size, self.head().size)?;
        self.engine.prove(|hash| tree::consistency(old, size, &hash)).await
    }

    async fn close(&self) -> Result<(), Error> {
        self.engine.shared.close();
        Ok(())
    }
}
