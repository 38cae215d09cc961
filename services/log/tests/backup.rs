//! Copies of a log on simulated disks: beside a writer, cut short by power losses, damaged, and put back.
//!
//! `DUBAN_LOG_SEEDS=5000 cargo test -p duban-log --release --test backup` runs the long form.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::sync::Arc;

use duban_log::backup::{BackupError, Copied, Copy, RestoreError, backup_on, restore_on};
use duban_log::contract::{event, stream};
use duban_log::disk::Disk;
use duban_log::disk::sim::{Dice, SimDisk};
use duban_log::{
    Direction, Error, EventLog, Expected, Filter, Head, Options, Reader, Recorded, SegmentedLog, verify_on,
};

fn seeds(default: u64) -> std::ops::Range<u64> {
    let count = std::env::var("DUBAN_LOG_SEEDS").ok().and_then(|n| n.parse().ok()).unwrap_or(default);
    0..count
}

fn disk(disk: &SimDisk) -> Arc<dyn Disk> {
    Arc::new(disk.clone())
}

fn open(source: &SimDisk) -> SegmentedLog {
    let options = Options {
        segment_bytes_min: 16 << 10,
        segment_bytes_max: 32 << 10,
        group_bytes_max: 8 << 10,
        ..Options::default()
    };
    SegmentedLog::open_on(&disk(source), options).unwrap()
}

/// Appends `count` events to a stream of their own, one after the other.
async fn append(log: &SegmentedLog, name: &str, count: u64) {
    for n in 0..count {
        let expected = Expected::after(n.checked_sub(1));
        log.append(&stream(name), expected, vec![event(n)]).await.unwrap();
    }
}

fn backup(source: &SimDisk, to: &SimDisk, before: Option<&Copy>) -> Result<Copied, BackupError> {
    backup_on(&disk(source), &disk(to), before, &|_, _| ())
}

fn events(of: &SimDisk, size: u64) -> Vec<Recorded> {
    let reader = Reader::open_on(disk(of)).unwrap();
    let mut events = Vec::new();
    let mut at = None;
    loop {
        let page = reader.read_all(at, Direction::Forward, &Filter::all(), 1_000).unwrap();
        at = page.next.or(at);
        events.extend(page.events.into_iter().filter(|event| event.position.get() < size));
        if page.end {
            return events;
        }
    }
}

/// Puts a copy back and answers what the directory then holds.
#[track_caller]
fn restored(from: &SimDisk, copy: &Copy, context: &str) -> Vec<Recorded> {
    let to = SimDisk::new();
    if let Err(error) = restore_on(&disk(from), copy, &disk(&to), 2, &|_, _| ()) {
        panic!("{context}: {error:?}");
    }
    assert_eq!(head_of(&to), copy.head, "{context}");
    events(&to, u64::MAX)
}

fn head_of(of: &SimDisk) -> Head {
    Reader::open_on(disk(of)).unwrap().head()
}

#[tokio::test]
async fn a_later_copy_adds_what_is_new_and_leaves_sealed_segments_alone() {
    let (source, to) = (SimDisk::new(), SimDisk::new());
    let log = open(&source);
    append(&log, "complaint-1", 400).await;
    let first = backup(&source, &to, None).unwrap();
    assert_eq!(first.copy.head, log.head());
    assert!(first.copy.pieces.len() > 3 && first.kept_segments == 0, "{first:?}");
    append(&log, "complaint-2", 30).await;
    let second = backup(&source, &to, Some(&first.copy)).unwrap();
    assert_eq!(second.copy.head, log.head());
    assert_eq!(second.kept_segments + 1, first.copy.pieces.len() as u64, "all that were sealed");
    let grown = |copy: &Copy| copy.pieces.iter().map(|piece| piece.bytes).sum::<u64>();
    assert_eq!(second.written_bytes, grown(&second.copy) - grown(&first.copy));
    assert_eq!(restored(&to, &second.copy, "second").len(), 430);
    // The first copy is in the second: the log only grows.
    assert_eq!(restored(&to, &first.copy, "first").len(), 400);
    let again = backup(&source, &to, Some(&second.copy)).unwrap();
    assert_eq!((again.written_bytes, again.copy), (0, second.copy));
    let report = verify_on(&disk(&to), 2, &|_, _| ()).unwrap();
    assert!(report.ok && report.head == log.head(), "{report:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_copy_beside_a_writer_holds_everything_acknowledged_before_it_began() {
    let (source, to) = (SimDisk::new(), SimDisk::new());
    let log = Arc::new(open(&source));
    let writer = {
        let log = Arc::clone(&log);
        tokio::spawn(async move {
            for n in 0..40 {
                append(&log, &format!("complaint-{n}"), 50).await;
            }
        })
    };
    let (mut before, mut taken) = (None, 0);
    loop {
        let ended = writer.is_finished();
        let acknowledged = log.head().size;
        let (here, there, known) = (source.clone(), to.clone(), before.clone());
        let copied = tokio::task::spawn_blocking(move || backup(&here, &there, known.as_ref()));
        let copy = copied.await.unwrap().unwrap().copy;
        assert!(copy.head.size >= acknowledged, "{} of {acknowledged}", copy.head.size);
        let context = format!("copy {taken} of {} events", copy.head.size);
        let here = events(&source, copy.head.size);
        assert!(restored(&to, &copy, &context) == here, "{context}: byte for byte");
        before = Some(copy);
        taken += 1;
        if ended {
            break;
        }
    }
    writer.await.unwrap();
    assert!(taken > 2, "{taken} copies beside the writer");
    assert_eq!(before.unwrap().head.size, 2_000);
}

#[tokio::test]
async fn a_copy_that_a_power_loss_cuts_short_leaves_the_one_before_it_whole_and_is_taken_again() {
    let (mut cut, mut finished) = (0, 0);
    for seed in seeds(12) {
        let mut dice = Dice::new(seed);
        let (source, mut to) = (SimDisk::new(), SimDisk::new());
        let log = open(&source);
        append(&log, "complaint-1", 20 + dice.below(200)).await;
        let mut whole = backup(&source, &to, None).unwrap().copy;
        for round in 2..5 {
            let context = format!("seed {seed}, round {round}");
            append(&log, &format!("complaint-{round}"), 1 + dice.below(150)).await;
            to.cut_power_after(dice.below(20));
            match backup(&source, &to, Some(&whole)) {
                Ok(copied) => {
                    // Whoever calls it whole has synced it: the rest of the power loss takes nothing of it.
                    whole = copied.copy;
                    finished += 1;
                }
                Err(BackupError::Log(Error::Io { .. })) => cut += 1,
                Err(other) => panic!("{context}: {other:?}"),
            }
            to = to.after_power_loss(&mut dice);
            let here = events(&source, whole.head.size);
            assert!(restored(&to, &whole, &context) == here, "{context}");
            if dice.below(2) == 0 {
                whole = backup(&source, &to, Some(&whole)).unwrap().copy;
                assert_eq!(whole.head, log.head(), "{context}");
                let report = verify_on(&disk(&to), 2, &|_, _| ()).unwrap();
                assert!(report.ok && report.head == log.head(), "{context}: {report:?}");
            }
        }
    }
    assert!(cut > 0 && finished > 0, "{cut} cut, {finished} finished");
}

#[tokio::test]
async fn damage_in_a_copy_is_named_and_the_next_copy_heals_it() {
    let (source, to) = (SimDisk::new(), SimDisk::new());
    let log = open(&source);
    append(&log, "complaint-1", 300).await;
    let copy = backup(&source, &to, None).unwrap().copy;
    let here = events(&source, u64::MAX);
    let mut dice = Dice::new(9);
    for attempt in 0..25 {
        let piece = &copy.pieces[usize::try_from(dice.below(copy.pieces.len() as u64)).unwrap()];
        let at = dice.below(piece.bytes);
        to.flip(&piece.file, at, 1 << dice.below(8)).unwrap();
        let context = format!("attempt {attempt}: byte {at} of {}", piece.file);
        match restore_on(&disk(&to), &copy, &disk(&SimDisk::new()), 2, &|_, _| ()) {
            Err(RestoreError::Damaged { file, damage, .. }) => {
                assert_eq!(file, piece.file, "{context}");
                // A reader of the log tells the place; the checksum tells also where a reader would not look.
                if let Some(damage) = damage {
                    assert_eq!(damage.segment, piece.file, "{context}");
                    assert!(damage.offset <= at, "{context}: {damage:?}");
                }
            }
            other => panic!("{context}: {other:?}"),
        }
        let healed = backup(&source, &to, Some(&copy)).unwrap();
        assert!(healed.written_bytes > 0 && healed.copy == copy, "{context}: {healed:?}");
        assert!(restored(&to, &copy, &context) == here, "{context}");
    }
    let last = copy.pieces.last().unwrap();
    for lost in ["missing", "short"] {
        let broken = SimDisk::new();
        backup(&source, &broken, None).unwrap();
        let to_break: &dyn Disk = &broken;
        if lost == "missing" {
            to_break.remove(&last.file).unwrap();
        } else {
            let file = to_break.open(&last.file, duban_log::disk::Access::Write).unwrap();
            file.truncate(last.bytes - 1).unwrap();
        }
        let refused = restore_on(&disk(&broken), &copy, &disk(&SimDisk::new()), 2, &|_, _| ()).unwrap_err();
        assert!(
            matches!(&refused, RestoreError::Damaged { file, .. } if *file == last.file),
            "{lost}: {refused:?}"
        );
    }
}

#[tokio::test]
async fn a_damaged_log_is_not_copied_and_a_copy_of_another_log_or_of_its_future_is_left_alone() {
    let (source, to) = (SimDisk::new(), SimDisk::new());
    {
        let log = open(&source);
        append(&log, "complaint-1", 300).await;
        log.close().await.unwrap();
    }
    let copy = backup(&source, &to, None).unwrap().copy;
    let (other, shorter) = (SimDisk::new(), SimDisk::new());
    append(&open(&other), "fault-1", 400).await;
    append(&open(&shorter), "complaint-1", 100).await;
    assert!(matches!(backup(&other, &to, Some(&copy)), Err(BackupError::Another { .. })));
    let ahead = backup(&shorter, &to, Some(&copy)).unwrap_err();
    assert!(matches!(ahead, BackupError::Ahead { there: 300, here: 100, .. }), "{ahead:?}");
    assert_eq!(restored(&to, &copy, "left alone").len(), 300);
    let held = disk(&to).lock().unwrap();
    assert!(matches!(backup(&source, &to, Some(&copy)), Err(BackupError::Log(Error::Locked { .. }))));
    drop(held);
    source.flip(&copy.pieces[1].file, 5_000, 4).unwrap();
    let refused = backup(&source, &SimDisk::new(), None).unwrap_err();
    let BackupError::Log(Error::Damaged(damage)) = refused else { panic!("{refused:?}") };
    assert_eq!(damage.segment, copy.pieces[1].file);
    // What was copied while it was sound is there still, and needs nothing of the damaged segment.
    let kept = backup(&source, &to, Some(&copy)).unwrap();
    assert_eq!(kept.copy, copy);
}
