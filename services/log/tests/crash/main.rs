//! Power losses, full disks, failing disks and flipped bytes on a simulated disk, from seeds.
//!
//! `DUBAN_LOG_SEEDS=5000 cargo test -p duban-log --release --test crash` runs the long form.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod broken;
mod clients;
mod kept;
mod planted;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use clients::{Clients, check, load, runtime, small};
use duban_log::contract::{all, event, is, stream};
use duban_log::disk::sim::{Dice, SimDisk};
use duban_log::disk::{Access, Disk};
use duban_log::{
    Damage, Direction, Error, EventLog, Expected, Filter, NewEvent, Options, Reader, SegmentedLog, verify_on,
};

fn seeds(default: u64) -> std::ops::Range<u64> {
    let count = std::env::var("DUBAN_LOG_SEEDS").ok().and_then(|n| n.parse().ok()).unwrap_or(default);
    0..count
}

fn open(disk: &SimDisk, fatal: &Arc<AtomicU64>) -> Result<SegmentedLog, Error> {
    let disk: Arc<dyn Disk> = Arc::new(disk.clone());
    SegmentedLog::open_on(&disk, small(fatal))
}

fn verified(disk: &SimDisk, context: &str) -> duban_log::Report {
    let disk: Arc<dyn Disk> = Arc::new(disk.clone());
    let report = verify_on(&disk, 2, &|_, _| ()).unwrap();
    assert!(report.ok, "{context}: {report:?}");
    report
}

#[test]
fn a_disk_that_keeps_its_promises_loses_nothing_acknowledged_and_shows_nothing_refused() {
    let mut tally = kept::Tally::default();
    for seed in seeds(16) {
        if let Err(wrong) = kept::scenario(seed, &mut tally, &|options| options) {
            panic!("{wrong}");
        }
    }
    println!("{} crashes: {tally:?}", tally.crashes());
    assert!(tally.kills > 0 && tally.forgotten_syncs > 0 && tally.while_opening > 0 && tally.under_way > 0);
}

#[test]
fn what_a_disk_harms_against_its_promises_is_refused_and_named_and_neither_cut_nor_served() {
    let mut tally = broken::Tally::default();
    for seed in seeds(60) {
        if let Err(wrong) = broken::scenario(seed, &mut tally, &|options| options) {
            panic!("{wrong}");
        }
    }
    println!("{} broken promises: {tally:?}", tally.faults());
    assert!(tally.refused > 0 && tally.named_by_reading > 0 && tally.harmless > 0);
}

#[test]
fn a_full_disk_refuses_writes_goes_on_reading_and_recovers() {
    for seed in seeds(10) {
        let mut dice = Dice::new(seed ^ 0xF0_11);
        let disk = SimDisk::new();
        let fatal = Arc::new(AtomicU64::new(0));
        let log = open(&disk, &fatal).unwrap();
        disk.set_capacity(disk.used() + dice.below(100 << 10));
        let (office, mut written, mut refused) = (stream("office"), 0_u64, 0);
        runtime().block_on(async {
            for n in 0..1000 {
                match log.append(&office, Expected::after(written.checked_sub(1)), vec![event(n)]).await {
                    Ok(_) => written += 1,
                    Err(Error::Full) => {
                        refused += 1;
                        let read = log.read_stream(&office, 0, Direction::Forward, usize::MAX).await.unwrap();
                        assert_eq!(read.len() as u64, written);
                        // A wrong expectation is told all the same.
                        let wrong = log.append(&office, Expected::Revision(written), vec![event(n)]).await;
                        assert!(matches!(wrong, Err(Error::WrongExpected { .. })), "{wrong:?}");
                        if refused == 3 {
                            disk.set_capacity(u64::MAX);
                        }
                    }
                    Err(other) => panic!("{other:?}"),
                }
            }
            assert_eq!(refused, 3, "seed {seed}");
            assert_eq!(log.head().size, written);
            log.close().await.unwrap();
        });
        drop(log);
        assert_eq!(fatal.load(Ordering::SeqCst), 0);
        assert_eq!(verified(&disk, "full").events, 997);
        assert_eq!(open(&disk, &fatal).unwrap().head().size, 997);
    }
}

#[test]
fn a_full_disk_does_not_hinder_opening() {
    let (disk, fatal) = (SimDisk::new(), Arc::new(AtomicU64::new(0)));
    disk.set_capacity(1000);
    assert!(matches!(open(&disk, &fatal), Err(Error::Full)));
    disk.set_capacity(u64::MAX);
    let log = open(&disk, &fatal).unwrap();
    runtime().block_on(duban_log::contract::fill(&log, 200));
    drop(log);
    disk.set_capacity(0);
    let log = open(&disk, &fatal).unwrap();
    assert_eq!(log.head().size, 200);
}

#[test]
fn a_failing_disk_is_fatal_and_acknowledges_nothing_afterwards() {
    let mut fatals = 0;
    for seed in seeds(40) {
        let mut dice = Dice::new(seed ^ 0xE10);
        let (disk, fatal) = (SimDisk::new(), Arc::new(AtomicU64::new(0)));
        let log = Arc::new(open(&disk, &fatal).unwrap());
        disk.fail_after(dice.below(100));
        let mut clients = runtime().block_on(async {
            let clients = load(Arc::clone(&log), disk.clone(), Clients::new(), &mut dice, 60).await.unwrap();
            if fatal.load(Ordering::SeqCst) > 0 {
                let after = log.append(&stream("office"), Expected::NoStream, vec![event(1)]).await;
                assert!(matches!(after, Err(Error::Closed)), "{after:?}");
            }
            clients
        });
        drop(log);
        fatals += fatal.load(Ordering::SeqCst);
        assert!(fatal.load(Ordering::SeqCst) <= 1);
        // The process is gone; the machine may be, too.
        let disk = disk.after_power_loss(&mut dice);
        let log = open(&disk, &fatal).unwrap();
        if let Err(wrong) = runtime().block_on(check(&log, &mut clients)) {
            panic!("seed {seed}: {wrong}");
        }
    }
    println!("{fatals} fatal failures");
    assert!(fatals > 0);
}

/// A log of several segments, closed.
fn old_log() -> (SimDisk, u64) {
    let (disk, fatal) = (SimDisk::new(), Arc::new(AtomicU64::new(0)));
    let log = open(&disk, &fatal).unwrap();
    runtime().block_on(duban_log::contract::fill(&log, 400));
    let size = log.head().size;
    drop(log);
    (disk, size)
}

/// Reads everything by every way there is; answers the damage that was named, if any was.
fn read_everything(disk: &SimDisk) -> Option<Damage> {
    let fatal = Arc::new(AtomicU64::new(0));
    let damage = |error| match error {
        Error::Damaged(damage) => damage,
        other => panic!("{other:?}"),
    };
    let log = match open(disk, &fatal) {
        Ok(log) => log,
        Err(error) => return Some(damage(error)),
    };
    runtime().block_on(all(&log, Direction::Forward, &Filter::all(), 100)).map_err(damage).err()
}

#[test]
fn every_flipped_byte_in_old_data_is_refused_and_its_place_named() {
    let (disk, size) = old_log();
    let names: Vec<_> = disk.list().unwrap().into_iter().filter(|n| n.ends_with(".seg")).collect();
    assert!(names.len() > 4, "{names:?}");
    let (mut flips, mut by_reading) = (0, 0);
    let mut dice = Dice::new(7);
    for _ in seeds(100) {
        let disk = disk.after_power_loss(&mut Dice::new(0));
        // The last started segment has a test of its own; the one behind it is not started.
        let name = &names[usize::try_from(dice.below(names.len() as u64 - 2)).unwrap()];
        let file = disk.open(name, Access::Read).unwrap();
        let offset = dice.below(file.len().unwrap());
        disk.flip(name, offset, 1 << dice.below(8)).unwrap();
        flips += 1;
        let report = verify_on(&(Arc::new(disk.clone()) as Arc<dyn Disk>), 2, &|_, _| ()).unwrap();
        let damage = report.damage.clone().unwrap_or_else(|| panic!("{name} {offset}: {report:?}"));
        assert!(!report.ok && report.events <= size);
        assert_eq!(damage.segment, *name);
        assert!(damage.offset <= offset, "{damage:?} {offset}");
        // A flip in a commit or in the zeros behind it harms no event, so reading may not notice; verify does.
        if let Some(found) = read_everything(&disk) {
            assert_eq!(found.segment, *name);
            by_reading += 1;
        }
    }
    println!("{flips} flipped bytes: {flips} refused by verify, {by_reading} by open and reading");
}

#[test]
fn a_bad_record_with_a_later_group_refuses_to_open() {
    let (disk, fatal) = (SimDisk::new(), Arc::new(AtomicU64::new(0)));
    let log = open(&disk, &fatal).unwrap();
    runtime().block_on(duban_log::contract::fill(&log, 12));
    drop(log);
    let len = {
        let disk: Arc<dyn Disk> = Arc::new(disk.clone());
        verify_on(&disk, 1, &|_, _| ()).unwrap().bytes
    };
    let (mut refused, mut kept) = (0, 0);
    // Every byte in the long form.
    let step = usize::from(std::env::var_os("DUBAN_LOG_SEEDS").is_none()) * 2 + 1;
    for offset in (4096..len).step_by(step) {
        let disk = disk.after_power_loss(&mut Dice::new(0));
        disk.flip("00000000.seg", offset, 0x10).unwrap();
        match open(&disk, &fatal) {
            Err(Error::Damaged(damage)) => {
                assert_eq!(damage.segment, "00000000.seg");
                assert!(damage.offset <= offset && damage.position.get() < 13, "{damage:?}");
                refused += 1;
            }
            // A length in the very last group may look like one of which a part is missing.
            Ok(log) => {
                assert!(log.head().size >= 9, "{offset}: {:?}", log.head());
                kept += 1;
            }
            Err(other) => panic!("{other:?}"),
        }
    }
    println!("{refused} flipped bytes in the last segment refused, {kept} taken for a torn tail");
    assert!(kept <= 64);
}

#[test]
fn a_damaged_index_file_is_made_again() {
    let (disk, size) = old_log();
    let mut dice = Dice::new(3);
    let names: Vec<_> = disk.list().unwrap().into_iter().filter(|n| n.ends_with(".idx")).collect();
    assert!(!names.is_empty());
    for name in names {
        let len = disk.open(&name, Access::Read).unwrap().len().unwrap();
        disk.flip(&name, dice.below(len), 4).unwrap();
        let fatal = Arc::new(AtomicU64::new(0));
        let log = open(&disk, &fatal).unwrap();
        let events = runtime().block_on(all(&log, Direction::Forward, &Filter::all(), 100)).unwrap();
        assert_eq!(events.len() as u64, size);
    }
}

#[test]
fn a_missing_segment_is_named() {
    let (disk, _) = old_log();
    disk.remove("00000001.seg").unwrap();
    let Err(Error::Damaged(damage)) = open(&disk, &Arc::new(AtomicU64::new(0))) else { panic!() };
    assert_eq!(damage.segment, "00000001.seg");
}

#[test]
fn a_second_writer_is_told_who_holds_the_log() {
    let dir = tempfile::tempdir().unwrap();
    let log = SegmentedLog::open(dir.path(), Options::default()).unwrap();
    let Err(error) = SegmentedLog::open(dir.path(), Options::default()) else { panic!() };
    let text = error.to_string();
    assert!(text.contains(&format!("process {}", std::process::id())) && text.contains("--server"), "{text}");
    drop(log);
    SegmentedLog::open(dir.path(), Options::default()).unwrap();
}

#[test]
fn readers_follow_a_live_writer_without_its_lock() {
    let dir = tempfile::tempdir().unwrap();
    let options = Options { segment_bytes_min: 64 << 10, segment_bytes_max: 256 << 10, ..Options::default() };
    let log = SegmentedLog::open(dir.path(), options).unwrap();
    let done = std::sync::atomic::AtomicBool::new(false);
    std::thread::scope(|scope| {
        let writer = scope.spawn(|| {
            runtime().block_on(duban_log::contract::fill(&log, 3000));
            done.store(true, Ordering::SeqCst);
        });
        let (mut looks, mut size) = (0, 0);
        while !done.load(Ordering::SeqCst) || looks == 0 {
            let reader = Reader::open(dir.path()).unwrap();
            assert!(reader.head().size >= size);
            size = reader.head().size;
            let counts = reader
                .scan_parallel(
                    3,
                    |_| BTreeMap::<String, u64>::new(),
                    |streams, view| {
                        let next = streams.entry(view.stream.to_owned()).or_default();
                        assert_eq!(view.revision, *next);
                        *next += 1;
                        Ok::<_, Error>(())
                    },
                )
                .unwrap();
            assert_eq!(counts.iter().flat_map(BTreeMap::values).sum::<u64>(), size);
            assert_eq!(reader.root_at(size).unwrap(), reader.head().root);
            let report = duban_log::verify(dir.path(), 2, &|_, _| ()).unwrap();
            assert!(report.ok && report.events >= size, "{report:?}");
            looks += 1;
        }
        writer.join().unwrap();
    });
    let reader = Reader::open(dir.path()).unwrap();
    assert_eq!(reader.head(), log.head());
    let read = |direction| reader.read_all(None, direction, &Filter::all(), 10).unwrap().events;
    assert_eq!(read(Direction::Forward)[0].position.get(), 0);
    assert_eq!(Some(read(Direction::Backward)[0].position), log.head().position);
    assert!(!reader.read_stream(&stream("fault-1"), 0, Direction::Forward, 5).unwrap().is_empty());
}

#[test]
fn large_events_cross_small_segments() {
    let (disk, fatal) = (SimDisk::new(), Arc::new(AtomicU64::new(0)));
    let log = open(&disk, &fatal).unwrap();
    let large = |n: u64| NewEvent { payload: Bytes::from(vec![n.to_le_bytes()[0]; 700_000]), ..event(n) };
    runtime().block_on(async {
        for n in 0..5_u64 {
            log.append(&stream("office"), Expected::after(n.checked_sub(1)), vec![large(n)]).await.unwrap();
        }
    });
    drop(log);
    assert_eq!(verified(&disk, "large").events, 5);
    let log = open(&disk, &fatal).unwrap();
    let read = runtime().block_on(log.read_stream(&stream("office"), 0, Direction::Forward, 9)).unwrap();
    assert!((0..).zip(&read).all(|(n, e)| is(e, &large(n))));
}
