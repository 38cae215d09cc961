//! The contract suite on both engines.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::sync::Arc;

use duban_log::disk::Disk;
use duban_log::disk::sim::SimDisk;
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
