//! What goes wrong in a cluster, as the released client sees it.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on says where")]

mod shared;

use std::time::Duration;

use duban_fake_kurrentdb::{Cluster, Config, Fault, Flow, Lag, Tail};
use eventstore::{
    Client, Error, ExpectedRevision, ReadStreamOptions, RetryOptions, StreamPosition, SubscribeToAllOptions,
    SubscribeToStreamOptions, SubscriptionFilter,
};

use crate::shared::{append, at, client, client_of_leader, events, impatient, is_there, revisions};

async fn three(tail: Tail) -> Cluster {
    let election = Duration::from_millis(20);
    Cluster::start(Config { nodes: 3, tail, election, ..Config::default() }).await.unwrap()
}

/// A client of one node, which it wants to lead.
fn of_leader(cluster: &Cluster, node: usize) -> Client {
    client_of_leader(&cluster.url_of(node))
}

#[tokio::test]
async fn a_killed_leader_resets_its_clients_and_another_has_what_was_acknowledged() {
    let cluster = three(Tail::Random).await;
    let first = cluster.wait_for_leader().await;
    let old = of_leader(&cluster, first);
    append(&old, "a-1", &[1]).await;
    cluster.kill(first).await;
    let cut = old.append_to_stream("a-1", &at(ExpectedRevision::Exact(0)), events(&[2])).await;
    assert!(cut.is_err(), "{cut:?}");

    let second = cluster.wait_for_leader().await;
    assert_ne!(first, second);
    let new = of_leader(&cluster, second);
    let written = new.append_to_stream("a-1", &at(ExpectedRevision::Exact(0)), events(&[2])).await.unwrap();
    assert_eq!(written.next_expected_version, 1);

    cluster.revive(first);
    let back = client(&cluster.url_of(first));
    assert_eq!(revisions(&back, "a-1", &ReadStreamOptions::default()).await, [0, 1]);
    assert_eq!(cluster.counters().elections, 2);
    assert_eq!(cluster.audit(), [""; 0]);
}

#[tokio::test]
async fn a_follower_names_the_leader_to_who_wants_it_and_passes_on_for_others() {
    let cluster = three(Tail::Random).await;
    let (leader, follower) = (cluster.wait_for_leader().await, cluster.followers()[0]);
    let strict = of_leader(&cluster, follower);
    match strict.append_to_stream("a-1", &at(ExpectedRevision::Any), events(&[1])).await {
        Err(Error::NotLeaderException(named)) => {
            assert_eq!(named.port, u32::from(cluster.address(leader).port()));
        }
        other => panic!("{other:?}"),
    }
    // The client goes where it was sent.
    strict.append_to_stream("a-1", &at(ExpectedRevision::Any), events(&[1])).await.unwrap();
    append(&client(&cluster.url_of(follower)), "a-1", &[2]).await;
    assert_eq!(cluster.counters().not_leader_answers, 1);
    assert_eq!(cluster.counters().events_committed, 2);
}

#[tokio::test]
async fn a_write_that_was_taken_and_not_committed_is_lost_or_kept_with_its_leader() {
    for (tail, kept) in [(Tail::Lost, false), (Tail::Kept, true)] {
        let cluster = three(tail).await;
        let leader = cluster.wait_for_leader().await;
        let client = of_leader(&cluster, leader);
        append(&client, "a-1", &[1]).await;
        cluster.hold_commits();
        let writing = tokio::spawn({
            let client = client.clone();
            async move { client.append_to_stream("a-2", &at(ExpectedRevision::NoStream), events(&[2])).await }
        });
        cluster.wait_for_uncommitted(1).await;
        assert!(!is_there(&client, "a-2").await, "nobody sees what is not committed");
        cluster.depose_leader();
        cluster.release_commits();
        let answer = writing.await.unwrap();
        assert!(matches!(answer, Err(Error::Grpc { .. })), "{answer:?}");

        let next = cluster.wait_for_leader().await;
        let next = of_leader(&cluster, next);
        assert_eq!(is_there(&next, "a-2").await, kept);
        assert_eq!(cluster.counters().events_truncated, u64::from(!kept));
        let again =
            next.append_to_stream("a-2", &at(ExpectedRevision::NoStream), events(&[2])).await.unwrap();
        assert_eq!(again.next_expected_version, 0, "either way the repeat is right");
        assert_eq!(revisions(&next, "a-2", &ReadStreamOptions::default()).await, [0]);
    }
}

#[tokio::test]
async fn without_a_majority_nothing_is_written_until_it_is_back() {
    let cluster = three(Tail::Random).await;
    let leader = cluster.wait_for_leader().await;
    let followers = cluster.followers();
    for follower in &followers {
        cluster.kill(*follower).await;
    }
    let client = of_leader(&cluster, leader);
    let refused = client.append_to_stream("a-1", &at(ExpectedRevision::Any), events(&[1])).await;
    let Err(Error::ServerError(message)) = refused else { panic!("{refused:?}") };
    assert!(message.contains("Server Is Not Ready"), "{message}");
    cluster.revive(followers[0]);
    let leader = cluster.wait_for_leader().await;
    append(&of_leader(&cluster, leader), "a-1", &[1]).await;
}

#[tokio::test]
async fn an_answer_that_is_swallowed_leaves_open_whether_the_write_happened() {
    let cluster = three(Tail::Random).await;
    let leader = cluster.wait_for_leader().await;
    let client = of_leader(&cluster, leader);
    cluster.fault_on("a-", Fault::SwallowAfterCommit, 1);
    cluster.fault_on("b-", Fault::Swallow, 1);
    cluster.fault_on("c-", Fault::TimeOutAfterCommit, 1);
    cluster.fault_on("d-", Fault::TimeOut, 1);
    for (stream, happened) in [("a-1", true), ("b-1", false), ("c-1", true), ("d-1", false)] {
        let lost =
            client.append_to_stream(stream, &impatient(ExpectedRevision::NoStream), events(&[1])).await;
        assert!(matches!(lost, Err(Error::DeadlineExceeded | Error::Grpc { .. })), "{lost:?}");
        assert_eq!(is_there(&client, stream).await, happened, "{stream}");
        let again =
            client.append_to_stream(stream, &at(ExpectedRevision::NoStream), events(&[1])).await.unwrap();
        assert_eq!(again.next_expected_version, 0);
    }
    assert_eq!((cluster.faults_left(), cluster.counters().appends_repeated), (0, 2));
    assert_eq!(cluster.counters().events_committed, 4);
}

#[tokio::test]
async fn an_append_is_refused_as_often_as_was_asked_for() {
    let cluster = three(Tail::Random).await;
    let (leader, follower) = (cluster.wait_for_leader().await, cluster.followers()[0]);
    let any = at(ExpectedRevision::Any);
    let refused = async |fault| {
        // A client of its own each time: this one goes elsewhere once it is told that another node leads.
        let client = of_leader(&cluster, leader);
        cluster.fault(fault, 1);
        client.append_to_stream("a-1", &any, events(&[1])).await.unwrap_err()
    };
    assert!(matches!(refused(Fault::AccessDenied).await, Error::AccessDenied));
    assert!(matches!(refused(Fault::NotReady).await, Error::ServerError(_)));
    assert!(matches!(refused(Fault::TooBusy).await, Error::ServerError(_)));
    assert!(matches!(refused(Fault::Reset).await, Error::ServerError(_)));
    let Error::NotLeaderException(named) = refused(Fault::NotLeader).await else { panic!("another error") };
    assert_eq!(named.port, u32::from(cluster.address(leader).port()));
    let Error::NotLeaderException(named) = refused(Fault::NotLeaderBut(follower)).await else {
        panic!("another error")
    };
    assert_eq!(named.port, u32::from(cluster.address(follower).port()));
    assert_eq!(cluster.counters().events_committed, 0);

    assert!(matches!(refused(Fault::ResetAfterCommit).await, Error::ServerError(_)));
    assert_eq!(cluster.counters().events_committed, 1);
    assert_eq!(cluster.counters().faults, 7);
}

#[tokio::test]
async fn a_follower_that_lags_shows_the_past_and_repeats_it_to_who_comes_from_elsewhere() {
    let cluster = three(Tail::Random).await;
    let (leader, follower) = (cluster.wait_for_leader().await, cluster.followers()[0]);
    let (writer, reader) = (of_leader(&cluster, leader), client(&cluster.url_of(follower)));
    append(&writer, "a-1", &[1]).await;
    cluster.lag(follower, Lag::Held);
    append(&writer, "a-1", &[2, 3]).await;
    assert_eq!(revisions(&reader, "a-1", &ReadStreamOptions::default()).await, [0]);
    assert_eq!(revisions(&writer, "a-1", &ReadStreamOptions::default()).await, [0, 1, 2]);

    let filter = || SubscriptionFilter::on_stream_name().add_prefix("a-");
    let mut ahead = writer.subscribe_to_all(&SubscribeToAllOptions::default().filter(filter())).await;
    let mut seen = Vec::new();
    while seen.len() < 3 {
        seen.push(ahead.next().await.unwrap());
    }
    let after = StreamPosition::Position(seen[2].get_original_event().position);
    let options = SubscribeToAllOptions::default().filter(filter()).position(after);
    let mut behind = reader.subscribe_to_all(&options).await;
    behind.next_subscription_event().await.unwrap();
    cluster.lag(follower, Lag::None);
    assert_eq!(behind.next().await.unwrap().get_original_event().revision, 1, "seen on the leader already");
}

#[tokio::test]
async fn a_subscription_may_fall_silent_and_may_fail() {
    let cluster = three(Tail::Random).await;
    let leader = cluster.wait_for_leader().await;
    let client = of_leader(&cluster, leader);
    append(&client, "a-1", &[1]).await;
    let options = SubscribeToStreamOptions::default().start_from(StreamPosition::Start);
    let mut followed = client.subscribe_to_stream("a-1", &options).await;
    assert_eq!(followed.next().await.unwrap().get_original_event().revision, 0);

    assert_eq!(cluster.flow_all(Flow::Silent), 1);
    let silent = tokio::spawn(async move { followed.next().await });
    append(&client, "a-1", &[2]).await;
    let mut fresh = client.subscribe_to_stream("a-1", &options).await;
    for revision in [0, 1] {
        assert_eq!(
            fresh.next().await.unwrap().get_original_event().revision,
            revision,
            "others are not silent"
        );
    }
    assert!(!silent.is_finished());
    let open = cluster.subscriptions();
    assert_eq!((open.len(), open[0].node, open[0].source.as_str()), (2, leader, "a-1"));
    cluster.flow(open[0].number, Flow::Fails);
    assert!(matches!(silent.await.unwrap(), Err(Error::ServerError(_))));

    // With the crate's own retry a subscription that fails goes on, where it was.
    let retry = RetryOptions::default().retry_forever();
    let mut retried = client.subscribe_to_stream("a-1", &options.retry_options(retry)).await;
    assert_eq!(retried.next().await.unwrap().get_original_event().revision, 0);
    cluster.flow_all(Flow::Fails);
    assert_eq!(retried.next().await.unwrap().get_original_event().revision, 1);
}

#[tokio::test]
async fn a_node_may_refuse_connections_or_take_them_and_say_nothing() {
    let cluster = Cluster::start(Config::default()).await.unwrap();
    cluster.refuse(0).await;
    let refused = client(&cluster.url());
    assert!(refused.append_to_stream("a-1", &at(ExpectedRevision::Any), events(&[1])).await.is_err());
    assert_eq!(cluster.counters().connections, 0);
    cluster.accept(0);
    append(&client(&cluster.url()), "a-1", &[1]).await;

    cluster.freeze(0);
    let frozen = client(&cluster.url());
    let write = async { frozen.append_to_stream("a-1", &at(ExpectedRevision::Any), events(&[2])).await };
    let silent = tokio::time::timeout(Duration::from_millis(100), write).await;
    assert!(silent.is_err(), "{silent:?}");
    assert_eq!(cluster.counters().connections, 2);
    cluster.thaw(0);
    append(&frozen, "a-1", &[2]).await;
}
