//! Seeded histories, through the same decisions as the server's, into a log.
//!
//! Several lanes tell stories at the same time, each from its own seed; what they tell is put in the order of its recorded moments, so
//! that the log looks as if a server had written it. Only the nonces of sealed texts, and so the log's root, differ from run to run.

use std::cell::RefCell;
use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};

use duban_aggregates::ids::CustomerId;
use duban_aggregates::meta::Meta;
use duban_aggregates::policy::Policy;
use duban_aggregates::sealed::Sealed;
use duban_aggregates::ticket::Event;
use duban_log::{BulkAppend, Direction, EventLog, Expected, SegmentedLog, append_in_order};
use duban_projections::{ticket_stream, ticket_to_store};
use duban_sample_tickets::walker::{Prng, Walker};
use duban_vault::keys::KeysError;
use duban_vault::seal::Sealer;
use jiff::{SignedDuration, Timestamp};
use rayon::prelude::*;
use serde::Serialize;

/// Lanes. Part of what a seed means: another number of them makes other tickets.
const LANES: u64 = 16;

/// Stories that each lane tells before they are put in order.
const AHEAD: u64 = 32;

/// A lane's tickets come in at this distance on average, as walkers have it.
const SECONDS_BETWEEN: i64 = 300;

/// The last tickets come in about here: Monday, 2 March 2026, 08:00 in Shanghai, within the years whose holidays are published.
const LAST_SECOND: i64 = 1_772_409_600;

/// Why nothing, or not everything, is generated.
#[derive(Debug, thiserror::Error)]
pub enum GenerateError {
    /// The same tickets twice.
    #[error("tickets of seed {0} are in this log already: name another --seed, or a new directory")]
    SeedUsed(u64),
    /// The log.
    #[error(transparent)]
    Log(#[from] duban_log::Error),
    /// The customers' keys.
    #[error(transparent)]
    Keys(#[from] KeysError),
    /// What drives the log's appends.
    #[error("the system gives no runtime")]
    Runtime(#[from] std::io::Error),
}

/// What was written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Generated {
    /// Tickets.
    pub tickets: u64,
    /// Their events.
    pub events: u64,
    /// What the log keeps of each event: metadata and payload.
    pub bytes: u64,
}

/// Writes so many tickets of a seed, and closes the log; `progress` is told how many were told, of how many. Blocks, as making
/// customers' keys does.
///
/// # Errors
/// [`GenerateError`].
///
/// # Panics
/// When called on an async runtime's thread.
pub fn generate(
    log: &SegmentedLog,
    sealer: &Sealer,
    tickets: u64,
    seed: u64,
    progress: &dyn Fn(u64, u64),
) -> Result<Generated, GenerateError> {
    let policy = Policy::cn_national();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let mut lanes = lanes(tickets, seed);
    let mut generated = Generated { tickets, ..Generated::default() };
    // What is told and not yet written, by moment and then by lane and place, so that a seed has one order.
    let mut waiting: BinaryHeap<Reverse<Told>> = BinaryHeap::new();
    let mut first = true;
    while lanes.iter().any(|lane| lane.left > 0) {
        let told = tell(&mut lanes, sealer, &policy)?;
        if first {
            runtime.block_on(check_unused(log, &told, seed))?;
            first = false;
        }
        waiting.extend(told.into_iter().flatten().map(Reverse));
        progress(tickets - lanes.iter().map(|lane| lane.left).sum::<u64>(), tickets);
        // No lane tells anything earlier than where it stands.
        let until = lanes.iter().filter(|lane| lane.left > 0).map(|lane| lane.reached).min();
        runtime.block_on(append_in_order(log, due(&mut waiting, until, &mut generated)))?;
    }
    runtime.block_on(log.close())?;
    Ok(generated)
}

/// Tells stories of its own.
struct Lane {
    number: u64,
    walker: Walker,
    /// Stories it has still to tell.
    left: u64,
    /// Where its last story began: the next begins no earlier.
    reached: Timestamp,
    told: u64,
}

fn lanes(tickets: u64, seed: u64) -> Vec<Lane> {
    let share = |number| tickets / LANES + u64::from(number < tickets % LANES);
    let seconds = i64::try_from(tickets / LANES).unwrap_or(i64::MAX).saturating_mul(SECONDS_BETWEEN);
    let start = Timestamp::from_second(LAST_SECOND).unwrap_or(Timestamp::UNIX_EPOCH);
    let start = start.saturating_sub(SignedDuration::from_secs(seconds)).unwrap_or(start);
    // Each lane's seed is drawn: seeds that lie a generator's step apart would tell the same stories, one number later.
    let mut seeds = Prng::new(seed);
    let mut lane = |number: u64| {
        let walker = Walker::starting(seeds.bits(), start);
        Lane { number, walker, left: share(number), reached: start, told: 0 }
    };
    (0..LANES).map(&mut lane).collect()
}

/// What one command added to one stream, and where it goes among all.
struct Told {
    order: (Timestamp, u64, u64),
    append: BulkAppend,
}

impl PartialEq for Told {
    fn eq(&self, other: &Self) -> bool {
        self.order == other.order
    }
}

impl Eq for Told {}

impl PartialOrd for Told {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Told {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.order.cmp(&other.order)
    }
}

/// Lets every lane tell its next stories, on all cores. Keys of their customers are made and synced before.
fn tell(lanes: &mut [Lane], sealer: &Sealer, policy: &Policy) -> Result<Vec<Vec<Told>>, GenerateError> {
    let customers: Vec<Vec<CustomerId>> = lanes
        .iter_mut()
        .map(|lane| (0..lane.left.min(AHEAD)).map(|_| lane.walker.customer()).collect())
        .collect();
    sealer.keys().create_all(&customers.concat())?;
    lanes
        .par_iter_mut()
        .zip(customers)
        .map(|(lane, customers)| {
            let mut told = Vec::new();
            for customer in customers {
                lane.story(customer, sealer, policy, &mut told)?;
            }
            Ok(told)
        })
        .collect()
}

impl Lane {
    fn story(
        &mut self,
        customer: CustomerId,
        sealer: &Sealer,
        policy: &Policy,
        told: &mut Vec<Told>,
    ) -> Result<(), GenerateError> {
        let history = self.walk(customer, sealer)?;
        self.left -= 1;
        let (mut events, ticket) =
            ticket_to_store(history.iter().map(|(meta, event)| (meta, event)), &policy.version);
        let Some(ticket) = ticket else { return Ok(()) };
        self.reached = self.reached.max(ticket.first_recorded_at);
        let stream = ticket_stream(ticket.kind(), ticket.id())?;
        let mut metas = history.iter().map(|(meta, _)| meta).collect::<VecDeque<_>>();
        while let Some(first) = metas.front().copied() {
            let length = metas.iter().take_while(|meta| meta.command == first.command).count();
            metas.drain(..length);
            let rest = events.split_off(length);
            let order = (first.recorded_at, self.number, self.told);
            self.told += 1;
            let expected = Expected::after(first.revision.checked_sub(1));
            let events = std::mem::replace(&mut events, rest);
            let append = BulkAppend { stream: stream.clone(), expected, events };
            told.push(Told { order, append });
        }
        Ok(())
    }

    fn walk(&mut self, customer: CustomerId, sealer: &Sealer) -> Result<Vec<(Meta, Event)>, KeysError> {
        let sealer = sealer.known_customer(customer)?;
        // The walker knows no failure of sealing: the first is kept, and what it told then is thrown away.
        let failed = RefCell::new(None);
        let seal = |text: &str| {
            sealer.seal(text).unwrap_or_else(|error| {
                failed.borrow_mut().get_or_insert(error);
                Sealed { customer, nonce: [0; 12], ciphertext: Vec::new() }
            })
        };
        let history = self.walker.history(customer, &seal);
        failed.into_inner().map_or(Ok(history), Err)
    }
}

async fn check_unused(log: &dyn EventLog, told: &[Vec<Told>], seed: u64) -> Result<(), GenerateError> {
    let Some(first) = told.iter().find_map(|lane| lane.first()) else { return Ok(()) };
    let there = log.read_stream(&first.append.stream, 0, Direction::Forward, 1).await?;
    if there.is_empty() { Ok(()) } else { Err(GenerateError::SeedUsed(seed)) }
}

/// Takes out what was recorded before a moment, or everything, in order.
fn due(
    waiting: &mut BinaryHeap<Reverse<Told>>,
    until: Option<Timestamp>,
    generated: &mut Generated,
) -> impl Iterator<Item = BulkAppend> {
    std::iter::from_fn(move || {
        let next = waiting.peek().filter(|Reverse(told)| until.is_none_or(|until| told.order.0 < until));
        next?;
        let Reverse(Told { append, .. }) = waiting.pop()?;
        generated.events += append.events.len() as u64;
        let bytes = append.events.iter().map(|event| event.metadata.len() + event.payload.len());
        generated.bytes += bytes.sum::<usize>() as u64;
        Some(append)
    })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::sync::Arc;

    use duban_log::{Options, Reader};
    use duban_vault::keys::KeyStore;

    use super::*;

    struct Place(tempfile::TempDir);

    impl Place {
        fn new() -> Self {
            Self(tempfile::tempdir().unwrap())
        }

        fn log(&self) -> std::path::PathBuf {
            self.0.path().join("log")
        }

        fn generate(&self, tickets: u64, seed: u64) -> Result<Generated, GenerateError> {
            let log = SegmentedLog::open(&self.log(), Options::default()).unwrap();
            let keys = KeyStore::open(self.0.path(), None).unwrap();
            generate(&log, &Sealer::new(Arc::new(keys)), tickets, seed, &|_, _| {})
        }

        #[track_caller]
        fn events(&self) -> Vec<(uuid::Uuid, String, i64)> {
            let mut events = Vec::new();
            let each = |view: &duban_log::View<'_>| {
                events.push((view.id, view.stream.to_owned(), view.recorded_at));
                Ok::<_, duban_log::Error>(std::ops::ControlFlow::Continue(()))
            };
            Reader::open(&self.log()).unwrap().scan(each).unwrap();
            events
        }
    }

    #[test]
    fn the_same_seed_gives_the_same_events_in_one_order_that_follows_time() {
        let (one, two) = (Place::new(), Place::new());
        let generated = one.generate(40, 7).unwrap();
        assert_eq!(generated, two.generate(40, 7).unwrap());
        let (one, two) = (one.events(), two.events());
        assert_eq!(one, two);
        assert_eq!(one.len() as u64, generated.events);
        assert!(one.is_sorted_by_key(|(_, _, recorded_at)| *recorded_at));
        let streams: BTreeSet<_> = one.iter().map(|(_, stream, _)| stream).collect();
        assert_eq!(streams.len(), 40);
    }

    #[test]
    fn another_seed_gives_other_tickets_and_the_same_seed_twice_is_refused() {
        let (one, two) = (Place::new(), Place::new());
        one.generate(20, 1).unwrap();
        two.generate(20, 2).unwrap();
        let ids = |place: &Place| place.events().into_iter().map(|(id, ..)| id).collect::<BTreeSet<_>>();
        assert!(ids(&one).is_disjoint(&ids(&two)));
        let error = one.generate(20, 1).unwrap_err();
        assert!(matches!(error, GenerateError::SeedUsed(1)), "{error:?}");
    }
}
