//! What can go wrong with a cluster, one test each, on fake nodes that speak the real protocol.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use duban_fake_kurrentdb::{Cluster, Config};
use duban_log::contract::{all, event, is, stream};
use duban_log::kurrentdb::{KurrentLog, Options, Plain};
use duban_log::{
    Appended, Delivery, Direction, Error, EventLog, Expected, Filter, NewEvent, Recorded, StreamName,
    Subscription,
};
use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};

mod appends;
mod nodes;
mod reads;
mod side_streams;
mod storm;
mod subscriptions;

/// Nothing that a test waits for takes this long.
const WAIT_MAX: Duration = Duration::from_secs(60);

/// As patient as production, and much less so with what does not answer.
fn options() -> Options {
    Options {
        attempt_max: Duration::from_millis(500),
        pause_min: Duration::from_millis(5),
        pause_max: Duration::from_millis(50),
        silence: Duration::from_millis(300),
        deadline: Duration::from_secs(30),
        ..Options::new(["complaint-", "fault-", "install-", "office"])
    }
}

async fn cluster(nodes: usize, seed: u64) -> Cluster {
    let replication = Duration::ZERO..Duration::from_millis(2);
    Cluster::start(Config { nodes, seed, replication, ..Config::default() }).await.unwrap()
}

async fn open(cluster: &Cluster) -> KurrentLog {
    connect(&cluster.url(), options()).await.unwrap()
}

async fn connect(url: &str, options: Options) -> Result<KurrentLog, Error> {
    KurrentLog::connect(url, options, Arc::new(Plain)).await
}

async fn within<F: Future>(what: &str, future: F) -> F::Output {
    let Ok(output) = tokio::time::timeout(WAIT_MAX, future).await else {
        panic!("waited in vain for {what}")
    };
    output
}

/// Appends single events to a few streams until told to stop, each until it is acknowledged; answers what was.
async fn write(
    log: &KurrentLog,
    seed: u64,
    mut go_on: impl FnMut() -> bool,
) -> Vec<(StreamName, NewEvent, Appended)> {
    let mut dice = SmallRng::seed_from_u64(seed);
    let (mut next, mut done, mut n) = (BTreeMap::<u8, Expected>::new(), Vec::new(), seed << 32);
    while go_on() {
        let which = dice.random_range(0..4_u8);
        let name = stream(&format!("complaint-{seed}-{which}"));
        let expected = next.get(&which).copied().unwrap_or(Expected::NoStream);
        n += 1;
        let new = event(n);
        let appended = within("an append", log.append(&name, expected, vec![new.clone()])).await.unwrap();
        assert_eq!(appended.first_revision, expected.next_revision());
        next.insert(which, Expected::Revision(appended.last_revision));
        done.push((name, new, appended));
    }
    done
}

/// Everything that was acknowledged is in the log where its answer said, nothing is twice, and whoever opens the log has the same tree.
async fn check(cluster: &Cluster, log: &KurrentLog, acknowledged: &[(StreamName, NewEvent, Appended)]) {
    assert_eq!(cluster.audit(), Vec::<String>::new());
    let whole = all(log, Direction::Forward, &Filter::all(), 1000).await.unwrap();
    let by_place: BTreeMap<_, _> = whole.iter().map(|e| ((e.stream.clone(), e.revision), e)).collect();
    assert_eq!(by_place.len(), whole.len());
    for (name, new, appended) in acknowledged {
        let found = by_place[&(name.clone(), appended.last_revision)];
        assert!(
            is(found, new) && found.position == appended.position,
            "{found:?} is not {new:?} at {appended:?}"
        );
    }
    assert_eq!(whole.len(), acknowledged.len());
    let other = open(cluster).await;
    assert_eq!(other.head(), log.head());
    assert_eq!(other.head().size, whole.len() as u64);
}

/// Follows until so many events have come.
async fn follow(subscription: &mut Subscription, count: usize) -> Vec<Recorded> {
    let mut events = Vec::new();
    while events.len() < count {
        if let Delivery::Events(more) = within("a delivery", subscription.next()).await.unwrap() {
            events.extend(more);
        }
    }
    events
}
