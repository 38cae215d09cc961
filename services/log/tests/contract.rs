//! The contract suite on all engines. With `DUBAN_TEST_EVENTSTORE=esdb://…` also on a real cluster, which may hold anything: the suite
//! keeps to streams of its own there.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use duban_fake_kurrentdb::{Cluster, Config};
use duban_log::disk::Disk;
use duban_log::disk::sim::SimDisk;
use duban_log::kurrentdb::{self, KurrentLog, Plain};
use duban_log::{
    Direction, Error, EventLog, Expected, MemoryLog, NewEvent, Options, READ_BYTES_MAX, SegmentedLog,
    contract, ends_stream,
};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_memory_engine_keeps_the_contract() {
    contract::run(async || MemoryLog::new()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_segmented_engine_keeps_the_contract() {
    let dirs = tempfile::tempdir().unwrap();
    let count = std::cell::Cell::new(0);
    contract::run(async || {
        count.set(count.get() + 1);
        SegmentedLog::open(&dirs.path().join(count.get().to_string()), Options::default()).unwrap()
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_segmented_engine_keeps_the_contract_over_many_small_segments() {
    contract::run(async || {
        let disk: Arc<dyn Disk> = Arc::new(SimDisk::new());
        let options =
            Options { segment_bytes_min: 16 << 10, segment_bytes_max: 64 << 10, ..Options::default() };
        SegmentedLog::open_on(&disk, options).unwrap()
    })
    .await;
}

/// Of a stream that holds more than one answer may, each answer is a part, and the parts are all of it.
async fn long_streams_come_in_parts(log: &dyn EventLog) {
    let (office, count) = (contract::stream("office"), 36_u64);
    let large =
        |n: u64| NewEvent { payload: Bytes::from(vec![n.to_le_bytes()[0]; 700_000]), ..contract::event(n) };
    for n in 0..count {
        log.append(&office, Expected::after(n.checked_sub(1)), vec![large(n)]).await.unwrap();
    }
    for direction in [Direction::Forward, Direction::Backward] {
        let (mut seen, mut answers) = (0, 0);
        loop {
            let from = if direction == Direction::Forward { seen } else { count - 1 - seen };
            let answer = log.read_stream(&office, from, direction, 100).await.unwrap();
            let bytes: usize = answer.iter().map(|event| event.payload.len()).sum();
            assert!(bytes < READ_BYTES_MAX + 1_000_000, "{bytes}");
            for event in &answer {
                let n = if direction == Direction::Forward { seen } else { count - 1 - seen };
                assert!(contract::is(event, &large(n)));
                seen += 1;
            }
            answers += 1;
            if ends_stream(&answer, 100) {
                break;
            }
        }
        assert!(seen == count && answers > 1, "{seen} events in {answers} answers");
    }
}

#[tokio::test]
async fn no_answer_holds_more_than_a_read_may_and_a_small_queue_lets_everything_through() {
    long_streams_come_in_parts(&MemoryLog::new()).await;
    let disk: Arc<dyn Disk> = Arc::new(SimDisk::new());
    let log = SegmentedLog::open_on(&disk, Options { queue_bytes_max: 1000, ..Options::default() }).unwrap();
    long_streams_come_in_parts(&log).await;
    let log = Arc::new(log);
    let appends = (0..200_u64).map(|n| {
        let log = Arc::clone(&log);
        let name = contract::stream(&format!("complaint-{n}"));
        tokio::spawn(async move { log.append(&name, Expected::NoStream, vec![contract::event(n)]).await })
    });
    for append in appends.collect::<Vec<_>>() {
        append.await.unwrap().unwrap();
    }
    log.close().await.unwrap();
    let after = log.append(&contract::stream("fault-1"), Expected::NoStream, vec![contract::event(1)]).await;
    assert!(matches!(after, Err(Error::Closed)));
}

/// Each part gets a log of its own, in a namespace of its own, beside those of the parts before.
async fn check_kurrentdb(uri: &str, run: &str) {
    let count = std::cell::Cell::new(0);
    contract::run(async || {
        count.set(count.get() + 1);
        let prefixes = ["complaint-", "fault-", "install-", "office", "other"];
        let namespace = format!("contract{run}.{}.", count.get()).into();
        let options = kurrentdb::Options { namespace, ..kurrentdb::Options::new(prefixes) };
        KurrentLog::connect(uri, options, Arc::new(Plain)).await.unwrap()
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_kurrentdb_engine_keeps_the_contract_on_one_node() {
    let cluster = Cluster::start(Config::default()).await.unwrap();
    check_kurrentdb(&cluster.url(), "").await;
    assert_eq!(cluster.audit(), Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_kurrentdb_engine_keeps_the_contract_on_three_older_nodes() {
    let config = Config {
        nodes: 3,
        replication: Duration::ZERO..Duration::from_millis(2),
        says_caught_up: false,
        repeats_have_positions: false,
        stream_reads_have_positions: false,
        ..Config::default()
    };
    let cluster = Cluster::start(config).await.unwrap();
    check_kurrentdb(&cluster.url(), "").await;
    assert_eq!(cluster.audit(), Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_kurrentdb_engine_keeps_the_contract_on_a_real_cluster_if_one_is_given() {
    let Ok(uri) = std::env::var("DUBAN_TEST_EVENTSTORE") else {
        println!("DUBAN_TEST_EVENTSTORE is not set: only fake nodes were tried");
        return;
    };
    let run = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_nanos();
    check_kurrentdb(&uri, &run.to_string()).await;
}
