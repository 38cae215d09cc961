//! The contract suite on all engines. With `DUBAN_TEST_EVENTSTORE=esdb://…` also on a real cluster, which may hold anything: the suite
//! keeps to streams of its own there.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::sync::Arc;
use std::time::Duration;

use duban_fake_kurrentdb::{Cluster, Config};
use duban_log::disk::Disk;
use duban_log::disk::sim::SimDisk;
use duban_log::kurrentdb::{self, KurrentLog, Plain};
use duban_log::{MemoryLog, Options, SegmentedLog, contract};

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
