//! Metadata, deleted streams and scavenging, as the released client sees them.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on says where")]

mod shared;

use duban_fake_kurrentdb::{Cluster, Config};
use eventstore::operations;
use eventstore::{
    DeleteStreamOptions, Error, ExpectedRevision, ReadStreamOptions, StreamMetadataBuilder, StreamPosition,
    SubscribeToStreamOptions, TombstoneStreamOptions,
};

use crate::shared::{append, at, client, events, is_there, revisions};

async fn cluster(nodes: usize) -> Cluster {
    Cluster::start(Config { nodes, ..Config::default() }).await.unwrap()
}

#[tokio::test]
async fn a_stream_keeps_as_many_events_as_its_metadata_says() {
    let cluster = cluster(1).await;
    let client = client(&cluster.url());
    append(&client, "lease", &[1, 2]).await;
    let one = StreamMetadataBuilder::new().max_count(1).build();
    client.set_stream_metadata("lease", &at(ExpectedRevision::Any), &one).await.unwrap();
    assert_eq!(revisions(&client, "lease", &ReadStreamOptions::default()).await, [1]);
    append(&client, "lease", &[3]).await;
    let newest = ReadStreamOptions::default().backwards().position(StreamPosition::End);
    assert_eq!(revisions(&client, "lease", &newest).await, [2]);

    let read = client.get_stream_metadata("lease", &ReadStreamOptions::default()).await.unwrap();
    assert!(read.is_success());
    let none = client.get_stream_metadata("other", &ReadStreamOptions::default()).await.unwrap();
    assert!(none.is_not_found());

    let after = StreamMetadataBuilder::new().truncate_before(3).build();
    client.set_stream_metadata("lease", &at(ExpectedRevision::Any), &after).await.unwrap();
    assert_eq!(revisions(&client, "lease", &ReadStreamOptions::default()).await, [0; 0]);
    append(&client, "lease", &[4]).await;
    assert_eq!(revisions(&client, "lease", &ReadStreamOptions::default()).await, [3]);
}

#[tokio::test]
async fn a_deleted_stream_is_not_found_and_goes_on_where_it_ended() {
    let cluster = cluster(1).await;
    let client = client(&cluster.url());
    append(&client, "a-1", &[1, 2]).await;
    let wrong = DeleteStreamOptions::default().expected_revision(ExpectedRevision::Exact(7));
    assert!(client.delete_stream("a-1", &wrong).await.is_err());
    assert!(is_there(&client, "a-1").await);

    client.delete_stream("a-1", &DeleteStreamOptions::default()).await.unwrap();
    assert!(!is_there(&client, "a-1").await);
    let again = client.append_to_stream("a-1", &at(ExpectedRevision::NoStream), events(&[3])).await.unwrap();
    assert_eq!(again.next_expected_version, 2);
    assert_eq!(revisions(&client, "a-1", &ReadStreamOptions::default()).await, [2]);
}

#[tokio::test]
async fn a_buried_stream_is_refused_to_readers_writers_and_followers() {
    let cluster = cluster(1).await;
    let client = client(&cluster.url());
    append(&client, "a-1", &[1]).await;
    client.tombstone_stream("a-1", &TombstoneStreamOptions::default()).await.unwrap();
    let read = client.read_stream("a-1", &ReadStreamOptions::default()).await;
    assert!(matches!(read, Err(Error::ResourceDeleted)));
    let written = client.append_to_stream("a-1", &at(ExpectedRevision::Any), events(&[2])).await;
    assert!(matches!(written, Err(Error::ResourceDeleted)), "{written:?}");
    let mut followed = client.subscribe_to_stream("a-1", &SubscribeToStreamOptions::default()).await;
    assert!(matches!(followed.next().await, Err(Error::ResourceDeleted)));
}

#[tokio::test]
async fn a_scavenge_takes_from_one_node_what_was_deleted_but_for_the_last_event_of_a_stream() {
    let cluster = cluster(3).await;
    let client = client(&cluster.url());
    append(&client, "key-1", &[1, 2]).await;
    append(&client, "key-2", &[3, 4]).await;
    client.delete_stream("key-1", &DeleteStreamOptions::default()).await.unwrap();
    client.tombstone_stream("key-2", &TombstoneStreamOptions::default()).await.unwrap();

    let on_disk = |node: usize| {
        let keys = cluster.on_disk(node).into_iter().filter(|record| record.stream.starts_with("key-"));
        keys.map(|record| format!("{}:{}", record.stream, record.kind)).collect::<Vec<_>>()
    };
    let kept =
        ["key-1:happened", "key-1:happened", "key-2:happened", "key-2:happened", "key-2:$streamDeleted"];
    assert_eq!(on_disk(0), kept, "deleting alone takes nothing away");

    let operator = operations::Client::new(cluster.url_of(1).parse().unwrap());
    operator.start_scavenge(1, 0, &operations::OperationalOptions::default()).await.unwrap();
    cluster.wait("a scavenge", |counters| counters.scavenges == 1).await;
    assert_eq!(on_disk(0), kept, "each node is scavenged by itself");
    assert_eq!(on_disk(1), ["key-1:happened", "key-2:$streamDeleted"]);
}

#[tokio::test]
async fn what_is_not_advertised_is_refused() {
    let cluster = cluster(1).await;
    let client = client(&cluster.url());
    let batch = client.batch_append(&eventstore::BatchAppendOptions::default()).await;
    assert!(matches!(batch, Err(Error::UnsupportedFeature)));
    let info = client.server_info().await.unwrap();
    assert_eq!(info.version().to_string(), "24.10.0");
}
