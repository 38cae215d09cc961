//! Subscriptions that end, fail and fall silent.

use duban_fake_kurrentdb::Flow;

use super::*;

/// Everything is brought once, in order, though each subscription to the servers does this after a while. On one thread: if the client
/// spun, nothing here would move any more.
async fn check_flow(flow: Flow, seed: u64) {
    let cluster = cluster(3, seed).await;
    let log = open(&cluster).await;
    let mut subscription = log.subscribe(None, Filter::all()).await.unwrap();
    let mut dice = SmallRng::seed_from_u64(seed);
    let mut written = Vec::new();
    for round in 0..6 {
        let mut left = dice.random_range(1..6);
        written.extend(
            write(&log, seed * 100 + round, || {
                left -= 1;
                left >= 0
            })
            .await,
        );
        assert!(cluster.flow_all(flow) > 0);
    }
    // Also one that does so from its beginning.
    cluster.flow_next(flow, 2);
    let mut once = true;
    written.extend(write(&log, seed * 100 + 99, || std::mem::take(&mut once)).await);
    let seen = follow(&mut subscription, written.len()).await;
    println!(
        "{flow:?}, seed {seed}: {} events, {} subscriptions",
        seen.len(),
        cluster.counters().subscriptions
    );
    assert!(seen.is_sorted_by(|a, b| a.position < b.position));
    assert_eq!(seen, all(&log, Direction::Forward, &Filter::all(), 1000).await.unwrap());
    // Also while it catches up, for which the log subscribes anew.
    cluster.flow_next(flow, 2);
    let mut late = log.subscribe(Some(seen[0].position), Filter::all()).await.unwrap();
    assert_eq!(follow(&mut late, written.len() - 1).await, seen[1..]);
    assert_eq!(late.next().await.unwrap(), Delivery::CaughtUp(log.head().position));
    check(&cluster, &log, &written).await;
}

#[tokio::test]
async fn a_subscription_that_ends_is_taken_up_where_it_was_and_burns_nothing() {
    for seed in 1..=3 {
        check_flow(Flow::Ends, seed).await;
    }
}

#[tokio::test]
async fn a_subscription_that_fails_is_taken_up_where_it_was() {
    for seed in 1..=3 {
        check_flow(Flow::Fails, seed).await;
    }
}

#[tokio::test]
async fn a_subscription_that_is_silent_is_found_out_by_who_writes() {
    for seed in 1..=2 {
        check_flow(Flow::Silent, seed).await;
    }
}

#[tokio::test]
async fn a_subscription_that_is_silent_is_found_out_while_others_write() {
    let cluster = cluster(3, 1).await;
    let reader = open(&cluster).await;
    let mut subscription = reader.subscribe(None, Filter::all()).await.unwrap();
    // Silent for the reader; who opens the log later hears.
    assert!(cluster.flow_all(Flow::Silent) > 0);
    let writer = open(&cluster).await;
    let mut left = 30;
    let written = write(&writer, 1, || {
        left -= 1;
        left >= 0
    })
    .await;
    let seen = follow(&mut subscription, written.len()).await;
    assert_eq!(seen, all(&writer, Direction::Forward, &Filter::all(), 1000).await.unwrap());
    assert_eq!(reader.head(), writer.head());
}

#[tokio::test]
async fn servers_that_do_not_say_that_all_was_brought_are_asked() {
    let config = Config { says_caught_up: false, stream_reads_have_positions: false, ..Config::default() };
    let cluster = Cluster::start(config).await.unwrap();
    let mut left = 30;
    let written = write(&open(&cluster).await, 1, || {
        left -= 1;
        left >= 0
    })
    .await;
    let log = open(&cluster).await;
    assert_eq!(log.head().size, 30);
    check(&cluster, &log, &written).await;
    // What a stream's read does not say is looked for among all.
    let (name, ..) = &written[0];
    let read = log.read_stream(name, 0, Direction::Forward, 100).await.unwrap();
    assert!(!read.is_empty());
    for recorded in read {
        let (.., appended) =
            written.iter().find(|(n, _, a)| n == name && a.last_revision == recorded.revision).unwrap();
        assert_eq!(recorded.position, appended.position);
    }
}

#[tokio::test]
async fn a_follower_that_goes_on_elsewhere_gets_nothing_twice() {
    // Followers lag: a subscription that goes on there brings events again that were seen on the leader.
    let cluster = cluster(3, 1).await;
    let log = open(&cluster).await;
    let mut subscription = log.subscribe(None, Filter::all()).await.unwrap();
    let mut written = Vec::new();
    for round in 0..3 {
        for node in cluster.followers() {
            cluster.lag(node, duban_fake_kurrentdb::Lag::Held);
        }
        let mut left = 5;
        written.extend(
            write(&log, 10 + round, || {
                left -= 1;
                left >= 0
            })
            .await,
        );
        let leader = cluster.switch_leader().await;
        cluster.lag(leader, duban_fake_kurrentdb::Lag::None);
        cluster.flow_all(Flow::Fails);
    }
    let seen = follow(&mut subscription, written.len()).await;
    assert!(seen.is_sorted_by(|a, b| a.position < b.position));
    for node in 0..3 {
        cluster.lag(node, duban_fake_kurrentdb::Lag::None);
    }
    check(&cluster, &log, &written).await;
}
