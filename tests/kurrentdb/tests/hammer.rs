//! Writers that never give up, on a cluster whose leader is killed again and again.
//!
//! They send an append again, with the same ids at the same revision, until they are told that it happened. In the end everything
//! is there once, whatever was lost, kept, swallowed or reset in between, and whoever followed the log from any node, and went on where it
//! was when that was killed, has seen all of it in order: which is what a client may build on, and what shows that the cluster lies only
//! in the ways in which a real one does.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on says where")]

mod shared;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use duban_fake_kurrentdb::{Cluster, Config, Fault, Lag, Tail};
use eventstore::{
    Client, CurrentRevision, Error, ExpectedRevision, Position, ReadAllOptions, ReadStreamOptions,
    StreamPosition, SubscribeToAllOptions, SubscriptionFilter,
};
use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};
use tokio::sync::watch;
use uuid::Uuid;

use crate::shared::{at, client, client_of_leader, events};

const WRITERS: u32 = 6;
const APPENDS: u32 = 30;
const BLOWS: u32 = 10;
/// Each append has two.
const EVENTS: usize = (2 * WRITERS * APPENDS) as usize;

struct Writer {
    cluster: Arc<Cluster>,
    client: Client,
    number: u32,
    acknowledged: watch::Sender<u32>,
}

impl Writer {
    async fn reconnect(&mut self) {
        let leader = self.cluster.wait_for_leader().await;
        self.client = client_of_leader(&self.cluster.url_of(leader));
    }

    /// Where a stream goes on, or nothing when it could not be read.
    async fn expected(&self, stream: &str) -> Option<ExpectedRevision> {
        let newest = ReadStreamOptions::default().backwards().position(StreamPosition::End).max_count(1);
        let mut read = self.client.read_stream(stream, &newest).await.ok()?;
        match read.next().await {
            Ok(Some(event)) => Some(ExpectedRevision::Exact(event.get_original_event().revision)),
            Err(Error::ResourceNotFound) => Some(ExpectedRevision::NoStream),
            Ok(None) | Err(_) => None,
        }
    }

    /// Appends to a stream of its own and to one that all write to, in turn; returns where what was written is.
    async fn run(mut self) -> Vec<(String, u64, Uuid)> {
        let mut written = Vec::new();
        for turn in 0..APPENDS {
            let own = format!("own-{}", self.number);
            let stream = if turn % 2 == 0 { own.as_str() } else { "common" };
            let first = (u128::from(self.number) << 64) | (u128::from(turn) << 1);
            let ids = [first, first | 1];
            let mut expected = None;
            let last = loop {
                if expected.is_none() {
                    expected = self.expected(stream).await;
                }
                let Some(place) = expected else {
                    self.reconnect().await;
                    continue;
                };
                match self
                    .client
                    .append_to_stream(stream, &at(place).deadline(Duration::from_millis(500)), events(&ids))
                    .await
                {
                    Ok(answer) => break answer.next_expected_version,
                    Err(Error::WrongExpectedVersion { current, .. }) => {
                        // Somebody else was there first, or its own write, sent elsewhere; then it is found by its ids below.
                        assert!(stream == "common" || matches!(current, CurrentRevision::Current(_)));
                        expected = None;
                    }
                    // Whatever it was: at the same place again.
                    Err(_) => self.reconnect().await,
                }
            };
            written.push((stream.to_owned(), last - 1, Uuid::from_u128(ids[0])));
            written.push((stream.to_owned(), last, Uuid::from_u128(ids[1])));
            self.acknowledged.send_modify(|count| *count += 1);
        }
        written
    }
}

/// Follows what writers write, on one node after the other, until so many events have come; copies are dropped.
async fn follow(cluster: Arc<Cluster>, seed: u64, count: usize) -> Vec<(u64, Uuid)> {
    let mut random = SmallRng::seed_from_u64(seed);
    let mut seen: Vec<(u64, Uuid)> = Vec::new();
    loop {
        let filter = SubscriptionFilter::on_stream_name().add_prefix("own-").add_prefix("common");
        let after = seen.last().map_or(StreamPosition::Start, |(position, _)| {
            StreamPosition::Position(Position { commit: *position, prepare: *position })
        });
        let options = SubscribeToAllOptions::default().filter(filter).position(after);
        let client = client(&cluster.url_of(random.random_range(0..cluster.nodes())));
        let mut subscription = client.subscribe_to_all(&options).await;
        while let Ok(event) = subscription.next().await {
            let event = event.get_original_event();
            if seen.last().is_none_or(|(position, _)| *position < event.position.commit) {
                seen.push((event.position.commit, event.id));
            }
            if seen.len() == count {
                return seen;
            }
        }
    }
}

/// Makes things go wrong, one after the other, each after some more appends were acknowledged.
async fn blows(cluster: &Cluster, random: &mut SmallRng, acknowledged: &watch::Sender<u32>) {
    for _ in 0..BLOWS {
        let goal = (*acknowledged.borrow() + random.random_range(3..12)).min(WRITERS * APPENDS - 1);
        acknowledged.subscribe().wait_for(|count| *count >= goal).await.unwrap();
        cluster.fault(
            [Fault::SwallowAfterCommit, Fault::TimeOut, Fault::TimeOutAfterCommit, Fault::ResetAfterCommit]
                [random.random_range(0..4)],
            random.random_range(0..3),
        );
        if random.random() {
            let killed = cluster.kill_leader().await;
            cluster.wait_for_leader().await;
            cluster.revive(killed);
        } else {
            cluster.switch_leader().await;
        }
    }
}

async fn hammer(seed: u64) {
    let milliseconds = Duration::from_millis;
    let cluster = Cluster::start(Config {
        nodes: 3,
        seed,
        replication: milliseconds(0)..milliseconds(4),
        election: milliseconds(15),
        tail: Tail::Random,
        ..Config::default()
    });
    let cluster = Arc::new(cluster.await.unwrap());
    cluster.lag(1, Lag::Time(milliseconds(5)));
    let acknowledged = watch::Sender::new(0);
    let writers: Vec<_> = (0..WRITERS)
        .map(|number| {
            let client = client_of_leader(&cluster.url_of(0));
            let writer =
                Writer { cluster: Arc::clone(&cluster), client, number, acknowledged: acknowledged.clone() };
            tokio::spawn(writer.run())
        })
        .collect();
    let followers: Vec<_> =
        (0..2).map(|number| tokio::spawn(follow(Arc::clone(&cluster), seed + number, EVENTS))).collect();
    blows(&cluster, &mut SmallRng::seed_from_u64(seed), &acknowledged).await;
    let mut written = Vec::new();
    for writer in writers {
        written.extend(writer.await.unwrap());
    }

    assert_eq!(cluster.audit(), [""; 0], "seed {seed}");
    let counters = cluster.counters();
    assert!(counters.elections > u64::from(BLOWS), "seed {seed}: {counters:?}");
    let mut there = BTreeMap::new();
    for record in cluster.committed().into_iter().filter(|record| !record.stream.starts_with('$')) {
        let twice = there.insert(record.id, (record.stream.to_string(), record.revision));
        assert_eq!(twice, None, "seed {seed}: {record:?} happened twice");
    }
    assert_eq!(there.len(), written.len(), "seed {seed}: as many as were written, {counters:?}");
    let committed = cluster.committed().into_iter().filter(|record| !record.stream.starts_with('$'));
    let committed: Vec<_> = committed.map(|record| (record.position, record.id)).collect();
    for follower in followers {
        assert!(follower.await.unwrap() == committed, "seed {seed}: a follower has seen something else");
    }
    for (stream, revision, id) in written {
        assert_eq!(there.get(&id), Some(&(stream, revision)), "seed {seed}: {id} is where its answer said");
    }

    cluster.lag(1, Lag::None);
    let mut copies = Vec::new();
    for node in 0..3 {
        let mut read = client(&cluster.url_of(node)).read_all(&ReadAllOptions::default()).await.unwrap();
        let mut copy = Vec::new();
        while let Some(event) = read.next().await.unwrap() {
            copy.push((event.get_original_event().id, event.get_original_event().position));
        }
        copies.push(copy);
    }
    assert!(copies[0].is_sorted_by_key(|(_, position)| position.commit));
    assert!(copies.iter().all(|copy| *copy == copies[0]), "seed {seed}: every node tells the same");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_asks_again_with_the_same_ids_is_answered_once_whatever_happens_to_leaders() {
    for seed in [1, 2, 3] {
        hammer(seed).await;
    }
}
