//! Streams beside the log.

use super::*;
use uuid::Uuid;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_lies_beside_the_log_is_not_in_it() {
    let cluster = cluster(3, 1).await;
    let log = open(&cluster).await;
    let (beside, lease) = (log.beside(), stream("lease"));
    assert_eq!(beside.last(&lease).await.unwrap(), None);
    beside.keep_newest(&lease, 1).await.unwrap();
    let id = Uuid::from_u128;
    let append =
        async |expected, n: u128| beside.append(&lease, expected, id(n), "held.v1", br#"{"by":"a"}"#).await;
    assert_eq!(append(Expected::NoStream, 1).await.unwrap(), 0);
    assert_eq!(append(Expected::NoStream, 1).await.unwrap(), 0, "a repeat");
    match append(Expected::NoStream, 2).await {
        Err(Error::WrongExpected { actual: Some(0), .. }) => {}
        other => panic!("{other:?}"),
    }
    assert_eq!(append(Expected::Revision(0), 3).await.unwrap(), 1);
    let last = beside.last(&lease).await.unwrap().unwrap();
    assert_eq!(
        (last.revision, last.id, &*last.kind, &*last.data),
        (1, id(3), "held.v1", &br#"{"by":"a"}"#[..])
    );
    assert_eq!((log.head().size, log.head().position), (0, None));
    let refused = beside.append(&stream("office"), Expected::NoStream, id(9), "x", b"{}").await;
    assert!(matches!(refused, Err(Error::Invalid { .. })), "{refused:?}");
    let refused = beside.append(&lease, Expected::Revision(1), id(9), "x", b"{").await;
    assert!(matches!(refused, Err(Error::Invalid { .. })), "{refused:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_deleted_is_gone_for_good_and_off_the_disk_after_a_scavenge() {
    let cluster = cluster(1, 1).await;
    let log = open(&cluster).await;
    let (beside, key) = (log.beside(), stream("key-7"));
    beside.append(&key, Expected::NoStream, Uuid::from_u128(1), "made.v1", br#"{"key":"k"}"#).await.unwrap();
    let there = || {
        cluster
            .on_disk(0)
            .iter()
            .filter(|record| &*record.stream == "key-7" && record.kind == "made.v1")
            .count()
    };
    assert_eq!(there(), 1);
    beside.delete(&key).await.unwrap();
    beside.delete(&key).await.unwrap();
    assert_eq!(beside.last(&key).await.unwrap(), None);
    let refused = beside.append(&key, Expected::NoStream, Uuid::from_u128(2), "made.v1", b"{}").await;
    assert!(matches!(refused, Err(Error::Invalid { .. })), "{refused:?}");
    beside.scavenge().await.unwrap();
    cluster.wait("the scavenge", |c| c.scavenges > 0).await;
    assert_eq!(there(), 0);
}
