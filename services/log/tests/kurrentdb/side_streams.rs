//! Streams beside the log.

use super::*;
use uuid::Uuid;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_lies_beside_the_log_is_not_in_it() {
    let cluster = cluster(3, 1).await;
    let log = open(&cluster).await;
    let (side, lease) = (log.side_streams(), stream("lease"));
    assert_eq!(side.last(&lease).await.unwrap(), None);
    side.keep_newest(&lease, 1).await.unwrap();
    let id = Uuid::from_u128;
    let append =
        async |expected, n: u128| side.append(&lease, expected, id(n), "held.v1", br#"{"by":"a"}"#).await;
    assert_eq!(append(Expected::NoStream, 1).await.unwrap(), 0);
    assert_eq!(append(Expected::NoStream, 1).await.unwrap(), 0, "a repeat");
    match append(Expected::NoStream, 2).await {
        Err(Error::WrongExpected { actual: Some(0), .. }) => {}
        other => panic!("{other:?}"),
    }
    assert_eq!(append(Expected::Revision(0), 3).await.unwrap(), 1);
    let last = side.last(&lease).await.unwrap().unwrap();
    assert_eq!(
        (last.revision, last.id, &*last.kind, &*last.data),
        (1, id(3), "held.v1", &br#"{"by":"a"}"#[..])
    );
    assert_eq!((log.head().size, log.head().position), (0, None));
    let refused = side.append(&stream("office"), Expected::NoStream, id(9), "x", b"{}").await;
    assert!(matches!(refused, Err(Error::Invalid { .. })), "{refused:?}");
    let refused = side.append(&lease, Expected::Revision(1), id(9), "x", b"{").await;
    assert!(matches!(refused, Err(Error::Invalid { .. })), "{refused:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_deleted_is_gone_for_good_and_off_the_disk_after_a_scavenge() {
    let cluster = cluster(1, 1).await;
    let log = open(&cluster).await;
    let (side, key) = (log.side_streams(), stream("key-7"));
    side.append(&key, Expected::NoStream, Uuid::from_u128(1), "made.v1", br#"{"key":"k"}"#).await.unwrap();
    let there = || {
        cluster
            .on_disk(0)
            .iter()
            .filter(|record| &*record.stream == "key-7" && record.kind == "made.v1")
            .count()
    };
    assert_eq!(there(), 1);
    side.delete(&key).await.unwrap();
    side.delete(&key).await.unwrap();
    assert_eq!(side.last(&key).await.unwrap(), None);
    let refused = side.append(&key, Expected::NoStream, Uuid::from_u128(2), "made.v1", b"{}").await;
    assert!(matches!(refused, Err(Error::Invalid { .. })), "{refused:?}");
    side.scavenge().await.unwrap();
    cluster.wait("the scavenge", |c| c.scavenges > 0).await;
    assert_eq!(there(), 0);
}
