//! What else lies on the cluster, and what must not lie there.

use super::*;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn streams_of_others_are_not_in_the_log() {
    let cluster = cluster(1, 1).await;
    let log = open(&cluster).await;
    let office = stream("office");
    let mut positions = Vec::new();
    for n in 0..30_u64 {
        cluster.put("accounts-7", "booked", r#"{"amount":1}"#).await;
        let done = log.append(&office, Expected::after(n.checked_sub(1)), vec![event(n)]).await.unwrap();
        positions.push(done.position);
    }
    assert_eq!(log.head().size, 30);
    for direction in [Direction::Forward, Direction::Backward] {
        let mut read = all(&log, direction, &Filter::all(), 7).await.unwrap();
        if direction == Direction::Backward {
            read.reverse();
        }
        assert!(read.iter().map(|e| e.position).eq(positions.iter().copied()));
    }
    assert!(log.read_stream(&stream("accounts-7"), 0, Direction::Forward, 9).await.unwrap().is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_event_in_the_logs_streams_that_is_none_of_its_own_stops_it_loudly() {
    let cluster = cluster(1, 1).await;
    let log = open(&cluster).await;
    log.append(&stream("office"), Expected::NoStream, vec![event(1)]).await.unwrap();
    let mut subscription = log.subscribe(None, Filter::all()).await.unwrap();
    cluster.put("complaint-1", "note", r#"{"by":"hand"}"#).await;
    let error = within("the subscription to end", async {
        loop {
            match subscription.next().await {
                Ok(_) => {}
                Err(error) => return error,
            }
        }
    })
    .await;
    let Error::Damaged(damage) = &error else { panic!("{error:?}") };
    assert!(damage.reason.contains("event 0 of complaint-1"), "{damage}");
    assert_eq!(log.head().size, 1);
    let refused = log.append(&stream("office"), Expected::Revision(0), vec![event(2)]).await;
    assert!(matches!(refused, Err(Error::Damaged(_))), "{refused:?}");
    let refused = connect(&cluster.url(), options()).await.map(|log| log.head());
    assert!(matches!(refused, Err(Error::Damaged(_))), "{refused:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_log_that_is_opened_again_has_the_same_tree_and_proves_the_same() {
    let cluster = cluster(3, 1).await;
    let log = open(&cluster).await;
    duban_log::contract::fill(&log, 700).await;
    let again = open(&cluster).await;
    assert_eq!(again.head(), log.head());
    for size in [1, 255, 256, 300, 512, 700] {
        assert_eq!(again.root_at(size).await.unwrap(), log.root_at(size).await.unwrap());
        for leaf in [0, 254, 299, 511].into_iter().filter(|&leaf| leaf < size) {
            let path = again.inclusion_proof(leaf, size).await.unwrap();
            assert_eq!(path, log.inclusion_proof(leaf, size).await.unwrap());
        }
    }
}
