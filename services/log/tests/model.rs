//! Random work on the segmented log and on the one in memory: they answer the same, before and after reopening.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::sync::Arc;

use bytes::Bytes;
use duban_log::contract::{all, stream};
use duban_log::disk::Disk;
use duban_log::disk::sim::SimDisk;
use duban_log::{
    Direction, Error, EventLog, Expected, Filter, MemoryLog, NewEvent, Options, Reader, SegmentedLog,
};
use proptest::prelude::*;
use uuid::Uuid;

#[derive(Debug, Clone)]
enum Step {
    /// To a stream; by how much the expectation is wrong; the events.
    Append(u8, u8, Vec<NewEvent>),
    Reopen,
}

fn text(max: usize) -> impl Strategy<Value = Arc<str>> {
    proptest::collection::vec(prop_oneof!["[a-z0-9.]", "[城南投诉]"], 1..=max).prop_map(|v| v.concat().into())
}

fn new_event() -> impl Strategy<Value = NewEvent> {
    let tags = proptest::collection::vec((text(8), text(12)), 0..=8);
    let bytes =
        |max| proptest::collection::vec(prop_oneof![Just(0_u8), any::<u8>()], 0..max).prop_map(Bytes::from);
    (any::<u128>(), text(20), any::<i64>(), any::<i64>(), tags, bytes(80), bytes(1500)).prop_map(
        |(id, kind, occurred_at, recorded_at, tags, metadata, payload)| NewEvent {
            id: Uuid::from_u128(id),
            kind,
            occurred_at,
            recorded_at,
            tags,
            metadata,
            payload,
        },
    )
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        12 => (0..4_u8, prop_oneof![6 => Just(0_u8), 1 => 1..3_u8], proptest::collection::vec(new_event(), 1..6))
            .prop_map(|(s, w, e)| Step::Append(s, w, e)),
        1 => Just(Step::Reopen),
    ]
}

fn open(disk: &Arc<dyn Disk>) -> SegmentedLog {
    let options = Options { segment_bytes_min: 16 << 10, segment_bytes_max: 32 << 10, ..Options::default() };
    SegmentedLog::open_on(disk, options).unwrap()
}

fn answer(result: Result<duban_log::Appended, Error>) -> String {
    result.map_or_else(|e| e.to_string(), |a| format!("{a:?}"))
}

async fn same(memory: &MemoryLog, log: &SegmentedLog, disk: &Arc<dyn Disk>) {
    assert_eq!(memory.head(), log.head());
    for direction in [Direction::Forward, Direction::Backward] {
        let filter = Filter::all().stream_prefix("s-1").stream_prefix("s-2");
        for filter in [Filter::all(), filter] {
            let expected = all(memory, direction, &filter, 7).await.unwrap();
            assert_eq!(expected, all(log, direction, &filter, 5).await.unwrap());
        }
        for s in 0..4 {
            let (name, from) =
                (stream(&format!("s-{s}")), [1, u64::MAX][usize::from(direction == Direction::Backward)]);
            let expected = memory.read_stream(&name, from, direction, 9).await.unwrap();
            assert_eq!(expected, log.read_stream(&name, from, direction, 9).await.unwrap());
        }
    }
    let reader = Reader::open_on(Arc::clone(disk)).unwrap();
    assert_eq!(reader.head(), memory.head());
    let mut seen = Vec::new();
    reader
        .scan(|view| {
            seen.push(view.to_recorded()?);
            Ok::<_, Error>(std::ops::ControlFlow::Continue(()))
        })
        .unwrap();
    assert_eq!(seen, all(memory, Direction::Forward, &Filter::all(), 1000).await.unwrap());
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 32, ..ProptestConfig::default() })]

    #[test]
    fn both_engines_answer_the_same(steps in proptest::collection::vec(step(), 1..60)) {
        tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
            let disk: Arc<dyn Disk> = Arc::new(SimDisk::new());
            let (memory, mut log) = (MemoryLog::new(), Some(open(&disk)));
            let mut counts = [0_u64; 4];
            for step in steps {
                match step {
                    Step::Append(s, wrong, events) => {
                        let name = stream(&format!("s-{s}"));
                        let count = &mut counts[usize::from(s)];
                        let expected = Expected::after((*count + u64::from(wrong)).checked_sub(1));
                        let many = events.len() as u64;
                        let one = memory.append(&name, expected, events.clone()).await;
                        if one.is_ok() {
                            *count += many;
                        }
                        let other = log.as_ref().unwrap().append(&name, expected, events).await;
                        assert_eq!(answer(one), answer(other));
                    }
                    Step::Reopen => {
                        same(&memory, log.as_ref().unwrap(), &disk).await;
                        // First gone, then there again: it holds the lock.
                        log = None;
                        log.get_or_insert_with(|| open(&disk));
                    }
                }
            }
            same(&memory, log.as_ref().unwrap(), &disk).await;
        });
    }
}
