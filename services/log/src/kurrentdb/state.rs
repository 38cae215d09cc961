//! What is known of the log: the tree, its head, the newest events for subscribers, and who waits for what.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use parking_lot::RwLock;
use tokio::sync::{oneshot, watch};

use crate::hub::{BATCH_BYTES, BATCH_EVENTS, Bounds};
use crate::tree::{self, Frontier, Hash, TILE};
use crate::{Damage, Filter, Head, Position, Recorded, StreamName};

/// What subscribers wait for.
#[derive(Debug, Clone, Default)]
pub(super) struct Published {
    pub(super) head: Option<Position>,
    /// Events beyond the head cannot be read, ever: one is none of the log's.
    pub(super) damage: Option<Arc<Damage>>,
    pub(super) closed: bool,
}

/// A part of the buffer that was looked at.
pub(super) struct Looked {
    /// Those that pass the filter.
    pub(super) events: Vec<Recorded>,
    /// The last event that was looked at.
    pub(super) last: Position,
    /// How many were looked at.
    pub(super) looked: u64,
}

/// The leaves of this tile must be read first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Missing(pub(super) u64);

#[derive(Default)]
pub(super) struct State {
    frontier: Frontier,
    /// Roots of the complete tiles.
    tiles: Vec<Hash>,
    /// Of each tile begun, the position before its first leaf.
    before_tile: Vec<Option<Position>>,
    /// Leaves of the tile that is not complete, or of the last one.
    open: Vec<Hash>,
    head: Option<Position>,
    ring: VecDeque<Recorded>,
    ring_bytes: usize,
    /// The buffer holds all events after this one, up to the head.
    ring_after: Option<Position>,
    waiting: HashMap<(StreamName, u64), Vec<oneshot::Sender<Position>>>,
}

impl State {
    pub(super) fn head(&self) -> Head {
        Head { position: self.head, size: self.frontier.size(), root: self.frontier.root() }
    }

    /// Hash of a range of leaves; tiles whose leaves are not held are taken from `read`.
    pub(super) fn range(
        &self,
        start: u64,
        end: u64,
        read: &HashMap<u64, Vec<Hash>>,
    ) -> Result<Hash, Missing> {
        let index = |n: u64| usize::try_from(n).unwrap_or(usize::MAX);
        let leaves = |a: u64, b: u64| {
            let number = a / TILE;
            let first = number * TILE;
            let tile = if index(number) + 1 == self.before_tile.len() {
                Some(&self.open)
            } else {
                read.get(&number)
            };
            tile.and_then(|tile| tile.get(index(a - first)..index(b - first)))
                .map(<[Hash]>::to_vec)
                .ok_or(Missing(number))
        };
        tree::subtree(start, end, &|n| self.tiles.get(index(n)).copied(), &leaves)
    }

    /// The position before a tile's first leaf, and its root if it is complete.
    pub(super) fn tile(&self, number: u64) -> Option<(Option<Position>, Option<Hash>)> {
        let index = usize::try_from(number).ok()?;
        Some((*self.before_tile.get(index)?, self.tiles.get(index).copied()))
    }

    fn push(&mut self, event: Recorded, leaf: Hash, listened: bool) {
        if self.frontier.size().is_multiple_of(TILE) {
            self.before_tile.push(self.head);
            self.open.clear();
        }
        self.tiles.extend(self.frontier.push(leaf));
        self.open.push(leaf);
        self.head = Some(event.position);
        if !self.waiting.is_empty() {
            for waiter in self.waiting.remove(&(event.stream.clone(), event.revision)).unwrap_or_default() {
                // Who has given up waiting does not mind.
                let _ = waiter.send(event.position);
            }
        }
        if !listened {
            self.ring.clear();
            self.ring_bytes = 0;
            self.ring_after = self.head;
            return;
        }
        self.ring_bytes += event.weight();
        self.ring.push_back(event);
    }
}

pub(super) struct Shared {
    pub(super) state: RwLock<State>,
    published: watch::Sender<Published>,
    /// The same head, for appends, which are no subscribers.
    head: watch::Sender<Option<Position>>,
    bounds: Bounds,
}

impl Shared {
    pub(super) fn new(bounds: Bounds) -> Self {
        Self {
            state: RwLock::default(),
            published: watch::Sender::default(),
            head: watch::Sender::default(),
            bounds,
        }
    }

    /// Takes in the next events of the log.
    pub(super) fn push(&self, events: Vec<(Recorded, Hash)>) {
        let mut evicted = Vec::new();
        let head = {
            let mut state = self.state.write();
            let listened = self.published.receiver_count() > 0;
            for (event, leaf) in events {
                state.push(event, leaf, listened);
            }
            while state.ring.len() > self.bounds.events || state.ring_bytes > self.bounds.bytes {
                let Some(old) = state.ring.pop_front() else { break };
                state.ring_bytes -= old.weight();
                state.ring_after = Some(old.position);
                evicted.push(old);
            }
            state.head
        };
        self.head.send_replace(head);
        self.published.send_modify(|p| p.head = head);
    }

    pub(super) fn listen_to_head(&self) -> watch::Receiver<Option<Position>> {
        self.head.subscribe()
    }

    /// Nothing more can be taken in.
    pub(super) fn stop(&self, damage: Damage) {
        self.published.send_modify(|p| p.damage = Some(Arc::new(damage)));
    }

    pub(super) fn close(&self) {
        self.published.send_modify(|p| p.closed = true);
    }

    pub(super) fn published(&self) -> Published {
        self.published.borrow().clone()
    }

    pub(super) fn listen(&self) -> watch::Receiver<Published> {
        self.published.subscribe()
    }

    /// Hears the position of an event once it is in the tree.
    pub(super) fn wait_for(&self, stream: &StreamName, revision: u64) -> oneshot::Receiver<Position> {
        let (sender, receiver) = oneshot::channel();
        let mut state = self.state.write();
        // Those who gave up leave theirs behind.
        if state.waiting.len() >= WAITING_MANY {
            state.waiting.retain(|_, waiters| {
                waiters.retain(|waiter| !waiter.is_closed());
                !waiters.is_empty()
            });
        }
        state.waiting.entry((stream.clone(), revision)).or_default().push(sender);
        receiver
    }

    /// Events after a position out of the buffer; none when it does not reach back that far, or holds nothing beyond.
    pub(super) fn recent(&self, after: Option<Position>, filter: &Filter) -> Option<Looked> {
        let state = self.state.read();
        if after < state.ring_after {
            return None;
        }
        let skip = state.ring.partition_point(|event| Some(event.position) <= after);
        let last = state.ring.get(skip)?.position;
        let (mut run, mut bytes) = (Looked { events: Vec::new(), last, looked: 0 }, 0);
        for event in state.ring.range(skip..) {
            run.last = event.position;
            run.looked += 1;
            if filter.matches(event) {
                bytes += event.weight();
                run.events.push(event.clone());
                if run.events.len() >= BATCH_EVENTS || bytes >= BATCH_BYTES {
                    break;
                }
            }
        }
        Some(run)
    }

    /// Positions of a stream's events, by revision, as far as the buffer holds them.
    pub(super) fn positions(&self, stream: &StreamName) -> HashMap<u64, Position> {
        let state = self.state.read();
        let events = state.ring.iter().filter(|event| event.stream == *stream);
        events.map(|event| (event.revision, event.position)).collect()
    }
}

/// Entries of appends that wait from which on it is looked for ones that were left behind.
const WAITING_MANY: usize = 4096;
