//! What every engine must do, as a suite to run from its tests.
//!
//! Each function takes a new, empty log and panics where the log does not keep the contract. [`run`] runs all of them.

#![allow(
    clippy::missing_panics_doc,
    clippy::unwrap_used,
    reason = "a suite panics where the contract is broken"
)]

use std::collections::BTreeMap;
use std::future::Future;
use std::sync::Arc;

use bytes::Bytes;
use uuid::Uuid;

use crate::tree::{self, Frontier};
use crate::{
    Delivery, Direction, Error, EventLog, Expected, Filter, NewEvent, Position, Recorded, StreamName,
    Subscription, leaf_hash,
};

/// A stream's name.
#[must_use]
pub fn stream(name: &str) -> StreamName {
    StreamName::new(name).unwrap()
}

/// An event whose content follows from a number.
#[must_use]
pub fn event(n: u64) -> NewEvent {
    let tags = [("kind", ["line", "fee", "network"][usize::try_from(n % 3).unwrap()]), ("unit", "城南")];
    NewEvent {
        id: Uuid::from_u128(u128::from(n) << 64 | 0xD0BA),
        kind: ["order.opened.v1", "order.replied.v1", "visit.booked.v1"][usize::try_from(n % 3).unwrap()]
            .into(),
        occurred_at: 1_427_817_600_000_000 - i64::try_from(n).unwrap(),
        recorded_at: 1_427_817_600_000_000 + i64::try_from(n).unwrap(),
        tags: tags[..usize::try_from(n % 3).unwrap()].iter().map(|&(k, v)| (k.into(), v.into())).collect(),
        metadata: Bytes::from(n.to_le_bytes().to_vec()),
        payload: Bytes::from(vec![n.to_le_bytes()[0]; usize::try_from(n % 700).unwrap()]),
    }
}

fn events(range: std::ops::Range<u64>) -> Vec<NewEvent> {
    range.map(event).collect()
}

/// Whether an event is what was appended.
#[must_use]
pub fn is(recorded: &Recorded, new: &NewEvent) -> bool {
    let NewEvent { id, kind, occurred_at, recorded_at, tags, metadata, payload } = new;
    recorded.id == *id
        && recorded.kind == *kind
        && recorded.occurred_at == *occurred_at
        && recorded.recorded_at == *recorded_at
        && recorded.tags == *tags
        && recorded.metadata == *metadata
        && recorded.payload == *payload
}

/// Reads all events that pass a filter, page by page.
///
/// # Errors
/// What the log answers.
pub async fn all<L: EventLog + ?Sized>(
    log: &L,
    direction: Direction,
    filter: &Filter,
    limit: usize,
) -> Result<Vec<Recorded>, Error> {
    let (mut from, mut events) = (None, Vec::new());
    loop {
        let page = log.read_all(from, direction, filter, limit).await?;
        assert!(page.events.len() <= limit);
        events.extend(page.events);
        from = page.next;
        if page.end {
            return Ok(events);
        }
    }
}

/// Appends `count` events to a few streams, in appends of one to three.
pub async fn fill<L: EventLog + ?Sized>(log: &L, count: u64) {
    let mut next: BTreeMap<u64, Expected> = BTreeMap::new();
    let mut n = 0;
    while n < count {
        let (which, many) = (n * 7 % 5, (1 + n % 3).min(count - n));
        let name =
            stream(&format!("{}-{which}", ["complaint", "fault"][usize::try_from(which % 2).unwrap()]));
        let expected = next.get(&which).copied().unwrap_or(Expected::NoStream);
        let done = log.append(&name, expected, events(n..n + many)).await.unwrap();
        next.insert(which, Expected::Revision(done.last_revision));
        n += many;
    }
}

/// Runs the whole suite; `new` makes an empty log for each part.
pub async fn run<L: EventLog + 'static, F: Future<Output = L>>(new: impl Fn() -> F) {
    an_append_is_read_back_as_it_was_given(&new().await).await;
    a_wrong_expectation_is_refused_and_leaves_nothing(&new().await).await;
    what_is_too_large_or_senseless_is_refused(&new().await).await;
    a_stream_is_read_both_ways(&new().await).await;
    all_is_read_both_ways_in_pages(&new().await).await;
    filters_choose_by_stream_kind_and_tags(&new().await).await;
    one_of_many_concurrent_appends_to_a_revision_wins(Arc::new(new().await)).await;
    the_tree_is_the_same_on_every_engine(&new().await).await;
    proofs_prove(&new().await).await;
    a_subscription_catches_up_and_follows(Arc::new(new().await)).await;
    a_subscription_resumes_after_a_position(&new().await).await;
    a_slow_subscription_falls_back_and_misses_nothing(&new().await).await;
    a_filtered_subscription_says_where_it_is(&new().await).await;
    a_closed_log_reads_but_does_not_write(&new().await).await;
}

/// What is appended is what is read, in one order, with dense revisions.
pub async fn an_append_is_read_back_as_it_was_given<L: EventLog>(log: &L) {
    assert_eq!(log.head().size, 0);
    assert_eq!(log.head().root, tree::empty_root());
    let office = stream("office");
    let one = log.append(&office, Expected::NoStream, events(0..1)).await.unwrap();
    let more = log.append(&office, Expected::Revision(0), events(1..5)).await.unwrap();
    assert_eq!((one.first_revision, one.last_revision), (0, 0));
    assert_eq!((more.first_revision, more.last_revision), (1, 4));
    assert!(one.position < more.position);
    assert_eq!(log.head().position, Some(more.position));
    assert_eq!(log.head().size, 5);
    let read = log.read_stream(&office, 0, Direction::Forward, 100).await.unwrap();
    assert_eq!(read.len(), 5);
    for (n, recorded) in (0..).zip(&read) {
        assert!(is(recorded, &event(n)), "{recorded:?}");
        assert_eq!((recorded.revision, &recorded.stream), (n, &office));
    }
    assert_eq!(read[4].position, more.position);
    assert!(read.is_sorted_by_key(|e| e.position));
}

/// The revision is a lock: whoever has not seen the last event does not append.
pub async fn a_wrong_expectation_is_refused_and_leaves_nothing<L: EventLog>(log: &L) {
    let name = stream("complaint-1");
    let check = async |expected, has: Option<u64>| match log.append(&name, expected, events(9..11)).await {
        Err(Error::WrongExpected { actual, stream, expected: wanted }) => {
            assert_eq!((actual, stream, wanted), (has, name.clone(), expected));
        }
        other => panic!("{other:?}"),
    };
    check(Expected::Revision(0), None).await;
    assert_eq!(log.head().size, 0);
    log.append(&name, Expected::NoStream, events(0..2)).await.unwrap();
    check(Expected::NoStream, Some(1)).await;
    check(Expected::Revision(0), Some(1)).await;
    check(Expected::Revision(2), Some(1)).await;
    check(Expected::Revision(u64::MAX), Some(1)).await;
    assert_eq!(log.head().size, 2);
    log.append(&name, Expected::Revision(1), events(2..3)).await.unwrap();
}

/// Limits are checked before anything is written.
pub async fn what_is_too_large_or_senseless_is_refused<L: EventLog>(log: &L) {
    let name = stream("complaint-1");
    let refused =
        async |events: Vec<NewEvent>| log.append(&name, Expected::NoStream, events).await.unwrap_err();
    assert!(matches!(refused(Vec::new()).await, Error::Invalid { .. }));
    assert!(matches!(refused(vec![NewEvent { kind: "".into(), ..event(1) }]).await, Error::Invalid { .. }));
    let long: Arc<str> = "x".repeat(300).into();
    assert!(matches!(
        refused(vec![NewEvent { kind: Arc::clone(&long), ..event(1) }]).await,
        Error::TooLarge { .. }
    ));
    let tag = |k: &Arc<str>, v: &Arc<str>| (Arc::clone(k), Arc::clone(v));
    let short: Arc<str> = "x".into();
    for tags in [vec![tag(&short, &long)], vec![tag(&long, &short)], vec![tag(&short, &short); 9]] {
        assert!(matches!(refused(vec![NewEvent { tags, ..event(1) }]).await, Error::TooLarge { .. }));
    }
    let payload = Bytes::from(vec![1; crate::PAYLOAD_BYTES_MAX + 1]);
    assert!(matches!(refused(vec![NewEvent { payload, ..event(1) }]).await, Error::TooLarge { .. }));
    let large = NewEvent { payload: Bytes::from(vec![1; crate::PAYLOAD_BYTES_MAX]), ..event(1) };
    assert!(matches!(refused(vec![large.clone(), large.clone()]).await, Error::TooLarge { .. }));
    assert_eq!(log.head().size, 0);
    // The largest that is allowed goes through.
    log.append(&name, Expected::NoStream, vec![large.clone()]).await.unwrap();
    let read = log.read_stream(&name, 0, Direction::Forward, 1).await.unwrap();
    assert!(is(&read[0], &large));
    for bad in ["", "a b", "城南", &"x".repeat(129)] {
        assert!(matches!(StreamName::new(bad), Err(Error::Invalid { .. })), "{bad}");
    }
}

/// Bounds of stream reads, both directions.
pub async fn a_stream_is_read_both_ways<L: EventLog>(log: &L) {
    let name = stream("complaint-1");
    for n in 0..10_u64 {
        log.append(&stream("other"), Expected::after(n.checked_sub(1)), events(n + 50..n + 51))
            .await
            .unwrap();
        log.append(&name, Expected::after(n.checked_sub(1)), events(n..n + 1)).await.unwrap();
    }
    let read = async |from, direction, limit| {
        let events = log.read_stream(&name, from, direction, limit).await.unwrap();
        events.into_iter().map(|e| e.revision).collect::<Vec<_>>()
    };
    assert_eq!(read(0, Direction::Forward, 3).await, [0, 1, 2]);
    assert_eq!(read(8, Direction::Forward, 3).await, [8, 9]);
    assert_eq!(read(10, Direction::Forward, 3).await, [0_u64; 0]);
    assert_eq!(read(u64::MAX, Direction::Forward, 3).await, [0_u64; 0]);
    assert_eq!(read(u64::MAX, Direction::Backward, 3).await, [9, 8, 7]);
    assert_eq!(read(1, Direction::Backward, 3).await, [1, 0]);
    assert_eq!(read(0, Direction::Forward, 0).await, [0_u64; 0]);
    assert_eq!(log.read_stream(&stream("none"), 0, Direction::Forward, 3).await.unwrap(), []);
}

/// Pages follow on each other without gap or copy, both directions.
pub async fn all_is_read_both_ways_in_pages<L: EventLog>(log: &L) {
    let page = log.read_all(None, Direction::Forward, &Filter::all(), 10).await.unwrap();
    assert_eq!((page.events.len(), page.next, page.end), (0, None, true));
    fill(log, 700).await;
    let whole = all(log, Direction::Forward, &Filter::all(), usize::MAX).await.unwrap();
    assert_eq!(whole.len(), 700);
    assert!(whole.is_sorted_by(|a, b| a.position < b.position));
    for (n, recorded) in (0..).zip(&whole) {
        assert!(is(recorded, &event(n)));
    }
    for limit in [7, 256, 700] {
        assert_eq!(all(log, Direction::Forward, &Filter::all(), limit).await.unwrap(), whole);
        let mut backward = all(log, Direction::Backward, &Filter::all(), limit).await.unwrap();
        backward.reverse();
        assert_eq!(backward, whole);
    }
    let mut at = None;
    for recorded in &whole[..20] {
        let page = log.read_all(at, Direction::Forward, &Filter::all(), 1).await.unwrap();
        assert_eq!((&page.events[..], page.next), (std::slice::from_ref(recorded), Some(recorded.position)));
        at = page.next;
    }
    let middle = Some(whole[300].position);
    let page = log.read_all(middle, Direction::Forward, &Filter::all(), 2).await.unwrap();
    assert_eq!(page.events, whole[301..303]);
    let page = log.read_all(middle, Direction::Backward, &Filter::all(), 2).await.unwrap();
    assert_eq!(page.events, [whole[299].clone(), whole[298].clone()]);
    let page = log.read_all(log.head().position, Direction::Forward, &Filter::all(), 2).await.unwrap();
    assert_eq!((page.events, page.next, page.end), (Vec::new(), log.head().position, true));
}

/// Filters see the same on every engine.
pub async fn filters_choose_by_stream_kind_and_tags<L: EventLog>(log: &L) {
    fill(log, 300).await;
    let whole = all(log, Direction::Forward, &Filter::all(), usize::MAX).await.unwrap();
    let check = async |filter: Filter, some: bool| {
        let expected: Vec<_> = whole.iter().filter(|e| filter.matches(e)).cloned().collect();
        assert_eq!(!expected.is_empty(), some, "{filter:?}");
        for limit in [3, usize::MAX] {
            assert_eq!(all(log, Direction::Forward, &filter, limit).await.unwrap(), expected);
            let mut backward = all(log, Direction::Backward, &filter, limit).await.unwrap();
            backward.reverse();
            assert_eq!(backward, expected);
        }
    };
    check(Filter::all().stream_prefix("fault-"), true).await;
    check(Filter::all().stream_prefix("fault-1").stream_prefix("complaint-0"), true).await;
    check(Filter::all().stream_prefix("office"), false).await;
    check(Filter::all().kind("order.replied.v1"), true).await;
    check(Filter::all().tag("unit", "城南"), true).await;
    check(Filter::all().tag("unit", "城北"), false).await;
    check(Filter::all().tag("kind", "network").kind("visit.booked.v1").stream_prefix("fault-"), true).await;
}

/// The log serialises: of many appends that expect the same, one wins, and the others see it.
pub async fn one_of_many_concurrent_appends_to_a_revision_wins<L: EventLog + 'static>(log: Arc<L>) {
    let name = stream("complaint-1");
    for round in 0..10_u64 {
        let expected = Expected::after(round.checked_sub(1));
        let tasks: Vec<_> = (0..16)
            .map(|n| {
                let (log, name) = (Arc::clone(&log), name.clone());
                tokio::spawn(async move { log.append(&name, expected, events(n..n + 1)).await })
            })
            .collect();
        let mut won = 0;
        for task in tasks {
            match task.await.unwrap() {
                Ok(done) => {
                    assert_eq!(done.last_revision, round);
                    won += 1;
                }
                Err(Error::WrongExpected { actual, .. }) => assert_eq!(actual, Some(round)),
                Err(other) => panic!("{other:?}"),
            }
        }
        assert_eq!(won, 1);
    }
    assert_eq!(log.head().size, 10);
}

/// Leaves follow from the events alone, so two engines with the same events have the same root.
pub async fn the_tree_is_the_same_on_every_engine<L: EventLog>(log: &L) {
    fill(log, 50).await;
    let mut frontier = Frontier::default();
    for recorded in all(log, Direction::Forward, &Filter::all(), usize::MAX).await.unwrap() {
        frontier.push(leaf_hash(&recorded));
    }
    assert_eq!(log.head().root, frontier.root());
    // Written down once: a change of it means that signed heads do not verify any more.
    assert_eq!(hex(&log.head().root), "47c395cb030a82c3dd15ebcbf2e89228e20dd3eec38f5b04e3bd8d3392b7292f");
}

fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write;
    bytes.iter().fold(String::new(), |mut text, byte| {
        write!(text, "{byte:02x}").unwrap();
        text
    })
}

/// Every leaf is in every tree that it should be in, and every tree is the beginning of every later one.
pub async fn proofs_prove<L: EventLog>(log: &L) {
    fill(log, 600).await;
    let whole = all(log, Direction::Forward, &Filter::all(), usize::MAX).await.unwrap();
    let leaves: Vec<_> = whole.iter().map(leaf_hash).collect();
    for size in [1, 2, 3, 255, 256, 257, 511, 512, 513, 600] {
        let root = log.root_at(size).await.unwrap();
        for leaf in [0, 1, 2, 254, 255, 256, 300, 511, 512, 598, 599].into_iter().filter(|&l| l < size) {
            let path = log.inclusion_proof(leaf, size).await.unwrap();
            let hash = &leaves[usize::try_from(leaf).unwrap()];
            assert!(tree::verify_inclusion(hash, leaf, size, &path, &root), "{leaf} of {size}");
            assert!(!tree::verify_inclusion(&tree::leaf_hash(b"forged"), leaf, size, &path, &root));
        }
        for old in [0, 1, 2, 3, 128, 255, 256, 257, 511, 512, 599, 600].into_iter().filter(|&o| o <= size) {
            let proof = log.consistency_proof(old, size).await.unwrap();
            let old_root = log.root_at(old).await.unwrap();
            assert!(tree::verify_consistency(old, &old_root, size, &root, &proof), "{old} of {size}");
            assert!(old == 0 || !tree::verify_consistency(old, &tree::leaf_hash(b""), size, &root, &proof));
        }
    }
    assert_eq!(log.root_at(600).await.unwrap(), log.head().root);
    assert_eq!(log.root_at(0).await.unwrap(), tree::empty_root());
    assert!(matches!(log.root_at(601).await, Err(Error::Invalid { .. })));
    assert!(matches!(log.inclusion_proof(3, 3).await, Err(Error::Invalid { .. })));
    assert!(matches!(log.consistency_proof(4, 3).await, Err(Error::Invalid { .. })));
}

/// Follows until it has this many events; answers them and how often it caught up and fell behind.
async fn follow(subscription: &mut Subscription, count: usize) -> (Vec<Recorded>, usize, usize) {
    let (mut events, mut caught_up, mut fell_behind) = (Vec::new(), 0, 0);
    while events.len() < count {
        match subscription.next().await.unwrap() {
            Delivery::Events(more) => {
                assert!(!more.is_empty());
                events.extend(more);
                assert_eq!(subscription.position(), events.last().map(|e| e.position));
            }
            Delivery::CaughtUp(_) => caught_up += 1,
            Delivery::FellBehind => fell_behind += 1,
            Delivery::Checkpoint(_) => {}
        }
    }
    (events, caught_up, fell_behind)
}

/// Everything once, in order, across the border from past to present, while others write.
pub async fn a_subscription_catches_up_and_follows<L: EventLog + 'static>(log: Arc<L>) {
    let mut early = log.subscribe(None, Filter::all()).await.unwrap();
    assert_eq!(early.next().await.unwrap(), Delivery::CaughtUp(None));
    fill(&*log, 200).await;
    let mut late = log.subscribe(None, Filter::all()).await.unwrap();
    let writers: Vec<_> = (0..8_u64)
        .map(|w| {
            let log = Arc::clone(&log);
            tokio::spawn(async move {
                let name = stream(&format!("install-{w}"));
                for n in 0..50_u64 {
                    log.append(&name, Expected::after(n.checked_sub(1)), events(n..n + 1)).await.unwrap();
                }
            })
        })
        .collect();
    let (seen_early, caught_up, fell_behind) = follow(&mut early, 600).await;
    assert_eq!(caught_up, fell_behind);
    let (seen_late, ..) = follow(&mut late, 600).await;
    for writer in writers {
        writer.await.unwrap();
    }
    let whole = all(&*log, Direction::Forward, &Filter::all(), usize::MAX).await.unwrap();
    assert_eq!(seen_early, whole);
    assert_eq!(seen_late, whole);
}

/// A resume position is exclusive; one that the log never had is refused, since it comes from another log.
pub async fn a_subscription_resumes_after_a_position<L: EventLog>(log: &L) {
    fill(log, 20).await;
    let whole = all(log, Direction::Forward, &Filter::all(), usize::MAX).await.unwrap();
    let mut subscription = log.subscribe(Some(whole[4].position), Filter::all()).await.unwrap();
    let (events, ..) = follow(&mut subscription, 15).await;
    assert_eq!(events, whole[5..]);
    assert_eq!(subscription.next().await.unwrap(), Delivery::CaughtUp(log.head().position));
    let mut at_head = log.subscribe(log.head().position, Filter::all()).await.unwrap();
    assert_eq!(at_head.next().await.unwrap(), Delivery::CaughtUp(log.head().position));
    let beyond = Position::new(log.head().position.unwrap().get() + 1_000_000);
    assert!(matches!(log.subscribe(Some(beyond), Filter::all()).await, Err(Error::Invalid { .. })));
}

/// A subscriber that sleeps through more than any buffer holds gets everything all the same.
pub async fn a_slow_subscription_falls_back_and_misses_nothing<L: EventLog>(log: &L) {
    let mut slow = log.subscribe(None, Filter::all()).await.unwrap();
    assert_eq!(slow.next().await.unwrap(), Delivery::CaughtUp(None));
    let name = stream("office");
    let (batch, batches) = (200_u64, 100);
    for n in 0..batches {
        let events = (0..batch).map(|i| NewEvent { payload: Bytes::new(), ..event(n * batch + i) }).collect();
        log.append(&name, Expected::after((n * batch).checked_sub(1)), events).await.unwrap();
    }
    let (events, caught_up, fell_behind) = follow(&mut slow, usize::try_from(batch * batches).unwrap()).await;
    assert_eq!((caught_up, fell_behind), (0, 1));
    assert!((0..).zip(&events).all(|(n, e)| e.revision == n));
    assert_eq!(slow.next().await.unwrap(), Delivery::CaughtUp(log.head().position));
}

/// A subscriber whose filter lets nothing through still learns where to resume.
pub async fn a_filtered_subscription_says_where_it_is<L: EventLog>(log: &L) {
    let name = stream("office");
    for n in 0..50_u64 {
        let events = (0..200).map(|i| NewEvent { payload: Bytes::new(), ..event(i) }).collect();
        log.append(&name, Expected::after((n * 200_u64).checked_sub(1)), events).await.unwrap();
    }
    let mut subscription = log.subscribe(None, Filter::all().stream_prefix("fault-")).await.unwrap();
    let mut checkpoints = Vec::new();
    let caught_up = loop {
        match subscription.next().await.unwrap() {
            Delivery::Checkpoint(position) => checkpoints.push(position),
            Delivery::CaughtUp(position) => break position,
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(caught_up, log.head().position);
    assert!(!checkpoints.is_empty());
    log.append(&stream("fault-1"), Expected::NoStream, events(7..8)).await.unwrap();
    let (events, ..) = follow(&mut subscription, 1).await;
    assert!(is(&events[0], &event(7)));
}

/// Closing writes what was handed over, ends subscriptions after the last event, and leaves reads.
pub async fn a_closed_log_reads_but_does_not_write<L: EventLog>(log: &L) {
    fill(log, 10).await;
    let mut subscription = log.subscribe(None, Filter::all()).await.unwrap();
    log.close().await.unwrap();
    log.close().await.unwrap();
    let refused = log.append(&stream("office"), Expected::NoStream, events(0..1)).await;
    assert!(matches!(refused, Err(Error::Closed)), "{refused:?}");
    assert_eq!(all(log, Direction::Forward, &Filter::all(), 100).await.unwrap().len(), 10);
    let (events, ..) = follow(&mut subscription, 10).await;
    assert_eq!(events.len(), 10);
    assert!(matches!(subscription.next().await, Ok(Delivery::CaughtUp(_))));
    assert!(matches!(subscription.next().await, Err(Error::Closed)));
}
