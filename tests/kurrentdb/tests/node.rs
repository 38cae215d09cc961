//! One node, as the released client sees it.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on says where")]

mod shared;

use duban_fake_kurrentdb::{Cluster, Config};
use eventstore::{
    Client, CurrentRevision, Error, ExpectedRevision, Position, ReadAllOptions, ReadStreamOptions,
    StreamPosition, SubscribeToAllOptions, SubscribeToStreamOptions, SubscriptionEvent, SubscriptionFilter,
};
use uuid::Uuid;

use crate::shared::{at, client, events, revisions};

async fn cluster() -> (Cluster, Client) {
    let cluster = Cluster::start(Config::default()).await.unwrap();
    let client = client(&cluster.url());
    (cluster, client)
}

#[tokio::test]
async fn what_is_appended_is_read_in_both_directions() {
    let (cluster, client) = cluster().await;
    let written =
        client.append_to_stream("a-1", &at(ExpectedRevision::NoStream), events(&[1, 2, 3])).await.unwrap();
    assert_eq!(written.next_expected_version, 2);

    let from = ReadStreamOptions::default;
    assert_eq!(revisions(&client, "a-1", &from()).await, [0, 1, 2]);
    assert_eq!(revisions(&client, "a-1", &from().position(StreamPosition::Position(1))).await, [1, 2]);
    assert_eq!(revisions(&client, "a-1", &from().position(StreamPosition::End)).await, [2, 1, 0]);
    let back = from().backwards().position(StreamPosition::Position(1));
    assert_eq!(revisions(&client, "a-1", &back).await, [1, 0]);
    assert_eq!(revisions(&client, "a-1", &from().max_count(2)).await, [0, 1]);

    let mut read = client.read_stream("a-1", &from()).await.unwrap();
    let first = read.next().await.unwrap().unwrap();
    let first = first.get_original_event();
    assert_eq!((first.id, &first.data[..]), (Uuid::from_u128(1), &b"1"[..]));
    assert!(first.position < written.position);

    let mut unknown = client.read_stream("a-2", &from()).await.unwrap();
    assert!(matches!(unknown.next().await, Err(Error::ResourceNotFound)));
    assert!(cluster.counters().reads >= 6);
}

#[tokio::test]
async fn a_conflict_is_told_and_a_repeat_answers_what_it_answered() {
    let (cluster, client) = cluster().await;
    let first =
        client.append_to_stream("a-1", &at(ExpectedRevision::NoStream), events(&[1, 2])).await.unwrap();
    let again =
        client.append_to_stream("a-1", &at(ExpectedRevision::NoStream), events(&[1, 2])).await.unwrap();
    assert_eq!((again.next_expected_version, again.position), (first.next_expected_version, first.position));

    let conflict = client.append_to_stream("a-1", &at(ExpectedRevision::NoStream), events(&[3])).await;
    let Err(Error::WrongExpectedVersion { expected, current }) = conflict else { panic!("{conflict:?}") };
    assert_eq!((expected, current), (ExpectedRevision::NoStream, CurrentRevision::Current(1)));

    let conflict = client.append_to_stream("a-2", &at(ExpectedRevision::Exact(4)), events(&[3])).await;
    let Err(Error::WrongExpectedVersion { expected, current }) = conflict else { panic!("{conflict:?}") };
    assert_eq!((expected, current), (ExpectedRevision::Exact(4), CurrentRevision::NoStream));

    let counters = cluster.counters();
    assert_eq!((counters.appends, counters.appends_committed), (4, 1));
    assert_eq!((counters.appends_repeated, counters.appends_wrong), (1, 2));
    assert_eq!(counters.events_committed, 2);
    assert_eq!(cluster.audit(), [""; 0]);
}

#[tokio::test]
async fn all_is_read_from_a_position_which_only_forwards_is_included() {
    let (_cluster, client) = cluster().await;
    client.append_to_stream("a-1", &at(ExpectedRevision::Any), events(&[1, 2, 3])).await.unwrap();
    let all = async |options: ReadAllOptions| {
        let mut read = client.read_all(&options).await.unwrap();
        let mut all: Vec<(String, Position)> = Vec::new();
        while let Some(event) = read.next().await.unwrap() {
            let event = event.get_original_event();
            all.push((format!("{}@{}", event.revision, event.stream_id), event.position));
        }
        all
    };
    let forwards = all(ReadAllOptions::default()).await;
    assert!(forwards.iter().any(|(name, _)| name.contains('$')), "the cluster's own events are there");
    let mut backwards = all(ReadAllOptions::default().position(StreamPosition::End)).await;
    backwards.reverse();
    assert_eq!(forwards, backwards);

    let middle = forwards.iter().position(|(name, _)| name == "1@a-1").unwrap();
    let from = StreamPosition::Position(forwards[middle].1);
    let on = all(ReadAllOptions::default().position(from)).await;
    assert_eq!(on, forwards[middle..]);
    let mut before = all(ReadAllOptions::default().position(from).backwards()).await;
    before.reverse();
    assert_eq!(before, forwards[..middle]);
}

#[tokio::test]
async fn a_filtered_subscription_brings_what_is_there_then_what_comes_and_checkpoints() {
    let (_cluster, client) = cluster().await;
    client.append_to_stream("a-1", &at(ExpectedRevision::Any), events(&[1])).await.unwrap();
    for id in 100..400 {
        client.append_to_stream("b-1", &at(ExpectedRevision::Any), events(&[id])).await.unwrap();
    }
    client.append_to_stream("a-1", &at(ExpectedRevision::Any), events(&[2])).await.unwrap();

    let filter = SubscriptionFilter::on_stream_name().add_prefix("a-").add_prefix("c-");
    let options = SubscribeToAllOptions::default().filter(filter);
    let mut subscription = client.subscribe_to_all(&options).await;
    let mut seen = Vec::new();
    loop {
        match subscription.next_subscription_event().await.unwrap() {
            SubscriptionEvent::Confirmed(_) => seen.push("confirmed".to_owned()),
            SubscriptionEvent::Checkpoint(_) if seen.last().is_some_and(|last| last == "checkpoint") => {}
            SubscriptionEvent::Checkpoint(_) => seen.push("checkpoint".to_owned()),
            SubscriptionEvent::CaughtUp => break,
            SubscriptionEvent::EventAppeared(event) => seen.push(event.get_original_stream_id().to_owned()),
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(seen[..3], ["confirmed", "a-1", "checkpoint"]);
    assert!(seen[3..].contains(&"a-1".to_owned()), "{seen:?}");

    client.append_to_stream("b-1", &at(ExpectedRevision::Any), events(&[3])).await.unwrap();
    client.append_to_stream("c-1", &at(ExpectedRevision::Any), events(&[4])).await.unwrap();
    let live = subscription.next().await.unwrap();
    assert_eq!(live.get_original_event().id, Uuid::from_u128(4));

    // From where it was, exclusive.
    let position = StreamPosition::Position(live.get_original_event().position);
    let mut resumed = client.subscribe_to_all(&options.position(position)).await;
    client.append_to_stream("c-1", &at(ExpectedRevision::Any), events(&[5])).await.unwrap();
    assert_eq!(resumed.next().await.unwrap().get_original_event().id, Uuid::from_u128(5));
}

#[tokio::test]
async fn a_stream_is_followed_from_a_revision_which_is_not_included() {
    let (cluster, client) = cluster().await;
    client.append_to_stream("a-1", &at(ExpectedRevision::Any), events(&[1, 2])).await.unwrap();
    let options = SubscribeToStreamOptions::default().start_from(StreamPosition::Position(0));
    let mut subscription = client.subscribe_to_stream("a-1", &options).await;
    assert_eq!(subscription.next().await.unwrap().get_original_event().revision, 1);
    assert_eq!(cluster.put("a-1", "happened", "{}").await, 2);
    assert_eq!(subscription.next().await.unwrap().get_original_event().revision, 2);
    assert_eq!(cluster.subscriptions().len(), 1);
}
