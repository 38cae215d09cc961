//! What older servers do otherwise, and the rest of what can be asked of the cluster.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on says where")]

mod shared;

use std::time::{Duration, Instant};

use duban_fake_kurrentdb::{Cluster, Config, Fault, Flow};
use eventstore::operations;
use eventstore::{
    DeleteStreamOptions, ExpectedRevision, Position, ReadStreamOptions, StreamPosition,
    SubscribeToStreamOptions, SubscriptionEvent,
};

use crate::shared::{append, at, client, events};

#[tokio::test]
async fn an_older_server_says_less() {
    let older = Config {
        says_caught_up: false,
        repeats_have_positions: false,
        stream_reads_have_positions: false,
        ..Config::default()
    };
    let cluster = Cluster::start(older).await.unwrap();
    let client = client(&cluster.url());
    let nothing = at(ExpectedRevision::NoStream);
    let first = client.append_to_stream("a-1", &nothing, events(&[1])).await.unwrap();
    assert_ne!(first.position, Position::start());
    let again = client.append_to_stream("a-1", &nothing, events(&[1])).await.unwrap();
    assert_eq!((again.next_expected_version, again.position), (0, Position::start()));

    let mut read = client.read_stream("a-1", &ReadStreamOptions::default()).await.unwrap();
    let read = read.next().await.unwrap().unwrap();
    assert_eq!((read.commit_position, read.get_original_event().position.commit), (None, u64::MAX));

    let options = SubscribeToStreamOptions::default().start_from(StreamPosition::Start);
    let mut followed = client.subscribe_to_stream("a-1", &options).await;
    let mut seen = Vec::new();
    while seen.len() < 3 {
        match followed.next_subscription_event().await.unwrap() {
            SubscriptionEvent::Confirmed(_) => seen.push("confirmed"),
            SubscriptionEvent::EventAppeared(_) => seen.push("event"),
            other => panic!("{other:?}"),
        }
        if seen.len() == 2 {
            append(&client, "a-1", &[2]).await;
        }
    }
    assert_eq!(seen, ["confirmed", "event", "event"]);
}

#[tokio::test]
async fn a_scavenge_leaves_the_unfinished_chunk_alone() {
    let cluster = Cluster::start(Config { chunk_bytes: Some(8 * 1024), ..Config::default() }).await.unwrap();
    let kilobyte = || vec![b'x'; 1024];
    for stream in ["old-1", "old-1", "fill", "fill", "fill", "fill", "fill", "fill", "new-1", "new-1"] {
        cluster.put(stream, "happened", kilobyte()).await;
    }
    let client = client(&cluster.url());
    for stream in ["old-1", "new-1"] {
        client.delete_stream(stream, &DeleteStreamOptions::default()).await.unwrap();
    }
    let operator = operations::Client::new(cluster.url().parse().unwrap());
    operator.start_scavenge(1, 0, &operations::OperationalOptions::default()).await.unwrap();
    cluster.wait("a scavenge", |counters| counters.scavenges == 1).await;
    let left = |stream: &str| cluster.on_disk(0).iter().filter(|record| &*record.stream == stream).count();
    assert_eq!((left("old-1"), left("fill"), left("new-1")), (1, 6, 2));
    assert_eq!(cluster.counters().events_scavenged, 1);
}

#[tokio::test]
async fn an_answer_may_be_late_and_a_connection_may_be_cut() {
    let cluster = Cluster::start(Config::default()).await.unwrap();
    let client = client(&cluster.url());
    let late = Duration::from_millis(80);
    cluster.fault(Fault::DelayAfterCommit(late), 1);
    let asked = Instant::now();
    append(&client, "a-1", &[1]).await;
    assert!(asked.elapsed() >= late);

    cluster.cut(0);
    // Each at its own place, so that it does not matter which of them the client has lost.
    let mut id = 2;
    while client.append_to_stream("a-1", &at(ExpectedRevision::Any), events(&[id])).await.is_err() {
        id += 1;
    }
    assert_eq!(cluster.counters().connections, 2);
}

#[tokio::test]
async fn a_subscription_may_be_silent_from_its_beginning() {
    let cluster = Cluster::start(Config::default()).await.unwrap();
    let client = client(&cluster.url());
    append(&client, "a-1", &[1]).await;
    cluster.flow_next(Flow::Silent, 1);
    let options = SubscribeToStreamOptions::default().start_from(StreamPosition::Start);
    let mut first = client.subscribe_to_stream("a-1", &options).await;
    let silent = tokio::spawn(async move { first.next().await });
    cluster.wait("the first subscription", |counters| counters.subscriptions == 1).await;
    let mut second = client.subscribe_to_stream("a-1", &options).await;
    assert_eq!(second.next().await.unwrap().get_original_event().revision, 0);
    assert!(!silent.is_finished());
    assert_eq!(cluster.flow_all(Flow::Runs), 2);
    assert_eq!(silent.await.unwrap().unwrap().get_original_event().revision, 0);
}
