//! Hot streams: folded, in a bounded cache, one lock each.

use std::collections::hash_map::RandomState;
use std::convert::Infallible;
use std::sync::Arc;

use duban_log::{Position, StreamName};
use quick_cache::sync::Cache;
use quick_cache::{Lifecycle, UnitWeighter};
use tokio::sync::Mutex;
use uuid::Uuid;

/// A stream as far as it was folded.
#[derive(Debug)]
pub(super) struct Folded<A> {
    /// Its name; none while it does not exist.
    pub(super) stream: Option<StreamName>,
    /// What it is.
    pub(super) state: Option<A>,
    /// Position of its last event.
    pub(super) position: Option<Position>,
}

/// Empty where the stream has to be read again.
pub(super) type Slot<A> = Arc<Mutex<Option<Folded<A>>>>;

/// A slot that somebody holds is never forgotten: two locks for one stream would lead two calls to decide at once.
#[derive(Clone, Debug)]
struct KeepHeld;

impl<A> Lifecycle<Uuid, Slot<A>> for KeepHeld {
    type RequestState = ();

    fn is_pinned(&self, _: &Uuid, slot: &Slot<A>) -> bool {
        Arc::strong_count(slot) > 1
    }
}

/// The hot streams of one kind of aggregate, by id.
pub struct Hot<A> {
    slots: Cache<Uuid, Slot<A>, UnitWeighter, RandomState, KeepHeld>,
}

impl<A> Hot<A> {
    pub(super) fn new(streams_max: usize) -> Self {
        let weight = u64::try_from(streams_max).unwrap_or(u64::MAX);
        let slots = Cache::with(streams_max, weight, UnitWeighter, RandomState::new(), KeepHeld);
        Self { slots }
    }

    pub(super) fn slot(&self, id: Uuid) -> Slot<A> {
        match self.slots.get_or_insert_with(&id, || Ok::<_, Infallible>(Slot::default())) {
            Ok(slot) => slot,
            Err(never) => match never {},
        }
    }
}
