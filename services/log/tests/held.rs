//! Who holds a log: one writer, whatever names are taken away under it; readers beside it see what is synced and nothing else.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::sync::Arc;
use std::sync::mpsc;
use std::time::Duration;

use duban_log::contract::{event, fill, stream};
use duban_log::disk::Disk;
use duban_log::disk::sim::SimDisk;
use duban_log::{Error, EventLog, Expected, Options, Reader, SegmentedLog, verify_on};

/// Options whose log says when it would have ended the process.
fn told() -> (Options, mpsc::Receiver<String>) {
    let (sender, ended) = mpsc::channel();
    let fatal = Arc::new(move |error: &Error| {
        // Nobody may listen any more.
        let _gone = sender.send(error.to_string());
    });
    (Options { fatal, ..Options::default() }, ended)
}

#[tokio::test]
async fn taking_away_the_lock_file_lets_no_second_writer_in() {
    let dir = tempfile::tempdir().unwrap();
    let log = SegmentedLog::open(dir.path(), Options::default()).unwrap();
    fill(&log, 10).await;
    std::fs::remove_file(dir.path().join("lock")).unwrap();
    assert!(matches!(SegmentedLog::open(dir.path(), Options::default()), Err(Error::Locked { .. })));
    log.append(&stream("office"), Expected::NoStream, vec![event(1)]).await.unwrap();
    assert_eq!(
        Reader::open(dir.path()).unwrap().head().size,
        10,
        "nobody says what is synced: one group less"
    );
}

#[tokio::test]
async fn taking_away_the_directory_ends_the_writer_before_it_acknowledges_anything_more() {
    type Deed = fn(&std::path::Path);
    let deeds: [(&str, Deed); 4] = [
        ("removed", |log| std::fs::remove_dir_all(log).unwrap()),
        ("renamed", |log| std::fs::rename(log, log.with_extension("old")).unwrap()),
        ("replaced", |log| {
            std::fs::rename(log, log.with_extension("old")).unwrap();
            std::fs::create_dir(log).unwrap();
        }),
        ("without its segment", |log| std::fs::remove_file(log.join("00000000.seg")).unwrap()),
    ];
    for (what, deed) in deeds {
        let data = tempfile::tempdir().unwrap();
        let dir = data.path().join("log");
        let (options, ended) = told();
        let log = SegmentedLog::open(&dir, options).unwrap();
        fill(&log, 10).await;
        deed(&dir);
        // Whoever comes next gets a log of its own, or none; the first acknowledges nothing beside it.
        let second = SegmentedLog::open(&dir, Options::default());
        assert_eq!(second.is_ok(), what != "without its segment", "{what}");
        let answer = log.append(&stream("office"), Expected::NoStream, vec![event(1)]).await;
        assert!(matches!(answer, Err(Error::Closed)), "{what}: {answer:?}");
        let reason = ended.recv_timeout(Duration::from_secs(20)).unwrap();
        assert!(reason.contains("find"), "{what}: {reason}");
    }
}

#[test]
fn a_writer_with_nothing_to_do_notices_that_its_directory_is_gone() {
    let data = tempfile::tempdir().unwrap();
    let dir = data.path().join("log");
    let (options, ended) = told();
    let _log = SegmentedLog::open(&dir, options).unwrap();
    std::fs::rename(&dir, data.path().join("elsewhere")).unwrap();
    let reason = ended.recv_timeout(Duration::from_secs(20)).unwrap();
    assert!(reason.contains("the log's directory"), "{reason}");
}

#[tokio::test]
async fn a_reader_sees_what_the_holder_says_is_synced_or_what_another_group_follows_or_all_of_a_log_that_nobody_holds()
 {
    let disk = SimDisk::new();
    let shared: Arc<dyn Disk> = Arc::new(disk.clone());
    let seen = || Reader::open_on(Arc::clone(&shared)).unwrap().head();
    let options = Options { segment_bytes_min: 16 << 10, segment_bytes_max: 16 << 10, ..Options::default() };
    let log = SegmentedLog::open_on(&shared, options.clone()).unwrap();
    fill(&log, 100).await;
    assert_eq!(seen(), log.head());
    disk.mute();
    let before = log.head();
    log.append(&stream("office"), Expected::NoStream, vec![event(1)]).await.unwrap();
    assert_eq!(seen(), before);
    let report = verify_on(&shared, 2, &|_, _| ()).unwrap();
    assert!(
        report.ok && report.head == before && report.end.unwrap().reason.contains("not known to be synced")
    );
    let before = log.head();
    log.append(&stream("office"), Expected::Revision(0), vec![event(2)]).await.unwrap();
    assert_eq!(seen(), before);
    log.close().await.unwrap();
    assert_eq!(seen(), log.head());
    // A segment with nothing in it follows on the last group of the one before.
    let log = SegmentedLog::open_on(&shared, options).unwrap();
    let mut revision = 1;
    loop {
        let before = log.head();
        log.append(&stream("office"), Expected::Revision(revision), vec![event(2)]).await.unwrap();
        revision += 1;
        assert_eq!(seen(), before, "at revision {revision}");
        if revision > 60 {
            break;
        }
    }
}
